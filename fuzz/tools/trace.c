/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS, MAP_NORESERVE */

#include "trace.h"

#include <string.h>
#include <sys/mman.h>

#include "fuzz/engine/engine.h"
#include "fuzz/engine/run.h"

ENGINE_BEGIN

struct run trace_state;

static struct trace *current;
static const struct subject *inner;

/* Of each pool, the operand of its last init_with. */
static size_t options_bits[PROGRAM_POOL_COUNT];

struct trace *trace_make(void)
{
    void *memory = mmap(NULL, sizeof(struct trace), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static struct trace_event *add(enum trace_kind kind)
{
    if (current->count == TRACE_EVENT_MAX) {
        run_failed(&trace_state, "a program makes fewer events", "more");
    }
    struct trace_event *event = &current->events[current->count++];
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->pool = trace_state.pool;
    return event;
}

static void on_step(const struct operation *operation)
{
    struct trace_event *event = add(operation != NULL ? TRACE_STEP : TRACE_END);
    if (operation == NULL) {
        return;
    }
    const struct run_pool *pool = &trace_state.pools[operation->pool];
    event->operation = *operation;
    if (operation->kind == OPERATION_WRITE && pool->count > 0) {
        event = add(TRACE_WRITE);
        event->operation = *operation;
        event->pointer = pool->objects[pool->first + operation->operands[0] % pool->count];
    } else if (operation->kind == OPERATION_INIT_WITH) {
        options_bits[operation->pool] = operation->operands[2];
    }
}

static void on_damage(void *start, size_t size)
{
    struct trace_event *event = add(TRACE_DAMAGE);
    event->pointer = start;
    event->size = size;
}

static const struct run_observer observer = {on_step, on_damage};

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    struct trace_event *event = add(TRACE_INIT);
    event->init = *how;
    event->is_constructor_failing = (options_bits[trace_state.pool] >> 14 & 1) != 0;
    event->is_true = inner->init(pool, how);
    event->is_finished = true;
    return event->is_true;
}

static void finish(struct trace_event *event, const struct subject_result *result)
{
    const struct model_pool *known = &trace_state.model.pools[trace_state.pool];
    event->violation = result->violation.kind;
    event->message = event->violation != 0 ? result->violation.message : NULL;
    if (event->violation == 0 && event->call == SUBJECT_NEW) {
        event->pointer = result->object;
        event->error = result->error;
    } else if (event->violation == 0 && event->call == SUBJECT_STATS) {
        event->stats = result->stats;
        event->live_count = known->live_count;
        event->freed_count = known->freed_count;
        event->alignment = known->alignment;
    }
    event->is_true = result->is_true;
    event->is_finished = true;
}

static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
    struct trace_event *event = add(TRACE_CALL);
    event->call = call;
    event->is_on_pool = pool == &trace_state.pools[trace_state.pool].storage;
    event->pointer = pointer;
    inner->call(pool, call, pointer, result);
    finish(event, result);
}

void trace_run(struct trace *trace, const struct driver_run *driver_run)
{
    struct subject traced = *driver_run->settings.subject;
    struct run_settings settings = driver_run->settings;
    inner = driver_run->settings.subject;
    current = trace;
    current->count = 0;
    traced.init = init;
    traced.call = call;
    settings.subject = &traced;
    settings.observer = &observer;
    run_program(&trace_state, &settings, driver_run->data, driver_run->size);
}

const char *trace_name_of(enum subject_call call)
{
#define NAME_OF(NAME, name) name,
    static const char *const names[SUBJECT_CALL_COUNT] = {SUBJECT_CALLS(NAME_OF)};
    return names[call];
}

ENGINE_END
