/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool_inspect.h"

#include "geometry.h"
#include "hooks.h"
#include "libcork/core/mempool_options.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"

static bool geometry_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t stride = geometry->stride;
    const size_t pitch = geometry->block_pitch;
    const bool has_guards = (mp->protections & CORK_MEMPOOL_GUARD) != 0;
    const bool is_in_pages =
        geometry->block_slots < pitch && (pitch * stride & (os_page_size() - 1)) == 0;

    return stride == 0 || ((has_guards ? is_in_pages : pitch == 0) &&
                           geometry->shift == (size_t)__builtin_ctzll(stride) &&
                           (stride >> geometry->shift) * geometry->inverse == 1 &&
                           bits_lowest(geometry->alignment) == geometry->alignment &&
                           ((stride | geometry->redzone_size) & (geometry->alignment - 1)) == 0 &&
                           geometry->element_size > 0 && geometry->element_size <= stride &&
                           geometry->block_slots > 0);
}

/* Whether hooks and tables are those of the options. */
static bool hooks_are_valid(const struct cork_mempool *mp)
{
    const bool has_buffer = mp->memory.buffer != NULL;
    const bool is_hooked = mp->protections != 0 || mp->under_valgrind ||
                           mp->callbacks.construct != NULL || mp->callbacks.destruct != NULL;

    return mp->hooks == (is_hooked ? hooks_of(mp->protections, mp->under_valgrind) : NULL) &&
           mp->geometry.tables == (is_hooked ? hooks_tables(mp->protections, has_buffer) : 0);
}

/* Whether the regions of a subtree are between two addresses, and below a priority; counts them. */
static bool tree_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                          uintptr_t from, uintptr_t to, uint64_t most, size_t *count)
{
    if (region == NULL) {
        return true;
    }

    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t end = base + region->reserved_count * mp->geometry.stride;
    const uint64_t priority = slots_priority(region);

    ++*count;
    return base >= from && base < end && end <= to && priority <= most &&
           tree_is_valid(mp, region->lower, from, base, priority, count) &&
           tree_is_valid(mp, region->higher, end, to, priority, count);
}

/* Nothing but the newest region has slots left to extend to. */
static bool region_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                            const struct cork_mempool_region *older)
{
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

    return slots_search(mp, region->base).region == region && region->first_number == number &&
           region->extended_count <= region->committed_count &&
           (region->extended_count == region->committed_count || region == mp->newest) &&
           region->committed_count <= region->reserved_count &&
           (base & (mp->geometry.alignment - 1)) == 0 &&
           memory <= base - mp->geometry.redzone_size && end <= memory + region->memory_size &&
           tables == mp->geometry.tables;
}

/* The regions of the tree are those from the oldest to the newest. */
static bool regions_are_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_region *region = mp->oldest;
    const struct cork_mempool_region *older = NULL;
    size_t count = 0;

    if (!tree_is_valid(mp, mp->root, 0, UINTPTR_MAX, UINT64_MAX, &count)) {
        return false;
    }
    for (; region != NULL; older = region, region = region->newer, count--) {
        if (!region_is_valid(mp, region, older)) {
            return false;
        }
    }
    return older == mp->newest && count == 0;
}

/* Fresh slots that no table tells of are those of the group that was extended last. */
static bool cursor_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_cursor *cursor = &mp->cursor;

    if (cursor->region == NULL) {
        return cursor->bits == 0;
    }

    const size_t group_count = region_group_count(cursor->region->extended_count);
    return slots_search(mp, cursor->region->base).region == cursor->region &&
           cursor->group < group_count &&
           (!cursor->is_fresh ||
            (cursor->region == mp->newest && cursor->group + 1 == group_count));
}

/* The lookup regions are the two newest, the lower one first, and copied as they are; free has them
 * where owner has. */
static bool lookup_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_lent *lent = &mp->lent;
    const struct cork_mempool_region *newest = mp->newest;
    const struct cork_mempool_region *older = mp->oldest == newest ? NULL : mp->oldest;

    while (older != NULL && older->newer != newest) {
        older = older->newer;
    }

    const bool is_higher = older != NULL && (uintptr_t)newest->base > (uintptr_t)older->base;
    const bool is_lent = lent->owner != NULL && mp->hooks == NULL;

    for (int i = 0; i < 2; i++) {
        const struct cork_mempool_region *region = i == is_higher ? newest : older;
        const size_t count = is_lent && region != NULL ? region->extended_count : 0;

        if (mp->lookup[i] != region || lent->counts[i] != count ||
            (region != NULL &&
             (lent->bases[i] != region->base || lent->groups[i] != region->groups))) {
            return false;
        }
    }
    return newest == NULL ||
           lent->split == (older == NULL ? (char *)UINTPTR_MAX : mp->lookup[1]->base);
}

/* What is lent is what there is; or nothing is. Its group takes the kept object for live. */
static bool lent_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_lent *lent = &mp->lent;
    const struct cork_mempool_cursor *cursor = &mp->cursor;
    struct cork_mempool_region *region = cursor->region;

    if (lent->owner == NULL) {
        return lent->kept == NULL && lent->bits == 0 && lent->stack_count == 0;
    }
    if (lent->owner != mp || region == NULL) {
        return false;
    }
    if (mp->hooks == NULL
            ? cursor->bits != 0
            : !mp->hooks->lends_new || (lent->bits & region->fresh[cursor->group]) != 0) {
        return false;
    }
    return lent->group == &region->groups[cursor->group] &&
           lent->base == slot_start(mp, (struct slot){region, cursor->group * GROUP_SLOTS}) &&
           lent->stack_count <= STACK_SLOTS &&
           (lent->kept == NULL || slots_is_live(mp, slots_search(mp, lent->kept), NULL));
}

