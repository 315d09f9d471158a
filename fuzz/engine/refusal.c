/* SPDX-License-Identifier: BSD-3-Clause */
#include "refusal.h"

#include <limits.h>

#include "engine.h"

ENGINE_BEGIN

/* Slots are counted from the start of their region: once one is known, so are all others. */
static void verify_slot(struct run *run, const void *pointer, size_t slot)
{
    const struct cork_mempool_stats *stats = &run->result.stats;
    struct run_pool *pool = run_pool(run);
    if (slot == CORK_MEMPOOL_NO_SLOT || stats->region_count != 1) {
        return;
    }
    if (pool->base == 0) {
        /* pointer may lie in the middle of its slot, known is the start of one. */
        const uintptr_t known = model_pick(&run->model, run->pool, 0, false)->address;
        const size_t into = (uintptr_t)pointer + stats->slot_size - known % stats->slot_size;
        pool->base = (uintptr_t)pointer - into % stats->slot_size - slot * stats->slot_size;
    }
    run_require(run, ((uintptr_t)pointer - pool->base) / stats->slot_size == slot,
                "slots are counted in order");
}

static void verify_leak(struct run *run)
{
    const struct cork_mempool_violation *violation = &run->result.violation;
    const size_t live_count = run_known(run)->live_count;
    const size_t listed = live_count < SUBJECT_LISTED_MAX ? live_count : SUBJECT_LISTED_MAX;
    run->visit++;
    run_require(run, violation->live_count == live_count && violation->listed_count == listed,
                "a leak report counts and lists live objects");
    for (size_t i = 0; i < listed; i++) {
        const struct cork_mempool_object *object = &run->result.listed[i];
        model_visit(&run->model, run->pool, (void *)(uintptr_t)object->pointer, run->visit);
        run_require(run, i == 0 || object->slot > object[-1].slot,
                    "live objects are listed by their slots");
        verify_slot(run, object->pointer, object->slot);
    }
}

/* What a violation says of a pool that lives: its seed, the slot, and sites if it notes them. */
static void verify_details(struct run *run)
{
    const struct cork_mempool_violation *violation = &run->result.violation;
    const uint64_t seed = run_pool(run)->init.options.seed;
    const unsigned kinds_without_slot =
        KIND(FOREIGN_POINTER) | KIND(LEAK) | KIND(BUSY) | KIND(BAD_SOURCE);
    const bool has_slot = (kinds_without_slot >> violation->kind & 1) == 0;
    const bool has_site = violation->new_site != NULL || violation->free_site != NULL;
    const bool has_both = violation->new_site != NULL && violation->free_site != NULL;
    const bool is_sited = run_has(run, CORK_MEMPOOL_CALLSITES);
    run_require(run,
                violation->is_seeded == run_has(run, UINT_MAX) &&
                    (!violation->is_seeded || seed == 0 || violation->seed == seed),
                "a violation tells the seed of pools with protections");
    run_require(run, (violation->slot != CORK_MEMPOOL_NO_SLOT) == has_slot,
                "a violation tells the slot where there is one");
    run_require(run, (is_sited && violation->kind != CORK_MEMPOOL_NEVER_ISSUED) || !has_site,
                "only CALLSITES notes sites, and of calls alone");
    run_require(run, !is_sited || violation->kind != CORK_MEMPOOL_DOUBLE_FREE || has_both,
                "CALLSITES notes sites");
}

void refusal_verify(struct run *run, const union subject_pool *storage)
{
    const struct run_refusal *refusal = &run->refusal;
    const struct cork_mempool_violation *violation = &run->result.violation;
    const bool is_dead = (refusal->kinds & KINDS_WITHOUT_POOL) != 0;
    const size_t element_size = is_dead ? 0 : run_known(run)->object_size;
    const bool is_reported = violation->pointer == refusal->pointer ||
                             (refusal->or_else != NULL && violation->pointer == refusal->or_else);
    run_require(run, (refusal->kinds >> violation->kind & 1) != 0,
                refusal->kinds == KIND_NONE ? "a call is not refused"
                                            : "misuse is refused for what it is");
    if (violation->kind == 0) {
        return;
    }
    run_require(run,
                violation->message == cork_mempool_violation_message(violation->kind) &&
                    violation->pool == (const void *)storage && is_reported &&
                    violation->element_size == element_size,
                "a violation says what was misused");
    if (is_dead) {
        run_require(run, violation->slot == CORK_MEMPOOL_NO_SLOT && !violation->is_seeded,
                    "nothing is known of what is no pool");
        return;
    }
    verify_details(run);
    verify_slot(run, violation->pointer, violation->slot);
    if (violation->kind == CORK_MEMPOOL_LEAK) {
        verify_leak(run);
    }
}

ENGINE_END
