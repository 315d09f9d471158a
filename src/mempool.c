/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "annotate.h"
#include "geometry.h"
#include "internal.h"
#include "pool.h"
#include "protect.h"
#include "region.h"
#include "violation.h"

static inline void *issue(struct cork_mempool *mp, uint64_t open)
{
    void *object = mp->open_base + (size_t)__builtin_ctzll(open) * mp->geometry.stride;
    const uint64_t rest = open & (open - 1);

    mp->open = rest;
    mp->open_group->free -= open - rest;
    annotate_new(object, mp->geometry.element_size, mp->open_is_new);
    return object;
}

static NOINLINE void *new_from_next_group(struct cork_mempool *mp)
{
    const int saved_errno = errno;

    if (!protect_open(mp)) {
        errno = ENOMEM;
        return NULL;
    }
    errno = saved_errno;
    return issue(mp, mp->open);
}

static HOT NOINLINE void *new_slowly(struct cork_mempool *mp, const void *site)
{
    pool_require_live(mp, NULL);
    return mp->guards_new ? protect_new(mp, site) : new_from_next_group(mp);
}

HOT NOINLINE void *cork_mempool_new(struct cork_mempool *mp)
{
    const uint64_t open = mp->open;

    if (UNLIKELY(open == 0)) {
        return new_slowly(mp, __builtin_return_address(0));
    }
    return issue(mp, open);
}

/* Frees what does not lie in the near region. */
static NOINLINE void free_far(struct cork_mempool *mp, void *ptr)
{
    struct cork_mempool_slot slot;

    if (ptr == NULL) {
        return;
    }
    if (!pool_find(mp, ptr, &slot)) {
        pool_refuse_free(mp, ptr);
    }
    pool_approach(mp, slot.region);
    cork_mempool_free(mp, ptr);
}

static HOT NOINLINE void free_slowly(struct cork_mempool *mp, void *ptr, uintptr_t slot,
                                     const void *site)
{
    pool_require_live(mp, ptr);
    if (mp->guards_free && ptr != NULL) {
        protect_free(mp, ptr, slot, site);
    } else {
        free_far(mp, ptr);
    }
}

/* Opens the near region's group of a slot that has just been freed: its memory is at hand. That it
 * may stay on the free list does no harm. */
static inline void adopt(struct cork_mempool *mp, struct cork_mempool_group *group, size_t slot)
{
    struct cork_mempool_group *previous = mp->open_group;

    if (previous != group && UNLIKELY(previous->free != 0)) {
        pool_link(mp, previous);
    }
    mp->open = group->free;
    mp->open_base = mp->base + slot / GROUP_SLOTS * GROUP_SLOTS * mp->geometry.stride;
    mp->open_group = group;
    mp->open_region = mp->near_region;
    mp->open_is_new = false;
}

HOT NOINLINE void cork_mempool_free(struct cork_mempool *mp, void *ptr)
{
    const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)mp->base;
    const uintptr_t slot = geometry_slot_of(&mp->geometry, offset);
    if (UNLIKELY(slot >= mp->slot_count)) {
        free_slowly(mp, ptr, slot, __builtin_return_address(0));
        return;
    }

    struct cork_mempool_group *group = &mp->groups[slot / GROUP_SLOTS];
    const uint64_t before = group->free;
    const uint64_t after = before | UINT64_C(1) << slot % GROUP_SLOTS;
    if (UNLIKELY(after == before)) {
        free_slowly(mp, ptr, slot, __builtin_return_address(0));
        return;
    }

    annotate_free(ptr, mp->geometry.element_size);
    group->free = after;
    if (mp->open == 0) {
        adopt(mp, group, slot);
    } else if (before == 0) {
        pool_link(mp, group);
    }
}

static _Noreturn void refuse_done(const struct cork_mempool *mp, size_t live_count)
{
    struct cork_mempool_object listed[VIOLATION_LISTED_MAX];
    struct cork_mempool_violation violation = {.kind = CORK_MEMPOOL_LEAK};
    struct cork_mempool_slot slot;
    size_t count = 0;
    size_t number = 0;

    for (; count < VIOLATION_LISTED_MAX && pool_next_live(mp, number, &slot); count++) {
        violation = pool_violation(mp, CORK_MEMPOOL_LEAK, slot);
        listed[count] =
            (struct cork_mempool_object){pool_start(mp, slot), violation.slot, violation.new_site};
        number = violation.slot + 1;
    }
    violation.slot = CORK_MEMPOOL_NO_SLOT;
    violation.new_site = NULL;
    violation.free_site = NULL;
    violation.live_count = live_count;
    violation.listed_count = count;
    violation.listed = listed;
    violation_refuse(violation);
}

void cork_mempool_done(struct cork_mempool *mp)
{
    pool_require_live(mp, NULL);

    const size_t live_count = pool_live_count(mp);
    if (live_count != 0) {
        refuse_done(mp, live_count);
    }
    protect_verify(mp);
    for (struct cork_mempool_region *region = mp->newest, *older; region != NULL; region = older) {
        older = region->older;
        protect_destroy(mp, region);
        region_release(region, &mp->geometry, mp->source, mp->source_data);
    }
    annotate_done(mp);
    *mp = (struct cork_mempool){.state = POOL_IS_DONE, .name = mp->name};
}
