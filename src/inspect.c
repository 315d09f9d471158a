/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool_inspect.h"

#include "geometry.h"
#include "hooks.h"
#include "libcork/core/mempool_options.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"

/* Whether hooks and tables follow from the options, and the geometry's fields agree. */
static bool options_are_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t stride = geometry->stride;
    const size_t pitch = geometry->block_pitch;
    const bool is_in_pages =
        geometry->block_slots < pitch && (pitch * stride & (os_page_size() - 1)) == 0;
    const bool is_hooked =
        mp->protections != 0 || mp->callbacks.construct != NULL || mp->callbacks.destruct != NULL;
    const unsigned tables = hooks_tables(mp->protections, mp->memory.buffer != NULL);

    return geometry->tables == (is_hooked ? tables : 0) &&
           mp->hooks == (is_hooked ? hooks_of(mp->protections) : NULL) &&
           (stride == 0 ||
            (((mp->protections & CORK_MEMPOOL_GUARD) != 0 ? is_in_pages : pitch == 0) &&
             geometry->shift == (size_t)__builtin_ctzll(stride) &&
             (stride >> geometry->shift) * geometry->inverse == 1 &&
             bits_lowest(geometry->alignment) == geometry->alignment &&
             ((stride | geometry->redzone_size) & (geometry->alignment - 1)) == 0 &&
             geometry->element_size > 0 && geometry->element_size <= stride &&
             geometry->block_slots > 0));
}

/* Whether priorities fall from the top of a subtree down; counts its regions. */
static bool tree_is_valid(const struct cork_mempool_region *region, uint64_t above, size_t *count)
{
    if (region == NULL) {
        return true;
    }

    const uint64_t priority = slots_priority(region);

    ++*count;
    return priority < above && tree_is_valid(region->below[0], priority, count) &&
           tree_is_valid(region->below[1], priority, count);
}

/* The lookup regions are the newest and the one before it, or itself; the lower one comes first,
 * and both are copied as they are. free has them where owner has. */
static bool lookup_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *older)
{
    const struct cork_mempool_lent *lent = &mp->lent;
    const bool is_lent = lent->owner != NULL && mp->hooks == NULL;
    const bool is_higher = (uintptr_t)mp->newest->base > (uintptr_t)older->base;

    for (int i = 0; i < 2; i++) {
        const struct cork_mempool_region *region = i == is_higher ? mp->newest : older;

        if (mp->lookup[i] != region || lent->bases[i] != region->base ||
            lent->groups[i] != region->groups ||
            lent->counts[i] != (is_lent ? region->extended_count : 0)) {
            return false;
        }
    }
    return true;
}

/* The tree leads to each region by its first and its last byte: so it is in order, and no region
 * begins in another. The oldest region has the quarantine's ring; nothing but the newest has slots
 * left to extend to. */
static bool region_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                            const struct cork_mempool_region *older)
{
    const struct cork_mempool_quarantine *quarantine = &mp->quarantine;
    const size_t number = older == NULL ? 0 : older->first_number + older->reserved_count;
    const uintptr_t memory = (uintptr_t)region->memory;
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t end = base + region->reserved_count * mp->geometry.stride;
    const int ring = mp->memory.buffer != NULL ? REGION_SHORT_RING : REGION_RING;
    const unsigned tables = (unsigned)(region->held != NULL) << REGION_HELD |
                            (unsigned)(region->fresh != NULL) << REGION_FRESH |
                            (unsigned)(region->checksums != NULL) << REGION_CHECKSUMS |
                            (unsigned)(region->sites != NULL) << REGION_SITES |
                            (unsigned)(region->ring != NULL) << ring;

    return slots_search(mp, region->base).region == region &&
           slots_search(mp, (char *)end - 1).region == region && region->first_number == number &&
           region->extended_count <= region->committed_count &&
           (region->extended_count == region->committed_count || region == mp->newest) &&
           region->committed_count <= region->reserved_count &&
           (base & (mp->geometry.alignment - 1)) == 0 &&
           memory <= base - mp->geometry.redzone_size && end <= memory + region->memory_size &&
           tables == mp->geometry.tables &&
           (older != NULL ||
            (quarantine->capacity == region_ring_capacity(mp, region) &&
             quarantine->count <= quarantine->capacity &&
             (quarantine->first < quarantine->capacity || quarantine->first == 0))) &&
           (region != mp->newest || lookup_is_valid(mp, older != NULL ? older : region));
}

