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
    const bool is_guarded = (mp->protections & CORK_MEMPOOL_GUARD) != 0;
    const bool is_hooked =
        mp->protections != 0 || mp->callbacks.construct != NULL || mp->callbacks.destruct != NULL;
    const unsigned tables = hooks_tables(mp->protections, mp->memory.buffer != NULL);

    return geometry->tables == (is_hooked ? tables : 0) && mp->callbacks.object == NULL &&
           mp->hooks == (is_hooked ? hooks_of(mp->protections) : NULL) &&
           (stride == 0 || ((is_guarded ? geometry->block_slots < pitch : pitch == 0) &&
                            (pitch * stride & (os_page_size() - 1)) == 0 &&
                            geometry->shift == (size_t)__builtin_ctzll(stride) &&
                            (stride >> geometry->shift) * geometry->inverse == 1 &&
                            ((geometry->alignment | stride | geometry->redzone_size) &
                             (geometry->alignment - 1)) == 0 &&
                            geometry->element_size > 0 && geometry->element_size <= stride &&
                            geometry->block_slots > 0));
}

/* Whether priorities fall from the top of a subtree down; adds its regions to a count. */
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

/* The tree leads to each region by its first and its last byte: so it is in order, and no region
 * begins in another. Only the newest may have slots left to extend to, and in its last group slots
 * never issued. It and the one before, or it twice, are the lookup regions, lower first. */
static bool region_is_valid(const struct cork_mempool *mp, const struct cork_mempool_region *region,
                            const struct cork_mempool_region *older)
{
    const struct cork_mempool_lent *lent = &mp->lent;
    const size_t number = older == NULL ? 0 : older->first_number + older->reserved_count;
    const uintptr_t memory = (uintptr_t)region->memory;
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t end = base + region->reserved_count * mp->geometry.stride;
    const struct cork_mempool_region *other = older != NULL ? older : region;
    const bool is_higher = base > (uintptr_t)other->base;
    const bool is_lent = lent->owner != NULL && mp->hooks == NULL;
    const int ring = mp->memory.buffer != NULL ? REGION_SHORT_RING : REGION_RING;
    const int tables = (region->held != NULL) << REGION_HELD |
                       (region->fresh != NULL) << REGION_FRESH |
                       (region->checksums != NULL) << REGION_CHECKSUMS |
                       (region->sites != NULL) << REGION_SITES | (region->ring != NULL) << ring;

    for (int i = 0; i < 2 && region == mp->newest; i++) {
        const struct cork_mempool_region *lookup = i == is_higher ? region : other;

        if (mp->lookup[i] != lookup || lent->bases[i] != lookup->base ||
            lent->groups[i] != lookup->groups ||
            lent->counts[i] != (is_lent ? lookup->extended_count : 0)) {
            return false;
        }
    }
    return slots_search(mp, region->base).region == region &&
           slots_search(mp, (char *)end - 1).region == region && region->first_number == number &&
           region->extended_count <= region->committed_count &&
           (region->extended_count == region->committed_count || region == mp->newest) &&
           region->committed_count <= region->reserved_count &&
           (region->is_reserved || region->committed_count == region->reserved_count) &&
           region->reserved_count <= region_max_capacity(&mp->geometry) &&
           (base & (mp->geometry.alignment - 1)) == 0 &&
           memory <= base - mp->geometry.redzone_size && end <= memory + region->memory_size &&
           mp->geometry.tables == (unsigned)tables &&
           (region != mp->newest || !mp->cursor.is_never_issued ||
            mp->cursor.group + 1 == region->groups + region_group_count(region->extended_count));
}

/* Nothing is lent, or the active group, as far as hooks allow. What is kept looks live. */
static bool lent_is_valid(const struct cork_mempool *mp)
{
    const struct cork_mempool_lent *lent = &mp->lent;
    const bool may_lend = mp->hooks == NULL || slots_lends_new(mp->protections);
    const bool is_lent = lent->owner == mp && mp->cursor.group != NULL && may_lend;

    return (is_lent || (lent->owner == NULL && mp->cursor.fresh == 0 &&
                        (lent->counts[0] | lent->counts[1]) == 0)) &&
           lent->stack_count <= (is_lent && mp->hooks == NULL ? STACK_SLOTS : 0) &&
           (lent->kept == NULL ||
            (is_lent && slots_is_live(mp, slots_search(mp, lent->kept), NULL, mp->protections)));
}

/* Goes from a group of the free list to the next, or to NULL; false if it is none. */
static bool follow_link(const struct cork_mempool *mp, const char **linked)
{
    const struct slot first = slots_search(mp, *linked);

    if (first.region == NULL || first.index >= first.region->extended_count ||
        first.index % GROUP_SLOTS != 0) {
        return false;
    }

    const char *next = first.region->groups[first.index / GROUP_SLOTS].next;
    *linked = next != *linked ? next : NULL;
    return next != NULL;
}

