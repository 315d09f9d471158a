/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "run_state.h"

ENGINE_BEGIN

struct run run;

/* What looking at a pool after an operation may cost. */
#define STEP_WORK 20

static struct operation implied_init(unsigned pool)
{
    static const size_t sizes[PROGRAM_POOL_COUNT] = {16, 1, 72, 1000};
    return (struct operation){OPERATION_INIT_SIZE, pool, {sizes[pool]}};
}

static bool is_init(const struct operation *operation)
{
    return (operation->kind >= OPERATION_INIT_SIZE && operation->kind <= OPERATION_INIT_EX) ||
           operation->kind == OPERATION_INIT_WITH;
}

/* The last line of the program is what failed. */
void run_failed(const char *expected, const char *seen)
{
    bool is_used[PROGRAM_POOL_COUNT] = {false};
    char text[OPERATION_TEXT_SIZE];
    struct operation operation;
    struct program done = {run.program.data, run.program.position, 0, run.settings->dialect};
    fprintf(stderr, "%s, pool %u, protections 0x%x\n  expected: %s\n  seen: %s\n  program:\n",
            run.settings->subject->name, run.pool, run.pools[run.pool].init.options.protections,
            expected, seen);
    while (program_next(&done, &operation)) {
        if (!is_used[operation.pool] && !is_init(&operation)) {
            const struct operation implied = implied_init(operation.pool);
            operation_print(&implied, text);
            fprintf(stderr, "    %s # implied\n", text);
        }
        is_used[operation.pool] = true;
        operation_print(&operation, text);
        fprintf(stderr, "    %s\n", text);
    }
    fprintf(stderr, "%s", run.is_ending ? "    # the end: free all objects, done\n" : "");
    abort();
}

/* *state is 0 at first, and the caller's in between. */
static void free_next(struct run_pool *pool, size_t order, uint32_t *state)
{
    size_t index = 0;
    switch ((enum order_kind)(order % 4)) {
    case ORDER_LIFO:
        index = pool->count - 1;
        break;
    case ORDER_FIFO:
        break;
    case ORDER_STRIDE:
        index = *state % pool->count;
        *state = (uint32_t)(index + order / 4);
        break;
    case ORDER_RANDOM:
        *state = (*state + (uint32_t)order) * 1664525 + 1013904223;
        index = (*state >> 8) % pool->count;
        break;
    }
    run_free_at(pool, index);
}

void run_free_many(struct run_pool *pool, size_t count, size_t order)
{
    uint32_t state = 0;
    for (size_t i = 0; i < count && pool->count > 0; i++) {
        free_next(pool, order, &state);
    }
}

static void replace_many(struct run_pool *pool, size_t count, size_t order)
{
    uint32_t state = 0;
    for (size_t i = 0; i < count; i++) {
        if (pool->count > 0) {
            free_next(pool, order, &state);
        }
        run_new(pool);
    }
}

static void init_anew(struct run_pool *pool, const struct operation *operation)
{
#define SIZE_OF(number, type)      sizeof(type),
#define ALIGNMENT_OF(number, type) _Alignof(type),
    static const size_t sizes[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(SIZE_OF)};
    static const size_t alignments[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(ALIGNMENT_OF)};
    const size_t first = operation->operands[0];
    const bool is_with = operation->kind == OPERATION_INIT_WITH;
    const bool is_type = operation->kind >= OPERATION_INIT && !is_with;
    if (pool->is_initialized) {
        run_done(pool, ORDER_FIFO);
    }
    pool->init = (struct subject_init){
        .form = is_with ? SUBJECT_INIT_WITH
                        : (enum subject_form)(operation->kind - OPERATION_INIT_SIZE),
        .type = is_type ? (unsigned)first : 0,
        .options = {.element_size = is_type ? sizes[first] : first,
                    .alignment = is_type ? alignments[first] : 0,
                    .block_size = operation->operands[1]},
    };
    if (is_with) {
        caller_give(&pool->init.options, run.pool, (uint32_t)operation->operands[2]);
    }
    caller_protect(&pool->init.options, run.settings->protections);
    run_init(pool);
}

/* Short lives, each with a few objects: none, a group of slots, one more. */
static void live_shortly(struct run_pool *pool, size_t count)
{
    static const size_t counts[] = {1, 64, 0, 65, 3, 17};
    for (size_t i = 0; i < count && run.work < run.max_work; i++) {
        run_done(pool, i);
        run_init(pool);
        for (size_t j = 0; j < counts[i % 6]; j++) {
            run_new(pool);
        }
        run.work += 4;
    }
}

