/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "run_state.h"

ENGINE_BEGIN

/* A kind's bit in a set of kinds. */
#define KIND(name) (1U << CORK_MEMPOOL_##name)

/* What is no pool, and no pool's object. */
static union subject_pool dead;

/* A call that must be refused, and the violation. */
struct misuse {
    union subject_pool *storage;
    enum subject_call call;
    void *pointer;
    unsigned kinds;       /* any of these; mostly one */
    const void *reported; /* the violation's pointer */
    bool is_dead;
};

/* Inverts bytes that nobody may touch. */
#if defined(__clang__)
__attribute__((no_sanitize("address", "memory"), noinline))
#else
__attribute__((no_sanitize("address"), noinline))
#endif
static void
invert(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((volatile uint8_t *)bytes)[i] ^= 0xff;
    }
}

static void flip(uint8_t *bytes, size_t size)
{
    if (run.settings->observer != NULL) {
        run.settings->observer->damage(bytes, size);
    }
    invert(bytes, size);
}

static void expect(bool is_so, const char *expected, const struct misuse *misuse)
{
    const struct cork_mempool_violation *violation = &run.result.violation;
    char seen[200];
    if (!is_so) {
        snprintf(seen, sizeof(seen),
                 "kind %d, pointer %p, slot %zu, element size %zu, live %zu; call %d with %p, "
                 "kinds 0x%x, pointer %p",
                 (int)violation->kind, violation->pointer, violation->slot, violation->element_size,
                 violation->live_count, (int)misuse->call, misuse->pointer, misuse->kinds,
                 misuse->reported);
        run_failed(expected, seen);
    }
}

/* Slots are counted from the start of their region: once one is known, so are all others. */
static void expect_slot(struct run_pool *pool, const struct cork_mempool_stats *stats,
                        const void *pointer, size_t slot, const struct misuse *misuse)
{
    if (slot == CORK_MEMPOOL_NO_SLOT || stats->region_count != 1) {
        return;
    }
    if (pool->base == 0) {
        /* pointer may lie in the middle of its slot, known is the start of one. */
        const uintptr_t known = model_pick(&run.model, run.pool, 0, false)->address;
        const size_t into = (uintptr_t)pointer + stats->slot_size - known % stats->slot_size;
        pool->base = (uintptr_t)pointer - into % stats->slot_size - slot * stats->slot_size;
    }
    expect(((uintptr_t)pointer - pool->base) / stats->slot_size == slot,
           "slots are counted in order", misuse);
}

static void expect_violation(struct run_pool *pool, const struct misuse *misuse,
                             const struct cork_mempool_stats *stats)
{
    const struct cork_mempool_options *options = &pool->init.options;
    const struct cork_mempool_violation *violation = &run.result.violation;
    const unsigned kinds_without_slot =
        KIND(FOREIGN_POINTER) | KIND(LEAK) | KIND(BUSY) | KIND(BAD_SOURCE);
    const bool is_sited = (options->protections & CORK_MEMPOOL_CALLSITES) != 0;
    expect(violation->kind != 0 && (misuse->kinds >> violation->kind & 1) != 0,
           "misuse is refused for what it is", misuse);
    expect(violation->message == cork_mempool_violation_message(violation->kind) &&
               violation->pool == (const void *)misuse->storage &&
               violation->pointer == misuse->reported &&
               violation->element_size ==
                   (misuse->is_dead ? 0 : run.model.pools[run.pool].object_size),
           "a violation says what was misused", misuse);
    if (misuse->is_dead) {
        expect(violation->slot == CORK_MEMPOOL_NO_SLOT && !violation->is_seeded,
               "nothing is known of what is no pool", misuse);
        return;
    }
    expect(violation->is_seeded == (options->protections != 0) &&
               (!violation->is_seeded || options->seed == 0 || violation->seed == options->seed),
           "a violation tells the seed of pools with protections", misuse);
    expect((violation->slot == CORK_MEMPOOL_NO_SLOT) ==
               ((kinds_without_slot >> violation->kind & 1) != 0),
           "a violation tells the slot where there is one", misuse);
    expect((is_sited && violation->kind != CORK_MEMPOOL_NEVER_ISSUED) ||
               (violation->new_site == NULL && violation->free_site == NULL),
           "only CALLSITES notes sites, and of calls alone", misuse);
    expect(!is_sited || violation->kind != CORK_MEMPOOL_DOUBLE_FREE ||
               (violation->new_site != NULL && violation->free_site != NULL),
           "CALLSITES notes sites", misuse);
    expect_slot(pool, stats, violation->pointer, violation->slot, misuse);
}

