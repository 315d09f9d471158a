/* SPDX-License-Identifier: BSD-3-Clause */
#include "protect.h"

#include <errno.h>
#include <string.h>

#include "annotate.h"
#include "damage.h"
#include "libcork/core/mempool_options.h"
#include "random.h"

/*
 * What a call does depends on the pool's protections, and on whether a tool watches it. The usual
 * sets of these are constants to the functions that are EXPANDED, so that each such set has code of
 * its own, without a choice to make.
 */
#define EXPANDED static inline __attribute__((always_inline))

/* In a set, beside the protections. */
#define WATCHED (UINT32_C(1) << 31)

static inline bool has(uint32_t set, uint32_t members)
{
    return (set & members) != 0;
}

static inline uint32_t set_of(const struct cork_mempool *mp)
{
    return mp->protections | (mp->is_watched ? WATCHED : 0);
}

static inline struct cork_mempool_record *record_of(struct cork_mempool_slot slot)
{
    return &slot.region->records[slot.index];
}

static inline uint64_t bit_of(struct cork_mempool_slot slot)
{
    return UINT64_C(1) << slot.index % GROUP_SLOTS;
}

static inline bool is_idle(struct cork_mempool_slot slot)
{
    return (pool_idle_bits(slot.region, slot.index / GROUP_SLOTS) & bit_of(slot)) != 0;
}

void protect_init(struct cork_mempool *mp)
{
    if (mp->seed == 0) {
        mp->seed = random_seed(mp);
    }
    mp->random = random_next(mp->seed);
    /* A string that is one byte too long ends in a zero, which must be seen as damage. */
    mp->key = random_mix(mp->random) | UINT64_C(0x0101010101010101);
}

EXPANDED void verify_contents(const struct cork_mempool *mp, struct cork_mempool_slot slot,
                              uint32_t set)
{
    if (has(set, CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SEAL)) {
        damage_verify_contents(mp, slot, has(set, CORK_MEMPOOL_WIPE), has(set, WATCHED));
    }
}

static inline void make_free(struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    struct cork_mempool_group *group = &slot.region->groups[slot.index / GROUP_SLOTS];

    group->free |= bit_of(slot);
    pool_link(mp, group);
}

/* The slot that has been in quarantine for longest. */
static inline struct cork_mempool_slot first_at_rest(const struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->quarantine_first->region;

    return (struct cork_mempool_slot){region, (size_t)(mp->quarantine_first - region->records)};
}

/* Makes that slot free. */
static void end_rest(struct cork_mempool *mp)
{
    const struct cork_mempool_slot slot = first_at_rest(mp);

    mp->quarantine_first = mp->quarantine_first->next;
    mp->quarantine_count--;
    slot.region->withheld[slot.index / GROUP_SLOTS] &= ~bit_of(slot);
    make_free(mp, slot);
}

bool protect_open(struct cork_mempool *mp)
{
    while (!pool_open(mp)) {
        if (mp->quarantine_count == 0) {
            return false;
        }
        /* This will be issued next. What is wrong with it must be found while it still rests. */
        verify_contents(mp, first_at_rest(mp), set_of(mp));
        end_rest(mp);
    }
    if (mp->open_is_new && has(mp->protections, CORK_MEMPOOL_CANARY)) {
        const size_t first = (size_t)(mp->open_group - mp->open_region->groups) * GROUP_SLOTS;

        for (uint64_t bits = mp->open; bits != 0; bits &= bits - 1) {
            const size_t index = first + (size_t)__builtin_ctzll(bits);
            damage_set_canaries(mp, (struct cork_mempool_slot){mp->open_region, index});
        }
    }
    return true;
}

static bool construct(const struct cork_mempool *mp, void *object)
{
    return mp->init_object == NULL || mp->init_object(mp->user_data, object) == 0;
}

/* One of the open group's slots that may be issued: the lowest, or any. */
EXPANDED struct cork_mempool_slot choose(struct cork_mempool *mp, uint32_t set)
{
    const size_t first = (size_t)(mp->open_group - mp->open_region->groups) * GROUP_SLOTS;
    uint64_t veiled = mp->veiled;
    unsigned skip = 0;

    if (has(set, CORK_MEMPOOL_SHUFFLE)) {
        skip = random_mix(mp->random) & 63;
        veiled = veiled >> skip | veiled << (-skip & 63);
    }
    return (struct cork_mempool_slot){mp->open_region,
                                      first + (((unsigned)__builtin_ctzll(veiled) + skip) & 63)};
}

