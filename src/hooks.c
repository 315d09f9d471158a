/* SPDX-License-Identifier: BSD-3-Clause */
#include "hooks.h"

#include <string.h>

#include "damage.h"
#include "grow.h"
#include "region.h"
#include "report.h"
#include "tools.h"

/*
 * What a call does depends on its set: the pool's protections, and whether Valgrind is told. Usual
 * sets are constants, and the functions that take them are always inline, so each usual set has
 * code of its own without branches. All others share HOOKS(any).
 */

/* 1 if a set has any of these members, else 0. */
static inline unsigned has(uint32_t set, uint32_t members)
{
    return (set & members) != 0;
}

unsigned hooks_tables(uint32_t protections, bool has_buffer)
{
    const uint32_t contents = protections & (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE);
    const int ring = has_buffer ? REGION_SHORT_RING : REGION_RING;

    return 1u << REGION_FRESH | has(protections, CORK_MEMPOOL_CALLSITES) << REGION_SITES |
           has(protections, CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_GUARD) << REGION_HELD |
           has(protections, CORK_MEMPOOL_QUARANTINE) << ring |
           (unsigned)(contents == CORK_MEMPOOL_SEAL) << REGION_CHECKSUMS;
}

ALWAYS_INLINE void quarantine_push(struct cork_mempool *mp, struct slot slot, void *object)
{
    struct cork_mempool_quarantine *quarantine = &mp->quarantine;

    if (quarantine->count == quarantine->capacity) {
        slots_pop_quarantine(mp);
    }

    const size_t last = quarantine->first + quarantine->count;
    mp->oldest->ring[last < quarantine->capacity ? last : last - quarantine->capacity] = object;
    quarantine->count++;
    slot.region->held[slot.index / GROUP_SLOTS] |= slot_bit(slot);
}

/* Returns a slot of the cursor: the lowest, or with SHUFFLE any. */
ALWAYS_INLINE struct slot choose(struct cork_mempool *mp, uint32_t set)
{
    uint64_t bits = mp->cursor.bits;
    unsigned skip = 0;

    if (has(set, CORK_MEMPOOL_SHUFFLE)) {
        skip = bits_mix(mp->random) & 63;
        bits = bits >> skip | bits << (-skip & 63);
    }
    const size_t index = (size_t)(mp->cursor.group - mp->cursor.region->groups);
    return (struct slot){mp->cursor.region,
                         index * GROUP_SLOTS + (((unsigned)__builtin_ctzll(bits) + skip) & 63)};
}

/* Writes a fresh slot's canaries and constructs its object; false if the constructor fails. */
static NOINLINE bool make_slot(struct cork_mempool *mp, struct slot slot)
{
    __attribute__((cleanup(slots_end_callback), unused)) struct cork_mempool *making = mp;
    const size_t size = mp->geometry.element_size;
    void *object = slot_start(mp, slot);

    /* Reserved pages are zeros; so is what was purged. */
    if (has(mp->protections, CORK_MEMPOOL_WIPE) && !mp->cursor.is_never_issued) {
        damage_verify_contents(mp, slot, mp->protections);
    } else if (has(mp->protections, CORK_MEMPOOL_WIPE) && !slot.region->is_reserved) {
        tools_unpoison(object, size, mp->protections);
        memset(object, 0, size);
    }
    if (has(mp->protections, CORK_MEMPOOL_CANARY)) {
        damage_set_canaries(mp, slot);
    }
    tools_new(mp, object, true, mp->protections);
    mp->callbacks.object = object;
    const bool is_constructed =
        mp->callbacks.construct == NULL || mp->callbacks.construct(mp->callbacks.data, object) == 0;
    report_require_busy(mp);
    if (is_constructed) {
        slot.region->fresh[slot.index / GROUP_SLOTS] &= ~slot_bit(slot);
        mp->callbacks.object = NULL;
    }
    return is_constructed;
}

