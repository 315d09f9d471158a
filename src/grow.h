/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Grow: which slots are issued next, and where a pool gets more memory. The first few regions are
 * pieces of the heap, so that a small pool costs little more than its objects; later ones are
 * reservations, whose pages are committed as they are needed. */

#include "internal.h"
#include "libcork/core/mempool.h"

/*
 * grow_open makes a group with free slots the active one, and gets more memory if there is none;
 * if that cannot be had, it takes a slot out of quarantine.
 * Requires: nothing is lent, and the active group has no bits.
 * Returns: false with errno ENOMEM if there is no slot; the pool is as it was.
 */
bool grow_open(struct cork_mempool *mp) INTERNAL(grow_open);