static NOINLINE bool open_veiled(struct cork_mempool *mp)
{
    const int saved_errno = errno;

    if (!protect_open(mp)) {
        errno = ENOMEM;
        return false;
    }
    errno = saved_errno;
    mp->veiled = mp->open;
    mp->open = 0;
    return true;
}

EXPANDED void *new_with(struct cork_mempool *mp, const void *site, uint32_t set)
{
    const size_t size = mp->geometry.element_size;

    if (UNLIKELY(mp->veiled == 0) && !open_veiled(mp)) {
        return NULL;
    }

    const struct cork_mempool_slot slot = choose(mp, set);
    void *object = mp->open_base + slot.index % GROUP_SLOTS * mp->geometry.stride;
    if (!mp->open_is_new) {
        verify_contents(mp, slot, set);
    }
    annotate_guarded_new(mp, object, size, mp->open_is_new, has(set, WATCHED));
    if (UNLIKELY(mp->open_is_new) && !construct(mp, object)) {
        annotate_guarded_free(mp, object, size, has(set, WATCHED));
        return NULL;
    }
    if (has(set, CORK_MEMPOOL_CALLSITES)) {
        record_of(slot)->new_site = site;
        record_of(slot)->free_site = NULL;
    }
    if (has(set, CORK_MEMPOOL_SHUFFLE)) {
        mp->random = random_next(mp->random);
    }
    mp->veiled ^= bit_of(slot);
    mp->open_group->free ^= bit_of(slot);
    return object;
}

static HOT NOINLINE void *new_sealed(struct cork_mempool *mp, const void *site)
{
    return new_with(mp, site, CORK_MEMPOOL_SEAL);
}

static HOT NOINLINE void *new_wiped(struct cork_mempool *mp, const void *site)
{
    return new_with(mp, site, CORK_MEMPOOL_WIPE);
}

static HOT NOINLINE void *new_paranoid(struct cork_mempool *mp, const void *site)
{
    return new_with(mp, site, CORK_MEMPOOL_PARANOID);
}

static HOT NOINLINE void *new_protected(struct cork_mempool *mp, const void *site)
{
    return new_with(mp, site, set_of(mp));
}

HOT void *protect_new(struct cork_mempool *mp, const void *site)
{
    switch (set_of(mp)) {
    case CORK_MEMPOOL_SEAL:
        return new_sealed(mp, site);
    case CORK_MEMPOOL_WIPE:
        return new_wiped(mp, site);
    case CORK_MEMPOOL_PARANOID:
        return new_paranoid(mp, site);
    default:
        return new_protected(mp, site);
    }
}

static inline void begin_rest(struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    struct cork_mempool_record *record = record_of(slot);

    if (mp->quarantine_count == QUARANTINE_MAX) {
        end_rest(mp);
    }
    record->region = slot.region;
    if (mp->quarantine_count == 0) {
        mp->quarantine_first = record;
    } else {
        mp->quarantine_last->next = record;
    }
    mp->quarantine_last = record;
    mp->quarantine_count++;
    slot.region->withheld[slot.index / GROUP_SLOTS] |= bit_of(slot);
}

static NOINLINE struct cork_mempool_slot find(const struct cork_mempool *mp, const void *ptr)
{
    struct cork_mempool_slot slot;

    if (!pool_find(mp, ptr, &slot)) {
        pool_refuse_free(mp, ptr);
    }
    return slot;
}

/* What is refused must be so before another region is the near one. */
static NOINLINE void free_far(struct cork_mempool *mp, void *ptr, const void *site)
{
    const struct cork_mempool_slot slot = find(mp, ptr);

    if (has(mp->protections, CORK_MEMPOOL_CANARY)) {
        damage_verify_canaries(mp, slot, ptr, false);
    }
    pool_approach(mp, slot.region);
    protect_free(mp, ptr, slot.index, site);
}

/* Whether a slot of the near region is live. */
EXPANDED bool is_near(const struct cork_mempool *mp, uintptr_t index, uint32_t set)
{
    if (UNLIKELY(index >= mp->veiled_count)) {
        return false;
    }

    uint64_t idle = mp->groups[index / GROUP_SLOTS].free;
    if (has(set, PROTECT_WITHHELD)) {
        idle |= mp->near_region->withheld[index / GROUP_SLOTS];
    }
    return (idle >> index % GROUP_SLOTS & 1) == 0;
}