static void expect_leak(struct run_pool *pool, const struct misuse *misuse,
                        const struct cork_mempool_stats *stats)
{
    const struct cork_mempool_violation *violation = &run.result.violation;
    const size_t live_count = run.model.pools[run.pool].live_count;
    run.visit++;
    expect(violation->live_count == live_count &&
               violation->listed_count ==
                   (live_count < SUBJECT_LISTED_MAX ? live_count : SUBJECT_LISTED_MAX),
           "a leak report counts and lists live objects", misuse);
    for (size_t i = 0; i < violation->listed_count; i++) {
        const struct cork_mempool_object *object = &run.result.listed[i];
        model_visit(&run.model, run.pool, (void *)(uintptr_t)object->pointer, run.visit);
        expect(i == 0 || object->slot > run.result.listed[i - 1].slot,
               "live objects are listed by their slots", misuse);
        expect_slot(pool, stats, object->pointer, object->slot, misuse);
    }
}

/* Makes the call, which must be refused for what it is and change nothing. */
static void refuse(struct run_pool *pool, const struct misuse *misuse)
{
    static union subject_pool before;
    const size_t size = run.settings->subject->pool_size;
    struct cork_mempool_stats stats = {0};
    if (!misuse->is_dead) {
        stats = *run_stats();
    }
    memcpy(&before, misuse->storage, size);
    memory_enter(&pool->memory);
    run.settings->subject->call(misuse->storage, misuse->call, misuse->pointer, &run.result);
    memory_leave();
    run.work += 4 + pool->count / 16;
    expect_violation(pool, misuse, &stats);
    if (run.result.violation.kind == CORK_MEMPOOL_LEAK) {
        expect_leak(pool, misuse, &stats);
    }
    /* Which region free looks at first may have changed. */
    expect(misuse->kinds == KIND(CANARY_DAMAGED) || memcmp(&before, misuse->storage, size) == 0,
           "what is refused changes nothing", misuse);
    if (!misuse->is_dead) {
        expect(memcmp(&stats, run_stats(), sizeof(stats)) == 0, "what is refused changes nothing",
               misuse);
    }
}

static void refuse_free(struct run_pool *pool, const void *pointer, unsigned kinds)
{
    refuse(pool, &(struct misuse){.storage = &pool->storage,
                                  .call = SUBJECT_FREE,
                                  .pointer = (void *)(uintptr_t)pointer,
                                  .kinds = kinds,
                                  .reported = pointer});
}

/* A call that looks at the whole pool finds damage at an object. */
static void refuse_damage(struct run_pool *pool, unsigned choice, unsigned kinds,
                          const void *reported)
{
    static const enum subject_call calls[] = {SUBJECT_CHECK, SUBJECT_TRIM, SUBJECT_CLEAR};
    const enum subject_call call = calls[choice % 3];
    refuse(pool, &(struct misuse){
                     .storage = &pool->storage,
                     .call = call == SUBJECT_CLEAR && pool->count == 0 ? SUBJECT_DONE : call,
                     .kinds = kinds,
                     .reported = reported,
                 });
}

static bool has(const struct run_pool *pool, unsigned protections)
{
    return (pool->init.options.protections & protections) != 0;
}

static void free_twice(struct run_pool *pool, size_t index)
{
    if (pool->count > 0) {
        const void *object = pool->objects[pool->first + index % pool->count];
        run_free_at(pool, index % pool->count);
        refuse_free(pool, object, KIND(DOUBLE_FREE));
    }
}

static void free_freed(struct run_pool *pool, size_t index)
{
    const struct model_slot *slot = model_pick(&run.model, run.pool, index, true);
    if (slot != NULL) {
        refuse_free(pool, (const void *)slot->address, KIND(DOUBLE_FREE));
    }
}

/* From one byte behind an object's start to one before its neighbour's. */
static void free_interior(struct run_pool *pool, size_t index, size_t offset)
{
    const struct model_slot *slot = model_pick(&run.model, run.pool, index, false);
    const size_t size = run_stats()->slot_size;
    if (slot != NULL && size > 1) {
        refuse_free(pool, (const char *)slot->address + 1 + offset % (size - 1),
                    KIND(INTERIOR_POINTER));
    }
}

