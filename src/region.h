/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Regions: contiguous memory for slots, and apart from it the tables about them: a descriptor for
 * each group, and what protections need.
 *
 * A reserved region is address space. A prefix of each table and a prefix of the slots are
 * committed; guards (|||) and the rest (...) are inaccessible, so an overflow of the slots faults
 * before it reaches other memory:
 *
 *     |||| struct cork_mempool_region, tables ............ |||| slots ........................ ||||
 *     memory                                                   base
 *
 * Small tables come from the heap instead. Mappings and page faults would slow down small pools, so
 * a pool's first regions are pieces of the heap: one for slots and one for tables; a small first
 * region has its groups in struct cork_mempool. Regions of a caller's source have two pieces, too.
 * A fixed buffer is one region, with its tables before its slots.
 */

#include "geometry.h"
#include "internal.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"

/* Slots in quarantine at most. */
#define QUARANTINE_MAX 256

/* The tables of a region, in order. The first contains the region's own struct, and is always
 * there. Tables with an entry for each group begin as zeros; no other entry is read before it is
 * written. */
enum region_table {
    REGION_GROUPS,
    REGION_HELD,
    REGION_FRESH,
    REGION_RING,       /* the quarantine's, if the region is the oldest */
    REGION_SHORT_RING, /* in its place, with room for all slots at most */
    REGION_CHECKSUMS,
    REGION_SITES,
    REGION_TABLE_COUNT
};

/* Memory of a region's slots. */
struct region_pages {
    char *start;
    size_t size;
};

/* region_reserve makes a reserved region of capacity slots, and commits at least a block and at
 * most committed slots of it. Returns: the region, or NULL. */
struct cork_mempool_region *region_reserve(const struct cork_mempool *mp, size_t capacity,
                                           size_t committed) INTERNAL(region_reserve);

/* region_acquire makes a region of capacity slots with memory of the pool's source. Returns: the
 * region, or NULL; or REGION_MISALIGNED: the source broke its contract, and has its memory back. */
struct cork_mempool_region *region_acquire(struct cork_mempool *mp, size_t capacity)
    INTERNAL(region_acquire);
#define REGION_MISALIGNED ((struct cork_mempool_region *)UINTPTR_MAX)

/* region_from_buffer makes a region of all of the pool's buffer. */
struct cork_mempool_region *region_from_buffer(const struct cork_mempool *mp)
    INTERNAL(region_from_buffer);

/* region_buffer_capacity returns how many slots a buffer has room for. */
size_t region_buffer_capacity(const struct cork_mempool_geometry *geometry, void *buffer,
                              size_t buffer_size) INTERNAL(region_buffer_capacity);

/* region_ring_capacity returns how many objects the ring of an oldest region has room for. */
size_t region_ring_capacity(const struct cork_mempool *mp, const struct cork_mempool_region *region)
    INTERNAL(region_ring_capacity);

/* region_max_capacity returns an upper bound on a region's slots: no size computed from it, even
 * doubled, overflows size_t. */
size_t region_max_capacity(const struct cork_mempool_geometry *geometry)
    INTERNAL(region_max_capacity);

/*
 * region_commit commits more slots of a reserved region: count, or fewer if memory is short; with
 * guards, whole blocks.
 * Returns: false, with nothing changed, if the region is full or no memory can be had.
 */
bool region_commit(const struct cork_mempool *mp, struct cork_mempool_region *region, size_t count)
    INTERNAL(region_commit);

/* region_slots returns where a region's committed slots are: pages of a reservation, with the
 * guards between them, or else all of its memory. */
struct region_pages region_slots(const struct cork_mempool *mp,
                                 const struct cork_mempool_region *region) INTERNAL(region_slots);

/* region_release gives back the memory of a region and of its tables, which contain its struct. */
void region_release(const struct cork_mempool *mp, struct cork_mempool_region *region)
    INTERNAL(region_release);

/* region_memory_size returns the bytes of a region that may be read and written. */
size_t region_memory_size(const struct cork_mempool *mp, const struct cork_mempool_region *region)
    INTERNAL(region_memory_size);

/* region_group_count returns how many groups slot_count slots make. */
static inline size_t region_group_count(size_t slot_count)
{
    return slot_count / GROUP_SLOTS + (slot_count % GROUP_SLOTS != 0);
}
