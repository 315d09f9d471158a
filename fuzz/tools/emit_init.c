/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "emit_state.h"
#include "fuzz/engine.h"

ENGINE_BEGIN

/* The fields that are not zero. */
static void put_options(const struct trace_event *event)
{
    const struct cork_mempool_options *options = &event->init.options;
    const unsigned i = event->pool;
    emit_put("init_with(%u, &(struct cork_mempool_options){", i);
    emit_put(
        "    .element_size = %zuu, .alignment = %zuu, .block_size = %zuu, .max_objects = %zuu,",
        options->element_size, options->alignment, options->block_size, options->max_objects);
    emit_put("    .protections = 0x%x, .seed = %" PRIu64 "u,", options->protections, options->seed);
    if (options->buffer != NULL) {
        emit.needs[EMIT_BUFFERS] = true;
        emit_put("    .buffer = &buffers[%u][%zu], .buffer_size = %zu,", i,
                 (size_t)((uintptr_t)options->buffer % 4096), options->buffer_size);
    }
    if (options->source != NULL) {
        emit.needs[EMIT_SOURCE] = emit.needs[EMIT_REFUSALS] = true;
        emit_put("    .source = &source, .source_data = &memory[%u],", i);
    }
    if (options->init_object != NULL) {
        emit.needs[EMIT_CONSTRUCTORS] = true;
        emit_put("    .init_object = %s, .done_object = destruct,",
                 event->is_constructor_failing ? "construct_at_times" : "construct");
        emit_put("    .user_data = &construct_counts[%u],", i);
    }
    emit_put("}, %s);", event->is_true ? "true" : "false");
}

static void put_form(const struct trace_event *event)
{
#define NAME(number, type) #type,
    static const char *const types[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(NAME)};
    const struct cork_mempool_options *options = &event->init.options;
    const unsigned i = event->pool;
    switch (event->init.form) {
    case SUBJECT_INIT_SIZE:
        emit_put("cork_mempool_init_size(&p[%u].pool, %zuu);", i, options->element_size);
        break;
    case SUBJECT_INIT_SIZE_EX:
        emit_put("cork_mempool_init_size_ex(&elsewhere, %zuu, %zuu);", options->element_size,
                 options->block_size);
        emit_put("p[%u].pool = elsewhere;", i);
        break;
    case SUBJECT_INIT_TYPE:
        emit.needs[EMIT_TYPES] = true;
        emit_put("cork_mempool_init(&p[%u].pool, %s);", i, types[event->init.type]);
        break;
    default:
        emit.needs[EMIT_TYPES] = true;
        emit_put("cork_mempool_init_ex(&elsewhere, %s, %zuu);", types[event->init.type],
                 options->block_size);
        emit_put("p[%u].pool = elsewhere;", i);
        break;
    }
}

/* What the model says of the pool that an event has initialized, by its next stats. */
static size_t alignment_after(const struct trace_event *event)
{
    const struct trace_event *end = &emit.trace->events[emit.trace->count];
    for (const struct trace_event *next = event; next < end; next++) {
        if (next->kind == TRACE_CALL && next->call == SUBJECT_STATS && next->is_finished &&
            next->pool == event->pool && next->alignment != 0) {
            return next->alignment;
        }
    }
    return 1;
}

void emit_init(const struct trace_event *event)
{
    const struct cork_mempool_options *options = &event->init.options;
    const unsigned i = event->pool;
    emit.memory[i] = (struct trace_event){.kind = TRACE_INIT};
    /* What an earlier program was refused, this one is not. */
    if (emit.needs[EMIT_REFUSALS] || emit.has_refusals || options->source != NULL) {
        emit_put("memory[%u] = (struct memory){0};", i);
    }
    if (options->init_object != NULL) {
        emit_put("construct_counts[%u] = 0;", i);
    }
    if (options->buffer != NULL) {
        emit_put("memset(buffers[%u], 0xa5, sizeof(buffers[%u]));", i, i);
    }
    if (event->init.form == SUBJECT_INIT_WITH || options->protections != 0) {
        put_options(event);
    } else {
        put_form(event);
    }
    if (event->is_true) {
        emit_put("begin(%u, %zuu, %zuu);", i, options->element_size > 0 ? options->element_size : 1,
                 alignment_after(event));
    }
}

ENGINE_END
