/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "run_state.h"

ENGINE_BEGIN

/* What pools hold before their first init, and what follows them. */
const uint8_t run_garbage[PROGRAM_POOL_COUNT] = {0xa5, 0x00, 0xff, 0x5a};
#define GUARD_SIZE 64

static void expect_no_memory(const struct memory_account *memory, const char *expected)
{
    if (memory->mapped_size != 0 || memory->heap_count != 0) {
        char seen[100];
        snprintf(seen, sizeof(seen), "%zu bytes mapped, %zu allocations", memory->mapped_size,
                 memory->heap_count);
        run_failed(expected, seen);
    }
}

static void live_append(struct run_pool *pool, void *object)
{
    if (pool->first + pool->count == 2 * MODEL_LIVE_LIMIT) {
        memmove(pool->objects, &pool->objects[pool->first], pool->count * sizeof(void *));
        pool->first = 0;
    }
    pool->objects[pool->first + pool->count++] = object;
}

/* The youngest takes the place of one in the middle: that takes constant time. */
static void *live_remove(struct run_pool *pool, size_t index)
{
    void **objects = &pool->objects[pool->first];
    void *object = objects[index];
    pool->count--;
    if (index == 0) {
        pool->first++;
    } else {
        objects[index] = objects[pool->count];
    }
    return object;
}

static bool may_issue(const struct model_pool *pool)
{
    if (run.work >= run.max_work || run.model.slot_count == MODEL_SLOT_LIMIT) {
        return false;
    }
    return pool->memory == MODEL_NEW_FAILS ||
           (run.live_count < MODEL_LIVE_LIMIT && pool->object_size <= RUN_MAX_LIVE_SIZE &&
            run.live_size <= RUN_MAX_LIVE_SIZE - pool->object_size);
}

/* Whether what stats says of free objects holds, after a call that was not refused: it is more than
 * 0 exactly where new asks for no memory, and changes by one with each object. */
static void expect_count(struct run_pool *pool, enum subject_call call, const void *pointer,
                         bool has_asked)
{
    const bool is_new = call == SUBJECT_NEW;
    if (pool->is_counted && is_new && run.result.object != NULL &&
        (pool->free_count != 0) == has_asked) {
        run_failed("new asks for memory where no object is free, and only there",
                   has_asked ? "it does" : "it does not");
    }
    if (pool->is_counted && call == SUBJECT_STATS &&
        run.result.stats.free_count != pool->free_count) {
        run_failed("a pool counts its free objects", "it does not");
    }
    switch (call) {
    case SUBJECT_STATS:
        /* Who can never have another block asks for none. */
        pool->is_counted = run.settings->subject->keeps_freed &&
                           !run.settings->subject->is_unseen &&
                           run.model.pools[run.pool].memory == MODEL_NEW_SUCCEEDS &&
                           run.result.stats.region_count > 0;
        pool->free_count = run.result.stats.free_count;
        break;
    case SUBJECT_NEW:
        pool->is_counted &= run.result.object != NULL && !has_asked;
        pool->free_count--;
        break;
    case SUBJECT_FREE:
        /* What is put into quarantine is not free, and may let another out. */
        pool->is_counted &= (pool->init.options.protections & CORK_MEMPOOL_QUARANTINE) == 0;
        pool->free_count += pointer != NULL;
        break;
    case SUBJECT_CHECK:
    case SUBJECT_OWNS:
        break;
    default:
        pool->is_counted = false;
        break;
    }
}

const struct subject_result *run_call(enum subject_call call, void *pointer)
{
    struct run_pool *pool = &run.pools[run.pool];
    const size_t request_count = pool->memory.request_count;
    memory_enter(&pool->memory);
    run.settings->subject->call(&pool->storage, call, pointer, &run.result);
    memory_leave();
    if (run.misuse.is_done) {
        misuse_refused(pool);
    } else if (run.result.violation.kind != 0 &&
               (call != SUBJECT_NEW || run.damaged == NULL ||
                run.result.violation.kind != CORK_MEMPOOL_WRITE_AFTER_FREE ||
                run.result.violation.pointer != run.damaged)) {
        run_failed("a call is not refused", run.result.violation.message);
    }
    if (run.result.violation.kind == 0) {
        expect_count(pool, call, pointer, pool->memory.request_count != request_count);
    } else {
        pool->is_counted = false;
    }
    return &run.result;
}

