/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_MEMPOOL_INSPECT_H
#define LIBCORK_CORE_MEMPOOL_INSPECT_H

/*
 * Inspection: looking at a whole pool. The functions take time proportional to the number of slots
 * divided by 64, allocate nothing and change nothing.
 */

#include <stdbool.h>
#include <stddef.h>

#include <libcork/core/mempool.h>

#if defined(__cplusplus)
extern "C" {
#endif

/*
 * cork_mempool_check verifies every invariant of a pool: that its regions, groups, free list and
 * counts agree with each other. It never writes a report of what it finds; an assertion on its
 * value is meant for tests.
 * Requires: an initialized pool.
 * Returns: true, or false where an invariant is broken, which means a stray write or a defect of
 *          the pool; it must not be used any further.
 */
bool cork_mempool_check(const struct cork_mempool *mp);

/* struct cork_mempool_stats holds the figures of a pool. */
struct cork_mempool_stats {
    size_t element_size;  /* as given to init, but at least 1 */
    size_t alignment;     /* of every object; a power of two */
    size_t slot_size;     /* from an object to its neighbour; 0: no memory could hold an element */
    size_t block_size;    /* bytes of a block's slots: all that fit, at least one */
    size_t live_count;    /* objects issued and not freed */
    size_t free_count;    /* objects that can be issued before more memory must be asked for */
    size_t region_count;  /* contiguous pieces of address space */
    size_t memory_size;   /* bytes that may be read and written: slots and bookkeeping */
    size_t reserved_size; /* bytes of address space, memory_size included */
};

/*
 * cork_mempool_stats fills *stats with the figures of a pool.
 * Requires: an initialized pool.
 */
void cork_mempool_stats(const struct cork_mempool *mp, struct cork_mempool_stats *stats);

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* LIBCORK_CORE_MEMPOOL_INSPECT_H */
