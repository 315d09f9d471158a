/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle: what can be done to the world. Whether the pool did what it must, the engine knows;
 * what only such a small world can tell, is added here. */

#include <string.h>

#include "exhaust.h"
#include "fuzz/engine/calls.h"
#include "fuzz/engine/misuse.h"
#include "random.h"
#include "region.h"

static struct run *const run = &world.run;

static bool has(unsigned protections)
{
    return (profile->protections & protections) != 0;
}

static size_t live_count(void)
{
    return run_known(run)->live_count;
}

static struct cork_mempool_stats stats_now(void)
{
    return *calls_stats(run);
}

static bool is_usable(uintptr_t address)
{
    const size_t offset = address - (uintptr_t)world.memory.pages;

    return offset < sizeof(world.memory.pages) &&
           (world.memory.usable >> offset / PAGE_SIZE & 1) != 0;
}

/* Whether trim has taken anything of a slot, or of the canary before it. */
static enum model_left left_by_trim(uintptr_t address)
{
    const size_t offset = address - (uintptr_t)world.memory.pages;
    const size_t first = (offset - (has(CORK_MEMPOOL_CANARY) ? 8 : 0)) / PAGE_SIZE;
    const size_t last = (offset + world_pool()->geometry.stride - 1) / PAGE_SIZE;

    if (!is_usable(address)) {
        return MODEL_LEFT_NOTHING;
    }
    return (requests.purged >> first & UINT64_MAX >> (63 - (last - first))) != 0 ? MODEL_LEFT_MEMORY
                                                                                 : MODEL_LEFT_ALL;
}

void oracle_begin(void)
{
    static const struct run_settings settings = {
        .subject = &subject_cork, .dialect = PROGRAM_MISUSE, .failing_mask = 1};

    /* The first init installs the subject's handler; the world begins before any. */
    subject_cork.init(&run->pools[1].storage, &(struct subject_init){.options.element_size = 1});
    memory_lay_out();
    memset(run->pools, 0, sizeof(run->pools));
    run->model.left = left_by_trim;
    run->model.is_filled_by_address = true;
    run_start(run, &settings, NULL, 0, SIZE_MAX);
    memset(world_pool(), 0, sizeof(*world_pool()));
}

/* Overwrites what the pool will not read before it writes it, so that states do not differ by it.
 */
static void forget_garbage(void)
{
    struct cork_mempool *mp = world_pool();
    struct cork_mempool_lent *lent = &mp->lent;
    char *stack = (char *)&lent->stack[lent->stack_count];

    memset(stack, 0xee, (size_t)((char *)&mp->first_region - stack));
    if (!run->pools[0].is_initialized) {
        memset(&mp->cursor, 0xee, (size_t)((char *)lent - (char *)&mp->cursor));
        mp->newest = NULL;
    }
    if (mp->newest == NULL || mp->oldest != &mp->first_region) {
        memset(&mp->first_region, 0xee, sizeof(mp->first_region) + sizeof(mp->first_groups));
    }
}

/* Pages for tables that were committed before those for slots were refused are not counted. */
static bool is_counted(size_t counted, size_t size)
{
    return counted == size || (world.memory.has_uncounted && counted < size);
}

static void agree(void)
{
    calls_inspect(run, SIZE_MAX);
    model_compare(&run->model);

    const struct cork_mempool_stats *stats = &run->result.stats;
    const size_t resting_count = has(CORK_MEMPOOL_QUARANTINE) ? MODEL_REST : 0;
    expect(stats->free_count + resting_count >= run_known(run)->freed_count,
           "stats count freed objects");
    expect(is_counted(stats->memory_size, memory_size(false)), "stats count memory");
    expect(stats->reserved_size == memory_size(true), "stats count reserved memory");
}

static void perform_init(void)
{
    run->pools[0].init =
        (struct subject_init){.form = SUBJECT_INIT_WITH,
                              .options = {.element_size = profile->element_size,
                                          .alignment = 16, /* so that 112 bytes are a stride */
                                          .block_size = profile->block_size,
                                          .protections = profile->protections,
                                          .max_objects = profile->max_objects,
                                          .source = profile->has_source ? &memory_source : NULL,
                                          .seed = 7}};
    calls_init(run);
    world_pool()->random = 0;
}

