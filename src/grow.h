/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_GROW_H
#define CORK_MEMPOOL_GROW_H

/*
 * Grow: which slots are issued next, and which memory a pool takes for more. Of the heap first, in
 * a few pieces each several times as large as the last, so that a small pool costs no more than its
 * objects; then of address space, whose pages are committed as they are needed.
 */

#include "internal.h"
#include "libcork/core/mempool.h"

/*
 * grow_open makes a group with free slots the active one, with new memory where it must be.
 * Requires: nothing is lent, and the active group has no bits.
 * Returns: false where memory cannot be had; the pool is as it was.
 */
bool grow_open(struct cork_mempool *mp) INTERNAL(grow_open);

#endif /* CORK_MEMPOOL_GROW_H */