static void free_foreign(struct run_pool *pool, size_t choice)
{
    static const char bytes[64];
    const struct run_pool *other = &run.pools[(run.pool + 1 + choice / 8 % 3) % PROGRAM_POOL_COUNT];
    const struct cork_mempool_stats *stats = run_stats();
    char *heap = choice % 8 == 0 ? malloc(16) : NULL;
    const void *pointer = &bytes[choice / 8];
    if (choice % 8 == 0) {
        pointer = heap;
    } else if (choice % 8 == 1) {
        pointer = &heap;
    } else if (choice % 8 == 2) {
        pointer = (const void *)(uintptr_t)(1 + choice / 8);
    } else if (choice % 8 == 3) {
        pointer = (const char *)pool + choice / 8;
    } else if (choice % 8 < 6 && other->count > 0) {
        pointer = other->objects[other->first];
    } else if (choice % 8 == 6 && pool->base != 0 && stats->region_count == 1) {
        pointer = (const void *)(pool->base - 1 - choice / 8);
    } else if (choice % 8 == 7 && pool->base != 0 && stats->region_count == 1) {
        pointer = (const void *)(pool->base + stats->reserved_size + choice / 8);
    }
    refuse_free(pool, pointer, KIND(FOREIGN_POINTER));
    free(heap);
}

/* The slot behind the last that is known; whether it is the region's last, only figures tell. */
static void free_unissued(struct run_pool *pool)
{
    const struct model_pool *known = &run.model.pools[run.pool];
    const struct cork_mempool_stats stats = *run_stats();
    const struct model_slot *last = NULL;
    unsigned kinds = KIND(NEVER_ISSUED);
    for (size_t i = run.model.slot_count; i > 0 && last == NULL; i--) {
        last = run.model.slots[i - 1].pool == run.pool ? &run.model.slots[i - 1] : NULL;
    }
    if (last == NULL) {
        return;
    }
    if (has(pool, CORK_MEMPOOL_SHUFFLE) || stats.region_count != 1 ||
        stats.free_count <= known->freed_count) {
        kinds |= KIND(FOREIGN_POINTER) | KIND(INTERIOR_POINTER);
    }
    kinds |= pool->is_trimmed ? KIND(FOREIGN_POINTER) | KIND(DOUBLE_FREE) : 0;
    refuse_free(pool, (const char *)last->address + stats.slot_size, kinds);
}

/*
 * Writes before or behind an object. Before it is a canary that it shares with its neighbour, if
 * that has ever been issued, and who looks at all objects finds the damage there; behind it are
 * one of its own and, up to the next object, one for both.
 */
static void overrun(struct run_pool *pool, size_t index, unsigned choice, bool is_before)
{
    const size_t slot_size = run_stats()->slot_size;
    const size_t object_size = run.model.pools[run.pool].object_size;
    if (!has(pool, CORK_MEMPOOL_CANARY) || pool->count == 0) {
        return;
    }
    uint8_t *object = pool->objects[pool->first + index % pool->count];
    uint8_t *neighbour = object - slot_size;
    const bool is_shared = is_before && choice % 4 != 3 &&
                           model_find(&run.model, run.pool, (uintptr_t)neighbour) != NULL;
    const size_t size = 1 + choice / 4 % (is_before ? 8 : slot_size - object_size);
    uint8_t *start = is_before ? object - size : object + object_size;
    flip(start, size);
    if (choice % 4 == 3) {
        refuse_free(pool, object, KIND(CANARY_DAMAGED));
    } else if (is_shared || !is_before || !pool->is_trimmed) {
        refuse_damage(pool, choice, KIND(CANARY_DAMAGED), is_shared ? neighbour : object);
    }
    flip(start, size);
}

/* What is freed may be issued next, and must be where there is nothing else. */
static void reuse(struct run_pool *pool, void *damaged)
{
    const struct cork_mempool_stats before = *run_stats();
    const struct misuse misuse = {.call = SUBJECT_NEW, .reported = damaged};
    const bool is_next = before.free_count == 1 && !has(pool, CORK_MEMPOOL_QUARANTINE);
    run.damaged = damaged;
    run.result.violation.kind = (enum cork_mempool_violation_kind)0;
    run_new(pool);
    run.damaged = NULL;
    if (run.result.violation.kind != 0) {
        expect(memcmp(&before, run_stats(), sizeof(before)) == 0, "what is refused changes nothing",
               &misuse);
    } else if (is_next && pool->count == before.live_count + 1) {
        expect(false, "a write after free is found at reuse", &misuse);
    }
}

