/* SPDX-License-Identifier: BSD-3-Clause */
#include "slots.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hooks.h"

void slots_set_lookup(struct cork_mempool *mp)
{
    struct cork_mempool_region *newest = mp->newest;
    struct cork_mempool_region *older = newest == NULL ? NULL : newest->older;
    const bool is_higher = older != NULL && (uintptr_t)newest->base > (uintptr_t)older->base;

    mp->lookup[is_higher] = newest;
    mp->lookup[!is_higher] = older;
    mp->lent.split = older != NULL ? mp->lookup[1]->base : (char *)UINTPTR_MAX;
    for (int i = 0; i < 2 && mp->lookup[i] != NULL; i++) {
        mp->lent.bases[i] = mp->lookup[i]->base;
        mp->lent.groups[i] = mp->lookup[i]->groups;
    }
}

void slots_lend(struct cork_mempool *mp)
{
    struct cork_mempool_lent *lent = &mp->lent;
    const bool is_hooked = mp->hooks != NULL;

    if (mp->cursor.region == NULL || (is_hooked && !mp->hooks->lends_new)) {
        return;
    }
    for (int i = 0; i < 2 && mp->lookup[i] != NULL && !is_hooked; i++) {
        lent->counts[i] = mp->lookup[i]->extended_count;
    }
    lent->group = &mp->cursor.region->groups[mp->cursor.group];
    lent->base = slot_start(mp, (struct slot){mp->cursor.region, mp->cursor.group * GROUP_SLOTS});
    lent->owner = mp;
    lent->bits = mp->cursor.bits;
    if (is_hooked) {
        lent->bits &= ~mp->cursor.region->fresh[mp->cursor.group];
    }
    mp->cursor.bits ^= lent->bits;
}

void slots_recall(struct cork_mempool *mp)
{
    struct cork_mempool_lent *lent = &mp->lent;

    if (lent->owner == NULL) {
        return;
    }
    if (lent->kept != NULL) {
        slots_release(mp, slots_of(mp, lent->kept));
    }
    mp->cursor.bits |= lent->bits;
    lent->owner = NULL;
    lent->kept = NULL;
    lent->bits = 0;
    lent->stack_count = 0;
    lent->counts[0] = 0;
    lent->counts[1] = 0;
}

static void activate(struct cork_mempool *mp, struct cork_mempool_region *region, size_t group,
                     uint64_t bits, bool is_fresh)
{
    mp->cursor = (struct cork_mempool_cursor){bits, group, region, is_fresh};
}

/* The active group if slots have been freed there; else its neighbour if all of that is free,
 * because what lies in order is issued and used faster. */
static bool open_nearby(struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->cursor.region;
    const size_t group = mp->cursor.group;

    if (region == NULL) {
        return false;
    }
    if (region->groups[group].free != 0) {
        activate(mp, region, group, region->groups[group].free, false);
        return true;
    }
    if (group + 1 < region_group_count(region->extended_count) &&
        region->groups[group + 1].free == GROUP_BITS) {
        activate(mp, region, group + 1, GROUP_BITS, false);
        return true;
    }
    return false;
}

bool slots_open_freed(struct cork_mempool *mp)
{
    struct cork_mempool_region *region;

    if (open_nearby(mp)) {
        return true;
    }
    while ((region = mp->linked) != NULL) {
        struct cork_mempool_group *group = region->free_list;

        region->free_list = group->next == group ? NULL : group->next;
        group->next = NULL;
        if (region->free_list == NULL) {
            mp->linked = region->next_linked;
        }
        if (group->free != 0) {
            activate(mp, region, (size_t)(group - region->groups), group->free, false);
            return true;
        }
    }
    return false;
}

/* The slots of a group that are guards. */
static uint64_t guard_bits(const struct cork_mempool *mp, size_t first_slot)
{
    uint64_t bits = 0;

    for (size_t bit = 0; bit < GROUP_SLOTS; bit++) {
        bits |= (uint64_t)geometry_is_guard(&mp->geometry, first_slot + bit) << bit;
    }
    return bits;
}

/* Of more bits than count. */
static uint64_t lowest_bits(uint64_t bits, size_t count)
{
    uint64_t lowest = 0;

    for (; count > 0; count--, bits &= bits - 1) {
        lowest |= bits & (~bits + 1);
    }
    return lowest;
}

