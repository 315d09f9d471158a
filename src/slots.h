/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Slots: the state of each one, and which is issued next.
 *
 * An extended slot is free, held or live. Free: its bit is set in the group's word. Held: it is set
 * in the group's held word, because the slot is in quarantine or a guard. Live: neither. One
 * exception: the kept object is free, but its group does not know.
 *
 * new takes the kept object; else a slot of the stack; else one that the cursor names. The cursor
 * does not name slots of the active group that were freed later: new looks for them afterwards. Any
 * other group's free slots are all on the stack, or the group is on the free list.
 *
 * Fast paths use what slots_lend lends them. Calls that change a pool as a whole, or may call back
 * (but for foreach), first recall it: so a callback's call ends on a slow path, which refuses it.
 */

#include "geometry.h"
#include "internal.h"
#include "libcork/core/mempool.h"
#include "region.h"
#include "tools.h"

/* Values of a pool's state; a stray write is unlikely to leave one. */
#define POOL_IS_LIVE    0x506f6f6cU
#define POOL_IS_VISITED 0x56697369U /* by foreach: only new and free may be called */
#define POOL_IS_BUSY    0x42757379U /* no function may be called */
#define POOL_IS_DONE    0x446f6e65U

#if !defined(STACK_SLOTS)
#define STACK_SLOTS CORK_MEMPOOL_STACK_SLOTS_
#endif

/* A slot of a pool: its region, and its index there. */
struct slot {
    struct cork_mempool_region *region;
    size_t index;
};
#define NO_SLOT ((struct slot){.region = NULL})

/* slots_is_moved returns whether a pool was moved or copied after its first new. */
static inline bool slots_is_moved(const struct cork_mempool *mp)
{
    return mp->self != mp && mp->newest != NULL;
}

/* slots_lends_new returns whether new of a hooked pool with this set of protections is lent slots,
 * because its hooks need to hear of fresh ones alone. */
static inline bool slots_lends_new(uint32_t set)
{
    return set == CORK_MEMPOOL_CANARY;
}

/* slots_lend gives the fast paths their fields, slots_recall takes them back. A hooked pool lends
 * only if its hooks say so, only to new, and no fresh slots. A caller that recalls while slots are
 * on the stack must link all groups. */
void slots_lend(struct cork_mempool *mp) INTERNAL(slots_lend);
void slots_recall(struct cork_mempool *mp) INTERNAL(slots_recall);

/*
 * The tree is a treap (Seidel and Aragon, "Randomized Search Trees", Algorithmica 16, 1996):
 * ordered by address from left to right, and from top to bottom by a hash of the address. So its
 * depth is logarithmic, in whatever order regions come.
 */
static inline uint64_t slots_priority(const struct cork_mempool_region *region)
{
    return bits_mix((uintptr_t)region->base);
}

/* slots_add_region makes a region the newest one. Requires: nothing is lent. */
void slots_add_region(struct cork_mempool *mp, struct cork_mempool_region *region)
    INTERNAL(slots_add_region);

/* slots_renew rebuilds the tree and the free list from the regions and their bits, and lends. */
void slots_renew(struct cork_mempool *mp) INTERNAL(slots_renew);

/* slots_live_count returns how many objects of a pool are live. */
size_t slots_live_count(const struct cork_mempool *mp) INTERNAL(slots_live_count);

/* slots_next_live moves *slot to the first live object from there on. Returns: false if none. */
bool slots_next_live(const struct cork_mempool *mp, struct slot *slot) INTERNAL(slots_next_live);

/* A call during which all others are refused; slots_leave ends it, also if C++ throws. */
struct slots_call {
    struct cork_mempool *mp;
    uint32_t before;  /* the pool's state before the call */
    uint32_t during;  /* its state, unless a refused call has ended this one */
    bool is_renewing; /* the call may take regions out of the pool */
};

static inline struct slots_call slots_enter(struct cork_mempool *mp)
{
    const struct slots_call call = {mp, mp->state, POOL_IS_BUSY, false};

    /* Signal handlers read it. */
    *(volatile uint32_t *)&mp->state = POOL_IS_BUSY;
    return call;
}

static inline void slots_leave(struct slots_call *call)
{
    if (call->mp->state != call->during) {
        return; /* the call has ended, and the pool may be finalized */
    }
    if (call->is_renewing) {
        slots_renew(call->mp);
    }
    *(volatile uint32_t *)&call->mp->state = call->before;
}

/* The type for the result of slots_enter: the call ends with the variable's scope. */
#define SLOTS_CALL __attribute__((cleanup(slots_leave), unused)) struct slots_call

static inline uint64_t slot_bit(struct slot slot)
{
    return UINT64_C(1) << slot.index % GROUP_SLOTS;
}

