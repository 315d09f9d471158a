/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include <libcork/core.h>

/* A queue of numbers, each in an object of a pool. */
struct queue {
    struct cork_mempool entries;
    struct queue_entry *first; /* NULL: the queue is empty */
    struct queue_entry *last;
};

void queue_init(struct queue *queue);
void queue_done(struct queue *queue);

/* Returns false where memory cannot be had; the queue is then as it was. */
bool queue_push(struct queue *queue, int number);

/* Returns false where the queue is empty. */
bool queue_pop(struct queue *queue, int *number);
