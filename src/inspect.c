/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool_inspect.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "pool.h"
#include "protect.h"
#include "region.h"

static bool geometry_is_valid(const struct cork_mempool_geometry *geometry)
{
    const uintptr_t odd = geometry->stride >> geometry->shift;

    if (geometry->stride == 0) {
        return true;
    }
    return odd * geometry->inverse == 1 && odd << geometry->shift == geometry->stride &&
           geometry->element_size <= geometry->stride &&
           geometry->stride % geometry->alignment == 0 && geometry->block_slots > 0;
}

/* The region of a group, or NULL where it is nobody's; the group itself is not read. */
static const struct cork_mempool_region *region_of_group(const struct cork_mempool *mp,
                                                         const struct cork_mempool_group *group)
{
    const struct cork_mempool_region *region = mp->newest;

    while (region != NULL && !region_holds_group(region, group)) {
        region = region->older;
    }
    return region;
}

static bool open_group_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_region *region = region_of_group(mp, mp->open_group);
    if (region == NULL) {
        return mp->newest == NULL && mp->open == 0 && mp->veiled == 0;
    }

    const size_t index = (size_t)(mp->open_group - region->groups);
    return mp->open_region == region &&
           mp->open_base == region->base + index * GROUP_SLOTS * mp->geometry.stride &&
           ((mp->open | mp->veiled) & ~mp->open_group->free) == 0;
}

static bool near_region_is_valid(const struct cork_mempool *mp)
{
    if ((mp->guards_new && mp->open != 0) || (mp->guards_free && mp->slot_count != 0)) {
        return false;
    }
    const struct cork_mempool_region *region = mp->newest;

    while (region != NULL && region->groups != mp->groups) {
        region = region->older;
    }

    const size_t slot_count = mp->slot_count + mp->veiled_count;
    return region == NULL ? slot_count == 0
                          : mp->near_region == region && mp->base == region->base &&
                                slot_count == region->carved_count;
}

/* Verifies a region and its groups; adds the number of those on the free list to *linked_count. */
static bool region_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                            size_t *linked_count)
{
    if (region->carved_count > region->usable_count || region->usable_count > region->capacity ||
        (uintptr_t)region->base % mp->geometry.alignment != 0) {
        return false;
    }
    /* Only the newest grows, so a region that has a newer one has nothing left to give. */
    if (region != mp->newest && region->carved_count != region->usable_count) {
        return false;
    }
    for (size_t i = 0; i < region_group_count(region->carved_count); i++) {
        const struct cork_mempool_group *group = &region->groups[i];

        if ((pool_idle_bits(region, i) & ~pool_carved_bits(region, i)) != 0 ||
            (region->withheld != NULL && (region->withheld[i] & group->free) != 0) ||
            (group->free != 0 && group->next == NULL && group != mp->open_group)) {
            return false;
        }
        *linked_count += group->next != NULL;
    }
    return true;
}

static bool free_list_is_valid(const struct cork_mempool *mp, size_t linked_count)
{
    const struct cork_mempool_group *group = mp->free_list;
    size_t count = 0;

    while (group != NULL && count < linked_count && region_of_group(mp, group) != NULL) {
        count++;
        group = group->next == group ? NULL : group->next;
    }
    return group == NULL && count == linked_count;
}

bool cork_mempool_check(const struct cork_mempool *mp)
{
    size_t linked_count = 0;

    pool_require_live(mp, NULL);
    if (!geometry_is_valid(&mp->geometry) || !near_region_is_valid(mp) ||
        !open_group_is_valid(mp)) {
        return false;
    }
    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        if (!region_is_valid(mp, region, &linked_count)) {
            return false;
        }
    }
    if (!free_list_is_valid(mp, linked_count)) {
        return false;
    }
    protect_verify(mp);
    return true;
}

/* Slots of a region that could be carved. */
static size_t uncarved_count(const struct cork_mempool *mp,
                             const struct cork_mempool_region *region)
{
    size_t count = region->usable_count - region->carved_count;

    if (mp->geometry.period_slots != 0) {
        for (size_t slot = region->carved_count; slot < region->usable_count; slot++) {
            count -= geometry_is_guard(&mp->geometry, slot);
        }
    }
    return count < mp->objects_left ? count : mp->objects_left;
}

static size_t free_count(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    size_t count = uncarved_count(mp, region);

    for (size_t i = 0; i < region_group_count(region->carved_count); i++) {
        count += (size_t)__builtin_popcountll(region->groups[i].free);
    }
    return count;
}

void cork_mempool_stats(const struct cork_mempool *mp, struct cork_mempool_stats *stats)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;

    pool_require_live(mp, NULL);
    *stats = (struct cork_mempool_stats){
        .element_size = geometry->element_size,
        .alignment = geometry->alignment,
        .slot_size = geometry->stride,
        .block_size = geometry->block_slots * geometry->stride,
        .live_count = pool_live_count(mp),
    };
    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        const size_t memory_size = region_memory_size(region, geometry);

        stats->free_count += free_count(mp, region);
        stats->region_count++;
        stats->memory_size += memory_size;
        stats->reserved_size +=
            memory_size > region->memory_size ? memory_size : region->memory_size;
    }
}

bool cork_mempool_owns(const struct cork_mempool *mp, const void *ptr)
{
    struct cork_mempool_slot slot;

    pool_require_live(mp, ptr);
    return pool_find(mp, ptr, &slot);
}

void cork_mempool_foreach(struct cork_mempool *mp, void (*visit)(void *user_data, void *object),
                          void *user_data)
{
    struct cork_mempool_slot slot;
    size_t number = 0;

    pool_require_live(mp, NULL);
    while (pool_next_live(mp, number, &slot)) {
        number = pool_number(slot) + 1;
        visit(user_data, pool_start(mp, slot));
    }
}