const struct cork_mempool_stats *run_stats(void)
{
    return &run_call(SUBJECT_STATS, NULL)->stats;
}

/* Where a pool of these options may have come by its newest object. */
static void expect_memory(const struct run_pool *pool, const void *object)
{
    const struct cork_mempool_options *options = &pool->init.options;
    const size_t offset = (size_t)((uintptr_t)object - (uintptr_t)options->buffer);
    if (options->buffer == NULL && pool->memory.request_count == 0 &&
        !run.settings->subject->is_unseen) {
        run_failed("a first object takes memory", "no request; memory.c needs a static subject");
    }
    if (options->source != NULL && pool->memory.request_count != pool->source_count) {
        run_failed("all memory comes from the caller's source", "another request");
    }
    if (options->buffer != NULL &&
        (pool->memory.request_count != 0 || offset > options->buffer_size ||
         run.model.pools[run.pool].object_size > options->buffer_size - offset)) {
        run_failed("all memory comes from the caller's buffer", "other memory");
    }
}

/* A new that the constructor failed gives what the constructor says. */
static bool is_not_constructed(const struct run_pool *pool, size_t construct_count)
{
    return run.result.object == NULL && run.result.error == EDOM &&
           pool->construct_count == construct_count + 1;
}

/* Fails, when all memory can be had again, what need not have failed. */
static void retry(struct run_pool *pool)
{
    const struct memory_account before = pool->memory;
    const struct model_pool *known = &run.model.pools[run.pool];
    const size_t construct_count = pool->construct_count;
    if (known->memory != MODEL_NEW_SUCCEEDS || known->live_count == known->max_objects ||
        known->has_buffer) {
        return;
    }
    pool->memory.largest_mapping = 0;
    pool->memory.failing_request = 0;
    pool->memory.failing_mask = 0;
    if (run_call(SUBJECT_NEW, NULL)->object == NULL && !is_not_constructed(pool, construct_count)) {
        run_failed("where there is memory again, new succeeds", "NULL");
    }
    pool->memory.largest_mapping = before.largest_mapping;
    pool->memory.failing_request = before.failing_request;
    pool->memory.failing_mask = before.failing_mask;
}

/* new, with all that follows from it but the model's. Returns: whether that is all. */
static bool call_new(struct run_pool *pool)
{
    const struct model_pool *known = &run.model.pools[run.pool];
    const struct memory_account before = pool->memory;
    const size_t construct_count = pool->construct_count;
    run_call(SUBJECT_NEW, NULL);
    if (pool->memory.refusal_count != before.refusal_count) {
        model_pressed(&run.model, run.pool);
    }
    if (run.result.violation.kind != 0) {
        return true;
    }
    if (run.result.object == NULL && known->keeps_freed && known->freed_count == 0 &&
        pool->construct_count == construct_count &&
        (pool->memory.mapped_size != before.mapped_size ||
         pool->memory.heap_count != before.heap_count)) {
        run_failed("a new that fails keeps no memory", "it does");
    }
    if (run.result.object == NULL && run.settings->is_retrying) {
        if (pool->construct_count == construct_count) {
            model_new(&run.model, run.pool, NULL, run.result.error);
        }
        retry(pool);
    }
    return is_not_constructed(pool, construct_count);
}