/* The slots of a group that are on the stack. */
static uint64_t stacked_bits(const struct cork_mempool *mp,
                             const struct cork_mempool_region *region, size_t group)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < mp->lent.stack_count; i++) {
        const uint32_t entry = mp->lent.stack[i];

        if (mp->lookup[entry & 1] == region && entry / 2 / GROUP_SLOTS == group) {
            bits |= UINT64_C(1) << entry / 2 % GROUP_SLOTS;
        }
    }
    return bits;
}

/* Whether every free slot of a group is found by a later new; counts those on the stack. */
static bool group_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                           size_t index, size_t *stacked_count)
{
    const struct cork_mempool_group *group = &region->groups[index];
    const uint64_t not_live = slots_not_live(region, index);
    const uint64_t stacked = stacked_bits(mp, region, index);
    const bool is_active = mp->cursor.region == region && mp->cursor.group == index;
    const uint64_t next = is_active ? mp->cursor.bits | mp->lent.bits : 0;

    *stacked_count += (size_t)__builtin_popcountll(stacked);
    return (not_live & ~slots_extended(region, index)) == 0 &&
           (region->fresh == NULL || (region->fresh[index] & ~not_live) == 0) &&
           (region->held == NULL || (region->held[index] & group->free) == 0) &&
           ((next | stacked) & ~group->free) == 0 && (next & stacked) == 0 &&
           (is_active || group->next != NULL || group->free == stacked);
}

/* Verifies all groups. Each that is linked is one of its region's free list, and each region with
 * such a list one of the pool's: each list ends when as many have been seen. */
static bool groups_are_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_region *linked = mp->linked;
    size_t stacked_count = 0;

    for (const struct cork_mempool_region *region = mp->oldest; region != NULL;
         region = region->newer) {
        const size_t group_count = region_group_count(region->extended_count);
        const struct cork_mempool_group *group = region->free_list;

        if (group != NULL) {
            if (linked == NULL || slots_search(mp, linked->base).region != linked ||
                linked->free_list == NULL) {
                return false;
            }
            linked = linked->next_linked;
        }
        for (size_t i = 0; i < group_count; i++) {
            const uintptr_t offset = (uintptr_t)group - (uintptr_t)region->groups;

            if (!group_is_valid(mp, region, i, &stacked_count)) {
                return false;
            }
            if (region->groups[i].next != NULL) {
                if (offset / sizeof(*group) >= group_count || offset % sizeof(*group) != 0) {
                    return false;
                }
                KNOWN(group != NULL);
                group = group->next == group ? NULL : group->next;
            }
        }
        if (group != NULL) {
            return false;
        }
    }
    return linked == NULL && stacked_count == mp->lent.stack_count;
}

/* Held are the guards and what is in quarantine, each slot once: so these come to the same sum as
 * those, whatever their order. */
static bool held_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_quarantine *quarantine = &mp->quarantine;
    const struct cork_mempool_region *region = mp->oldest;
    const size_t capacity = region == NULL ? 0 : region_ring_capacity(mp, region);
    uint64_t sum = 0;

    if (quarantine->objects != (region == NULL ? NULL : region->ring) ||
        quarantine->capacity != capacity || quarantine->count > capacity ||
        (quarantine->first >= capacity && quarantine->first != 0)) {
        return false;
    }
    for (size_t i = 0; i < quarantine->count; i++) {
        sum += bits_mix((uintptr_t)quarantine->objects[(quarantine->first + i) % capacity]);
    }
    for (; region != NULL; region = region->newer) {
        for (size_t i = 0; i < region->extended_count && region->held != NULL; i++) {
            const uint64_t is_held = region->held[i / GROUP_SLOTS] >> i % GROUP_SLOTS & 1;
            const uint64_t is_guard = geometry_is_guard(&mp->geometry, i);

            sum +=
                (is_guard - is_held) * bits_mix((uintptr_t)region->base + i * mp->geometry.stride);
        }
    }
    return sum == 0;
}

NOINLINE bool cork_mempool_check(const struct cork_mempool *mp)
{
    report_require(mp, NULL, __builtin_return_address(0));
    if (mp->name[sizeof(mp->name) - 1] != '\0' || !geometry_is_valid(mp) || !hooks_are_valid(mp) ||
        !regions_are_valid(mp) || !cursor_is_valid(mp) || !lookup_is_valid(mp) ||
        !lent_is_valid(mp) || !groups_are_valid(mp) || !held_is_valid(mp)) {
        return false;
    }
    hooks_verify(mp);
    return true;
}

NOINLINE void cork_mempool_stats(const struct cork_mempool *mp, struct cork_mempool_stats *stats)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    size_t further = 0;

    report_require(mp, NULL, __builtin_return_address(0));
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
        /* While there may be more memory, what is in quarantine stays there. */
        stats->free_count -= mp->quarantine.count;
    }
}

NOINLINE bool cork_mempool_owns(const struct cork_mempool *mp, const void *ptr)
{
    report_require(mp, ptr, __builtin_return_address(0));
    return slots_is_live(mp, slots_search(mp, ptr), ptr);
}

NOINLINE void cork_mempool_foreach(struct cork_mempool *mp,
                                   void (*visit)(void *user_data, void *object), void *user_data)
{
    struct slot slot = {mp->oldest, 0};

    report_require(mp, NULL, __builtin_return_address(0));

    SLOTS_CALL call = slots_enter(mp);

    mp->state = POOL_IS_VISITED;
    for (; slots_next_live(mp, &slot); slot.index++) {
        visit(user_data, slot_start(mp, slot));
        if (mp->state != POOL_IS_VISITED) {
            /* The walk ended when visit was refused a call, and visit went on all the same. */
            call.state = mp->state;
            return;
        }
    }
}
