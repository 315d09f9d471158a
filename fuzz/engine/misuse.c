/* SPDX-License-Identifier: BSD-3-Clause */
#include "misuse.h"

#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "engine.h"
#include "refusal.h"

ENGINE_BEGIN

/* What is no pool, and no pool's object. */
static union subject_pool dead;

/* Inverts bytes that nobody may touch. */
__attribute__((no_sanitize("address"), noinline)) static void flip(const struct run *run,
                                                                   uint8_t *bytes, size_t size)
{
    if (run->settings->observer != NULL) {
        run->settings->observer->damage(bytes, size);
    }
    for (size_t i = 0; i < size; i++) {
        ((volatile uint8_t *)bytes)[i] ^= 0xff;
    }
}

static bool is_pointed(enum subject_call call)
{
    return call == SUBJECT_FREE || call == SUBJECT_OWNS;
}

/* Makes a call that must be refused as said and change nothing. */
static void refuse(struct run *run, union subject_pool *storage, enum subject_call call,
                   struct run_refusal refusal)
{
    static union subject_pool before;
    const size_t size = run->settings->subject->pool_size;
    const bool is_dead = (refusal.kinds & KINDS_WITHOUT_POOL) != 0;
    struct cork_mempool_stats stats = {0};
    if (!is_dead) {
        stats = *calls_stats(run);
    }
    memcpy(&before, storage, size);
    run->refusal = refusal;
    calls_try(run, storage, call, refusal.pointer);
    run->work += 4 + run_pool(run)->count / 16;
    /* Which region free looks at first may have changed. */
    run_require(run,
                (refusal.kinds == KIND(CANARY_DAMAGED) || memcmp(&before, storage, size) == 0) &&
                    (is_dead || memcmp(&stats, calls_stats(run), sizeof(stats)) == 0),
                "what is refused changes nothing");
}

void misuse_refuse_dead(struct run *run, union subject_pool *storage, enum subject_call call,
                        unsigned kind)
{
    refuse(run, storage, call, (struct run_refusal){kind, is_pointed(call) ? run : NULL, NULL});
}

void misuse_refuse_free(struct run *run, const void *pointer, unsigned kinds)
{
    refuse(run, &run_pool(run)->storage, SUBJECT_FREE, (struct run_refusal){kinds, pointer, NULL});
}

/* A call that looks at the whole pool finds damage at an object. */
static void refuse_damage(struct run *run, size_t choice, struct run_refusal refusal)
{
    const enum subject_call last = run_pool(run)->count > 0 ? SUBJECT_CLEAR : SUBJECT_DONE;
    const enum subject_call calls[] = {SUBJECT_CHECK, SUBJECT_TRIM, last};
    refuse(run, &run_pool(run)->storage, calls[choice % 3], refusal);
}

void misuse_free_twice(struct run *run, size_t index)
{
    const void *object = run_object(run, index);
    if (object != NULL) {
        calls_free_at(run, index);
        misuse_refuse_free(run, object, KIND(DOUBLE_FREE));
    }
}

void misuse_free_freed(struct run *run, size_t index)
{
    const struct model_slot *slot = model_pick(&run->model, run->pool, index, true);
    if (slot != NULL) {
        misuse_refuse_free(run, (const void *)slot->address, KIND(DOUBLE_FREE));
    }
}

/* From one byte behind an object's start to one before its neighbour's. */
void misuse_free_interior(struct run *run, size_t index, size_t offset)
{
    const struct model_slot *slot = model_pick(&run->model, run->pool, index, false);
    const size_t size = calls_stats(run)->slot_size;
    if (slot != NULL && size > 1) {
        misuse_refuse_free(run, (const char *)slot->address + 1 + offset % (size - 1),
                           KIND(INTERIOR_POINTER));
    }
}

void misuse_free_foreign(struct run *run, size_t choice)
{
    static const char bytes[64];
    const struct run_pool *pool = run_pool(run);
    const size_t number = choice / 8;
    struct run_pool *other = &run->pools[(run->pool + 1 + number % 3) % PROGRAM_POOL_COUNT];
    const struct cork_mempool_stats *stats = calls_stats(run);
    const bool has_base = pool->base != 0 && stats->region_count == 1;
    const uintptr_t end = pool->base + stats->reserved_size;
    const void *stranger = &bytes[number];
    const void *object = other->count > 0 ? *run_place(other, 0) : stranger;
    char *heap = choice % 8 == 0 ? malloc(16) : NULL;
    const void *const pointers[] = {
        heap,
        &heap,
        (const void *)(uintptr_t)(1 + number),
        (const char *)pool + number,
        object,
        object,
        has_base ? (const void *)(pool->base - 1 - number) : stranger,
        has_base ? (const void *)(end + number) : stranger,
    };
    misuse_refuse_free(run, pointers[choice % 8], KIND(FOREIGN_POINTER));
    free(heap);
}

/* The slot behind the last that is known; whether it is the region's last, only figures tell. */
void misuse_free_unissued(struct run *run)
{
    const struct cork_mempool_stats stats = *calls_stats(run);
    const struct model_slot *last = NULL;
    unsigned kinds = KIND(NEVER_ISSUED);
    for (size_t i = run->model.slot_count; i > 0 && last == NULL; i--) {
        last = run->model.slots[i - 1].pool == run->pool ? &run->model.slots[i - 1] : NULL;
    }
    if (last == NULL) {
        return;
    }
    if (run_has(run, CORK_MEMPOOL_SHUFFLE) || stats.region_count != 1 ||
        stats.free_count <= run_known(run)->freed_count) {
        kinds |= KIND(FOREIGN_POINTER) | KIND(INTERIOR_POINTER);
    }
    kinds |= run_pool(run)->is_trimmed ? KIND(FOREIGN_POINTER) | KIND(DOUBLE_FREE) : 0;
    misuse_refuse_free(run, (const char *)last->address + stats.slot_size, kinds);
}