void run_new(struct run_pool *pool)
{
    const struct model_pool *known = &run.model.pools[run.pool];
    const bool may_rest = (pool->init.options.protections & CORK_MEMPOOL_QUARANTINE) != 0;
    const size_t freed_count = may_rest || !known->keeps_freed ? 0 : known->freed_count;
    const size_t request_count = pool->memory.request_count;
    if (!may_issue(known)) {
        return;
    }
    run.work += 1 + (known->object_size < 8192 ? known->object_size : 8192) / 512;
    const bool is_refused = call_new(pool);
    run.work += 8 * (pool->memory.request_count - request_count);
    if (is_refused) {
        return;
    }
    if (freed_count > 0 && pool->memory.request_count != request_count) {
        run_failed("new asks for no memory while freed objects wait", "it did");
    }
    model_new(&run.model, run.pool, run.result.object, run.result.error);
    if (run.result.object != NULL) {
        expect_memory(pool, run.result.object);
        live_append(pool, run.result.object);
        run.live_count++;
        run.live_size += known->object_size;
    }
}

/* A live object is about to be freed. */
static void *take_at(struct run_pool *pool, size_t index)
{
    void *object = live_remove(pool, index);
    run.work++;
    run.live_count--;
    run.live_size -= run.model.pools[run.pool].object_size;
    model_free(&run.model, run.pool, object);
    return object;
}

void run_free_at(struct run_pool *pool, size_t index)
{
    run_call(SUBJECT_FREE, take_at(pool, index));
}

/* Where protections must be verified, check looks at each byte. Returns: units of work. */
static size_t check_work(const struct run_pool *pool)
{
    const unsigned verified = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE;
    const struct model_pool *known = &run.model.pools[run.pool];
    const bool is_verified = (pool->init.options.protections & verified) != 0;
    return is_verified ? (known->live_count + known->freed_count) * (1 + known->object_size / 512)
                       : 0;
}

static bool is_garbage(const uint8_t *bytes)
{
    uint64_t difference = 0;
    for (size_t i = 0; i < GUARD_SIZE; i += sizeof(difference)) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof(word));
        difference |= word ^ run_garbage[run.pool] * UINT64_C(0x0101010101010101);
    }
    return difference == 0;
}

/* As deep as no more than so many units of work allow. */
void run_inspect(size_t work)
{
    const struct run_pool *pool = &run.pools[run.pool];
    const bool is_deep = check_work(pool) <= work;
    const bool is_sound = !is_deep || run_call(SUBJECT_CHECK, NULL)->is_true;
    const bool is_plausible = run_call(SUBJECT_STATS, NULL)->is_true;
    run.work += is_deep ? check_work(pool) : 0;
    if (!is_garbage(&pool->storage.bytes[run.settings->subject->pool_size])) {
        run_failed("a pool writes to nothing behind itself", "it did");
    }
    model_inspected(&run.model, run.pool, is_sound && is_plausible, &run.result.stats);
}

void run_check(void)
{
    const unsigned current = run.pool;
    model_compare(&run.model);
    run.work += run.live_count;
    for (run.pool = 0; run.pool < PROGRAM_POOL_COUNT; run.pool++) {
        if (run.pools[run.pool].is_initialized) {
            run_inspect(SIZE_MAX);
        }
    }
    run.pool = current;
}

void run_done(struct run_pool *pool, size_t order)
{
    run_free_many(pool, SIZE_MAX, order);
    run_inspect(0);
    run.work += check_work(pool);
    if (run_call(SUBJECT_DONE, NULL)->violation.kind != 0) {
        run_call(SUBJECT_DONE, NULL);
    }
    model_done(&run.model, run.pool);
    pool->is_initialized = false;
    expect_no_memory(&pool->memory, "done gives all memory back");
    caller_end(run.pool);
}

