/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <string.h>

#include "annotate.h"
#include "source.h"
#include "violation.h"

void pool_refuse_dead(const struct cork_mempool *mp, const void *pointer)
{
    enum cork_mempool_violation_kind kind = CORK_MEMPOOL_NOT_A_POOL;

    if (mp->state == POOL_IS_DONE) {
        kind = CORK_MEMPOOL_USE_AFTER_DONE;
    } else if (mp->state == 0) {
        kind = CORK_MEMPOOL_USE_BEFORE_INIT;
    }
    violation_refuse((struct cork_mempool_violation){
        .kind = kind,
        .pool = mp,
        /* Nothing is known of the name of what is no pool, not even that it is a string. */
        .pool_name = kind == CORK_MEMPOOL_NOT_A_POOL ? NULL : mp->name,
        .pointer = pointer,
        .slot = CORK_MEMPOOL_NO_SLOT,
    });
}

static void open_group(struct cork_mempool *mp, struct cork_mempool_region *region,
                       struct cork_mempool_group *group, uint64_t bits)
{
    const size_t first_slot = (size_t)(group - region->groups) * GROUP_SLOTS;

    mp->open = bits;
    mp->open_base = region->base + first_slot * mp->geometry.stride;
    mp->open_group = group;
    mp->open_region = region;
}

static struct cork_mempool_region *region_of(const struct cork_mempool *mp,
                                             const struct cork_mempool_group *group)
{
    struct cork_mempool_region *region = mp->newest;

    while (!region_holds_group(region, group)) {
        region = region->older;
    }
    return region;
}

/*
 * Returns the open group if slots have been freed there; else its neighbour if all of that is free,
 * because what lies in order is issued and used faster; or else the group on the free list that was
 * linked last and still has free slots; NULL: none has.
 */
static struct cork_mempool_group *freed_group(struct cork_mempool *mp)
{
    struct cork_mempool_group *group = mp->open_group;

    if (group->free != 0) {
        return group;
    }
    if (region_holds_group(mp->open_region, group + 1) && group[1].free == GROUP_BITS) {
        return group + 1;
    }
    while (group->free == 0 && mp->free_list != NULL) {
        group = mp->free_list;
        mp->free_list = group->next == group ? NULL : group->next;
        group->next = NULL;
    }
    return group->free != 0 ? group : NULL;
}

static bool open_freed(struct cork_mempool *mp)
{
    /* At first, nothing has been carved yet. */
    struct cork_mempool_group *group = mp->open_group != NULL ? freed_group(mp) : NULL;

    if (group == NULL) {
        return false;
    }
    if (!region_holds_group(mp->open_region, group)) {
        mp->open_region = region_of(mp, group);
    }
    open_group(mp, mp->open_region, group, group->free);
    mp->open_is_new = false;
    return true;
}