static void perform_new(unsigned argument)
{
    const struct memory_account *account = &run->pools[0].memory;
    const size_t refusal_count = account->refusal_count;
    const size_t free_count = stats_now().free_count;
    struct cork_mempool *mp = world_pool();

    while (has(CORK_MEMPOOL_SHUFFLE) && (random_mix(mp->random) & 63) != argument >> REFUSED_BITS) {
        mp->random++;
    }
    requests = (struct requests){.refused_bits = argument % (1 << REFUSED_BITS)};
    calls_new(run);
    mp->random = 0;
    expect(run->model.slot_count < MODEL_SLOT_LIMIT, "a world has room for all its objects");
    if (run->result.object == NULL) {
        expect(account->refusal_count != refusal_count || live_count() == profile->max_objects,
               "new fails only for want of memory");
        expect(free_count == 0 && stats_now().free_count == 0,
               "new does not fail if an object is free, and changes nothing");
    } else {
        expect(run->result.error == 0, "errno is untouched where there is memory");
    }
}

/* What the pieces of the heap without live objects have that was never used: trim does not say that
 * it gives this back. */
static size_t heap_unused_size(void)
{
    const size_t stride = world_pool()->geometry.stride;
    size_t size = 0;

    for (const struct cork_mempool_region *region = world_pool()->oldest;
         region != NULL && !profile->has_source; region = region->newer) {
        const uintptr_t base = (uintptr_t)region->base;
        size_t live = 0;

        for (size_t i = 0; i < run->model.slot_count; i++) {
            live += run->model.slots[i].is_live &&
                    run->model.slots[i].address - base < region->reserved_count * stride;
        }
        if (live == 0 && region->origin != REGION_IS_RESERVED) {
            size += (region->reserved_count - region->extended_count) * stride;
        }
    }
    return size;
}

static void perform_trim(void)
{
    const size_t unused_size = heap_unused_size();

    /* Pages that were committed for slots whose own were refused. */
    calls_trim(run, world.memory.has_uncounted ? sizeof(world.memory.pages) : 0);
    expect(is_counted(run->result.size + unused_size, requests.returned),
           "trim says how much it gave back");
    expect(live_count() != 0 || world.memory.usable == 0, "trim leaves nothing that is unused");
}

void oracle_perform(enum action action, unsigned argument)
{
    requests = (struct requests){.refused_bits = 0};
#define DO(ACTION, calls)                                                                          \
    case ACTION_##ACTION:                                                                          \
        calls;                                                                                     \
        break;
    switch (action) {
        DO(INIT, perform_init())
        DO(NEW, perform_new(argument))
        DO(FREE, calls_free_at(run, argument))
        DO(FOREACH, calls_foreach(run, 1))
        DO(CLEAR, calls_clear(run))
        DO(TRIM, perform_trim())
        DO(DONE, calls_done(run, ORDER_FIFO))
    }
    expect(run->pools[0].is_initialized || (world.memory.usable == 0 && memory_size(true) == 0),
           "done gives all memory back");
    world.memory.has_uncounted &= world.memory.usable != 0;
    forget_garbage();
    if (run->pools[0].is_initialized) {
        agree();
    }
    memory_verify();
}

void oracle_expand(void)
{
    if (!run->pools[0].is_initialized) {
        search_try(ACTION_INIT, 0);
        return;
    }
    for (unsigned choice = 0; choice < (has(CORK_MEMPOOL_SHUFFLE) ? exhaust_group_slots : 1);
         choice++) {
        search_try(ACTION_NEW, choice << REFUSED_BITS);
    }
    for (unsigned bits = 1; requests.possible != 0 && bits < 1 << REFUSED_BITS; bits++) {
        search_try(ACTION_NEW, bits);
    }
    for (unsigned i = 0; i < run->pools[0].count; i++) {
        search_try(ACTION_FREE, i);
    }
    search_try(ACTION_FOREACH, 0);
    search_try(ACTION_CLEAR, 0);
    search_try(ACTION_TRIM, 0);
    if (live_count() == 0) {
        search_try(ACTION_DONE, 0);
    }
}

static void refuse_free(const void *pointer, unsigned kinds, size_t slot)
{
    misuse_refuse_free(run, pointer, kinds);
    expect(run->result.violation.slot == slot, "a violation says of which slot");
    calls_make(run, SUBJECT_OWNS, (void *)(uintptr_t)pointer);
    expect(!run->result.is_true, "a pool owns nothing but live objects");
    expect(memcmp(&world.memory, &search_state.memory, sizeof(world.memory)) == 0,
           "what is refused changes nothing");
}

