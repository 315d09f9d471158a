/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue.h"

struct queue_entry {
    struct queue_entry *next;
    int number;
};

void queue_init(struct queue *queue)
{
    cork_mempool_init(&queue->entries, struct queue_entry);
    queue->first = NULL;
    queue->last = NULL;
}

void queue_done(struct queue *queue)
{
    int number;

    while (queue_pop(queue, &number)) {
    }
    cork_mempool_done(&queue->entries);
}

bool queue_push(struct queue *queue, int number)
{
    struct queue_entry *entry = cork_mempool_new(&queue->entries);

    if (entry == NULL) {
        return false;
    }
    entry->next = NULL;
    entry->number = number;
    if (queue->first == NULL) {
        queue->first = entry;
    } else {
        queue->last->next = entry;
    }
    queue->last = entry;
    return true;
}

bool queue_pop(struct queue *queue, int *number)
{
    struct queue_entry *entry = queue->first;

    if (entry == NULL) {
        return false;
    }
    queue->first = entry->next;
    *number = entry->number;
    cork_mempool_free(&queue->entries, entry);
    return true;
}
