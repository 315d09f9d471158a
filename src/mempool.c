/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "internal.h"
#include "pool.h"
#include "region.h"
#include "violation.h"

void cork_mempool_init_named_(struct cork_mempool *mp, size_t element_size, size_t block_size,
                              const char *name)
{
    *mp = (struct cork_mempool){.state = POOL_IS_LIVE, .name = name};
    geometry_init(&mp->geometry, element_size, block_size);
}

void cork_mempool_init_size_ex(struct cork_mempool *mp, size_t element_size, size_t block_size)
{
    cork_mempool_init_named_(mp, element_size, block_size, NULL);
}

void cork_mempool_init_size(struct cork_mempool *mp, size_t element_size)
{
    cork_mempool_init_size_ex(mp, element_size, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
}

/* Makes a group the open one; its descriptor no longer has the bits. */
static void open_group(struct cork_mempool *mp, struct cork_mempool_group *group, char *base,
                       uint64_t bits)
{
    mp->open = bits;
    mp->open_base = base;
    mp->open_group = group;
    mp->open_is_new = 0;
}

static char *group_base(const struct cork_mempool *mp, const struct cork_mempool_group *group)
{
    const struct cork_mempool_region *region = mp->newest;

    while (!region_holds_group(region, group)) {
        region = region->older;
    }
    return region->base + (size_t) (group - region->groups) * GROUP_SLOTS * mp->geometry.stride;
}

/* Opens the group on the free list that was linked last and still has free slots. */
static bool open_linked_group(struct cork_mempool *mp)
{
    while (mp->free_list != NULL) {
        struct cork_mempool_group *group = mp->free_list;
        const uint64_t free_bits = group->free;

        mp->free_list = group->next == group ? NULL : group->next;
        group->next = NULL;
        if (free_bits != 0) {
            group->free = 0;
            open_group(mp, group, group_base(mp, group), free_bits);
            return true;
        }
    }
    return false;
}

/* Opens slots that have never been issued: what is usable of the group behind the last carved. */
static bool carve_group(struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->newest;
    const size_t carved = region->carved_count;

    if (carved == region->usable_count) {
        return false;
    }

    const size_t index = carved / GROUP_SLOTS;
    const size_t first = carved % GROUP_SLOTS;
    const size_t usable = region->usable_count - index * GROUP_SLOTS;
    const uint64_t below = usable >= GROUP_SLOTS ? UINT64_MAX : (UINT64_C(1) << usable) - 1;
    struct cork_mempool_group *group = &region->groups[index];

    if (first == 0) {
        *group = (struct cork_mempool_group){.free = 0};
    }
    open_group(mp, group, region->base + index * GROUP_SLOTS * mp->geometry.stride,
               below >> first << first);
    mp->open_is_new = 1;
    region->carved_count = index * GROUP_SLOTS + (usable >= GROUP_SLOTS ? GROUP_SLOTS : usable);
    if (mp->groups == region->groups) {
        mp->slot_count = region->carved_count;
    }
    return true;
}

/* Makes slots usable that were not; false where memory cannot be had. */
static bool grow(struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    struct cork_mempool_region *newest = mp->newest;
    struct cork_mempool_region *region = NULL;

    if (geometry->stride == 0) {
        return false;
    }
    if (newest == NULL) {
        region = region_from_nursery(&mp->nursery, &mp->nursery_group, geometry);
    } else if (region_commit(newest, geometry)) {
        return true;
    }
    if (region == NULL) {
        region = region_from_os(newest, geometry);
    }
    if (region == NULL) {
        region = region_from_heap(newest, geometry);
    }
    if (region == NULL) {
        return false;
    }
    mp->newest = region;
    mp->self = mp;
    return true;
}

static inline void *issue(struct cork_mempool *mp, uint64_t open)
{
    mp->open = open & (open - 1);
    return mp->open_base + (size_t) __builtin_ctzll(open) * mp->geometry.stride;
}

static NOINLINE void *new_slowly(struct cork_mempool *mp)
{
    const int saved_errno = errno;

    pool_require_live(mp, NULL);
    if (!open_linked_group(mp) && (mp->newest == NULL || !carve_group(mp))) {
        if (!grow(mp)) {
            errno = ENOMEM;
            return NULL;
        }
        carve_group(mp);
    }
    errno = saved_errno;
    return issue(mp, mp->open);
}

void *cork_mempool_new(struct cork_mempool *mp)
{
    const uint64_t open = mp->open;

    if (UNLIKELY(open == 0)) {
        return new_slowly(mp);
    }
    return issue(mp, open);
}

/* Refuses a pointer that is not a live object, and finds out what it is instead. */
static _Noreturn NOINLINE void refuse_free(const struct cork_mempool *mp, const void *ptr)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    struct cork_mempool_violation violation = {
        .kind = CORK_MEMPOOL_FOREIGN_POINTER,
        .pool = mp,
        .pool_name = mp->name,
        .pointer = ptr,
        .slot = CORK_MEMPOOL_NO_SLOT,
    };

    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        const uintptr_t offset = (uintptr_t) ptr - (uintptr_t) region->base;
        const size_t slot = offset / geometry->stride;
        if (slot >= region->capacity) {
            continue;
        }

        const struct cork_mempool_group *group = &region->groups[slot / GROUP_SLOTS];
        violation.slot = pool_slot_number(region, slot);
        if (offset % geometry->stride != 0) {
            violation.kind = CORK_MEMPOOL_INTERIOR_POINTER;
        } else if (slot >= region->carved_count ||
                   (mp->open_is_new && group == mp->open_group &&
                    mp->open >> slot % GROUP_SLOTS & 1)) {
            violation.kind = CORK_MEMPOOL_NEVER_ISSUED;
        } else {
            violation.kind = CORK_MEMPOOL_DOUBLE_FREE;
        }
        break;
    }
    violation_refuse(violation);
}