/* Uses pool->init, which is set. Options that may be refused are replaced then. */
void run_init(struct run_pool *pool)
{
    struct cork_mempool_options *options = &pool->init.options;
    caller_start(run.pool);
    pool->is_initialized = true;
    pool->is_trimmed = false;
    pool->base = 0;
    pool->is_counted = false;
    pool->source_count = 0;
    pool->released_size = 0;
    pool->construct_count = 0;
    pool->memory = (struct memory_account){.failing_mask = run.settings->failing_mask};
    memory_enter(&pool->memory);
    if (!run.settings->subject->init(&pool->storage, &pool->init)) {
        if (options->buffer == NULL && options->element_size <= 1 << 20 &&
            options->block_size <= 1 << 20) {
            run_failed("init_with accepts the options", "it does not");
        }
        pool->init.form = SUBJECT_INIT_SIZE_EX;
        *options = (struct cork_mempool_options){.element_size = options->element_size,
                                                 .block_size = options->block_size};
        run.settings->subject->init(&pool->storage, &pool->init);
    }
    memory_leave();
    model_init(&run.model, run.pool, &pool->init);
    if (run.settings->failing_mask != 0) {
        model_limit(&run.model, run.pool);
    }
    expect_no_memory(&pool->memory, "init takes no memory");
}

/* The visitor frees one of so many. */
static void visit(void *user_data, void *object)
{
    struct run_pool *pool = &run.pools[run.pool];
    struct subject_result result;
    (void)user_data;
    run.work++;
    run.visited_count++;
    model_visit(&run.model, run.pool, object, run.visit);
    if (run.misuse.call > SUBJECT_FREE) {
        caller_misuse();
    }
    if (run.visit_every != 0 && run.visited_count % run.visit_every == 0) {
        size_t index = 0;
        while (pool->objects[pool->first + index] != object) {
            index++;
        }
        take_at(pool, index);
        run.settings->subject->call(&pool->storage, SUBJECT_FREE, object, &result);
        if (result.violation.kind != 0) {
            run_failed("a visitor may free the object it is given", result.violation.message);
        }
    }
}

void run_foreach(size_t every)
{
    const size_t live_count = run.model.pools[run.pool].live_count;
    run.visit++;
    run.visit_every = every;
    run.visited_count = 0;
    run.result.visit = visit;
    run_call(SUBJECT_FOREACH, NULL);
    if (run.visited_count != live_count && run.result.violation.kind == 0) {
        run_failed("all live objects are visited", "fewer");
    }
}

static void expect_owns(const void *pointer, bool is_owned)
{
    if (run_call(SUBJECT_OWNS, (void *)(uintptr_t)pointer)->is_true != is_owned) {
        run_failed("a pool owns its live objects and nothing else",
                   is_owned ? "not a live object" : "something else");
    }
}

void run_owns(struct run_pool *pool, size_t index)
{
    const struct model_slot *slot = model_pick(&run.model, run.pool, index, true);
    expect_owns(NULL, false);
    expect_owns(&run, false);
    if (slot != NULL) {
        expect_owns((const void *)slot->address, false);
    }
    if (pool->count > 0) {
        const char *object = pool->objects[pool->first + index % pool->count];
        expect_owns(object, true);
        if (run.model.pools[run.pool].object_size > 1) {
            expect_owns(object + 1, false);
        }
    }
}

void run_clear(struct run_pool *pool)
{
    const uint32_t first = run.model.pools[run.pool].free_number;
    while (pool->count > 0) {
        take_at(pool, pool->count - 1);
    }
    model_clear(&run.model, run.pool, first);
    run_call(SUBJECT_CLEAR, NULL);
}

void run_trim(struct run_pool *pool)
{
    const size_t memory_size = run_stats()->memory_size;
    const size_t released_size = pool->released_size;
    run_call(SUBJECT_TRIM, NULL);
    if (run.result.violation.kind == 0 &&
        (run.result.size > memory_size ||
         (pool->init.options.source != NULL &&
          run.result.size != pool->released_size - released_size))) {
        run_failed("trim says how much it has given back", "more, or less");
    }
    model_trim(&run.model, run.pool);
    run.work += 16;
    pool->is_trimmed = true;
    pool->base = 0;
    if (pool->count == 0 && run.result.violation.kind == 0) {
        expect_no_memory(&pool->memory, "trim gives back all that no object needs");
    }
}

ENGINE_END
