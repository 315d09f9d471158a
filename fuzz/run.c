/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "memory.h"
#include "model.h"
#include "program.h"

ENGINE_BEGIN

struct run_pool {
    union subject_pool storage;
    struct subject_init init; /* the last one; reinit repeats it */
    bool is_initialized;
    struct memory_account memory;
    /* The live objects, about from the oldest to the youngest, somewhere in an array. */
    size_t first;
    size_t count;
    void *objects[2 * MODEL_LIVE_LIMIT];
};

/* The program that runs. Static, because it is large and a failure must be able to find it. */
static struct {
    bool is_ending;
    const struct subject *subject;
    struct program program;
    unsigned pool; /* that is worked on */
    size_t work;
    size_t max_work;
    uint32_t hash;     /* of the whole program */
    size_t live_count; /* of all pools */
    size_t live_size;
    struct run_pool pools[PROGRAM_POOL_COUNT];
    struct model model;
} run;

/* What pools hold before their first init, and what follows them. */
static const uint8_t garbage[PROGRAM_POOL_COUNT] = {0xa5, 0x00, 0xff, 0x5a};
#define GUARD_SIZE 64

static struct operation implied_init(unsigned pool)
{
    static const size_t sizes[PROGRAM_POOL_COUNT] = {16, 1, 72, 1000};
    return (struct operation){OPERATION_INIT_SIZE, pool, {sizes[pool], 0}};
}

static bool is_init(const struct operation *operation)
{
    return operation->kind >= OPERATION_INIT_SIZE && operation->kind <= OPERATION_INIT_EX;
}

/* The last line of the program is what failed. */
static void failed(const char *expected, const char *seen)
{
    bool is_used[PROGRAM_POOL_COUNT] = {false};
    char text[OPERATION_TEXT_SIZE];
    struct operation operation;
    struct program done = {run.program.data, run.program.position, 0};
    fprintf(stderr, "%s, pool %u\n  expected: %s\n  seen: %s\n  program:\n", run.subject->name,
            run.pool, expected, seen);
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

static void expect_no_memory(const struct memory_account *memory, const char *expected)
{
    if (memory->mapped_size != 0 || memory->heap_count != 0) {
        char seen[100];
        snprintf(seen, sizeof(seen), "%zu bytes mapped, %zu allocations", memory->mapped_size,
                 memory->heap_count);
        failed(expected, seen);
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

static void new_one(struct run_pool *pool)
{
    const struct model_pool *known = &run.model.pools[run.pool];
    const size_t freed_count = known->freed_count;
    const size_t request_count = pool->memory.request_count;
    if (!may_issue(known)) {
        return;
    }
    run.work += 1 + (known->object_size < 8192 ? known->object_size : 8192) / 512;
    memory_enter(&pool->memory);
    errno = 0;
    void *object = run.subject->new_object(&pool->storage);
    int error = errno;
    memory_leave();
    run.work += 8 * (pool->memory.request_count - request_count);
    if (freed_count > 0 && pool->memory.request_count != request_count) {
        failed("new asks for no memory while freed objects wait", "it did");
    }
    if (object != NULL && pool->memory.request_count == 0) {
        failed("a first object takes memory", "no request; memory.c needs a static subject");
    }
    model_new(&run.model, run.pool, object, error);
    if (object != NULL) {
        live_append(pool, object);
        run.live_count++;
        run.live_size += known->object_size;
    }
}

static void free_at(struct run_pool *pool, size_t index)
{
    void *object = live_remove(pool, index);
    run.work++;
    run.live_count--;
    run.live_size -= run.model.pools[run.pool].object_size;
    model_free(&run.model, run.pool, object);
    memory_enter(&pool->memory);
    run.subject->free_object(&pool->storage, object);
    memory_leave();
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
    free_at(pool, index);
}

static void free_many(struct run_pool *pool, size_t count, size_t order)
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
        new_one(pool);
    }
}

static void inspect(unsigned number)
{
    size_t live_count = 0;
    memory_enter(&run.pools[number].memory);
    bool is_sound = run.subject->inspect(&run.pools[number].storage, &live_count);
    memory_leave();
    for (size_t i = 0; i < GUARD_SIZE; i++) {
        if (run.pools[number].storage.bytes[run.subject->pool_size + i] != garbage[number]) {
            failed("a pool writes to nothing behind itself", "it did");
        }
    }
    model_inspected(&run.model, number, is_sound, live_count);
}

static void check(void)
{
    model_compare(&run.model);
    run.work += run.live_count;
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        if (run.pools[i].is_initialized) {
            inspect(i);
        }
    }
}

