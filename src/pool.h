/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_POOL_H
#define CORK_MEMPOOL_POOL_H

/*
 * The pool as its own files see it: its life, and which slot is in which state.
 *
 * A slot that is carved is either live or free. It is free where its bit is set in one of two
 * words: its group's, or, where its group is the open one, the pool's open word. It is never set
 * in both, so that no free slot can be issued twice. cork_mempool_check verifies all of this.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "internal.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_violation.h"
#include "region.h"

/* The marks of cork_mempool's field state; numbers that stray writes are unlikely to leave. */
#define POOL_IS_LIVE 0x506f6f6cU
#define POOL_IS_DONE 0x446f6e65U

/*
 * pool_require_live refuses a call on anything but a live pool; pointer is what the call was given
 * besides the pool, or NULL. It is for slow paths: a pool that is not live has an empty open word
 * and no near region, so that every fast path ends here.
 */
INTERNAL void pool_require_live(const struct cork_mempool *mp, const void *pointer);

/* pool_live_count returns how many objects of a live pool are live. */
INTERNAL size_t pool_live_count(const struct cork_mempool *mp);

/*
 * pool_next_live finds the live object of the lowest slot that is not below object->slot.
 * Returns: true with it in *object, or false where there is none.
 */
INTERNAL bool pool_next_live(const struct cork_mempool *mp, struct cork_mempool_object *object);

/* pool_free_bits returns the free slots of a region's group. */
static inline uint64_t pool_free_bits(const struct cork_mempool *mp,
                                      const struct cork_mempool_group *group)
{
    return group->free | (group == mp->open_group ? mp->open : 0);
}

/* pool_carved_bits returns the slots of a region's group that are carved. */
static inline uint64_t pool_carved_bits(const struct cork_mempool_region *region, size_t group)
{
    const size_t count = region->carved_count - group * GROUP_SLOTS;

    return count >= GROUP_SLOTS ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* pool_slot_is_free says whether a carved slot is free. */
static inline bool pool_slot_is_free(const struct cork_mempool *mp,
                                     const struct cork_mempool_region *region, size_t slot)
{
    return pool_free_bits(mp, &region->groups[slot / GROUP_SLOTS]) >> slot % GROUP_SLOTS & 1;
}

/* pool_slot_number returns a number for a slot of a region that is unique over the whole pool. */
static inline size_t pool_slot_number(const struct cork_mempool_region *region, size_t slot)
{
    for (region = region->older; region != NULL; region = region->older) {
        slot += region->capacity;
    }
    return slot;
}

#endif /* CORK_MEMPOOL_POOL_H */
