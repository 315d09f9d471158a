/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdbool.h>
#include <stddef.h>

#include "geometry.h"
#include "grow.h"
#include "hooks.h"
#include "libcork/core/mempool_inspect.h"
#include "region.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* Frees all live objects of a pool without hooks, a group at a time. */
static void clear_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
#if TOOLS_HEAR_OF_OBJECTS
    struct slot slot = {region, 0};

    for (; slots_next_live(mp, &slot) && slot.region == region; slot.index++) {
        tools_free(slot_start(mp, slot), mp->geometry.element_size);
    }
#endif
    for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
        region->groups[i].free = slots_extended(region, i);
        slots_link(mp, region, i);
    }
}

NOINLINE void cork_mempool_clear(struct cork_mempool *mp)
{
    const void *site = __builtin_return_address(0);
    struct slot slot = {mp->oldest, 0};

    report_require(mp, NULL);
    hooks_verify(mp);
    if (mp->hooks != NULL) {
        for (; slots_next_live(mp, &slot); slot.index++) {
            mp->hooks->free(mp, slot_start(mp, slot), slot, site);
        }
        return;
    }
    slots_recall(mp);
    for (; slot.region != NULL; slot.region = slot.region->newer) {
        clear_region(mp, slot.region);
    }
    slots_lend(mp);
}

static bool is_unused(const struct cork_mempool_region *region, size_t group)
{
    return slots_not_live(region, group) == slots_extended(region, group);
}

static bool region_is_unused(const struct cork_mempool_region *region)
{
    const size_t count = region_group_count(region->extended_count);
    size_t i = 0;

    while (i < count && is_unused(region, i)) {
        i++;
    }
    return i == count;
}

/* Groups of a region that have no live object give their pages back, side by side at once. */
static size_t purge_groups(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const size_t group_count = region_group_count(region->extended_count);
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
        const size_t end_slot = end == group_count ? region->extended_count : end * GROUP_SLOTS;
        const size_t purged = region_purge(region, first_slot, end_slot, &mp->geometry);

        size += purged;
        for (size_t i = first_slot; region->checksums != NULL && purged != 0 && i < end_slot; i++) {
            region->checksums[i] = 0;
        }
    }
    if (size != 0) {
        region_no_huge_pages(region, &mp->geometry);
    }
    return size;
}

/* Whether a slot that has been issued must be found as it was freed. Guards have no pages. */
static bool is_bound_to_memory(const struct cork_mempool *mp)
{
    return mp->callbacks.construct != NULL || mp->callbacks.destruct != NULL ||
           mp->geometry.redzone_size != 0 || mp->geometry.block_pitch != 0;
}

size_t cork_mempool_trim(struct cork_mempool *mp)
{
    size_t size = 0;

    report_require(mp, NULL);
    hooks_verify(mp);

    SLOTS_CHANGE change = slots_begin_change(mp);
    struct cork_mempool_region *region, *newer;

    (void)change;
    hooks_empty_quarantine(mp);
    for (region = mp->oldest; region != NULL; region = newer) {
        newer = region->newer;
        if (region_is_unused(region)) {
            hooks_destruct(mp, region);
            size += region_memory_size(region, &mp->geometry);
            grow_shrink(mp, region);
            region_release(region, &mp->geometry, mp->memory.source, mp->memory.data);
        } else if (!is_bound_to_memory(mp)) {
            size += purge_groups(mp, region);
        }
    }
    return size;
}
