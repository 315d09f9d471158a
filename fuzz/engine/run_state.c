/* SPDX-License-Identifier: BSD-3-Clause */
#include "run_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

ENGINE_BEGIN

struct operation run_implied_init(unsigned pool)
{
    static const size_t sizes[PROGRAM_POOL_COUNT] = {16, 1, 72, 1000};
    return (struct operation){OPERATION_INIT_SIZE, pool, {sizes[pool]}};
}

static void on_model_failure(const struct model *model, const char *expected, const char *seen)
{
    const char *run = (const char *)model - offsetof(struct run, model);
    run_failed((const struct run *)(const void *)run, expected, seen);
}

void run_start(struct run *run, const struct run_settings *settings, const uint8_t *data,
               size_t size, size_t max_work)
{
    memset(run, 0, offsetof(struct run, pools));
    run->settings = settings;
    run->program = (struct program){data, size, 0, settings->dialect};
    run->max_work = max_work;
    run->visit = UINT32_C(1) << 31;
    run->refusal.kinds = KIND_NONE;
    memset(&run->model, 0, offsetof(struct model, slots));
    run->model.subject = settings->subject;
    run->model.failed = on_model_failure;
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        struct run_pool *pool = &run->pools[i];
        memset(pool, 0, offsetof(struct run_pool, objects));
        memset(&pool->storage, run_garbage[i], sizeof(pool->storage));
        pool->run = run;
    }
}

void run_print_options(FILE *file, const struct cork_mempool_options *options)
{
    fprintf(file, "{.element_size = %zu, .alignment = %zu, .block_size = %zu, .max_objects = %zu, ",
            options->element_size, options->alignment, options->block_size, options->max_objects);
    fprintf(file, ".protections = 0x%x, .seed = %llu, .buffer = %p, .buffer_size = %zu, ",
            options->protections, (unsigned long long)options->seed, options->buffer,
            options->buffer_size);
    fprintf(file, ".source = %p, .init_object = %d, .done_object = %d}\n",
            (const void *)options->source, options->init_object != NULL,
            options->done_object != NULL);
}

static void print_last_call(const struct run *run)
{
    const struct subject_result *result = &run->result;
    const struct cork_mempool_violation *violation = &result->violation;
    const struct requests *memory = &run->pools[run->pool].memory;
    fprintf(stderr, "  seen: %s", violation->kind != 0 ? violation->message : "no violation");
    if (violation->kind != 0) {
        fprintf(stderr, ", pointer %p, slot %zu, element size %zu, live %zu", violation->pointer,
                violation->slot, violation->element_size, violation->live_count);
    }
    fprintf(stderr, "; object %p, errno %d, size %zu, %s", result->object, result->error,
            result->size, result->is_true ? "true" : "false");
    fprintf(stderr, "; %zu bytes mapped, %zu allocations, %zu requests\n", memory->mapped_size,
            memory->heap_count, memory->count);
}

/* The last line of the program is the operation that failed. */
void run_failed(const struct run *run, const char *expected, const char *seen)
{
    bool is_used[PROGRAM_POOL_COUNT] = {false};
    char text[OPERATION_TEXT_SIZE];
    struct operation operation;
    struct program done = {run->program.data, run->program.position, 0, run->settings->dialect};
    fprintf(stderr, "%s, pool %u, ", run->settings->subject->name, run->pool);
    run_print_options(stderr, &run->pools[run->pool].init.options);
    fprintf(stderr, "  expected: %s\n", expected);
    if (seen != NULL) {
        fprintf(stderr, "  seen: %s\n", seen);
    } else {
        print_last_call(run);
    }
    fprintf(stderr, "  program:\n");
    while (program_next(&done, &operation)) {
        if (!is_used[operation.pool] && !operation_is_init(&operation)) {
            const struct operation implied = run_implied_init(operation.pool);
            operation_print(&implied, text);
            fprintf(stderr, "    %s # implied\n", text);
        }
        is_used[operation.pool] = true;
        operation_print(&operation, text);
        fprintf(stderr, "    %s\n", text);
    }
    fprintf(stderr, "%s", run->is_ending ? "    # the end: free all objects, done\n" : "");
    abort();
}

ENGINE_END
