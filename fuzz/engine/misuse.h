/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Misuse of the pool that is worked on. */

#include "run_state.h"

/* Each makes a call that must be refused for what it is and change nothing: a free, or any call on
 * storage that holds no pool. */
void misuse_refuse_free(struct run *run, const void *pointer, unsigned kinds);
void misuse_refuse_dead(struct run *run, union subject_pool *storage, enum subject_call call,
                        unsigned kind);

/* The operations; an index is one of run_pool's live objects, of the pool's freed slots in *_freed,
 * and of all its slots in misuse_free_interior. What cannot be done is left out. */
void misuse_free_twice(struct run *run, size_t index);
void misuse_free_freed(struct run *run, size_t index);
void misuse_free_interior(struct run *run, size_t index, size_t offset);
void misuse_free_foreign(struct run *run, size_t choice);
void misuse_free_unissued(struct run *run);
void misuse_overrun(struct run *run, size_t index, size_t choice, bool is_before);
void misuse_write_freed(struct run *run, size_t index, size_t choice);
void misuse_use_dead(struct run *run, size_t choice);
void misuse_misbehave(struct run *run, size_t choice);
void misuse_leak(struct run *run);