/* Frees what does not lie in the near region. */
static NOINLINE void free_slowly(struct cork_mempool *mp, void *ptr)
{
    pool_require_live(mp, ptr);
    if (ptr == NULL) {
        return;
    }
    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        const uintptr_t offset = (uintptr_t) ptr - (uintptr_t) region->base;
        const uintptr_t slot = geometry_slot_of(&mp->geometry, offset);

        if (slot < region->carved_count && !pool_slot_is_free(mp, region, slot)) {
            mp->base = region->base;
            mp->groups = region->groups;
            mp->slot_count = region->carved_count;
            cork_mempool_free(mp, ptr);
            return;
        }
    }
    refuse_free(mp, ptr);
}

void cork_mempool_free(struct cork_mempool *mp, void *ptr)
{
    const uintptr_t offset = (uintptr_t) ptr - (uintptr_t) mp->base;
    const uintptr_t slot = geometry_slot_of(&mp->geometry, offset);
    if (UNLIKELY(slot >= mp->slot_count)) {
        free_slowly(mp, ptr);
        return;
    }

    struct cork_mempool_group *group = &mp->groups[slot / GROUP_SLOTS];
    const uint64_t bit = UINT64_C(1) << slot % GROUP_SLOTS;
    const uint64_t free_bits = group->free;
    if (UNLIKELY((pool_free_bits(mp, group) & bit) != 0)) {
        refuse_free(mp, ptr);
    }

    if (mp->open == 0) {
        /* Nothing is open: open this group. That it may stay on the free list does no harm. */
        group->free = 0;
        open_group(mp, group, (char *) ptr - slot % GROUP_SLOTS * mp->geometry.stride,
                   free_bits | bit);
        return;
    }
    group->free = free_bits | bit;
    if (free_bits == 0 && group->next == NULL) {
        group->next = mp->free_list == NULL ? group : mp->free_list;
        mp->free_list = group;
    }
}

static _Noreturn void refuse_done(const struct cork_mempool *mp, size_t live_count)
{
    struct cork_mempool_object listed[VIOLATION_LISTED_MAX];
    struct cork_mempool_object object = {.slot = 0};
    size_t listed_count = 0;

    for (; listed_count < VIOLATION_LISTED_MAX && pool_next_live(mp, &object); object.slot++) {
        listed[listed_count++] = object;
    }
    violation_refuse((struct cork_mempool_violation){
        .kind = CORK_MEMPOOL_LEAK,
        .pool = mp,
        .pool_name = mp->name,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .live_count = live_count,
        .listed_count = listed_count,
        .listed = listed,
    });
}

void cork_mempool_done(struct cork_mempool *mp)
{
    pool_require_live(mp, NULL);

    const size_t live_count = pool_live_count(mp);
    if (live_count != 0) {
        refuse_done(mp, live_count);
    }
    for (struct cork_mempool_region *region = mp->newest, *older; region != NULL; region = older) {
        older = region->older;
        region_release(region);
    }
    *mp = (struct cork_mempool){.state = POOL_IS_DONE, .name = mp->name};
}
