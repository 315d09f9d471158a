/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Prints the sum of the numbers on standard input.
 */

#include <stdio.h>

#include "queue.h"

int main(void)
{
    struct queue queue;
    int number;
    long sum = 0;

    queue_init(&queue);
    while (scanf("%d", &number) == 1) {
        if (!queue_push(&queue, number)) {
            perror("sum");
            return 1;
        }
    }
    while (queue_pop(&queue, &number)) {
        sum += number;
    }
    queue_done(&queue);
    printf("%ld\n", sum);
    return 0;
}