static inline char *slot_start(const struct cork_mempool *mp, struct slot slot)
{
    return slot.region->base + slot.index * mp->geometry.stride;
}

/* slots_extended returns the slots that a group has been extended to; slots_live, those that are
 * live, and the kept object; slots_made those of a hooked pool that are not fresh: they have their
 * canaries and constructed objects. */
static inline uint64_t slots_extended(const struct cork_mempool_region *region, size_t group)
{
    const size_t count = region->extended_count - group * GROUP_SLOTS;

    return count >= GROUP_SLOTS ? GROUP_BITS : (UINT64_C(1) << count) - 1;
}

static inline uint64_t slots_live(const struct cork_mempool_region *region, size_t group)
{
    const uint64_t not_free = slots_extended(region, group) & ~region->groups[group].free;

    return region->held == NULL ? not_free : not_free & ~region->held[group];
}

static inline uint64_t slots_made(const struct cork_mempool_region *region, size_t group)
{
    return region->fresh == NULL ? 0 : slots_extended(region, group) & ~region->fresh[group];
}

/* slots_next moves *slot to the first slot from there on, of those before end in its region, that
 * slots_live, slots_made or the like has in its group's result. Returns: false if there is none. */
static inline bool slots_next(struct slot *slot,
                              uint64_t (*slots)(const struct cork_mempool_region *, size_t),
                              size_t end)
{
    while (slot->index < end) {
        const size_t group = slot->index / GROUP_SLOTS;
        const uint64_t bits = slots(slot->region, group) >> slot->index % GROUP_SLOTS;

        if (bits != 0) {
            slot->index += (size_t)__builtin_ctzll(bits);
            return slot->index < end;
        }
        slot->index = (group + 1) * GROUP_SLOTS;
    }
    return false;
}

/* slots_search looks in the region with the highest base up to ptr, and returns the slot that
 * starts at ptr, or an index that is too large. Without such a region it returns NO_SLOT. */
struct slot slots_search(const struct cork_mempool *mp, const void *ptr) INTERNAL(slots_search);

/* slots_of is a fast slots_search for the start of an extended slot. */
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

/* slots_is_live returns whether ptr is a live object. slot: what slots_search returns for it; set:
 * the pool's protections, which the compiler may know. */
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

/* slots_was_issued returns whether a slot was ever issued. An extended slot was, unless it is a
 * guard, or the cursor is fresh and names it. */
static inline bool slots_was_issued(const struct cork_mempool *mp, struct slot slot)
{
    const struct cork_mempool_cursor *cursor = &mp->cursor;
    const bool is_next = cursor->is_never_issued &&
                         cursor->group == &slot.region->groups[slot.index / GROUP_SLOTS] &&
                         ((cursor->bits | cursor->fresh) & slot_bit(slot)) != 0;

    return slot.index < slot.region->extended_count && !is_next &&
           !geometry_is_guard(&mp->geometry, slot.index);
}

/* slots_link puts a group with free slots on the free list, unless it is active or there. */
static inline void slots_link(struct cork_mempool *mp, struct cork_mempool_region *region,
                              size_t index)
{
    struct cork_mempool_group *group = &region->groups[index];

    if (group->next == NULL && group != mp->cursor.group) {
        char *start = slot_start(mp, (struct slot){region, index * GROUP_SLOTS});

        group->next = mp->first_linked != NULL ? mp->first_linked : start;
        mp->first_linked = start;
    }
}

/* slots_end_callback has tools forget the object of a callback, if that has failed, or has ended by
 * an exception or longjmp. */
static inline void slots_end_callback(struct cork_mempool **mp)
{
    if ((*mp)->callbacks.object != NULL) {
        tools_free(*mp, (*mp)->callbacks.object, (*mp)->protections);
        (*mp)->callbacks.object = NULL;
    }
}

/* slots_release makes a live or held slot free. */
static inline void slots_release(struct cork_mempool *mp, struct slot slot)
{
    slot.region->groups[slot.index / GROUP_SLOTS].free |= slot_bit(slot);
    slots_link(mp, slot.region, slot.index / GROUP_SLOTS);
}

/* slots_pop_quarantine makes the oldest slot in quarantine free. */
static inline void slots_pop_quarantine(struct cork_mempool *mp)
{
    struct cork_mempool_quarantine *quarantine = &mp->quarantine;
    const struct slot slot = slots_of(mp, mp->oldest->ring[quarantine->first]);

    quarantine->first = quarantine->first + 1 == quarantine->capacity ? 0 : quarantine->first + 1;
    quarantine->count--;
    slot.region->held[slot.index / GROUP_SLOTS] &= ~slot_bit(slot);
    slots_release(mp, slot);
}