ALWAYS_INLINE void *new_with(struct cork_mempool *mp, const void *site, uint32_t set)
{
    SLOTS_CALL call = slots_enter(mp);

    if (slots_lends_new(set)) {
        slots_recall(mp);
    }
    if (UNLIKELY(mp->cursor.bits == 0) && !grow_open(mp)) {
        return NULL;
    }

    const struct slot slot = choose(mp, set);
    void *object = slot_start(mp, slot);
    if (UNLIKELY((slot.region->fresh[slot.index / GROUP_SLOTS] & slot_bit(slot)) != 0)) {
        if (!make_slot(mp, slot)) {
            return NULL;
        }
    } else {
        damage_verify_contents(mp, slot, set);
        tools_new(mp, object, false, set);
    }
    if (has(set, CORK_MEMPOOL_CALLSITES)) {
        slot.region->sites[slot.index] = (struct cork_mempool_sites){site, NULL};
    }
    if (has(set, CORK_MEMPOOL_SHUFFLE)) {
        mp->random = bits_next(mp->random);
    }
    mp->cursor.bits ^= slot_bit(slot);
    mp->cursor.group->free ^= slot_bit(slot);
    if (slots_lends_new(set)) {
        slots_lend(mp);
    }
    return object;
}

ALWAYS_INLINE void free_with(struct cork_mempool *mp, void *ptr, struct slot slot, const void *site,
                             uint32_t set)
{
    const size_t size = mp->geometry.element_size;

    /* Looked up inline: under Valgrind, each extra frame lengthens its reports. */
    if (UNLIKELY(!slots_is_live(mp, slot, ptr, set))) {
        if (ptr == NULL) {
            return;
        }
        slot = report_require_live(mp, ptr);
    }

    SLOTS_CALL call = slots_enter(mp);
    damage_verify_canaries(mp, slot, ptr, set);
    tools_unpoison(ptr, size, set);
    if (has(set, CORK_MEMPOOL_WIPE)) {
        memset(ptr, 0, size);
    }
    if (has(set, CORK_MEMPOOL_CALLSITES)) {
        slot.region->sites[slot.index].free_site = site;
    }
    if (has(set, CORK_MEMPOOL_SEAL) && !has(set, CORK_MEMPOOL_WIPE)) {
        slot.region->checksums[slot.index] = damage_checksum_of(mp, ptr, size);
    }
    tools_free(mp, ptr, set);

    if (has(set, CORK_MEMPOOL_QUARANTINE)) {
        quarantine_push(mp, slot, ptr);
    } else if (slots_lends_new(set) && LIKELY(mp->lent.owner == mp) && mp->lent.kept == NULL) {
        mp->lent.kept = ptr;
    } else {
        slots_release(mp, slot);
    }
}

#define HOOKS(name, set)                                                                           \
    static CACHELINE_ALIGNED void *new_##name(struct cork_mempool *mp, const void *site)           \
    {                                                                                              \
        return new_with(mp, site, (set));                                                          \
    }                                                                                              \
    static CACHELINE_ALIGNED void free_##name(struct cork_mempool *mp, void *ptr,                  \
                                              struct slot slot, const void *site)                  \
    {                                                                                              \
        free_with(mp, ptr, slot, site, (set));                                                     \
    }                                                                                              \
    static const struct cork_mempool_hooks name##_hooks = {new_##name, free_##name};

HOOKS(canary, CORK_MEMPOOL_CANARY)
HOOKS(seal, CORK_MEMPOOL_SEAL)
HOOKS(wipe, CORK_MEMPOOL_WIPE)
HOOKS(paranoid, CORK_MEMPOOL_PARANOID)
HOOKS(any, mp->protections)

const struct cork_mempool_hooks *hooks_of(uint32_t set)
{
    return set == CORK_MEMPOOL_CANARY     ? &canary_hooks
           : set == CORK_MEMPOOL_SEAL     ? &seal_hooks
           : set == CORK_MEMPOOL_WIPE     ? &wipe_hooks
           : set == CORK_MEMPOOL_PARANOID ? &paranoid_hooks
                                          : &any_hooks;
}

void hooks_verify(const struct cork_mempool *mp)
{
    const uint32_t set = mp->protections;
    const uint32_t verified = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE;
    struct slot slot = {has(set, verified) ? mp->oldest : NULL, 0};

    for (; slot.region != NULL; slot = (struct slot){slot.region->newer, 0}) {
        for (; slots_next(&slot, slots_made, slot.region->extended_count); slot.index++) {
            const char *object = slot_start(mp, slot);

            damage_verify_canaries(mp, slot, object, set);
            if (!slots_is_live(mp, slot, object, set)) {
                damage_verify_contents(mp, slot, set);
            }
        }
    }
}
