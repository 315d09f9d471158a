/* SPDX-License-Identifier: BSD-3-Clause */
#include "calls.h"

#include <errno.h>
#include <string.h>

#include "caller.h"
#include "engine.h"
#include "refusal.h"

ENGINE_BEGIN

#define GUARD_SIZE    64                 /* bytes behind a pool that it may not write */
#define MAX_LIVE_SIZE ((size_t)32 << 20) /* bytes of live objects, of all pools */

static void expect_no_memory(struct run *run, const char *expected)
{
    const struct requests *memory = &run_pool(run)->memory;
    run_require(run, memory->mapped_size == 0 && memory->heap_count == 0, expected);
}

/* A live object is about to be freed. The youngest takes the place of one in the middle: that takes
 * constant time. */
static void *take_at(struct run *run, size_t index)
{
    struct run_pool *pool = run_pool(run);
    void **place = run_place(pool, index);
    void *object = *place;
    *place = *run_place(pool, --pool->count);
    pool->first += index == 0;
    run->work++;
    run->live_count--;
    run->live_size -= run_known(run)->object_size;
    model_free(&run->model, run->pool, object);
    return object;
}

static void visit(void *user_data, void *object)
{
    struct run *run = user_data;
    struct run_pool *pool = run_pool(run);
    struct subject_result result = {.error = 0};
    run->work++;
    run->visited_count++;
    model_visit(&run->model, run->pool, object, run->visit);
    if (run->misuse.call > SUBJECT_FREE) {
        caller_misuse(run);
    }
    if (run->visit_every != 0 && run->visited_count % run->visit_every == 0) {
        size_t index = 0;
        while (*run_place(pool, index) != object) {
            index++;
        }
        take_at(run, index);
        run->settings->subject->call(&pool->storage, SUBJECT_FREE, object, &result);
        run_require(run, result.violation.kind == 0, "a visitor may free the object it is given");
    }
}

/* Whether what stats says of free objects holds, after a call that was not refused: it is more than
 * 0 exactly where new asks for no memory, and changes by one with each object. */
static void expect_count(struct run *run, enum subject_call call, const void *pointer,
                         bool has_asked)
{
    struct run_pool *pool = run_pool(run);
    const struct subject *subject = run->settings->subject;
    const struct subject_result *result = &run->result;
    if (call == SUBJECT_STATS) {
        run_require(run, !pool->is_counted || result->stats.free_count == pool->free_count,
                    "a pool counts its free objects");
        /* Where no memory could hold a block, what rests is issued, and nobody is asked. */
        pool->is_counted = subject->keeps_freed && !subject->is_unseen &&
                           result->stats.region_count > 0 &&
                           (run_known(run)->memory == MODEL_NEW_SUCCEEDS ||
                            !run_has(run, CORK_MEMPOOL_QUARANTINE));
        pool->free_count = result->stats.free_count;
    } else if (call == SUBJECT_NEW) {
        const bool must_ask = pool->free_count == 0;
        run_require(run, !pool->is_counted || result->object == NULL || must_ask == has_asked,
                    "new asks for memory where no object is free, and only there");
        pool->is_counted &= result->object != NULL && !has_asked;
        pool->free_count--;
    } else if (call == SUBJECT_FREE) {
        /* What is put into quarantine is not free, and may let another out. */
        pool->is_counted &= !run_has(run, CORK_MEMPOOL_QUARANTINE);
        pool->free_count += pointer != NULL;
    } else {
        pool->is_counted &= call == SUBJECT_CHECK || call == SUBJECT_OWNS;
    }
}

void calls_try(struct run *run, union subject_pool *storage, enum subject_call call,
               const void *pointer)
{
    run->result.visit = visit;
    run->result.visit_data = run;
    requests_count(&run_pool(run)->memory);
    run->settings->subject->call(storage, call, (void *)(uintptr_t)pointer, &run->result);
    requests_count(NULL);
    refusal_verify(run, storage);
    run->refusal = (struct run_refusal){.kinds = KIND_NONE};
}

