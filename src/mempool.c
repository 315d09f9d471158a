/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool.h"

#include "geometry.h"
#include "grow.h"
#include "hooks.h"
#include "internal.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* Issues a slot of the active group, which has some. */
static inline void *issue(struct cork_mempool *mp)
{
    struct cork_mempool_cursor *cursor = &mp->cursor;
    const uint64_t bits = cursor->bits;
    void *object = cursor->base + (size_t)__builtin_ctzll(bits) * mp->geometry.stride;
    const uint64_t rest = bits & (bits - 1);

    cursor->bits = rest;
    cursor->group->free -= bits - rest;
    tools_new(mp, object, cursor->is_never_issued, 0);
    return object;
}

/* Opens a group, issues one slot. */
static NOINLINE void *issue_next(struct cork_mempool *mp)
{
    slots_recall(mp);
    const bool is_open = grow_open(mp);
    slots_lend(mp);
    return is_open ? issue(mp) : NULL;
}

static CACHELINE_ALIGNED NOINLINE void *new_slow(struct cork_mempool *mp, const void *site)
{
    report_require(mp, POOL_IS_VISITED, NULL, site);
    return mp->hooks != NULL ? mp->hooks->new_object(mp, site) : issue_next(mp);
}

CACHELINE_ALIGNED NOINLINE void *cork_mempool_new(struct cork_mempool *mp)
{
    struct cork_mempool_lent *lent = &mp->lent;

    if (UNLIKELY(lent->owner != mp)) {
        return new_slow(mp, __builtin_return_address(0));
    }

    void *kept = lent->kept;
    if (kept != NULL) {
        lent->kept = NULL;
        tools_new(mp, kept, false, 0);
        return kept;
    }

    const uint32_t count = lent->stack_count;
    if (count != 0) {
        const uint32_t entry = lent->stack[count - 1];
        const uint32_t number = entry & 1;
        const size_t slot = entry >> 1;
        void *object = lent->bases[number] + slot * mp->geometry.stride;

        lent->stack_count = count - 1;
        lent->groups[number][slot / GROUP_SLOTS].free &= ~(UINT64_C(1) << slot % GROUP_SLOTS);
        tools_new(mp, object, false, 0);
        return object;
    }

    if (UNLIKELY(mp->cursor.bits == 0)) {
        return new_slow(mp, __builtin_return_address(0));
    }
    return issue(mp);
}

/* Frees an object outside the lookup regions, or refuses the pointer. */
static NOINLINE void free_far(struct cork_mempool *mp, void *ptr)
{
    const struct slot slot = report_require_live(mp, ptr);

    tools_free(mp, ptr, 0);
    if (mp->lent.owner == mp && mp->lent.kept == NULL) {
        mp->lent.kept = ptr;
    } else {
        slots_release(mp, slot);
    }
}

/* index is ptr's in the lookup region of this number, if it is there. */
static CACHELINE_ALIGNED NOINLINE void free_slow(struct cork_mempool *mp, void *ptr,
                                                 uint32_t number, uintptr_t index, const void *site)
{
    report_require(mp, POOL_IS_VISITED, ptr, site);
    if (mp->hooks != NULL) {
        mp->hooks->free(mp, ptr, (struct slot){mp->lookup[number], index}, site);
    } else if (ptr != NULL) {
        free_far(mp, ptr);
    }
}

/* Links a group: the stack has no room for its free slot. */
static NOINLINE void link(struct cork_mempool *mp, uint32_t number, size_t slot)
{
    slots_link(mp, mp->lookup[number], slot / GROUP_SLOTS);
}

CACHELINE_ALIGNED NOINLINE void cork_mempool_free(struct cork_mempool *mp, void *ptr)
{
    struct cork_mempool_lent *lent = &mp->lent;
    const uint32_t number = (uintptr_t)ptr >= (uintptr_t)lent->bases[1];
    const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)lent->bases[number];
    const uintptr_t slot = geometry_slot_of(&mp->geometry, offset);

    if (UNLIKELY(slot >= lent->counts[number])) {
        free_slow(mp, ptr, number, slot, __builtin_return_address(0));
        return;
    }

    struct cork_mempool_group *group = &lent->groups[number][slot / GROUP_SLOTS];
    const uint64_t before = group->free;
    const uint64_t after = before | UINT64_C(1) << slot % GROUP_SLOTS;
    if (UNLIKELY(after == before)) {
        free_slow(mp, ptr, number, slot, __builtin_return_address(0));
        return;
    }

    void *kept = lent->kept;
    if (kept == NULL) {
        tools_free(mp, ptr, 0);
        lent->kept = ptr;
        return;
    }
    if (UNLIKELY(ptr == kept)) {
        free_slow(mp, ptr, number, slot, __builtin_return_address(0));
        return;
    }
    tools_free(mp, ptr, 0);
    group->free = after;

    const uint32_t count = lent->stack_count;
    if (count < STACK_SLOTS) {
        lent->stack[count] = (uint32_t)slot << 1 | number;
        lent->stack_count = count + 1;
    } else if (group->next == NULL && group != mp->cursor.group) {
        link(mp, number, slot);
    }
}