static uint64_t guard_bits(const struct cork_mempool *mp, size_t first_slot)
{
    uint64_t bits = 0;

    for (size_t bit = 0; mp->geometry.period_slots != 0 && bit < GROUP_SLOTS; bit++) {
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

/*
 * Carves the next slots of the newest region's next group: all that are usable, or as many as the
 * pool may still have. Opens those that are not guards, if any; they have never been issued. If the
 * group has others, none of them is free, and the free list is empty.
 * Returns: false where none are usable.
 */
static bool carve(struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->newest;
    const size_t carved = region->carved_count;
    const size_t index = carved / GROUP_SLOTS;
    const size_t start = index * GROUP_SLOTS;

    if (carved == region->usable_count) {
        return false;
    }

    const size_t usable = region->usable_count - start;
    const uint64_t guards = guard_bits(mp, start);
    uint64_t bits = usable >= GROUP_SLOTS ? GROUP_BITS : (UINT64_C(1) << usable) - 1;
    size_t end = usable >= GROUP_SLOTS ? GROUP_SLOTS : usable;

    bits = bits >> carved % GROUP_SLOTS << carved % GROUP_SLOTS & ~guards;
    if ((size_t)__builtin_popcountll(bits) > mp->objects_left) {
        bits = lowest_bits(bits, mp->objects_left);
        end = 64 - (size_t)__builtin_clzll(bits);
    }
    mp->objects_left -= (size_t)__builtin_popcountll(bits);
    region->carved_count = start + end;
    if (region->withheld != NULL) {
        region->withheld[index] = carved == start ? 0 : region->withheld[index];
        region->withheld[index] |= guards & pool_carved_bits(region, index);
    }
    if (region->records != NULL && region->origin != REGION_IS_RESERVED) {
        /* What the operating system reserves is zero already. */
        memset(&region->records[carved], 0,
               (region->carved_count - carved) * sizeof(*region->records));
    }
    if (mp->groups == region->groups) {
        pool_approach(mp, region);
    }
    region->groups[index] = (struct cork_mempool_group){.free = bits};
    open_group(mp, region, &region->groups[index], bits);
    mp->open_is_new = true;
    return true;
}

/* Makes a region of what a pool has when there is no reservation to be had: its buffer, which is
 * one region and was found large enough at init, or its source, which is the heap where the caller
 * named none. */
static struct cork_mempool_region *acquired_region(struct cork_mempool *mp)
{
    if (mp->buffer != NULL) {
        return mp->newest != NULL ? NULL
                                  : region_from_buffer(mp->buffer, mp->buffer_size, &mp->geometry);
    }
    return region_from_source(mp->newest, &mp->geometry, mp->source, mp->source_data);
}

/* Makes slots usable that were not; false where memory cannot be had. */
static bool grow(struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    struct cork_mempool_region *region = NULL;

    if (geometry->stride == 0) {
        return false;
    }
    if (mp->newest != NULL && region_commit(mp->newest, geometry)) {
        return true;
    }
    if (mp->buffer == NULL && mp->source == &source_heap) {
        /* A tool that watches would take objects for a part of what the heap has issued. */
        if (mp->newest == NULL && !geometry->has_records && !geometry->has_withheld &&
            !mp->is_watched) {
            region = region_from_nursery(&mp->nursery, &mp->nursery_group, geometry);
        }
        if (region == NULL) {
            region = region_from_os(mp->newest, geometry);
        }
    }
    if (region == NULL) {
        region = acquired_region(mp);
    }
    if (region == NULL) {
        return false;
    }
    if (mp->newest == NULL) {
        annotate_init(mp);
    }
    mp->newest = region;
    mp->self = mp;
    return true;
}

bool pool_open(struct cork_mempool *mp)
{
    if (open_freed(mp)) {
        return true;
    }
    if (mp->objects_left == 0) {
        return false;
    }
    /* Where all that is left of a group are guards, carving it opens nothing. */
    do {
        if ((mp->newest == NULL || !carve(mp)) && !grow(mp)) {
            return false;
        }
    } while (mp->open == 0);
    return true;
}

bool pool_find(const struct cork_mempool *mp, const void *ptr, struct cork_mempool_slot *slot)
{
    for (struct cork_mempool_region *region = mp->newest; region != NULL; region = region->older) {
        const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)region->base;
        const uintptr_t index = geometry_slot_of(&mp->geometry, offset);

        if (index < region->carved_count) {
            *slot = (struct cork_mempool_slot){region, index};
            return (pool_idle_bits(region, index / GROUP_SLOTS) >> index % GROUP_SLOTS & 1) == 0;
        }
    }
    return false;
}

/* What can be said of any violation of a live pool. */
static struct cork_mempool_violation violation_of(const struct cork_mempool *mp,
                                                  enum cork_mempool_violation_kind kind)
{
    return (struct cork_mempool_violation){
        .kind = kind,
        .pool = mp,
        .pool_name = mp->name,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .element_size = mp->geometry.element_size,
        .is_seeded = mp->protections != 0,
        .seed = mp->seed,
    };
}

struct cork_mempool_violation pool_violation(const struct cork_mempool *mp,
                                             enum cork_mempool_violation_kind kind,
                                             struct cork_mempool_slot slot)
{
    struct cork_mempool_violation violation = violation_of(mp, kind);

    violation.slot = pool_number(slot);
    if (slot.region->records != NULL && slot.index < slot.region->carved_count) {
        violation.new_site = slot.region->records[slot.index].new_site;
        violation.free_site = slot.region->records[slot.index].free_site;
    }
    return violation;
}

void pool_refuse_free(const struct cork_mempool *mp, const void *ptr)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    struct cork_mempool_violation violation = violation_of(mp, CORK_MEMPOOL_FOREIGN_POINTER);

    for (struct cork_mempool_region *region = mp->newest; region != NULL; region = region->older) {
        const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)region->base;
        const struct cork_mempool_slot slot = {region, offset / geometry->stride};

        if (slot.index < region->capacity) {
            enum cork_mempool_violation_kind kind = CORK_MEMPOOL_DOUBLE_FREE;
            if (offset % geometry->stride != 0) {
                kind = CORK_MEMPOOL_INTERIOR_POINTER;
            } else if (pool_is_new(mp, slot)) {
                kind = CORK_MEMPOOL_NEVER_ISSUED;
            }
            violation = pool_violation(mp, kind, slot);
            break;
        }
    }
    violation.pointer = ptr;
    violation_refuse(violation);
}

static uint64_t live_bits(const struct cork_mempool_region *region, size_t index)
{
    return pool_carved_bits(region, index) & ~pool_idle_bits(region, index);
}

size_t pool_live_count(const struct cork_mempool *mp)
{
    size_t count = 0;

    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        for (size_t i = 0; i < region_group_count(region->carved_count); i++) {
            count += (size_t)__builtin_popcountll(live_bits(region, i));
        }
    }
    return count;
}

/* The slot with a number; its region is NULL where there is none. */
static struct cork_mempool_slot slot_of(const struct cork_mempool *mp, size_t number)
{
    struct cork_mempool_slot slot = {mp->newest, 0};

    while (slot.region != NULL) {
        const size_t first = pool_number(slot);

        if (number >= first && number - first < slot.region->capacity) {
            slot.index = number - first;
            break;
        }
        slot.region = slot.region->older;
    }
    return slot;
}

bool pool_next_live(const struct cork_mempool *mp, size_t number, struct cork_mempool_slot *slot)
{
    while ((*slot = slot_of(mp, number)).region != NULL) {
        const struct cork_mempool_region *region = slot->region;

        while (slot->index < region->carved_count) {
            const size_t group = slot->index / GROUP_SLOTS;
            const uint64_t from = UINT64_MAX << slot->index % GROUP_SLOTS;
            const uint64_t live = live_bits(region, group) & from;

            if (live != 0) {
                slot->index = group * GROUP_SLOTS + (size_t)__builtin_ctzll(live);
                return true;
            }
            slot->index = (group + 1) * GROUP_SLOTS;
        }
        slot->index = region->capacity;
        number = pool_number(*slot);
    }
    return false;
}