const struct subject_result *calls_make(struct run *run, enum subject_call call,
                                        const void *pointer)
{
    struct run_pool *pool = run_pool(run);
    const size_t request_count = pool->memory.count;
    calls_try(run, &pool->storage, call, pointer);
    if (run->result.violation.kind == 0) {
        expect_count(run, call, pointer, pool->memory.count != request_count);
    } else {
        pool->is_counted = false;
    }
    return &run->result;
}

const struct cork_mempool_stats *calls_stats(struct run *run)
{
    return &calls_make(run, SUBJECT_STATS, NULL)->stats;
}

/* Where a pool of these options may have come by its newest object. */
static void expect_memory(struct run *run)
{
    const struct run_pool *pool = run_pool(run);
    const struct cork_mempool_options *options = &pool->init.options;
    const size_t request_count = pool->memory.count;
    const size_t offset = (uintptr_t)run->result.object - (uintptr_t)options->buffer;
    const bool is_inside = offset <= options->buffer_size &&
                           run_known(run)->object_size <= options->buffer_size - offset;
    run_require(run, options->source == NULL || request_count == pool->source_count,
                "all memory comes from the caller's source");
    run_require(run,
                options->buffer != NULL || request_count != 0 || run->settings->subject->is_unseen,
                "a first object takes memory; only a static subject's is seen");
    run_require(run, options->buffer == NULL || (request_count == 0 && is_inside),
                "all memory comes from the caller's buffer");
}

static bool may_issue(struct run *run)
{
    const struct model_pool *known = run_known(run);
    if (run->work >= run->max_work || run->model.slot_count == MODEL_SLOT_LIMIT) {
        return false;
    }
    return known->memory == MODEL_NEW_FAILS ||
           (run->live_count < MODEL_LIVE_LIMIT && known->object_size <= MAX_LIVE_SIZE &&
            run->live_size <= MAX_LIVE_SIZE - known->object_size);
}

static void try_new(struct run *run)
{
    struct run_pool *pool = run_pool(run);
    const struct model_pool *known = run_known(run);
    const struct requests before = pool->memory;
    const size_t construct_count = pool->construct_count;
    const bool is_refused = calls_make(run, SUBJECT_NEW, NULL)->violation.kind != 0;
    void *object = run->result.object;
    if (pool->memory.refused_count != before.refused_count) {
        model_pressed(&run->model, run->pool);
    }
    run->work += 8 * (pool->memory.count - before.count);
    run_require(run,
                is_refused || object != NULL || !run->settings->subject->keeps_freed ||
                    known->freed_count != 0 || pool->construct_count != construct_count ||
                    (pool->memory.mapped_size == before.mapped_size &&
                     pool->memory.heap_count == before.heap_count),
                "a new that fails keeps no memory");
    /* Where the constructor fails, new fails as the constructor says. */
    if (is_refused || (object == NULL && run->result.error == EDOM &&
                       pool->construct_count == construct_count + 1)) {
        return;
    }
    model_new(&run->model, run->pool, object, run->result.error);
    if (object != NULL) {
        run_require(run, run->result.error == 0, "a new that succeeds leaves errno alone");
        expect_memory(run);
        *run_place(pool, pool->count++) = object;
        run->live_count++;
        run->live_size += known->object_size;
    }
}

void calls_new(struct run *run)
{
    struct requests *memory = &run_pool(run)->memory;
    const struct requests before = *memory;
    const struct model_pool *known = run_known(run);
    if (!may_issue(run)) {
        return;
    }
    run->work += 1 + (known->object_size < 8192 ? known->object_size : 8192) / 512;
    try_new(run);
    if (run->settings->is_retrying && run->result.object == NULL &&
        known->options->buffer == NULL && known->memory == MODEL_NEW_SUCCEEDS &&
        known->live_count != known->max_objects) {
        memory->mask = memory->last = 0;
        memory->limited_kinds = 0;
        try_new(run);
        memory->mask = before.mask;
        memory->last = before.last;
        memory->limited_kinds = before.limited_kinds;
        run_require(run, run->result.object != NULL || run->result.error == EDOM,
                    "where there is memory again, new succeeds");
    }
}