/* The active group is lent, or nothing is. Only slots of the group that was extended last may never
 * have been issued. */
static bool cursor_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_lent *lent = &mp->lent;
    const struct cork_mempool_cursor *cursor = &mp->cursor;
    const struct slot first = {cursor->region, cursor->group * GROUP_SLOTS};

    if (lent->owner == NULL
            ? lent->kept != NULL ||
                  (lent->bits | lent->stack_count | lent->counts[0] | lent->counts[1]) != 0
            : lent->owner != mp || lent->stack_count > STACK_SLOTS || first.region == NULL) {
        return false;
    }
    if (first.region == NULL) {
        return cursor->bits == 0;
    }

    const size_t group_count = region_group_count(first.region->extended_count);
    const bool is_last = first.region == mp->newest && cursor->group + 1 == group_count;
    return slots_search(mp, first.region->base).region == first.region &&
           cursor->group < group_count && (is_last || !cursor->is_never_issued) &&
           (lent->owner == NULL ||
            (lent->group == &first.region->groups[cursor->group] &&
             lent->base == slot_start(mp, first) &&
             (lent->kept == NULL ||
              slots_is_live(mp, slots_search(mp, lent->kept), NULL, mp->protections)) &&
             (mp->hooks == NULL ? cursor->bits == 0 : slots_lends_new(mp->protections))));
}

/* Whether the slots on the stack are free, each is there once, and the cursor names none; counts
 * those of groups that new finds in no other way. */
static bool stack_is_valid(const struct cork_mempool *mp, size_t *unlinked_count)
{
    const uint32_t *stack = mp->lent.stack;

    for (size_t i = 0; i < mp->lent.stack_count; i++) {
        const struct slot slot = {mp->lookup[stack[i] & 1], stack[i] >> 1};
        const size_t index = slot.index / GROUP_SLOTS;
        const bool is_active = mp->cursor.region == slot.region && mp->cursor.group == index;

        if (slot.index >= slot.region->extended_count ||
            (slot.region->groups[index].free & slot_bit(slot)) == 0 ||
            (is_active && (mp->lent.bits & slot_bit(slot)) != 0)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (stack[j] == stack[i]) {
                return false;
            }
        }
        *unlinked_count += !is_active && slot.region->groups[index].next == NULL;
    }
    return true;
}

/* Whether the free slots of a group are not held, and all others are live, guards or in quarantine;
 * counts those in quarantine, and the free ones if the group is neither active nor linked. */
static bool group_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                           size_t index, size_t *quarantined_count, size_t *unlinked_count)
{
    const struct cork_mempool_quarantine *quarantine = &mp->quarantine;
    const struct cork_mempool_group *group = &region->groups[index];
    const uint64_t extended = slots_extended(region, index);
    const uint64_t not_live = slots_not_live(region, index);
    const uint64_t held = region->held != NULL ? region->held[index] : 0;
    const bool is_active = mp->cursor.region == region && mp->cursor.group == index;
    const uint64_t lent = is_active ? mp->lent.bits : 0;
    const uint64_t next = is_active ? mp->cursor.bits | lent : 0;
    uint64_t quarantined = 0, guards = 0;

    for (size_t i = 0; i < quarantine->count; i++) {
        const size_t place = (quarantine->first + i) % quarantine->capacity;
        const uintptr_t offset = (uintptr_t)mp->oldest->ring[place] - (uintptr_t)region->base;
        const uintptr_t slot = geometry_slot_of(&mp->geometry, offset);

        if (slot < region->extended_count && slot / GROUP_SLOTS == index) {
            quarantined |= UINT64_C(1) << slot % GROUP_SLOTS;
        }
    }
    for (size_t i = 0; i < GROUP_SLOTS && region->held != NULL; i++) {
        guards |= (uint64_t)geometry_is_guard(&mp->geometry, index * GROUP_SLOTS + i) << i;
    }
    *quarantined_count += (size_t)__builtin_popcountll(quarantined);
    if (!is_active && group->next == NULL) {
        *unlinked_count += (size_t)__builtin_popcountll(group->free);
    }
    return ((not_live & ~extended) | (held & group->free) |
            (held ^ ((guards & extended) | quarantined)) | (guards & quarantined) |
            (region->fresh != NULL ? region->fresh[index] & (~not_live | lent) : 0) |
            (next & ~group->free)) == 0;
}

