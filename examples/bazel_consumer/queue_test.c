/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue.h"

#include <assert.h>

int main(void)
{
    enum { COUNT = 10000 };
    struct queue queue;
    int number;

    queue_init(&queue);
    assert(!queue_pop(&queue, &number));
    for (int i = 0; i < COUNT; i++) {
        assert(queue_push(&queue, i));
    }
    for (int i = 0; i < COUNT / 2; i++) {
        assert(queue_pop(&queue, &number));
        assert(number == i);
    }
    assert(cork_mempool_check(&queue.entries));
    queue_done(&queue);
    return 0;
}
