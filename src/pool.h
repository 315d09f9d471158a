/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_POOL_H
#define CORK_MEMPOOL_POOL_H

/*
 * The pool as its own files see it: its life, which slot is in which state, and how slots come to
 * be free.
 *
 * A slot that is carved is live, free or withheld: its bit is set in its group's word, or in its
 * group's withheld word, where it rests in quarantine or is a guard, or in neither. A group with a
 * free slot is on the free list, or is the open one. The open word says which of that group's free
 * slots new takes without another look; what is freed there meanwhile is in the group's word only.
 * cork_mempool_check verifies all of this.
 *
 * Where protections have to do with every new, the open word is veiled: it is kept in another
 * field, and open stays 0, so that new takes the slow path to src/protect.c. Likewise with free.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "internal.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"
#include "libcork/core/mempool_violation.h"
#include "region.h"

/* The marks of cork_mempool's field state; numbers that stray writes are unlikely to leave. */
#define POOL_IS_LIVE 0x506f6f6cU
#define POOL_IS_DONE 0x446f6e65U

/* pool_refuse_dead refuses a call on anything but a live pool. */
_Noreturn INTERNAL void pool_refuse_dead(const struct cork_mempool *mp, const void *pointer);

/*
 * pool_require_live refuses a call on anything but a live pool; pointer is what the call was given
 * besides the pool, or NULL. It is for slow paths: a pool that is not live has an empty open word
 * and no near region, so that every fast path ends here.
 */
static inline void pool_require_live(const struct cork_mempool *mp, const void *pointer)
{
    if (UNLIKELY(mp->state != POOL_IS_LIVE || (mp->self != mp && mp->newest != NULL))) {
        pool_refuse_dead(mp, pointer);
    }
}

/*
 * pool_open fills the empty open word, from the free list or, if must be, with new memory.
 * Returns: false where there is none; nothing has changed then.
 */
INTERNAL bool pool_open(struct cork_mempool *mp);

/* pool_find finds the live object that starts at ptr. Returns: false where there is none. */
INTERNAL bool pool_find(const struct cork_mempool *mp, const void *ptr,
                        struct cork_mempool_slot *slot);

/* pool_refuse_free refuses a pointer that is not a live object, and says what it is instead. */
_Noreturn INTERNAL void pool_refuse_free(const struct cork_mempool *mp, const void *ptr);

/* pool_violation describes a violation that concerns a carved slot. */
INTERNAL struct cork_mempool_violation pool_violation(const struct cork_mempool *mp,
                                                      enum cork_mempool_violation_kind kind,
                                                      struct cork_mempool_slot slot);

/* pool_live_count returns how many objects of a live pool are live. */
INTERNAL size_t pool_live_count(const struct cork_mempool *mp);

/*
 * pool_next_live finds the live object of the lowest number that is not below number.
 * Returns: false where there is none.
 */
INTERNAL bool pool_next_live(const struct cork_mempool *mp, size_t number,
                             struct cork_mempool_slot *slot);

/* pool_number returns the number of a slot, counted over the pool. */
static inline size_t pool_number(struct cork_mempool_slot slot)
{
    const struct cork_mempool_region *region = slot.region;

    while ((region = region->older) != NULL) {
        slot.index += region->capacity;
    }
    return slot.index;
}

/* pool_start returns the start of a slot, where its object is. */
static inline void *pool_start(const struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    return slot.region->base + slot.index * mp->geometry.stride;
}

/* pool_idle_bits returns the slots of a region's group that are carved and not live. */
static inline uint64_t pool_idle_bits(const struct cork_mempool_region *region, size_t index)
{
    return region->groups[index].free | (region->withheld != NULL ? region->withheld[index] : 0);
}

/* pool_carved_bits returns the slots of a region's group that are carved. */
static inline uint64_t pool_carved_bits(const struct cork_mempool_region *region, size_t index)
{
    const size_t count = region->carved_count - index * GROUP_SLOTS;

    return count >= GROUP_SLOTS ? GROUP_BITS : (UINT64_C(1) << count) - 1;
}

/* pool_is_new says whether a slot has never been issued. */
static inline bool pool_is_new(const struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    const bool is_open = mp->open_group == &slot.region->groups[slot.index / GROUP_SLOTS];

    return slot.index >= slot.region->carved_count ||
           geometry_is_guard(&mp->geometry, slot.index) ||
           (mp->open_is_new && is_open && (mp->open | mp->veiled) >> slot.index % GROUP_SLOTS & 1);
}

/* pool_approach makes a region the near one, or renews the copies of the near one's fields. */
static inline void pool_approach(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    mp->base = region->base;
    mp->groups = region->groups;
    mp->near_region = region;
    *(mp->guards_free ? &mp->veiled_count : &mp->slot_count) = region->carved_count;
}

/* pool_link sees to it that a group with free slots is on the free list. */
static inline void pool_link(struct cork_mempool *mp, struct cork_mempool_group *group)
{
    if (group->next == NULL) {
        group->next = mp->free_list == NULL ? group : mp->free_list;
        mp->free_list = group;
    }
}

#endif /* CORK_MEMPOOL_POOL_H */
