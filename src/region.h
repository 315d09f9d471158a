/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_REGION_H
#define CORK_MEMPOOL_REGION_H

/*
 * Regions: contiguous memory for slots, and away from it the tables about them: a descriptor for
 * each group, and what protections need besides.
 *
 * The regular region is one reservation of address space, of which a prefix of each table and a
 * prefix of the slots are committed. No access to a guard (|||) or to what is not committed (...)
 * is possible, so a run over the slots faults before it meets anything else:
 *
 *     |||| struct cork_mempool_region, tables ............ |||| slots ........................ ||||
 *     memory                                                   base
 *
 * It costs a process at least four memory mappings, of which Linux allows 65,530, and a page each
 * for tables and slots. So there are two cheaper kinds, whose slots come from the heap: a pool's
 * first objects are in its nursery, whose descriptor is in struct cork_mempool; and where the
 * operating system refuses a reservation, a region comes from the heap as a whole. The latter kind
 * also serves pools with a source of their own. A fixed buffer is a region of a fourth kind.
 *
 * Regions form a list from the newest to the oldest; only the newest grows.
 */

#include <stdbool.h>
#include <stddef.h>

#include "geometry.h"
#include "internal.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"

enum region_origin {
    REGION_IS_NURSERY = 1,
    REGION_IS_RESERVED,
    REGION_IS_ACQUIRED,
    REGION_IS_BUFFER
};

/*
 * region_from_nursery makes *region the first region of a pool without extra tables, with one
 * group, on the heap; it never grows.
 * Returns: region, or NULL where memory cannot be had or the objects are too large for a nursery.
 */
INTERNAL struct cork_mempool_region *
region_from_nursery(struct cork_mempool_region *region, struct cork_mempool_group *group,
                    const struct cork_mempool_geometry *geometry);

/*
 * region_from_os makes a regular region, at least twice the size of the newest.
 * Returns: a region with at least a block usable, or NULL.
 */
INTERNAL struct cork_mempool_region *region_from_os(struct cork_mempool_region *newest,
                                                    const struct cork_mempool_geometry *geometry);

/*
 * region_from_source makes a region of a source's memory, twice as large as what the newest has
 * usable.
 * Returns: a region with at least a block usable, or NULL.
 */
INTERNAL struct cork_mempool_region *
region_from_source(struct cork_mempool_region *newest, const struct cork_mempool_geometry *geometry,
                   const struct cork_mempool_source *source, void *source_data);

/* region_from_buffer makes a region of all of a buffer that has room for one slot at least. */
INTERNAL struct cork_mempool_region *
region_from_buffer(void *buffer, size_t buffer_size, const struct cork_mempool_geometry *geometry);

/* region_buffer_capacity returns how many slots a buffer has room for. */
INTERNAL size_t region_buffer_capacity(const void *buffer, size_t buffer_size,
                                       const struct cork_mempool_geometry *geometry);

/*
 * region_commit makes more slots usable, at least one; twice as many as there are where that can be
 * had, so that a pool of n objects asks O(log n) times (with guards between blocks, once a block).
 * Returns: false, with nothing changed, where the region is full or memory cannot be had.
 */
INTERNAL bool region_commit(struct cork_mempool_region *region,
                            const struct cork_mempool_geometry *geometry);

/*
 * region_discard gives the memory of slots from first up to end back, as far as they fill pages of
 * a regular region.
 * Returns: the bytes given back.
 */
INTERNAL size_t region_discard(struct cork_mempool_region *region, size_t first, size_t end,
                               const struct cork_mempool_geometry *geometry);

/*
 * region_scatter is for a region of which something has been discarded, where the operating system
 * makes huge pages of whatever it can. What is committed and not carved may be part of one, and
 * goes back too; nor is another to be made, of a page that is live and 511 that were given back.
 */
INTERNAL void region_scatter(struct cork_mempool_region *region,
                             const struct cork_mempool_geometry *geometry);

/* region_release gives a region's memory back; a region that is not a nursery ceases to exist. */
INTERNAL void region_release(struct cork_mempool_region *region,
                             const struct cork_mempool_geometry *geometry,
                             const struct cork_mempool_source *source, void *source_data);

/* region_memory_size returns the bytes of a region that may be read and written. */
INTERNAL size_t region_memory_size(const struct cork_mempool_region *region,
                                   const struct cork_mempool_geometry *geometry);

/* region_group_count returns how many groups slot_count slots make. */
static inline size_t region_group_count(size_t slot_count)
{
    return slot_count / GROUP_SLOTS + (slot_count % GROUP_SLOTS != 0);
}

/* region_holds_group says whether a descriptor is one of the region's, without reading it. */
static inline bool region_holds_group(const struct cork_mempool_region *region,
                                      const struct cork_mempool_group *group)
{
    const uintptr_t offset = (uintptr_t)group - (uintptr_t)region->groups;

    return offset / sizeof(*group) < region_group_count(region->carved_count) &&
           offset % sizeof(*group) == 0;
}

#endif /* CORK_MEMPOOL_REGION_H */
