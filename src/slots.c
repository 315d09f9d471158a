/* SPDX-License-Identifier: BSD-3-Clause */
#include "slots.h"

#include <string.h>

void slots_lend(struct cork_mempool *mp)
{
    struct cork_mempool_lent *lent = &mp->lent;
    struct cork_mempool_cursor *cursor = &mp->cursor;
    const bool is_hooked = mp->hooks != NULL;

    if (cursor->group == NULL || (is_hooked && !slots_lends_new(mp->protections))) {
        return;
    }
    if (is_hooked) {
        cursor->fresh =
            cursor->bits & cursor->region->fresh[cursor->group - cursor->region->groups];
        cursor->bits ^= cursor->fresh;
    }
    for (int i = 0; i < 2 && !is_hooked; i++) {
        KNOWN(mp->lookup[i] != NULL);
        lent->counts[i] = mp->lookup[i]->extended_count;
    }
    lent->owner = mp;
}

void slots_recall(struct cork_mempool *mp)
{
    struct cork_mempool_lent *lent = &mp->lent;

    if (lent->kept != NULL) {
        slots_release(mp, slots_of(mp, lent->kept));
    }
    mp->cursor.bits |= mp->cursor.fresh;
    mp->cursor.fresh = 0;
    memset(lent, 0, offsetof(struct cork_mempool_lent, bases));
}

/* Adds a region to the tree. No two regions have the same priority. */
static void plant(struct cork_mempool_region **place, struct cork_mempool_region *region)
{
    struct cork_mempool_region **ends[] = {&region->below[0], &region->below[1]};
    const uintptr_t base = (uintptr_t)region->base;

    while (*place != NULL && slots_priority(*place) > slots_priority(region)) {
        place = &(*place)->below[base > (uintptr_t)(*place)->base];
    }

    struct cork_mempool_region *rest = *place;
    *place = region;
    /* Split the tree below at the region's address. */
    while (rest != NULL) {
        const bool is_higher = (uintptr_t)rest->base > base;

        *ends[is_higher] = rest;
        ends[is_higher] = &rest->below[!is_higher];
        rest = *ends[is_higher];
    }
    *ends[0] = NULL;
    *ends[1] = NULL;
}

void slots_add_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    struct cork_mempool_region *older = mp->newest;

    plant(&mp->root, region);
    *(older != NULL ? &older->newer : &mp->oldest) = region;
    region->first_number = older != NULL ? older->first_number + older->reserved_count : 0;
    if (region->ring != NULL) {
        mp->quarantine.capacity = region_ring_capacity(mp, region);
    }
    mp->newest = region;

    const uintptr_t before = older != NULL ? (uintptr_t)older->base : (uintptr_t)region->base;
    mp->lookup[0] = before < (uintptr_t)region->base ? older : region;
    mp->lookup[1] = before > (uintptr_t)region->base ? older : region;
    for (int i = 0; i < 2; i++) {
        mp->lent.bases[i] = mp->lookup[i]->base;
        mp->lent.groups[i] = mp->lookup[i]->groups;
    }
}

void slots_renew(struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->oldest;

    slots_end_callback(&mp);
    slots_recall(mp);
    mp->newest = NULL;
    mp->root = NULL;
    mp->first_linked = NULL;
    memset(mp->lookup, 0, sizeof(mp->lookup));
    for (; region != NULL; region = region->newer) {
        slots_add_region(mp, region);
        for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
            region->groups[i].next = NULL;
            if (region->groups[i].free != 0) {
                slots_link(mp, region, i);
            }
        }
    }
    slots_lend(mp);
}

struct slot slots_search(const struct cork_mempool *mp, const void *ptr)
{
    struct cork_mempool_region *region = mp->root;
    struct slot slot = NO_SLOT;

    while (region != NULL) {
        const bool is_higher = (uintptr_t)ptr >= (uintptr_t)region->base;

        slot.region = is_higher ? region : slot.region;
        region = region->below[is_higher];
    }
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
        for (size_t first = 0; first < region->extended_count; first += GROUP_SLOTS) {
            for (uint64_t live = slots_live(region, first / GROUP_SLOTS); live != 0;
                 live &= live - 1) {
                count++;
            }
        }
    }
    return count - (mp->lent.kept != NULL);
}

bool slots_next_live(const struct cork_mempool *mp, struct slot *slot)
{
    for (; slot->region != NULL; *slot = (struct slot){slot->region->newer, 0}) {
        for (; slots_next(slot, slots_live, slot->region->extended_count); slot->index++) {
            if (slot_start(mp, *slot) != mp->lent.kept) {
                return true;
            }
        }
    }
    return false;
}
