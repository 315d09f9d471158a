/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_SLOTS_H
#define CORK_MEMPOOL_SLOTS_H

/*
 * Slots: in which state each one is, and which is issued next.
 *
 * A slot that a group has been extended to is free, held or live: its bit is set in the group's
 * word; or in the group's held word, because it is in quarantine or a guard; or in neither. One
 * exception: an object kept aside by free is free, and its group does not know.
 *
 * new takes, in this order: the kept object; a slot of the stack; a slot of the active group. A
 * group with a free slot is the active one, or on the free list, or all of its free slots are on
 * the stack. Whatever the active group's bits do not name is left to the next look at it.
 *
 * The fast paths work on what slots_lend lends them. Every call that calls back, or looks at a pool
 * as a whole in order to change it, first takes that back by slots_recall. So a callback that uses
 * its pool ends on a slow path, and is refused there.
 */

#include "geometry.h"
#include "internal.h"
#include "libcork/core/mempool.h"
#include "region.h"

/* The marks of a pool's field state; numbers that stray writes are unlikely to leave. */
#define POOL_IS_LIVE    0x506f6f6cU
#define POOL_IS_VISITED 0x56697369U /* by foreach: only new and free may be called */
#define POOL_IS_BUSY    0x42757379U /* in another call: none may be */
#define POOL_IS_DONE    0x446f6e65U

#if !defined(STACK_SLOTS)
#define STACK_SLOTS CORK_MEMPOOL_STACK_SLOTS_
#endif

/* A slot of a pool: its region, and its number there. */
struct slot {
    struct cork_mempool_region *region;
    size_t index;
};
#define NO_SLOT ((struct slot){.region = NULL})

/* slots_is_moved says whether a pool is a copy, made when it was too late for one. */
static inline bool slots_is_moved(const struct cork_mempool *mp)
{
    return mp->self != mp && mp->newest != NULL;
}

/* slots_lend gives the fast paths what they may use, slots_recall takes it back. Hooks that need
 * not hear of each new let new have all but fresh slots, and free nothing. Who recalls while slots
 * are on the stack links all groups anew. */
void slots_lend(struct cork_mempool *mp) INTERNAL(slots_lend);
void slots_recall(struct cork_mempool *mp) INTERNAL(slots_recall);

/*
 * The tree is a treap (Seidel and Aragon, "Randomized Search Trees", Algorithmica 16, 1996):
 * ordered by addresses from side to side, and from top to bottom by a number that addresses are
 * mixed to. So its depth is logarithmic, in whatever order regions come.
 */
static inline uint64_t slots_priority(const struct cork_mempool_region *region)
{
    return bits_mix((uintptr_t)region->base);
}

/* slots_add_region makes a region the newest one. Requires: nothing is lent. */
void slots_add_region(struct cork_mempool *mp, struct cork_mempool_region *region)
    INTERNAL(slots_add_region);

/* slots_renew makes anew, from the regions and groups that there are, whatever finds them; and
 * lends it. */
void slots_renew(struct cork_mempool *mp) INTERNAL(slots_renew);

/* slots_live_count returns how many objects of a pool are live. */
size_t slots_live_count(const struct cork_mempool *mp) INTERNAL(slots_live_count);

/* slots_next_live finds the next live object from a slot on. Returns: false where there is none. */
bool slots_next_live(const struct cork_mempool *mp, struct slot *slot) INTERNAL(slots_next_live);

/* A call during which no other may be made; slots_leave ends it, also where C++ throws. */
struct slots_call {
    struct cork_mempool *mp;
    uint32_t state;   /* before the call */
    bool is_renewing; /* the call may take regions out of the pool */
};

static inline struct slots_call slots_enter(struct cork_mempool *mp)
{
    const struct slots_call call = {mp, mp->state, false};

    /* A signal handler may look. */
    *(volatile uint32_t *)&mp->state = POOL_IS_BUSY;
    return call;
}

static inline void slots_leave(struct slots_call *call)
{
    if (call->is_renewing) {
        slots_renew(call->mp);
    }
    *(volatile uint32_t *)&call->mp->state = call->state;
}

/* The type of local variables that slots_enter begins, and that end with their block. */
#define SLOTS_CALL __attribute__((cleanup(slots_leave), unused)) struct slots_call

static inline uint64_t slot_bit(struct slot slot)
{
    return UINT64_C(1) << slot.index % GROUP_SLOTS;
}

static inline void *slot_start(const struct cork_mempool *mp, struct slot slot)
{
    return slot.region->base + slot.index * mp->geometry.stride;
}

/* slots_not_live returns the slots of a group that are free or held, as far as the group knows. */
static inline uint64_t slots_not_live(const struct cork_mempool_region *region, size_t group)
{
    return region->groups[group].free | (region->held != NULL ? region->held[group] : 0);
}