/* The operations that are about a whole pool, and misuse. */
static void set_up(struct run_pool *pool, const struct operation *operation)
{
    const size_t first = operation->operands[0];
    switch (operation->kind) {
    case OPERATION_REINIT:
        run_done(pool, first);
        run_init(pool);
        break;
    case OPERATION_LIVES:
        live_shortly(pool, first);
        break;
    case OPERATION_LIMIT:
        pool->memory.largest_mapping = first;
        model_limit(&run.model, run.pool);
        break;
    case OPERATION_FAIL:
        pool->memory.failing_request = pool->memory.request_count + first;
        model_limit(&run.model, run.pool);
        break;
    case OPERATION_CLEAR:
        run_clear(pool);
        break;
    case OPERATION_TRIM:
        run_trim(pool);
        break;
    case OPERATION_FOREACH:
        run_foreach(first);
        break;
    case OPERATION_OWNS:
        run_owns(pool, first);
        break;
    default:
        if (is_init(operation)) {
            init_anew(pool, operation);
        } else {
            misuse_execute(pool, operation);
        }
        break;
    }
}

static void execute(struct run_pool *pool, const struct operation *operation)
{
    const size_t first = operation->operands[0];
    const size_t second = operation->operands[1];
    switch (operation->kind) {
    case OPERATION_NEW:
        run_new(pool);
        break;
    case OPERATION_FREE:
        if (pool->count > 0) {
            run_free_at(pool, first % pool->count);
        }
        break;
    case OPERATION_WRITE:
        if (pool->count > 0) {
            model_write(&run.model, run.pool, pool->objects[pool->first + first % pool->count]);
        }
        break;
    case OPERATION_CHECK:
        run_check();
        break;
    case OPERATION_FREE_NULL:
        run_call(SUBJECT_FREE, NULL);
        break;
    case OPERATION_NEW_MANY:
        for (size_t i = 0; i < first; i++) {
            run_new(pool);
        }
        break;
    case OPERATION_FREE_MANY:
        run_free_many(pool, first, second);
        break;
    case OPERATION_REPLACE_MANY:
        replace_many(pool, first, second);
        break;
    default:
        set_up(pool, operation);
        break;
    }
}

static void step(const struct operation *operation)
{
    struct run_pool *pool = &run.pools[operation->pool];
    run.pool = operation->pool;
    run.work++;
    if (run.settings->observer != NULL) {
        run.settings->observer->step(operation);
    }
    if (!pool->is_initialized && !is_init(operation)) {
        const struct operation implied = implied_init(operation->pool);
        init_anew(pool, &implied);
    }
    execute(pool, operation);
    run_inspect(STEP_WORK);
}

uint32_t run_hash(uint32_t hash, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = hash * 31 + data[i];
    }
    return hash;
}

size_t run_max_work(uint32_t hash)
{
    size_t work = RUN_MIN_WORK;
    for (uint32_t rest = hash ^ RUN_DEEP_HASH; rest % 8 == 0 && work < RUN_MAX_WORK; rest /= 8) {
        work *= 4;
    }
    return work;
}

static void start(const struct run_settings *settings, const uint8_t *data, size_t size)
{
    memory_start();
    model_start(&run.model, settings->subject, run_failed);
    run.settings = settings;
    run.program = (struct program){data, size, 0, settings->dialect};
    run.is_ending = false;
    run.work = 0;
    run.hash = run_hash(0, data, size);
    run.max_work = run_max_work(run.hash);
    run.live_count = 0;
    run.live_size = 0;
    run.visit = UINT32_C(1) << 31;
    run.damaged = NULL;
    run.misuse = (struct run_misuse){.is_due = false};
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        memset(&run.pools[i].storage, run_garbage[i], sizeof(run.pools[i].storage));
        run.pools[i].is_initialized = false;
        run.pools[i].first = 0;
        run.pools[i].count = 0;
    }
}

/* The order of the last frees and the first pool to be freed depend on the whole program. */
static void end(void)
{
    run.is_ending = true;
    if (run.settings->observer != NULL) {
        run.settings->observer->step(NULL);
    }
    run_check();
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        run.pool = (run.hash / 256 + i) % PROGRAM_POOL_COUNT;
        if (run.pools[run.pool].is_initialized) {
            run_done(&run.pools[run.pool], run.hash % 256);
        }
    }
}

void run_program(const struct run_settings *settings, const uint8_t *data, size_t size)
{
    struct operation operation;
    start(settings, data, size);
    while (run.work < run.max_work && program_next(&run.program, &operation)) {
        step(&operation);
    }
    end();
}

ENGINE_END
