/* SPDX-License-Identifier: BSD-3-Clause */
#include "explain_trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/engine/engine.h"
#include "trace_names.h"

ENGINE_BEGIN

/* Outcomes of an operation that are told; the others are counted. */
#define TOLD_MAX 6

/* What came of the current operation. Events that say the same of one object after the other are
 * told as one: they wait for the next. */
static struct {
    int column; /* where the operation's text ends */
    size_t told_count;
    char text[160]; /* of the event that waits; empty: none does */
    const char *after;
    struct name first, last;
    bool has_name;
} effects;

static int print_name(char *text, size_t size, const struct name *name)
{
    switch (name->kind) {
    case NAME_NUMBER:
        return snprintf(text, size, name->offset == 0 ? "NULL" : "address %td", name->offset);
    case NAME_STATIC:
        return snprintf(text, size, "static data");
    case NAME_STACK:
        return snprintf(text, size, "the stack");
    case NAME_HEAP:
        return snprintf(text, size, "the heap");
    case NAME_POOL:
        return snprintf(text, size, "pool %u itself + %td", name->pool, name->offset);
    case NAME_OBJECT:
        break;
    }
    return name->offset == 0
               ? snprintf(text, size, "p%u.a%zu", name->pool, name->birth)
               : snprintf(text, size, "p%u.a%zu%+td", name->pool, name->birth, name->offset);
}

static void flush_effect(void)
{
    char names[80] = "";
    if (effects.text[0] == '\0') {
        return;
    }
    if (effects.has_name) {
        int end = print_name(names, sizeof(names), &effects.first);
        if (effects.last.birth != effects.first.birth) {
            end += snprintf(names + end, sizeof(names) - (size_t)end, "..");
            print_name(names + end, sizeof(names) - (size_t)end, &effects.last);
        }
    }
    if (effects.told_count++ < TOLD_MAX) {
        printf("%*s", effects.told_count > 1 ? 0 : 32 - effects.column, "");
        printf("%s", effects.told_count > 1 ? "; " : "  # ");
        printf("%s%s%s%s%s", effects.text, effects.has_name ? " " : "", names,
               effects.after != NULL ? ": " : "", effects.after != NULL ? effects.after : "");
    }
    effects.text[0] = '\0';
}

static void end_effects(void)
{
    flush_effect();
    if (effects.told_count > TOLD_MAX) {
        printf("; and %zu more", effects.told_count - TOLD_MAX);
    }
    effects.told_count = 0;
    printf("\n");
}

/* Whether an object is the neighbour by birth of the last one, on the way from the first. */
static bool is_next(const struct name *name)
{
    const size_t step = name->birth - effects.last.birth;
    return name->kind == NAME_OBJECT && effects.last.kind == NAME_OBJECT && name->offset == 0 &&
           effects.last.offset == 0 && name->pool == effects.last.pool &&
           (step == 1 || step == SIZE_MAX) &&
           (effects.last.birth == effects.first.birth ||
            (step == 1) == (effects.last.birth > effects.first.birth));
}

/* name: what the event is about, or NULL. after: what is told after it, or NULL. */
static void add_effect(const char *text, const struct name *name, const char *after)
{
    if (name != NULL && effects.has_name && strcmp(text, effects.text) == 0 &&
        after == effects.after && is_next(name)) {
        effects.last = *name;
        return;
    }
    flush_effect();
    snprintf(effects.text, sizeof(effects.text), "%s", text);
    effects.after = after;
    effects.has_name = name != NULL;
    if (name != NULL) {
        effects.first = effects.last = *name;
    }
}

static void add_new(const struct trace_event *event)
{
    if (event->pointer == NULL) {
        add_effect("new", NULL,
                   event->error == ENOMEM ? "NULL, no memory" : "NULL, not constructed");
        return;
    }
    const struct name name = {NAME_OBJECT, event->pool, names_births(event->pool), 0};
    add_effect("new", &name, NULL);
}

static void add_call(const struct trace_event *event)
{
    const bool is_pointed = event->call == SUBJECT_FREE || event->call == SUBJECT_OWNS;
    const char *after = !event->is_finished ? "does not return" : event->message;
    const bool is_quiet = event->call == SUBJECT_CHECK || event->call == SUBJECT_STATS;
    const struct name name = names_find(event->pool, event->pointer);
    if (after == NULL && event->call == SUBJECT_NEW) {
        add_new(event);
    } else if (after != NULL || !is_quiet) {
        if (after == NULL && event->call == SUBJECT_OWNS) {
            after = event->is_true ? "true" : "false";
        }
        add_effect(trace_name_of(event->call), is_pointed ? &name : NULL, after);
    } else if (event->call == SUBJECT_CHECK && !event->is_true) {
        add_effect("check", NULL, "false");
    }
}

