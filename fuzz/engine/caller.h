/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A pool's caller: what options may name of his, which is memory, constructors and destructors. */

#include "run_state.h"

/* caller_give makes options of an operand of init_with. A buffer begins at a multiple of 64 that is
 * none of 128, plus up to 63, and may have up to CALLER_BUFFER_SIZE bytes. */
#define CALLER_BUFFER_SIZE ((size_t)65536)
void caller_give(struct run_pool *pool, struct cork_mempool_options *options, uint32_t bits);

/* caller_protect adds protections, and leaves those that go with the other options. */
void caller_protect(struct cork_mempool_options *options, unsigned added);

/* caller_misuse does run->misuse, which is a call, in a callback, where it is due; it returns only
 * where it is not. */
void caller_misuse(struct run *run);

/* caller_start is called before init, caller_end after done, for the pool that is worked on. */
void caller_start(struct run *run);
void caller_end(struct run *run);
