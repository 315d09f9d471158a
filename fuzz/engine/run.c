/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include "caller.h"
#include "calls.h"
#include "engine.h"
#include "memory.h"
#include "misuse.h"

ENGINE_BEGIN

/* What looking at a pool after an operation may cost. */
#define STEP_WORK 20

static void new_many(struct run *run, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        calls_new(run);
    }
}

static void reinit(struct run *run, size_t order)
{
    calls_done(run, order);
    calls_init(run);
}

static void init_anew(struct run *run, const struct operation *operation)
{
#define SIZE_OF(number, type)      sizeof(type),
#define ALIGNMENT_OF(number, type) _Alignof(type),
    static const size_t sizes[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(SIZE_OF)};
    static const size_t alignments[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(ALIGNMENT_OF)};
    struct run_pool *pool = run_pool(run);
    const size_t first = operation->operands[0];
    const bool is_with = operation->kind == OPERATION_INIT_WITH;
    const bool is_type = operation->kind >= OPERATION_INIT && !is_with;
    if (pool->is_initialized) {
        calls_done(run, ORDER_FIFO);
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
        caller_give(pool, &pool->init.options, (uint32_t)operation->operands[2]);
    }
    caller_protect(&pool->init.options, run->settings->protections);
    calls_init(run);
}

/* Short lives, each with a few objects: none, a group of slots, one more. */
static void live_shortly(struct run *run, size_t count)
{
    static const size_t counts[] = {1, 64, 0, 65, 3, 17};
    for (size_t i = 0; i < count && run->work < run->max_work; i++) {
        reinit(run, i);
        new_many(run, counts[i % 6]);
        run->work += 4;
    }
}

static void execute(struct run *run, const struct operation *operation)
{
    const size_t first = operation->operands[0];
    const size_t second = operation->operands[1];
    struct requests *memory = &run_pool(run)->memory;
#define DO(NAME, action)                                                                           \
    case OPERATION_##NAME:                                                                         \
        action;                                                                                    \
        break;
    switch (operation->kind) {
        DO(NEW, calls_new(run))
        DO(FREE, calls_free_at(run, first))
        DO(WRITE, model_write(&run->model, run->pool, run_object(run, first)))
        DO(CHECK, calls_check(run))
        DO(FREE_NULL, calls_make(run, SUBJECT_FREE, NULL))
        DO(NEW_MANY, new_many(run, first))
        DO(LIVES, live_shortly(run, first))
        DO(FREE_MANY, calls_free_many(run, first, second, false))
        DO(REPLACE_MANY, calls_free_many(run, first, second, true))
        DO(REINIT, reinit(run, first))
        DO(LIMIT, memory->limited_kinds = MAPPINGS; memory->limit = first;
           run_known(run)->is_limited = true)
        DO(FAIL, memory->first = memory->last = memory->number + first;
           run_known(run)->is_limited = true)
        DO(FREE_TWICE, misuse_free_twice(run, first))
        DO(FREE_FREED, misuse_free_freed(run, first))
        DO(FREE_INTERIOR, misuse_free_interior(run, first, second))
        DO(FREE_FOREIGN, misuse_free_foreign(run, first))
        DO(FREE_UNISSUED, misuse_free_unissued(run))
        DO(OVERFLOW, misuse_overrun(run, first, second, false))
        DO(UNDERFLOW, misuse_overrun(run, first, second, true))
        DO(WRITE_FREED, misuse_write_freed(run, first, second))
        DO(USE_DEAD, misuse_use_dead(run, first))
        DO(MISBEHAVE, misuse_misbehave(run, first))
        DO(LEAK, misuse_leak(run))
        DO(CLEAR, calls_clear(run))
        DO(TRIM, calls_trim(run))
        DO(FOREACH, calls_foreach(run, first))
        DO(OWNS, calls_owns(run, first))
    default:
        init_anew(run, operation);
        break;
    }
}

static void step(struct run *run, const struct operation *operation)
{
    run->pool = operation->pool;
    run->work++;
    if (run->settings->observer != NULL) {
        run->settings->observer->step(operation);
    }
    if (!run_pool(run)->is_initialized && !operation_is_init(operation)) {
        const struct operation implied = run_implied_init(operation->pool);
        init_anew(run, &implied);
    }
    execute(run, operation);
    calls_inspect(run, STEP_WORK);
}

/* Returns: the sum of data[i] * 31^(size - 1 - i). */
static uint32_t hash_of(const uint8_t *data, size_t size)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < size; i++) {
        hash = hash * 31 + data[i];
    }
    return hash;
}

size_t run_max_work(const uint8_t *data, size_t size)
{
    size_t work = RUN_MIN_WORK;
    uint32_t rest = hash_of(data, size) ^ RUN_DEEP_HASH;
    for (; rest % 8 == 0 && work < RUN_MAX_WORK; rest /= 8) {
        work *= 4;
    }
    return work;
}

/* The order of the last frees and the first pool to be freed depend on the whole program. */
static void end(struct run *run)
{
    const uint32_t hash = hash_of(run->program.data, run->program.size);
    run->is_ending = true;
    if (run->settings->observer != NULL) {
        run->settings->observer->step(NULL);
    }
    calls_check(run);
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        run->pool = (hash / 256 + i) % PROGRAM_POOL_COUNT;
        if (run_pool(run)->is_initialized) {
            calls_done(run, hash % 256);
        }
    }
}

void run_program(struct run *run, const struct run_settings *settings, const uint8_t *data,
                 size_t size)
{
    struct operation operation;
    memory_start();
    run_start(run, settings, data, size, run_max_work(data, size));
    while (run->work < run->max_work && program_next(&run->program, &operation)) {
        step(run, &operation);
    }
    end(run);
}

ENGINE_END