static void print_protections(unsigned protections)
{
    static const char *const names[] = {"canary",     "seal",  "wipe",     "shuffle",
                                        "quarantine", "guard", "callsites"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((protections >> i & 1) != 0) {
            printf("%s%s", (protections & ((1U << i) - 1)) != 0 ? "+" : ", ", names[i]);
        }
    }
}

static void print_init(const struct trace_event *event)
{
    const struct cork_mempool_options *options = &event->init.options;
    printf("# pool %u: element size %zu", event->pool, options->element_size);
    if (options->block_size != 0) {
        printf(", block size %zu", options->block_size);
    }
    if (options->max_objects != 0) {
        printf(", at most %zu objects", options->max_objects);
    }
    print_protections(options->protections);
    if (options->buffer != NULL) {
        printf(", in a buffer of %zu bytes", options->buffer_size);
    }
    printf("%s%s\n", options->source != NULL ? ", memory from a source" : "",
           options->init_object == NULL    ? ""
           : event->is_constructor_failing ? ", a constructor that fails at times"
                                           : ", a constructor");
}

/* The last that was heard of each pool. */
struct known {
    const struct trace_event *init; /* NULL: it has none, or is finalized */
    const struct trace_event *stats;
};

static void print_known(const struct known known[PROGRAM_POOL_COUNT])
{
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        const struct trace_event *event = known[i].stats;
        if (known[i].init == NULL) {
            continue;
        }
        print_init(known[i].init);
        if (event != NULL) {
            const struct cork_mempool_stats *stats = &event->stats;
            printf("#   the model knows %zu live and %zu freed objects, aligned to %zu\n",
                   event->live_count, event->freed_count, event->alignment);
            printf("#   stats: %zu live, %zu free; slots of %zu, blocks of %zu; %zu regions; %zu "
                   "bytes of memory, %zu reserved\n",
                   stats->live_count, stats->free_count, stats->slot_size, stats->block_size,
                   stats->region_count, stats->memory_size, stats->reserved_size);
        }
    }
}

static void learn(struct known known[PROGRAM_POOL_COUNT], const struct trace_event *event)
{
    if (event->kind == TRACE_INIT) {
        known[event->pool] = (struct known){.init = event};
    } else if (event->kind == TRACE_CALL && event->is_finished && event->violation == 0) {
        if (event->call == SUBJECT_STATS) {
            known[event->pool].stats = event;
        } else if (event->call == SUBJECT_DONE) {
            known[event->pool].init = NULL;
        }
    }
}

static void add_event(const struct trace_event *event, bool is_init_step)
{
    char text[60];
    struct name name;
    switch (event->kind) {
    case TRACE_INIT:
        if (!is_init_step || !event->is_true) {
            snprintf(text, sizeof(text), "init, element size %zu",
                     event->init.options.element_size);
            add_effect(text, NULL, event->is_true ? NULL : "the options are refused");
        }
        break;
    case TRACE_WRITE:
        name = names_find(event->operation.pool, event->pointer);
        add_effect("write", &name, NULL);
        break;
    case TRACE_DAMAGE:
        name = names_find(event->pool, event->pointer);
        snprintf(text, sizeof(text), "invert %zu bytes at", event->size);
        add_effect(text, &name, NULL);
        break;
    default:
        add_call(event);
        break;
    }
}

static void print_report(const char *operation, const struct trial *trial)
{
    const char *line = trial->report;
    printf("# fails at %s: %s\n", operation, trial->kind);
    while (*line != '\0' && strncmp(line, "  program:", 10) != 0) {
        const size_t length = strcspn(line, "\n");
        printf("#   %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

void explain_trace(const struct draft *draft, const struct trace *trace, const struct trial *trial)
{
    struct known known[PROGRAM_POOL_COUNT] = {{NULL, NULL}};
    struct known before_end[PROGRAM_POOL_COUNT] = {{NULL, NULL}};
    char text[OPERATION_TEXT_SIZE] = "the start"; /* of the last operation */
    bool is_init_step = false;
    size_t next = 0; /* of the draft's operations */
    names_start();
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->events[i];
        if (event->kind == TRACE_STEP || event->kind == TRACE_END) {
            if (i > 0) {
                end_effects();
            }
            if (event->kind == TRACE_STEP) {
                operation_print(&event->operation, text);
                effects.column = printf("%s", text);
                is_init_step = strncmp(text, "init", 4) == 0 || strncmp(text, "reinit", 6) == 0;
                next++;
            } else {
                snprintf(text, sizeof(text), "the end");
                effects.column = printf("# %s", text);
                memcpy(before_end, known, sizeof(known));
            }
        } else {
            add_event(event, is_init_step);
        }
        learn(known, event);
        names_learn(event);
    }
    end_effects();
    for (size_t i = next; i < draft->count; i++) {
        char unreached[OPERATION_TEXT_SIZE];
        operation_print(&draft->operations[i], unreached);
        printf("%-32s  # not reached\n", unreached);
    }
    print_known(trial->is_failing ? known : before_end);
    if (trial->is_failing) {
        print_report(text, trial);
    }
}

ENGINE_END