static void done(struct run_pool *pool, size_t order)
{
    free_many(pool, SIZE_MAX, order);
    inspect(run.pool);
    memory_enter(&pool->memory);
    run.subject->done(&pool->storage);
    memory_leave();
    model_done(&run.model, run.pool);
    pool->is_initialized = false;
    expect_no_memory(&pool->memory, "done gives all memory back");
}

/* Uses pool->init, which is set. */
static void init(struct run_pool *pool)
{
    pool->is_initialized = true;
    pool->memory = (struct memory_account){0};
    memory_enter(&pool->memory);
    run.subject->init(&pool->storage, &pool->init);
    memory_leave();
    model_init(&run.model, run.pool, &pool->init);
    expect_no_memory(&pool->memory, "init takes no memory");
}

static void init_anew(struct run_pool *pool, const struct operation *operation)
{
#define SIZE_OF(number, type) sizeof(type),
    static const size_t sizes[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(SIZE_OF)};
    const size_t first = operation->operands[0];
    const bool is_type = operation->kind >= OPERATION_INIT;
    if (pool->is_initialized) {
        done(pool, ORDER_FIFO);
    }
    pool->init = (struct subject_init){
        .form = (enum subject_form)(operation->kind - OPERATION_INIT_SIZE),
        .type = is_type ? (unsigned)first : 0,
        .element_size = is_type ? sizes[first] : first,
        .block_size = operation->operands[1],
    };
    init(pool);
}

/* The operations that do not touch objects. */
static void set_up(struct run_pool *pool, const struct operation *operation)
{
    const size_t first = operation->operands[0];
    switch (operation->kind) {
    case OPERATION_REINIT:
        done(pool, first);
        init(pool);
        break;
    case OPERATION_LIMIT:
        pool->memory.largest_mapping = first;
        model_limit(&run.model, run.pool);
        break;
    case OPERATION_FAIL:
        pool->memory.failing_request = pool->memory.request_count + first;
        model_limit(&run.model, run.pool);
        break;
    default:
        init_anew(pool, operation);
        break;
    }
}

static void execute(struct run_pool *pool, const struct operation *operation)
{
    const size_t first = operation->operands[0];
    const size_t second = operation->operands[1];
    switch (operation->kind) {
    case OPERATION_NEW:
        new_one(pool);
        break;
    case OPERATION_FREE:
        if (pool->count > 0) {
            free_at(pool, first % pool->count);
        }
        break;
    case OPERATION_WRITE:
        if (pool->count > 0) {
            model_write(&run.model, pool->objects[pool->first + first % pool->count]);
        }
        break;
    case OPERATION_CHECK:
        check();
        break;
    case OPERATION_FREE_NULL:
        run.subject->free_object(&pool->storage, NULL);
        break;
    case OPERATION_NEW_MANY:
        for (size_t i = 0; i < first; i++) {
            new_one(pool);
        }
        break;
    case OPERATION_FREE_MANY:
        free_many(pool, first, second);
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
    if (!pool->is_initialized && !is_init(operation)) {
        const struct operation implied = implied_init(operation->pool);
        init_anew(pool, &implied);
    }
    execute(pool, operation);
    inspect(operation->pool);
}

static void start(const struct subject *subject, const uint8_t *data, size_t size)
{
    memory_start();
    model_start(&run.model, subject, failed);
    run.subject = subject;
    run.program = (struct program){data, size, 0};
    run.is_ending = false;
    run.work = 0;
    run.hash = 0;
    for (size_t i = 0; i < size; i++) {
        run.hash = run.hash * 31 + data[i];
    }
    run.max_work = run.hash % 65536 == RUN_DEEP_HASH ? RUN_MAX_DEEP_WORK : RUN_MAX_WORK;
    run.live_count = 0;
    run.live_size = 0;
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        memset(&run.pools[i].storage, garbage[i], sizeof(run.pools[i].storage));
        run.pools[i].is_initialized = false;
        run.pools[i].first = 0;
        run.pools[i].count = 0;
    }
}

/* The order of the last frees and the first pool to be freed depend on the whole program. */
static void end(void)
{
    run.is_ending = true;
    check();
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        run.pool = (run.hash / 256 + i) % PROGRAM_POOL_COUNT;
        if (run.pools[run.pool].is_initialized) {
            done(&run.pools[run.pool], run.hash % 256);
        }
    }
}

void run_program(const struct subject *subject, const uint8_t *data, size_t size)
{
    struct operation operation;
    start(subject, data, size);
    while (run.work < run.max_work && program_next(&run.program, &operation)) {
        step(&operation);
    }
    end();
}

ENGINE_END