void calls_free_at(struct run *run, size_t index)
{
    const size_t count = run_pool(run)->count;
    if (count > 0) {
        calls_make(run, SUBJECT_FREE, take_at(run, index % count));
    }
}

/* Frees an object that an order says. *state is 0 at first, and its own after. */
static void free_next(struct run *run, size_t order, uint32_t *state)
{
    const size_t count = run_pool(run)->count;
    const enum order_kind kind = (enum order_kind)(order % 4);
    size_t index = kind == ORDER_LIFO ? count - 1 : 0;
    if (count == 0) {
        return;
    } else if (kind == ORDER_STRIDE) {
        index = *state % count;
        *state = (uint32_t)(index + order / 4);
    } else if (kind == ORDER_RANDOM) {
        *state = (*state + (uint32_t)order) * 1664525 + 1013904223;
        index = *state >> 8;
    }
    calls_free_at(run, index);
}

void calls_free_many(struct run *run, size_t count, size_t order, bool are_replaced)
{
    uint32_t state = 0;
    for (size_t i = 0; i < count && (are_replaced || run_pool(run)->count > 0); i++) {
        free_next(run, order, &state);
        if (are_replaced) {
            calls_new(run);
        }
    }
}

/* Where protections must be verified, check looks at each byte. Returns: units of work. */
static size_t check_work(struct run *run)
{
    const struct model_pool *known = run_known(run);
    const size_t count = known->live_count + known->freed_count;
    return run_has(run, CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)
               ? count * (1 + known->object_size / 512)
               : 0;
}

void calls_inspect(struct run *run, size_t work)
{
    const uint8_t *behind = &run_pool(run)->storage.bytes[run->settings->subject->pool_size];
    const bool is_deep = check_work(run) <= work;
    run_require(run, !is_deep || calls_make(run, SUBJECT_CHECK, NULL)->is_true,
                "a pool's invariants hold");
    run->work += is_deep ? check_work(run) : 0;
    run_require(
        run, behind[0] == run_garbage[run->pool] && memcmp(behind, behind + 1, GUARD_SIZE - 1) == 0,
        "a pool writes to nothing behind itself");
    model_inspected(&run->model, run->pool, calls_stats(run));
}

void calls_check(struct run *run)
{
    const unsigned current = run->pool;
    model_compare(&run->model);
    run->work += run->live_count;
    for (run->pool = 0; run->pool < PROGRAM_POOL_COUNT; run->pool++) {
        if (run_pool(run)->is_initialized) {
            calls_inspect(run, SIZE_MAX);
        }
    }
    run->pool = current;
}

void calls_done(struct run *run, size_t order)
{
    calls_free_many(run, SIZE_MAX, order, false);
    calls_inspect(run, 0);
    run->work += check_work(run);
    if (calls_make(run, SUBJECT_DONE, NULL)->violation.kind != 0) {
        calls_make(run, SUBJECT_DONE, NULL);
    }
    model_done(&run->model, run->pool);
    run_pool(run)->is_initialized = false;
    expect_no_memory(run, "done gives all memory back");
    caller_end(run);
}