/* Verifies all regions, which are as many as the tree's, and their groups. As many of these are
 * linked as the free list has; the free slots of others are on the stack. */
static bool regions_are_valid(const struct cork_mempool *mp, size_t region_count)
{
    const struct cork_mempool_region *region = mp->oldest;
    const struct cork_mempool_region *older = NULL;
    const char *linked = mp->first_linked;
    size_t stacked_count = 0, unlinked_count = 0, quarantined_count = 0;

    for (; region != NULL; older = region, region = region->newer, region_count--) {
        if (!region_is_valid(mp, region, older)) {
            return false;
        }
        for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
            if (!group_is_valid(mp, region, i, &quarantined_count, &unlinked_count)) {
                return false;
            }
            if (region->groups[i].next != NULL) {
                const struct slot first = slots_search(mp, linked);
                const char *next = first.region != NULL &&
                                           first.index < first.region->extended_count &&
                                           first.index % GROUP_SLOTS == 0
                                       ? first.region->groups[first.index / GROUP_SLOTS].next
                                       : NULL;

                if (next == NULL) {
                    return false;
                }
                linked = next != linked ? next : NULL;
            }
        }
    }
    return older == mp->newest && region_count == 0 && linked == NULL &&
           quarantined_count == mp->quarantine.count && stack_is_valid(mp, &stacked_count) &&
           unlinked_count == stacked_count;
}

NOINLINE bool cork_mempool_check(const struct cork_mempool *mp)
{
    size_t region_count = 0;

    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));
    if (mp->name[sizeof(mp->name) - 1] != '\0' || !options_are_valid(mp) ||
        !tree_is_valid(mp->root, UINT64_MAX, &region_count) || !cursor_is_valid(mp) ||
        !regions_are_valid(mp, region_count) ||
        (mp->oldest == NULL &&
         (mp->lookup[0] != NULL || mp->lookup[1] != NULL || mp->quarantine.capacity != 0))) {
        return false;
    }
    hooks_verify(mp);
    return true;
}

NOINLINE void cork_mempool_stats(const struct cork_mempool *mp, struct cork_mempool_stats *stats)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    size_t further = 0;

    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));
    *stats = (struct cork_mempool_stats){
        .element_size = geometry->element_size,
        .alignment = geometry->alignment,
        .slot_size = geometry->stride,
        .block_size = geometry->block_slots * geometry->stride,
        .live_count = slots_live_count(mp),
    };
    for (const struct cork_mempool_region *region = mp->oldest; region != NULL;
         region = region->newer) {
        const size_t extended = geometry_object_count(geometry, region->extended_count);

        further = geometry_object_count(geometry, region->committed_count) - extended;
        stats->free_count += extended + bits_smaller(further, mp->objects_left);
        stats->region_count++;
        stats->memory_size += region_memory_size(mp, region);
        stats->reserved_size += region->head_size + region->memory_size;
    }
    stats->free_count -= stats->live_count;
    if (further < mp->objects_left && mp->memory.buffer == NULL) {
        /* Slots leave quarantine early only if memory runs out. */
        stats->free_count -= mp->quarantine.count;
    }
}

NOINLINE bool cork_mempool_owns(const struct cork_mempool *mp, const void *ptr)
{
    report_require(mp, POOL_IS_LIVE, ptr, __builtin_return_address(0));
    return slots_is_live(mp, slots_search(mp, ptr), ptr, mp->protections);
}

NOINLINE void cork_mempool_foreach(struct cork_mempool *mp,
                                   void (*visit)(void *user_data, void *object), void *user_data)
{
    struct slot slot = {mp->oldest, 0};

    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));

    SLOTS_CALL call = slots_enter(mp);

    mp->state = POOL_IS_VISITED;
    for (; slots_next_live(mp, &slot); slot.index++) {
        visit(user_data, slot_start(mp, slot));
        if (mp->state != POOL_IS_VISITED) {
            /* visit was refused a call, which ended foreach, but went on. */
            call.state = mp->state;
            return;
        }
    }
}
