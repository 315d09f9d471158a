/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Refusals: whether a call was refused for what it is. */

#include "run_state.h"

/* The kinds of storage that holds no pool. */
#define KINDS_WITHOUT_POOL (KIND(USE_BEFORE_INIT) | KIND(USE_AFTER_DONE) | KIND(NOT_A_POOL))

/* refusal_verify compares the violation that run->result has, of a call on a storage, with
 * run->refusal. The last stats of a pool are those before the call. */
void refusal_verify(struct run *run, const union subject_pool *storage);
