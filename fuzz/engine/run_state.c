/* SPDX-License-Identifier: BSD-3-Clause */
#include "run_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

ENGINE_BEGIN

uint8_t run_garbage(unsigned pool)
{
    static const uint8_t garbage[PROGRAM_POOL_COUNT] = {0xa5, 0x00, 0xff, 0x5a};
    return garbage[pool];
}

struct operation run_implied_init(unsigned pool)
{
    static const size_t sizes[PROGRAM_POOL_COUNT] = {16, 1, 72, 1000};
    return (struct operation){OPERATION_INIT_SIZE, pool, {sizes[pool]}};
}

static void on_model_failure(void *run, const char *expected, const char *seen)
{
    run_failed(run, expected, seen);
}

void run_start(struct run *run, const struct run_settings *settings, const uint8_t *data,
               size_t size, size_t max_work)
{
    model_start(&run->model, settings->subject, on_model_failure, run);
    run->settings = settings;
    run->program = (struct program){data, size, 0, settings->dialect};
    run->is_ending = false;
    run->work = 0;
    run->max_work = max_work;
    run->live_count = 0;
    run->live_size = 0;
    run->visit = UINT32_C(1) << 31;
    run->damaged = NULL;
    run->misuse = (struct run_misuse){.is_due = false};
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        memset(&run->pools[i].storage, run_garbage(i), sizeof(run->pools[i].storage));
        run->pools[i].run = run;
        run->pools[i].is_initialized = false;
        run->pools[i].first = 0;
        run->pools[i].count = 0;
    }
}

/* The last line of the program is the operation that failed. */
void run_failed(const struct run *run, const char *expected, const char *seen)
{
    bool is_used[PROGRAM_POOL_COUNT] = {false};
    char text[OPERATION_TEXT_SIZE];
    struct operation operation;
    struct program done = {run->program.data, run->program.position, 0, run->settings->dialect};
    fprintf(stderr, "%s, pool %u, protections 0x%x\n  expected: %s\n  seen: %s\n  program:\n",
            run->settings->subject->name, run->pool, run->pools[run->pool].init.options.protections,
            expected, seen);
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