/* Whether the slots of the group from first on are live, guards, in quarantine, or free, and new
 * finds the free ones: on the stack, or because the group is active or linked. Takes what names the
 * group off a count: the cursor, and entries of the stack and the quarantine. If the group is
 * linked, goes a step along the free list. */
static bool group_is_valid(const struct cork_mempool *mp, struct slot first, size_t *name_count,
                           const char **linked)
{
    const struct cork_mempool_quarantine *quarantine = &mp->quarantine;
    const struct cork_mempool_region *region = first.region;
    const size_t index = first.index / GROUP_SLOTS;
    const struct cork_mempool_group *group = &region->groups[index];
    const uint64_t free = group->free;
    const uint64_t held = region->held != NULL ? region->held[index] : 0;
    const uint64_t fresh = region->fresh != NULL ? region->fresh[index] : 0;
    const uint64_t extended = slots_extended(region, index);
    const bool is_active = mp->cursor.group == group && mp->cursor.region == region &&
                           mp->cursor.base == slot_start(mp, first);
    const uint64_t next = is_active ? mp->cursor.bits | mp->cursor.fresh : 0;
    const uint64_t lent = is_active && mp->lent.owner != NULL ? mp->cursor.bits : 0;
    const uint64_t not_lent = is_active ? mp->cursor.fresh : 0;
    const uint32_t *stack = mp->lent.stack;
    void *const *ring = mp->oldest->ring;
    const bool has_stack = mp->lent.stack_count != 0; /* so nothing is in quarantine */
    const size_t listed_count = has_stack ? mp->lent.stack_count : quarantine->count;
    uint64_t stacked = 0, quarantined = 0, guards = 0;

    for (size_t i = 0; region->held != NULL && i < GROUP_SLOTS; i++) {
        guards |= (uint64_t)geometry_is_guard(&mp->geometry, first.index + i) << i;
    }
    guards &= extended;
    for (size_t i = 0; (has_stack ? free : held & ~guards) != 0 && i < listed_count; i++) {
        const struct slot slot =
            has_stack ? (struct slot){mp->lookup[stack[i] & 1], stack[i] >> 1}
                      : slots_search(mp, ring[(quarantine->first + i) % quarantine->capacity]);

        if (slot.index - first.index < GROUP_SLOTS && slot.region == region) {
            *(has_stack ? &stacked : &quarantined) |= slot_bit(slot);
        }
    }
    *name_count -= (size_t)__builtin_popcountll(stacked | (held & ~guards)) + is_active;
    return (group->next != NULL ? follow_link(mp, linked) : is_active || free == stacked) &&
           ((free | held) & ~extended) == 0 && (free & held) == 0 &&
           (guards | quarantined) == held && ((next | stacked) & ~free) == 0 &&
           (next & stacked) == 0 && (guards & ~fresh) == 0 &&
           (fresh & (~(free | held) | lent)) == 0 && (not_lent & ~fresh) == 0;
}

NOINLINE bool cork_mempool_check(const struct cork_mempool *mp)
{
    const struct cork_mempool_region *older = NULL;
    const char *linked = mp->first_linked;
    struct slot first = {mp->oldest, 0};
    const struct cork_mempool_quarantine *quarantine = &mp->quarantine;
    /* What names a region or group: the tree, the cursor, the stack, the quarantine. */
    size_t name_count = (mp->cursor.group != NULL || mp->cursor.bits != 0) + mp->lent.stack_count +
                        quarantine->count;

    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));

    /* The oldest region has the ring. */
    const size_t capacity = first.region != NULL ? region_ring_capacity(mp, first.region) : 0;
    if (mp->name[sizeof(mp->name) - 1] != '\0' || !options_are_valid(mp) ||
        !tree_is_valid(mp->root, UINT64_MAX, &name_count) || !lent_is_valid(mp) ||
        quarantine->capacity != capacity || quarantine->count > capacity ||
        quarantine->first >= bits_larger(capacity, 1)) {
        return false;
    }
    for (; first.region != NULL; first = (struct slot){first.region->newer, 0}, name_count--) {
        if (!region_is_valid(mp, first.region, older)) {
            return false;
        }
        for (; first.index < first.region->extended_count; first.index += GROUP_SLOTS) {
            if (!group_is_valid(mp, first, &name_count, &linked)) {
                return false;
            }
        }
        older = first.region;
    }
    if (older != mp->newest || name_count != 0 || linked != NULL ||
        (older == NULL && (mp->lookup[0] != NULL || mp->lookup[1] != NULL))) {
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

    call.during = mp->state = POOL_IS_VISITED;
    for (; mp->state == POOL_IS_VISITED && slots_next_live(mp, &slot); slot.index++) {
        visit(user_data, slot_start(mp, slot));
    }
}
