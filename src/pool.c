/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include "violation.h"

void pool_require_live(const struct cork_mempool *mp, const void *pointer)
{
    enum cork_mempool_violation_kind kind = CORK_MEMPOOL_NOT_A_POOL;

    if (LIKELY(mp->state == POOL_IS_LIVE && (mp->newest == NULL || mp->self == mp))) {
        return;
    }
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

static size_t count_bits(uint64_t bits)
{
    return (size_t) __builtin_popcountll(bits);
}

static uint64_t live_bits(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                          size_t group)
{
    return pool_carved_bits(region, group) & ~pool_free_bits(mp, &region->groups[group]);
}

size_t pool_live_count(const struct cork_mempool *mp)
{
    size_t count = 0;

    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        for (size_t group = 0; group < region_group_count(region->carved_count); group++) {
            count += count_bits(live_bits(mp, region, group));
        }
    }
    return count;
}

/* Returns the region in which the slot with a number lies, and turns the number into its slot. */
static const struct cork_mempool_region *region_of_number(const struct cork_mempool *mp,
                                                          size_t *number)
{
    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        const size_t first = pool_slot_number(region, 0);

        if (*number >= first && *number - first < region->capacity) {
            *number -= first;
            return region;
        }
    }
    return NULL;
}

bool pool_next_live(const struct cork_mempool *mp, struct cork_mempool_object *object)
{
    for (;;) {
        size_t slot = object->slot;
        const struct cork_mempool_region *region = region_of_number(mp, &slot);
        if (region == NULL) {
            return false;
        }

        for (; slot < region->carved_count; slot = (slot / GROUP_SLOTS + 1) * GROUP_SLOTS) {
            const uint64_t from = UINT64_MAX << slot % GROUP_SLOTS;
            const uint64_t live = live_bits(mp, region, slot / GROUP_SLOTS) & from;

            if (live != 0) {
                slot = slot / GROUP_SLOTS * GROUP_SLOTS + (size_t) __builtin_ctzll(live);
                object->slot = pool_slot_number(region, slot);
                object->pointer = region->base + slot * mp->geometry.stride;
                return true;
            }
        }
        object->slot = pool_slot_number(region, region->capacity);
    }
}