/*
 * Writes before or behind an object. Before it is a canary that it shares with its neighbour, if
 * that has ever been issued, and who looks at all objects finds the damage there; behind it are
 * one of its own and, up to the next object, one for both. Of the neighbour, trim may have left
 * nothing.
 */
void misuse_overrun(struct run *run, size_t index, size_t choice, bool is_before)
{
    const size_t slot_size = calls_stats(run)->slot_size;
    const size_t object_size = run_known(run)->object_size;
    uint8_t *object = run_object(run, index);
    if (!run_has(run, CORK_MEMPOOL_CANARY) || object == NULL) {
        return;
    }
    uint8_t *neighbour = object - slot_size;
    const bool is_shared =
        is_before && model_find(&run->model, run->pool, (uintptr_t)neighbour) != NULL;
    const size_t size = 1 + choice / 4 % (is_before ? 8 : slot_size - object_size);
    uint8_t *start = is_before ? object - size : object + object_size;
    const bool is_unclear = is_before && run_pool(run)->is_trimmed;
    flip(run, start, size);
    if (choice % 4 == 3) {
        misuse_refuse_free(run, object, KIND(CANARY_DAMAGED));
    } else {
        const uint8_t *const other = is_shared ? object : neighbour;
        refuse_damage(run, choice,
                      (struct run_refusal){KIND(CANARY_DAMAGED), is_shared ? neighbour : object,
                                           is_unclear ? other : NULL});
    }
    flip(run, start, size);
}

/* What is freed may be issued next, and must be where there is nothing else. */
static void reuse(struct run *run, void *damaged)
{
    const struct cork_mempool_stats before = *calls_stats(run);
    const bool is_next = before.free_count == 1 && !run_has(run, CORK_MEMPOOL_QUARANTINE);
    run->refusal = (struct run_refusal){KIND(WRITE_AFTER_FREE) | KIND_NONE, damaged, NULL};
    run->result.violation.kind = (enum cork_mempool_violation_kind)0;
    calls_new(run);
    run->refusal.kinds = KIND_NONE;
    const bool is_found = run->result.violation.kind != 0;
    run_require(run, is_found || !is_next || run_pool(run)->count != before.live_count + 1,
                "a write after free is found at reuse");
    run_require(run, !is_found || memcmp(&before, calls_stats(run), sizeof(before)) == 0,
                "what is refused changes nothing");
}

void misuse_write_freed(struct run *run, size_t index, size_t choice)
{
    const struct model_slot *slot = model_pick(&run->model, run->pool, index, true);
    const size_t size = run_known(run)->object_size;
    if (slot == NULL || !run_has(run, CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) {
        return;
    }
    uint8_t *object = (uint8_t *)slot->address;
    uint8_t *damage = object + size - 1 - size * (choice / 4) / 64;
    flip(run, damage, 1);
    if (choice % 4 == 3) {
        reuse(run, object);
    } else {
        refuse_damage(run, choice, (struct run_refusal){KIND(WRITE_AFTER_FREE), object, NULL});
    }
    flip(run, damage, 1);
}

void misuse_use_dead(struct run *run, size_t choice)
{
    const enum subject_call call = (enum subject_call)(choice / 4 % SUBJECT_CALL_COUNT);
    struct run_pool *pool = run_pool(run);
    if (choice % 4 == 2) {
        calls_done(run, ORDER_FIFO);
        misuse_refuse_dead(run, &pool->storage, call, KIND(USE_AFTER_DONE));
        calls_init(run);
    } else if (choice % 4 < 2) {
        memset(&dead, 0, sizeof(dead));
        misuse_refuse_dead(run, &dead, call, KIND(USE_BEFORE_INIT));
    } else if (pool->count > 0 && call != SUBJECT_NEW && call != SUBJECT_FREE) {
        /* With an object, the pool has memory that points to it; new and free need not look. */
        memcpy(&dead, &pool->storage, run->settings->subject->pool_size);
        misuse_refuse_dead(run, &dead, call, KIND(NOT_A_POOL));
    }
}

/* In one of four calls, a callback uses the pool by one of all calls; or memory is misaligned. */
void misuse_misbehave(struct run *run, size_t choice)
{
    const size_t number = choice / 4 % (SUBJECT_CALL_COUNT + 3);
    const bool is_misaligned = number >= SUBJECT_CALL_COUNT;
    const enum subject_call call = (enum subject_call)(number % SUBJECT_CALL_COUNT);
    run->misuse = (struct run_misuse){
        .kind = is_misaligned ? KIND(BAD_SOURCE) : KIND(BUSY),
        .has_releases = choice % 2 == 1 && !is_misaligned,
        .passed_count = is_misaligned ? (unsigned)(number - SUBJECT_CALL_COUNT) : 0,
        .call = call,
        .pointer = is_pointed(call) ? run_object(run, 0) : NULL,
    };
    if (choice % 4 == 0) {
        calls_new(run);
    } else if (choice % 4 == 1) {
        calls_trim(run);
    } else if (choice % 4 == 2) {
        calls_foreach(run, 0);
    } else {
        calls_done(run, ORDER_LIFO);
        calls_init(run);
    }
    run->misuse.kind = 0;
}

void misuse_leak(struct run *run)
{
    if (run_pool(run)->count > 0) {
        refuse(run, &run_pool(run)->storage, SUBJECT_DONE,
               (struct run_refusal){KIND(LEAK), NULL, NULL});
    }
}

ENGINE_END