void slots_extend(struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->newest;
    const size_t first = region->extended_count;
    const size_t group = first / GROUP_SLOTS;
    const size_t offset = first % GROUP_SLOTS;
    const size_t committed = region->committed_count - group * GROUP_SLOTS;
    size_t end = bits_smaller(committed, GROUP_SLOTS);
    size_t count = end - offset;
    uint64_t bits = GROUP_BITS >> (GROUP_SLOTS - end) >> offset << offset;
    uint64_t guards = 0;

    if (mp->geometry.block_pitch != 0) {
        guards = guard_bits(mp, group * GROUP_SLOTS);
        bits &= ~guards;
        count = (size_t)__builtin_popcountll(bits);
    }
    if (count > mp->objects_left) {
        count = mp->objects_left;
        bits = lowest_bits(bits, count);
        end = 64 - (size_t)__builtin_clzll(bits);
    }
    mp->objects_left -= count;
    region->extended_count = group * GROUP_SLOTS + end;
    /* Tables of groups begin as zeros. */
    region->groups[group].free |= bits;
    if (region->fresh != NULL) {
        guards &= slots_extended(region, group);
        region->fresh[group] |= bits | guards;
        if (region->held != NULL) {
            region->held[group] |= guards;
        }
    }
    activate(mp, region, group, bits, true);
}

struct cork_mempool_region *slots_region_at(const struct cork_mempool *mp, const void *ptr)
{
    struct cork_mempool_region *region = mp->root;
    struct cork_mempool_region *found = NULL;

    while (region != NULL) {
        if ((uintptr_t)ptr < (uintptr_t)region->base) {
            region = region->lower;
        } else {
            found = region;
            region = region->higher;
        }
    }
    return found;
}

/* Where a region is in the tree, or belongs. No two regions have the same priority. */
static struct cork_mempool_region **place_of(struct cork_mempool *mp,
                                             const struct cork_mempool_region *region)
{
    struct cork_mempool_region **place = &mp->root;

    while (*place != NULL && slots_priority(*place) > slots_priority(region)) {
        const bool is_lower = (uintptr_t)region->base < (uintptr_t)(*place)->base;
        place = is_lower ? &(*place)->lower : &(*place)->higher;
    }
    return place;
}

void slots_insert(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    /* The tree below is split at the region's address. */
    struct cork_mempool_region **place = place_of(mp, region);
    struct cork_mempool_region *rest = *place;
    struct cork_mempool_region **lower = &region->lower;
    struct cork_mempool_region **higher = &region->higher;

    *place = region;
    while (rest != NULL) {
        if ((uintptr_t)rest->base < (uintptr_t)region->base) {
            *lower = rest;
            lower = &rest->higher;
            rest = *lower;
        } else {
            *higher = rest;
            higher = &rest->lower;
            rest = *higher;
        }
    }
    *lower = NULL;
    *higher = NULL;
}

void slots_remove(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    /* The trees below it become one. */
    struct cork_mempool_region **place = place_of(mp, region);
    struct cork_mempool_region *lower = region->lower;
    struct cork_mempool_region *higher = region->higher;

    while (lower != NULL && higher != NULL) {
        if (slots_priority(lower) > slots_priority(higher)) {
            *place = lower;
            place = &lower->higher;
            lower = *place;
        } else {
            *place = higher;
            place = &higher->lower;
            higher = *place;
        }
    }
    *place = lower != NULL ? lower : higher;
}

void slots_relink(struct cork_mempool *mp)
{
    size_t number = 0;

    slots_set_lookup(mp);
    mp->linked = NULL;
    for (struct cork_mempool_region *region = mp->oldest; region != NULL; region = region->newer) {
        region->first_number = number;
        number += region->reserved_count;
        region->free_list = NULL;
        for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
            region->groups[i].next = NULL;
            if (region->groups[i].free != 0) {
                slots_link(mp, region, i);
            }
        }
    }
}

struct slot slots_search(const struct cork_mempool *mp, const void *ptr)
{
    struct slot slot = {slots_region_at(mp, ptr), 0};

    if (slot.region != NULL) {
        const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)slot.region->base;

        slot.index = geometry_slot_of(&mp->geometry, offset);
    }
    return slot;
}

size_t slots_live_count(const struct cork_mempool *mp)
{
    const struct cork_mempool_region *region = mp->oldest;
    size_t count = 0;

    for (; region != NULL; region = region->newer) {
        for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
            const uint64_t live = slots_live(region, i);
            count += live == 0 ? 0 : (size_t)__builtin_popcountll(live);
        }
    }
    return count - (mp->lent.kept != NULL);
}

bool slots_next_live(const struct cork_mempool *mp, struct slot *slot)
{
    while (slot->region != NULL) {
        const size_t end = slot->region->extended_count;

        slot->index = slots_next(slot->region, slots_live, slot->index, end);
        if (slot->index == end) {
            *slot = (struct slot){slot->region->newer, 0};
        } else if (slot_start(mp, *slot) == mp->lent.kept) {
            slot->index++;
        } else {
            return true;
        }
    }
    return false;
}