EXPANDED void free_with(struct cork_mempool *mp, void *ptr, uintptr_t index, const void *site,
                        uint32_t set)
{
    const size_t size = mp->geometry.element_size;
    struct cork_mempool_slot slot = {mp->near_region, index};

    /* Valgrind shows the callers, of which the fewer the better. */
    if (has(set, WATCHED)) {
        slot = find(mp, ptr);
    } else if (UNLIKELY(!is_near(mp, index, set))) {
        free_far(mp, ptr, site);
        return;
    }
    if (has(set, CORK_MEMPOOL_CANARY)) {
        damage_verify_canaries(mp, slot, ptr, has(set, WATCHED));
    }
    annotate_look(ptr, size, has(set, WATCHED));
    if (has(set, CORK_MEMPOOL_WIPE)) {
        memset(ptr, 0, size);
    }
    if (has(set, CORK_MEMPOOL_CALLSITES)) {
        record_of(slot)->free_site = site;
    }
    if (has(set, CORK_MEMPOOL_SEAL) && !has(set, CORK_MEMPOOL_WIPE)) {
        record_of(slot)->seal = damage_seal_of(mp, ptr, size);
    }
    annotate_guarded_free(mp, ptr, size, has(set, WATCHED));
    if (has(set, CORK_MEMPOOL_QUARANTINE)) {
        begin_rest(mp, slot);
    } else {
        make_free(mp, slot);
    }
}

static HOT NOINLINE void free_canary(struct cork_mempool *mp, void *ptr, uintptr_t index,
                                     const void *site)
{
    free_with(mp, ptr, index, site, CORK_MEMPOOL_CANARY);
}

static HOT NOINLINE void free_sealed(struct cork_mempool *mp, void *ptr, uintptr_t index,
                                     const void *site)
{
    free_with(mp, ptr, index, site, CORK_MEMPOOL_SEAL);
}

static HOT NOINLINE void free_wiped(struct cork_mempool *mp, void *ptr, uintptr_t index,
                                    const void *site)
{
    free_with(mp, ptr, index, site, CORK_MEMPOOL_WIPE);
}

static HOT NOINLINE void free_paranoid(struct cork_mempool *mp, void *ptr, uintptr_t index,
                                       const void *site)
{
    free_with(mp, ptr, index, site, CORK_MEMPOOL_PARANOID);
}

static HOT NOINLINE void free_protected(struct cork_mempool *mp, void *ptr, uintptr_t index,
                                        const void *site)
{
    free_with(mp, ptr, index, site, set_of(mp));
}

HOT void protect_free(struct cork_mempool *mp, void *ptr, uintptr_t index, const void *site)
{
    switch (set_of(mp)) {
    case CORK_MEMPOOL_CANARY:
        free_canary(mp, ptr, index, site);
        break;
    case CORK_MEMPOOL_SEAL:
        free_sealed(mp, ptr, index, site);
        break;
    case CORK_MEMPOOL_WIPE:
        free_wiped(mp, ptr, index, site);
        break;
    case CORK_MEMPOOL_PARANOID:
        free_paranoid(mp, ptr, index, site);
        break;
    default:
        free_protected(mp, ptr, index, site);
        break;
    }
}

void protect_end_quarantine(struct cork_mempool *mp)
{
    while (mp->quarantine_count > 0) {
        end_rest(mp);
    }
}

void protect_verify(const struct cork_mempool *mp)
{
    const uint32_t verified = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE;
    const uint32_t set = set_of(mp);
    struct cork_mempool_slot slot = {has(set, verified) ? mp->newest : NULL, 0};

    for (; slot.region != NULL; slot.region = slot.region->older) {
        for (slot.index = 0; slot.index < slot.region->carved_count; slot.index++) {
            if (pool_is_new(mp, slot)) {
                continue;
            }
            if (has(set, CORK_MEMPOOL_CANARY)) {
                damage_verify_canaries(mp, slot, pool_start(mp, slot), mp->is_watched);
            }
            if (is_idle(slot)) {
                verify_contents(mp, slot, set);
            }
        }
    }
}

void protect_destroy(const struct cork_mempool *mp, struct cork_mempool_region *region)
{
    struct cork_mempool_slot slot = {region, 0};

    if (mp->done_object == NULL) {
        return;
    }
    for (; slot.index < region->carved_count; slot.index++) {
        if (!pool_is_new(mp, slot)) {
            annotate_look(pool_start(mp, slot), mp->geometry.element_size, mp->is_watched);
            mp->done_object(mp->user_data, pool_start(mp, slot));
        }
    }
}