/* slots_extended returns the slots that a group has been extended to; slots_live, those of them
 * that are live, as far as the group knows; slots_made, those in a pool with hooks that have
 * canaries or a constructed object, if any have. */
static inline uint64_t slots_extended(const struct cork_mempool_region *region, size_t group)
{
    const size_t count = region->extended_count - group * GROUP_SLOTS;

    return count >= GROUP_SLOTS ? GROUP_BITS : (UINT64_C(1) << count) - 1;
}

static inline uint64_t slots_live(const struct cork_mempool_region *region, size_t group)
{
    return slots_extended(region, group) & ~slots_not_live(region, group);
}

static inline uint64_t slots_made(const struct cork_mempool_region *region, size_t group)
{
    return slots_extended(region, group) & ~region->fresh[group];
}

/* slots_next returns the first slot from index up to end that is one of those that slots_live,
 * slots_made or the like returns for its group; or end. */
static inline size_t slots_next(const struct cork_mempool_region *region,
                                uint64_t (*slots)(const struct cork_mempool_region *, size_t),
                                size_t index, size_t end)
{
    while (index < end) {
        const uint64_t bits = slots(region, index / GROUP_SLOTS) >> index % GROUP_SLOTS;

        if (bits != 0) {
            return bits_smaller(index + (size_t)__builtin_ctzll(bits), end);
        }
        index = (index / GROUP_SLOTS + 1) * GROUP_SLOTS;
    }
    return end;
}

/* slots_search returns the slot that starts at ptr, in the region with the highest base that is not
 * above it; or an index that is too large; or NO_SLOT, where there is no such region. */
struct slot slots_search(const struct cork_mempool *mp, const void *ptr) INTERNAL(slots_search);

/* slots_of is slots_search for the start of a slot that belongs to a group. */
static inline struct slot slots_of(const struct cork_mempool *mp, const void *object)
{
    struct cork_mempool_region *region =
        mp->lookup[(uintptr_t)object >= (uintptr_t)mp->lent.bases[1]];
    const uintptr_t offset = (uintptr_t)object - (uintptr_t)region->base;
    const uintptr_t index = geometry_slot_of(&mp->geometry, offset);

    const struct slot slot = LIKELY(index < region->extended_count) ? (struct slot){region, index}
                                                                    : slots_search(mp, object);
    KNOWN(slot.region != NULL);
    return slot;
}

/* slots_is_live says whether an object is live, which is in a slot if in any of the pool's; set:
 * the pool's protections, as far as they are known to the compiler. */
static inline bool slots_is_live(const struct cork_mempool *mp, struct slot slot, const void *ptr,
                                 uint32_t set)
{
    if (UNLIKELY(slot.region == NULL || slot.index >= slot.region->extended_count)) {
        return false;
    }

    uint64_t not_live = slot.region->groups[slot.index / GROUP_SLOTS].free;
    if ((set & (CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_GUARD)) != 0) {
        not_live |= slot.region->held[slot.index / GROUP_SLOTS];
    }
    return (not_live & slot_bit(slot)) == 0 && ptr != mp->lent.kept;
}

/* slots_was_issued says whether a slot has ever been issued. Slots that were not, though a group
 * has been extended to them, are guards or the active group's next. */
static inline bool slots_was_issued(const struct cork_mempool *mp, struct slot slot)
{
    const struct cork_mempool_cursor *cursor = &mp->cursor;
    const bool is_next = cursor->is_fresh && cursor->region == slot.region &&
                         cursor->group == slot.index / GROUP_SLOTS &&
                         ((cursor->bits | mp->lent.bits) & slot_bit(slot)) != 0;

    return slot.index < slot.region->extended_count && !is_next &&
           !geometry_is_guard(&mp->geometry, slot.index);
}

/* slots_link sees to it that a group with free slots is found, unless it is the active one. */
static inline void slots_link(struct cork_mempool *mp, struct cork_mempool_region *region,
                              size_t index)
{
    struct cork_mempool_group *group = &region->groups[index];

    if (group->next != NULL || (mp->cursor.region == region && mp->cursor.group == index)) {
        return;
    }

    char *start = slot_start(mp, (struct slot){region, index * GROUP_SLOTS});
    group->next = mp->free_list != NULL ? mp->free_list : start;
    mp->free_list = start;
}

/* slots_release makes a slot free that was live or held. */
static inline void slots_release(struct cork_mempool *mp, struct slot slot)
{
    slot.region->groups[slot.index / GROUP_SLOTS].free |= slot_bit(slot);
    slots_link(mp, slot.region, slot.index / GROUP_SLOTS);
}

#endif /* CORK_MEMPOOL_SLOTS_H */
