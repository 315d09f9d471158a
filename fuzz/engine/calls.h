/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Calls on the pool that is worked on, of which the model is told: legal ones, which are refused
 * only as run->refusal says. */

#include "run_state.h"

/* calls_try makes a call on a storage, compares its violation with run->refusal, and resets that.
 * calls_make makes one on the pool, and returns its result. */
void calls_try(struct run *run, union subject_pool *storage, enum subject_call call,
               const void *pointer);
const struct subject_result *calls_make(struct run *run, enum subject_call call,
                                        const void *pointer);
const struct cork_mempool_stats *calls_stats(struct run *run);

/* Each does what its name says. An index is one of run_pool's live objects, modulo their number;
 * where there is none, nothing is freed. */
void calls_init(struct run *run); /* by pool->init, which is set */
void calls_new(struct run *run);
void calls_free_at(struct run *run, size_t index);
void calls_owns(struct run *run, size_t index);
void calls_clear(struct run *run);
void calls_trim(struct run *run);

/* calls_free_many frees objects in an order; or frees one and issues one, so many times. */
void calls_free_many(struct run *run, size_t count, size_t order, bool are_replaced);

/* calls_done frees all objects in an order first. */
void calls_done(struct run *run, size_t order);

/* calls_foreach frees one of so many objects; 0: none. */
void calls_foreach(struct run *run, size_t every);

/* calls_inspect looks at the pool, as deep as so many units of work allow; calls_check at all. */
void calls_inspect(struct run *run, size_t work);
void calls_check(struct run *run);