static void write_freed(struct run_pool *pool, size_t index, unsigned choice)
{
    const struct model_slot *slot = model_pick(&run.model, run.pool, index, true);
    const size_t size = run.model.pools[run.pool].object_size;
    if (slot == NULL || !has(pool, CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) {
        return;
    }
    uint8_t *object = (uint8_t *)slot->address;
    uint8_t *damage = object + size - 1 - size * (choice / 4) / 64;
    flip(damage, 1);
    if (choice % 4 == 3) {
        reuse(pool, object);
    } else {
        refuse_damage(pool, choice, KIND(WRITE_AFTER_FREE), object);
    }
    flip(damage, 1);
}

static void use_dead(struct run_pool *pool, unsigned choice)
{
    const enum subject_call call = (enum subject_call)(choice / 4 % SUBJECT_CALL_COUNT);
    const bool is_pointed = call == SUBJECT_FREE || call == SUBJECT_OWNS;
    struct misuse misuse = {.storage = &dead,
                            .call = call,
                            .pointer = &run,
                            .kinds = KIND(USE_BEFORE_INIT),
                            .reported = is_pointed ? &run : NULL,
                            .is_dead = true};
    memset(&dead, 0, sizeof(dead));
    if (choice % 4 == 2) {
        run_done(pool, ORDER_FIFO);
        misuse.storage = &pool->storage;
        misuse.kinds = KIND(USE_AFTER_DONE);
        refuse(pool, &misuse);
        run_init(pool);
        return;
    }
    if (choice % 4 == 3) {
        /* With an object, the pool has memory that points to it; new and free need not look. */
        if (pool->count == 0 || call == SUBJECT_NEW || call == SUBJECT_FREE) {
            return;
        }
        memcpy(&dead, &pool->storage, run.settings->subject->pool_size);
        misuse.kinds = KIND(NOT_A_POOL);
    }
    refuse(pool, &misuse);
}

void misuse_refused(struct run_pool *pool)
{
    const bool is_pointed = run.misuse.call == SUBJECT_FREE || run.misuse.call == SUBJECT_OWNS;
    const struct misuse misuse = {
        .storage = &pool->storage,
        .call = run.misuse.call,
        .kinds = run.misuse.is_misaligned ? KIND(BAD_SOURCE) : KIND(BUSY),
        .reported = is_pointed && !run.misuse.is_misaligned ? run.misuse.pointer : NULL};
    run.misuse.is_done = false;
    expect_violation(pool, &misuse, NULL);
}

/* In one of four calls, a callback uses the pool by one of all calls; or memory is misaligned. */
static void misbehave(struct run_pool *pool, unsigned choice)
{
    const unsigned number = choice / 4 % (SUBJECT_CALL_COUNT + 3);
    run.misuse = (struct run_misuse){
        .is_due = true,
        .is_misaligned = number >= SUBJECT_CALL_COUNT,
        .has_releases = choice % 2 == 1 && number < SUBJECT_CALL_COUNT,
        .passed_count = number >= SUBJECT_CALL_COUNT ? number - SUBJECT_CALL_COUNT : 0,
        .call = (enum subject_call)(number % SUBJECT_CALL_COUNT),
        .pointer = pool->count > 0 ? pool->objects[pool->first] : NULL,
    };
    switch (choice % 4) {
    case 0:
        run_new(pool);
        break;
    case 1:
        run_trim(pool);
        break;
    case 2:
        run_foreach(0);
        break;
    default:
        run_done(pool, ORDER_LIFO);
        run_init(pool);
        break;
    }
    run.misuse.is_due = false;
}

void misuse_execute(struct run_pool *pool, const struct operation *operation)
{
    const size_t first = operation->operands[0];
    const unsigned choice = (unsigned)operation->operands[1];
    switch (operation->kind) {
    case OPERATION_FREE_TWICE:
        free_twice(pool, first);
        break;
    case OPERATION_FREE_FREED:
        free_freed(pool, first);
        break;
    case OPERATION_FREE_INTERIOR:
        free_interior(pool, first, operation->operands[1]);
        break;
    case OPERATION_FREE_FOREIGN:
        free_foreign(pool, first);
        break;
    case OPERATION_FREE_UNISSUED:
        free_unissued(pool);
        break;
    case OPERATION_OVERFLOW:
    case OPERATION_UNDERFLOW:
        overrun(pool, first, choice, operation->kind == OPERATION_UNDERFLOW);
        break;
    case OPERATION_WRITE_FREED:
        write_freed(pool, first, choice);
        break;
    case OPERATION_USE_DEAD:
        use_dead(pool, (unsigned)first);
        break;
    case OPERATION_MISBEHAVE:
        misbehave(pool, (unsigned)first);
        break;
    default:
        if (pool->count > 0) {
            refuse(pool, &(struct misuse){
                             .storage = &pool->storage, .call = SUBJECT_DONE, .kinds = KIND(LEAK)});
        }
        break;
    }
}

ENGINE_END
