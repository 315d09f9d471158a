/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>
#include <stddef.h>

#include "geometry.h"
#include "libcork/core/mempool_inspect.h"
#include "pool.h"
#include "protect.h"
#include "region.h"

NOINLINE void cork_mempool_clear(struct cork_mempool *mp)
{
    const void *site = __builtin_return_address(0);
    struct cork_mempool_slot slot;
    size_t number = 0;

    pool_require_live(mp, NULL);
    protect_verify(mp);
    while (pool_next_live(mp, number, &slot)) {
        number = pool_number(slot) + 1;
        if (mp->guards_free) {
            pool_approach(mp, slot.region);
            protect_free(mp, pool_start(mp, slot), slot.index, site);
        } else {
            cork_mempool_free(mp, pool_start(mp, slot));
        }
    }
}

static bool is_unused(const struct cork_mempool_region *region, size_t index)
{
    return pool_idle_bits(region, index) == pool_carved_bits(region, index);
}

/* Groups of a region that have no live object give their pages back, side by side at once. */
static size_t discard_groups(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const size_t group_count = region_group_count(region->carved_count);
    size_t size = 0;

    for (size_t first = 0, end; first < group_count; first = end + 1) {
        end = first;
        while (end < group_count && is_unused(region, end)) {
            end++;
        }
        if (end == first) {
            continue;
        }

        const size_t first_slot = first * GROUP_SLOTS;
        const size_t end_slot = end == group_count ? region->carved_count : end * GROUP_SLOTS;
        const size_t discarded = region_discard(region, first_slot, end_slot, &mp->geometry);

        size += discarded;
        for (size_t i = first_slot; region->records != NULL && discarded != 0 && i < end_slot;
             i++) {
            region->records[i].seal = 0;
        }
    }
    if (size != 0) {
        region_scatter(region, &mp->geometry);
    }
    return size;
}

/* Whether a slot that has been issued must be found as it was freed. Guards have no pages. */
static bool is_bound_to_memory(const struct cork_mempool *mp)
{
    return mp->init_object != NULL || mp->done_object != NULL || mp->geometry.lead_size != 0 ||
           mp->geometry.period_slots != 0;
}

/* All free lists and copies of what regions say are made anew from the groups. */
static void relink(struct cork_mempool *mp)
{
    mp->free_list = NULL;
    mp->base = NULL;
    mp->groups = NULL;
    mp->slot_count = 0;
    mp->veiled_count = 0;
    mp->near_region = NULL;
    for (struct cork_mempool_region *region = mp->newest; region != NULL; region = region->older) {
        for (size_t i = 0; i < region_group_count(region->carved_count); i++) {
            region->groups[i].next = NULL;
            if (region->groups[i].free != 0) {
                pool_link(mp, &region->groups[i]);
            }
        }
    }
}

static bool region_is_unused(const struct cork_mempool_region *region)
{
    size_t i = 0;

    while (i < region_group_count(region->carved_count) && is_unused(region, i)) {
        i++;
    }
    return i == region_group_count(region->carved_count);
}

/* Closes the open group if it is the region's; what was never issued there is free from now on. */
static void forget(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    for (size_t i = 0; i < region_group_count(region->carved_count); i++) {
        mp->objects_left += (size_t)__builtin_popcountll(
            pool_carved_bits(region, i) & ~(region->withheld != NULL ? region->withheld[i] : 0));
    }
    if (region_holds_group(region, mp->open_group)) {
        mp->open = 0;
        mp->veiled = 0;
        mp->open_group = NULL;
        mp->open_is_new = false;
    }
}

size_t cork_mempool_trim(struct cork_mempool *mp)
{
    size_t size = 0;

    pool_require_live(mp, NULL);
    protect_verify(mp);
    protect_end_quarantine(mp);
    for (struct cork_mempool_region **next = &mp->newest, *region; (region = *next) != NULL;) {
        if (region_is_unused(region)) {
            size += region_memory_size(region, &mp->geometry);
            protect_destroy(mp, region);
            forget(mp, region);
            *next = region->older;
            region_release(region, &mp->geometry, mp->source, mp->source_data);
        } else {
            size += is_bound_to_memory(mp) ? 0 : discard_groups(mp, region);
            next = &region->older;
        }
    }
    if (mp->open_group == NULL && mp->newest != NULL) {
        /* Any group will do, since nothing in it is open. */
        mp->open_group = mp->newest->groups;
        mp->open_base = mp->newest->base;
        mp->open_region = mp->newest;
    }
    relink(mp);
    return size;
}