/* Options that are refused are replaced. */
void calls_init(struct run *run)
{
    struct run_pool *pool = run_pool(run);
    struct cork_mempool_options *options = &pool->init.options;
    const struct subject *subject = run->settings->subject;
    const enum model_verdict verdict = model_verdict(&pool->init);
    static union subject_pool before;
    caller_start(run);
    memcpy(&before, &pool->storage, subject->pool_size);
    errno = 0;
    pool->is_initialized = true;
    memset(&pool->is_trimmed, 0,
           offsetof(struct run_pool, objects) - offsetof(struct run_pool, is_trimmed));
    /* Not every kernel makes guards, and a program must do the same everywhere. */
    pool->memory = (struct requests){
        .lacks = NO_GUARDS, .numbered_kinds = EVERYTHING, .mask = run->settings->failing_mask};
    requests_count(&pool->memory);
    if (subject->init(&pool->storage, &pool->init)) {
        run_require(run, verdict != MODEL_REFUSED, "options that cannot be met are refused");
    } else {
        run_require(run, verdict != MODEL_ACCEPTED, "options that can be met are accepted");
        run_require(run,
                    errno == EINVAL && memcmp(&before, &pool->storage, subject->pool_size) == 0,
                    "a refused init sets errno to EINVAL and leaves the pool as it is");
        pool->init.form = SUBJECT_INIT_SIZE_EX;
        *options = (struct cork_mempool_options){.element_size = options->element_size,
                                                 .block_size = options->block_size};
        subject->init(&pool->storage, &pool->init);
    }
    requests_count(NULL);
    model_init(&run->model, run->pool, &pool->init);
    run_known(run)->is_limited |= run->settings->failing_mask != 0;
    run_require(run, pool->memory.count == 0, "init takes no memory");
}

void calls_foreach(struct run *run, size_t every)
{
    const size_t live_count = run_known(run)->live_count;
    run->visit++;
    run->visit_every = every;
    run->visited_count = 0;
    calls_make(run, SUBJECT_FOREACH, NULL);
    run_require(run, run->visited_count == live_count || run->result.violation.kind != 0,
                "all live objects are visited");
}

static void expect_owns(struct run *run, const void *pointer, bool is_owned)
{
    calls_make(run, SUBJECT_OWNS, pointer);
    run_require(run, run->result.is_true == is_owned,
                "a pool owns its live objects and nothing else");
}

void calls_owns(struct run *run, size_t index)
{
    const char *object = run_object(run, index);
    const struct model_slot *slot = model_pick(&run->model, run->pool, index, true);
    expect_owns(run, NULL, false);
    expect_owns(run, run, false);
    if (slot != NULL) {
        expect_owns(run, (const void *)slot->address, false);
    }
    if (object != NULL) {
        expect_owns(run, object, true);
    }
    if (object != NULL && run_known(run)->object_size > 1) {
        expect_owns(run, object + 1, false);
    }
}

void calls_clear(struct run *run)
{
    struct model_pool *known = run_known(run);
    const uint32_t first = known->free_number;
    const uint32_t end = first + (uint32_t)known->live_count;
    while (run_pool(run)->count > 0) {
        known->free_number = first; /* any of them may be freed first, and rest longest */
        take_at(run, run_pool(run)->count - 1);
    }
    known->free_number = end;
    calls_make(run, SUBJECT_CLEAR, NULL);
}

void calls_trim(struct run *run)
{
    struct run_pool *pool = run_pool(run);
    const struct cork_mempool_stats *stats = calls_stats(run);
    /* Where requests were refused, tables may be committed without their slots, and not counted. */
    const size_t most = pool->memory.refused_count > 0 ? stats->reserved_size : stats->memory_size;
    const size_t released_size = pool->released_size;
    const bool is_refused = calls_make(run, SUBJECT_TRIM, NULL)->violation.kind != 0;
    run_require(run,
                is_refused || (run->result.size <= most &&
                               (pool->init.options.source == NULL ||
                                run->result.size == pool->released_size - released_size)),
                "trim says how much it has given back");
    model_trim(&run->model, run->pool);
    run->work += 16;
    pool->is_trimmed = true;
    pool->base = 0;
    if (pool->count == 0 && !is_refused) {
        expect_no_memory(run, "trim gives back all that no object needs");
    }
}

ENGINE_END