/* Every slot of a region, whatever it is, and what lies in it. */
static void probe_region(const struct cork_mempool_region *region, size_t number)
{
    const size_t stride = world_pool()->geometry.stride;
    const char *start = region->base;

    for (size_t i = number; i < number + region->reserved_count; i++, start += stride) {
        const struct model_slot *slot = model_find(&run->model, 0, (uintptr_t)start);

        refuse_free(start + 1, KIND(INTERIOR_POINTER), i);
        refuse_free(start + 16, KIND(INTERIOR_POINTER), i);
        refuse_free(start + stride - 1, KIND(INTERIOR_POINTER), i);
        if (slot != NULL && slot->is_live) {
            calls_make(run, SUBJECT_OWNS, (void *)(uintptr_t)start);
            expect(run->result.is_true, "a pool owns its live objects");
        } else {
            refuse_free(start, slot == NULL ? KIND(NEVER_ISSUED) : KIND(DOUBLE_FREE), i);
        }
    }
    refuse_free(region->base - 1, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    refuse_free(region->base - stride, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    refuse_free(start, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
}

/* All calls on what is no pool: by itself, or no longer. */
static void probe_dead(union subject_pool *storage, unsigned kind)
{
    for (unsigned call = 0; call < SUBJECT_CALL_COUNT; call++) {
        const bool is_pointed = call == SUBJECT_FREE || call == SUBJECT_OWNS;
        const struct refusal refusal = {.storage = storage,
                                        .call = (enum subject_call)call,
                                        .pointer = &world,
                                        .kinds = kind,
                                        .reported = is_pointed ? &world : NULL,
                                        .is_dead = true};

        misuse_refuse(run, &refusal);
        expect(memcmp(&world.memory, &search_state.memory, sizeof(world.memory)) == 0,
               "what is refused changes nothing");
    }
}

/* A byte that was changed is found by all that looks at the whole pool, and at the object; where
 * trim has taken its page, and zeros are known to be left, by the new that issues it. */
static void probe_damage(void)
{
    for (size_t i = 0; i < run->pools[0].count && has(CORK_MEMPOOL_CANARY); i++) {
        for (size_t call = 0; call < 4; call++) {
            misuse_overrun(run, i, call, false);
            misuse_overrun(run, i, call, true);
        }
    }
    for (size_t i = 0; i < run->model.slot_count; i++) {
        const struct model_slot *slot = &run->model.slots[i];
        const bool is_purged = slot->fill == CONTENTS_UNKNOWN;

        for (size_t call = is_purged ? 3 : 0;
             call < 4 && !slot->is_live && (!is_purged || has(CORK_MEMPOOL_WIPE)); call++) {
            misuse_write_freed(run, i, call);
            memcpy(&world, &search_state, sizeof(world)); /* new has issued something else */
            misuse_write_freed(run, i, 4 * (size_t)63 + call);
            memcpy(&world, &search_state, sizeof(world));
        }
    }
}

void oracle_probe(void)
{
    static union subject_pool moved;
    const struct cork_mempool *mp = world_pool();
    size_t number = 0;

    if (!run->pools[0].is_initialized) {
        probe_dead(&run->pools[0].storage,
                   mp->state == 0 ? KIND(USE_BEFORE_INIT) : KIND(USE_AFTER_DONE));
        return;
    }
    for (const struct cork_mempool_region *region = mp->oldest; region != NULL;
         region = region->newer) {
        probe_region(region, number);
        number += region->reserved_count;
    }
    calls_make(run, SUBJECT_FREE, NULL);
    refuse_free(&world, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    refuse_free(&number, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    calls_foreach(run, 0);
    misuse_leak(run);
    if (mp->newest != NULL) {
        moved = run->pools[0].storage;
        probe_dead(&moved, KIND(NOT_A_POOL));
    }
    for (size_t call = SUBJECT_DONE; call < SUBJECT_CALL_COUNT && live_count() > 0; call++) {
        misuse_misbehave(run, 4 * call + 2);
    }
    probe_damage();
    /* A call that was refused in the midst may have changed in which order slots are issued, which
     * makes no difference to anybody. */
    agree();
    memcpy(&world, &search_state, sizeof(world));
}
