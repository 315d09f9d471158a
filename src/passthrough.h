/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_PASSTHROUGH_H
#define CORK_MEMPOOL_PASSTHROUGH_H

/*
 * Passthrough: each object is a piece of the heap of its own, for tools that want that. The slots
 * of such a pool hold no objects but pointers to them; a table says which slot that is.
 */

#include <stdbool.h>

#include "internal.h"
#include "libcork/core/mempool.h"

/*
 * passthrough_new takes an object from the heap and notes it in a slot, of which this is the start.
 * Returns: the object, or NULL where memory cannot be had.
 */
INTERNAL void *passthrough_new(struct cork_mempool *mp, void **slot);

/* passthrough_free gives the object of a slot back to the heap. The table remembers that it was. */
INTERNAL void passthrough_free(struct cork_mempool *mp, void **slot);

/* passthrough_find returns the start of the slot that holds a live object, or NULL: none does. */
INTERNAL void **passthrough_find(const struct cork_mempool *mp, const void *object);

/* passthrough_knows says whether an object was issued; those freed long ago may be forgotten. */
INTERNAL bool passthrough_knows(const struct cork_mempool *mp, const void *object);

/* passthrough_done gives the table back. */
INTERNAL void passthrough_done(struct cork_mempool *mp);

#endif /* CORK_MEMPOOL_PASSTHROUGH_H */
