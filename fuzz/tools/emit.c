/* SPDX-License-Identifier: BSD-3-Clause */
#include "emit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "emit_state.h"
#include "fuzz/engine.h"
#include "trace_names.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#endif

/* With it, the pool leaves room between objects: blocks, buffers and memory hold fewer. */
#if defined(HAS_ADDRESS_SANITIZER)
#define SANITIZER_OPTION " -fsanitize=address"
#else
#define SANITIZER_OPTION ""
#endif

ENGINE_BEGIN

/* emit_prelude.c, line by line. */
static const char *const prelude[] = {
#include "fuzz/tools/emit_prelude.inc"
};

static const char *const section_names[EMIT_SECTION_COUNT] = {
    "violations", "damage", "foreign", "visit",        "refusals",
    "wraps",      "source", "buffers", "constructors", "types",
};

struct emit emit;

void emit_put(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("    ", emit.body);
    vfprintf(emit.body, format, arguments);
    fputc('\n', emit.body);
    va_end(arguments);
}

static const char *kind_name(enum cork_mempool_violation_kind kind)
{
    static const char *const names[] = {
        [CORK_MEMPOOL_DOUBLE_FREE] = "CORK_MEMPOOL_DOUBLE_FREE",
        [CORK_MEMPOOL_INTERIOR_POINTER] = "CORK_MEMPOOL_INTERIOR_POINTER",
        [CORK_MEMPOOL_FOREIGN_POINTER] = "CORK_MEMPOOL_FOREIGN_POINTER",
        [CORK_MEMPOOL_NEVER_ISSUED] = "CORK_MEMPOOL_NEVER_ISSUED",
        [CORK_MEMPOOL_LEAK] = "CORK_MEMPOOL_LEAK",
        [CORK_MEMPOOL_USE_AFTER_DONE] = "CORK_MEMPOOL_USE_AFTER_DONE",
        [CORK_MEMPOOL_USE_BEFORE_INIT] = "CORK_MEMPOOL_USE_BEFORE_INIT",
        [CORK_MEMPOOL_NOT_A_POOL] = "CORK_MEMPOOL_NOT_A_POOL",
        [CORK_MEMPOOL_CANARY_DAMAGED] = "CORK_MEMPOOL_CANARY_DAMAGED",
        [CORK_MEMPOOL_WRITE_AFTER_FREE] = "CORK_MEMPOOL_WRITE_AFTER_FREE",
    };
    return names[kind];
}

/* C's expression for an address. */
static void express(unsigned pool, const void *pointer, char *text, size_t size)
{
    const struct name name = names_find(pool, pointer);
    switch (name.kind) {
    case NAME_NUMBER:
        snprintf(text, size, name.offset == 0 ? "NULL" : "(void *)(uintptr_t)%td", name.offset);
        break;
    case NAME_STATIC:
        emit.needs[EMIT_FOREIGN] = true;
        snprintf(text, size, "foreign");
        break;
    case NAME_STACK:
        snprintf(text, size, "&(int){0}");
        break;
    case NAME_HEAP:
        emit.needs[EMIT_FOREIGN] = true;
        snprintf(text, size, "foreign_heap");
        break;
    case NAME_POOL:
        snprintf(text, size, "(char *)&p[%u].pool + %td", name.pool, name.offset);
        break;
    case NAME_OBJECT:
        if (name.offset == 0) {
            snprintf(text, size, "p[%u].a[%zu]", name.pool, name.birth);
        } else {
            snprintf(text, size, "p[%u].a[%zu] + %td", name.pool, name.birth, name.offset);
        }
        break;
    }
}

static void flush_calls(void)
{
    if (emit.count == 1) {
        if (emit.call == SUBJECT_NEW) {
            emit_put("new_object(%u); /* p[%u].a[%zu] */", emit.pool, emit.pool, emit.first);
        } else {
            emit_put("free_object(%u, %zu);", emit.pool, emit.first);
        }
    } else if (emit.count > 1) {
        if (emit.call == SUBJECT_NEW) {
            emit_put("new_objects(%u, %zu); /* p[%u].a[%zu] to [%zu] */", emit.pool, emit.count,
                     emit.pool, emit.first, emit.last);
        } else {
            emit_put("free_range(%u, %zu, %td, %zu);", emit.pool, emit.first, emit.step,
                     emit.count);
        }
    }
    emit.count = 0;
}

static void add_call(enum subject_call call, unsigned pool, size_t birth)
{
    const intptr_t step = (intptr_t)(birth - emit.last);
    if (emit.count == 0 || emit.call != call || emit.pool != pool ||
        (emit.count > 1 && step != emit.step)) {
        flush_calls();
        emit.call = call;
        emit.pool = pool;
        emit.first = birth;
    }
    emit.step = step;
    emit.last = birth;
    emit.count++;
}

static void put_step(const char *text)
{
    fputs("\n    step = \"", emit.body);
    for (; *text != '\0'; text++) {
        fprintf(emit.body, *text == '"' ? "\\%c" : "%c", *text);
    }
    fputs("\";\n", emit.body);
}

static void add_step(const struct trace_event *event)
{
    char text[OPERATION_TEXT_SIZE];
    emit.operation = event->operation;
    operation_print(&event->operation, text);
    put_step(event->kind == TRACE_END ? "the end" : text);
    if (event->kind == TRACE_END || event->operation.kind == OPERATION_CHECK) {
        emit_put("compare_all();");
    }
}

/* The violation for which the operation's misuse must be refused. */
static enum cork_mempool_violation_kind kind_expected(const struct trace_event *event)
{
    static const enum cork_mempool_violation_kind kinds[OPERATION_KIND_COUNT] = {
        [OPERATION_FREE_TWICE] = CORK_MEMPOOL_DOUBLE_FREE,
        [OPERATION_FREE_FREED] = CORK_MEMPOOL_DOUBLE_FREE,
        [OPERATION_FREE_INTERIOR] = CORK_MEMPOOL_INTERIOR_POINTER,
        [OPERATION_FREE_FOREIGN] = CORK_MEMPOOL_FOREIGN_POINTER,
        [OPERATION_FREE_UNISSUED] = CORK_MEMPOOL_NEVER_ISSUED,
        [OPERATION_OVERFLOW] = CORK_MEMPOOL_CANARY_DAMAGED,
        [OPERATION_UNDERFLOW] = CORK_MEMPOOL_CANARY_DAMAGED,
        [OPERATION_WRITE_FREED] = CORK_MEMPOOL_WRITE_AFTER_FREE,
        [OPERATION_LEAK] = CORK_MEMPOOL_LEAK,
    };
    if (emit.operation.kind != OPERATION_USE_DEAD) {
        return kinds[emit.operation.kind];
    }
    return event->target == TRACE_POOL    ? CORK_MEMPOOL_USE_AFTER_DONE
           : event->target == TRACE_ZEROS ? CORK_MEMPOOL_USE_BEFORE_INIT
                                          : CORK_MEMPOOL_NOT_A_POOL;
}

/* The call that the run failed in or after: what it must do is known only in part. */
static bool is_last(const struct trace_event *event)
{
    return emit.trial->is_failing && event == &emit.trace->events[emit.trace->count - 1];
}

static void add_refused(const struct trace_event *event, enum cork_mempool_violation_kind kind)
{
    static const char *const names[SUBJECT_CALL_COUNT] = {
        "NEW", "FREE", "DONE", "CHECK", "STATS", "OWNS", "FOREACH", "CLEAR", "TRIM",
    };
    const bool is_pointed = event->call == SUBJECT_FREE || event->call == SUBJECT_OWNS;
    char target[32];
    char pointer[64] = "NULL";
    emit.needs[EMIT_VIOLATIONS] = true;
    snprintf(target, sizeof(target),
             event->target == TRACE_POOL    ? "&p[%u].pool"
             : event->target == TRACE_ZEROS ? "zeroed()"
                                            : "copied(%u)",
             event->pool);
    if (is_pointed) {
        express(event->pool, event->pointer, pointer, sizeof(pointer));
    }
    const bool is_heap = strcmp(pointer, "foreign_heap") == 0;
    if (is_heap) {
        emit_put("foreign_heap = malloc(16);");
    }
    emit_put("refused(%u, %s, %s, %s, %s);", event->pool, target, names[event->call], pointer,
             kind_name(kind));
    if (is_heap) {
        emit_put("free(foreign_heap);");
    }
}

/* Returns: the event after those that the visits made. */
static size_t add_foreach(size_t index)
{
    const struct trace_event *event = &emit.trace->events[index];
    const size_t next = event->is_finished ? event->next : emit.trace->count;
    size_t count = 0;
    emit.needs[EMIT_VISIT] = true;
    for (size_t i = index + 1; i < next; i++) {
        const struct name name = names_find(event->pool, emit.trace->events[i].pointer);
        if (count++ == 0) {
            fprintf(emit.body, "    static const size_t freed_%zu[] = {", index);
        }
        fprintf(emit.body, "%s%zu", count > 1 ? ", " : "", name.birth);
        names_learn(&emit.trace->events[i]);
    }
    if (count > 0) {
        fprintf(emit.body, "};\n    visit_all(%u, %zu, freed_%zu);\n", event->pool, count, index);
    } else {
        emit_put("visit_all(%u, 0, NULL);", event->pool);
    }
    return next;
}

static void add_free(const struct trace_event *event)
{
    const struct name name = names_find(event->pool, event->pointer);
    if (event->pointer == NULL) {
        flush_calls();
        emit_put("free_null(%u);", event->pool);
    } else {
        add_call(SUBJECT_FREE, event->pool, name.birth);
    }
}

/* A call that came back, or should have. */
static void add_plain(const struct trace_event *event)
{
    char pointer[64];
    const unsigned i = event->pool;
    switch (event->call) {
    case SUBJECT_NEW:
        if (event->is_finished && event->pointer == NULL && !is_last(event)) {
            emit_put("new_fails(%u, %s);", i, event->error == ENOMEM ? "ENOMEM" : "EDOM");
        } else {
            add_call(SUBJECT_NEW, i, names_births(i));
        }
        break;
    case SUBJECT_FREE:
        add_free(event);
        break;
    case SUBJECT_OWNS:
        express(i, event->pointer, pointer, sizeof(pointer));
        emit_put("owns(%u, %s, %s);", i, pointer,
                 event->is_true != is_last(event) ? "true" : "false");
        break;
    case SUBJECT_STATS:
    case SUBJECT_CHECK:
        if (event->call == SUBJECT_CHECK || is_last(event)) {
            emit_put("sound(%u);", i);
        }
        break;
    default:
        emit_put("%s(%u);", trace_name_of(event->call), i);
        break;
    }
}

/* What memory the pool is refused from now on. */
static void add_memory(const struct trace_event *event)
{
    struct trace_event *known = &emit.memory[event->pool];
    const unsigned i = event->pool;
    if (known->largest_mapping == event->largest_mapping &&
        known->failing_request == event->failing_request &&
        known->failing_mask == event->failing_mask) {
        return;
    }
    flush_calls();
    emit_put("refuse(%u, %zuu, %zu, UINT64_C(0x%016" PRIx64 "));", i, event->largest_mapping,
             event->failing_request, event->failing_mask);
    *known = *event;
}

/* Returns: the next event. */
static size_t add_trace_call(size_t index)
{
    const struct trace_event *event = &emit.trace->events[index];
    const bool is_refused = event->is_finished && event->violation != 0;
    const bool is_unexpected = strstr(emit.trial->kind, "a call is not refused") != NULL;
    const bool is_quiet = event->call == SUBJECT_STATS && !is_last(event) && !is_refused;
    add_memory(event);
    if (event->call != SUBJECT_NEW && event->call != SUBJECT_FREE && !is_quiet) {
        flush_calls();
    }
    if (is_last(event) && !is_unexpected && kind_expected(event) != 0 &&
        event->call != SUBJECT_STATS && event->call != SUBJECT_NEW) {
        flush_calls();
        add_refused(event, kind_expected(event));
    } else if (is_refused && !is_last(event)) {
        flush_calls();
        add_refused(event, event->violation);
    } else if (event->call == SUBJECT_FOREACH) {
        return add_foreach(index);
    } else {
        if (event->call == SUBJECT_NEW && event->pointer == NULL) {
            flush_calls();
        }
        add_plain(event);
    }
    return index + 1;
}

/* Returns: the next event. */
static size_t add_event(size_t index)
{
    const struct trace_event *event = &emit.trace->events[index];
    char pointer[64];
    if (event->kind == TRACE_CALL) {
        return add_trace_call(index);
    }
    flush_calls();
    switch (event->kind) {
    case TRACE_INIT:
        emit_init(event);
        break;
    case TRACE_WRITE:
        emit_put("write_object(%u, %zu);", event->operation.pool,
                 names_find(event->operation.pool, event->pointer).birth);
        break;
    case TRACE_DAMAGE:
        emit.needs[EMIT_DAMAGE] = true;
        express(event->pool, event->pointer, pointer, sizeof(pointer));
        emit_put("damage(%s, %zu);", pointer, event->size);
        break;
    default:
        add_step(event);
        break;
    }
    return index + 1;
}

/* Looks ahead for what decides how the program begins. */
static void look_at_memory(void)
{
    bool takes_from_os = false;
    emit.has_refusals = false;
    for (size_t i = 0; i < emit.trace->count; i++) {
        const struct trace_event *event = &emit.trace->events[i];
        const struct cork_mempool_options *options = &event->init.options;
        emit.has_refusals |=
            event->largest_mapping != 0 || event->failing_request != 0 || event->failing_mask != 0;
        takes_from_os |=
            event->kind == TRACE_INIT && options->source == NULL && options->buffer == NULL;
    }
    emit.needs[EMIT_REFUSALS] |= emit.has_refusals;
    emit.needs[EMIT_WRAPS] |= emit.has_refusals && takes_from_os;
}

/* A literal that names the run, and may hold no quotes. */
static void put_name(const char *name)
{
    fprintf(emit.body, "    start(\"");
    for (; *name != '\0'; name++) {
        fputc(strchr("\"\\\n", *name) != NULL ? '_' : *name, emit.body);
    }
    fprintf(emit.body, "\");\n");
}

void emit_add(const char *name, const struct trace *trace, const struct trial *trial)
{
    emit.body = emit.body != NULL ? emit.body : tmpfile();
    if (emit.body == NULL) {
        perror("a temporary file");
        exit(2);
    }
    emit.trace = trace;
    emit.trial = trial;
    emit.operation = (struct operation){.kind = OPERATION_NEW};
    names_start();
    look_at_memory();
    fprintf(emit.body, "\nstatic void program_%zu(void)\n{\n", emit.program_count++);
    fprintf(emit.body, "    struct cork_mempool elsewhere;\n    (void)elsewhere;\n");
    put_name(name);
    for (size_t i = 0; i < trace->count;) {
        const size_t next = add_event(i);
        names_learn(&trace->events[i]);
        i = next;
    }
    flush_calls();
    if (trial->is_failing) {
        emit_put("compare_all();\n    /* The run ended here: %s */", trial->kind);
        emit_put("expect(false, \"a failure before this\");");
    }
    fprintf(emit.body, "}\n");
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        const size_t count = names_births(i) + 1;
        emit.object_count = count > emit.object_count ? count : emit.object_count;
    }
}

static void put_head(FILE *out)
{
    fprintf(out, "// Beside cork_mempool's include and src:\n"
                 "//     cc -std=c11 -g" SANITIZER_OPTION " -Iinclude -Isrc THIS.c src/*.c");
    if (emit.needs[EMIT_WRAPS]) {
        fprintf(out, " -Wl,--wrap=mmap,--wrap=mprotect,--wrap=madvise,--wrap=malloc"
                     ",--wrap=calloc,--wrap=aligned_alloc\n"
                     "// (the last options because requests for memory were refused)");
    }
    fprintf(out,
            "\n// With an argument, the program tells what comes of each call.\n"
            "#define OBJECT_COUNT %zu\n",
            emit.object_count);
}

static void put_prelude(FILE *out)
{
    static const char before[] = "/* section: ";
    bool is_needed = false;
    for (size_t i = 0; i < sizeof(prelude) / sizeof(prelude[0]); i++) {
        const char *name = prelude[i] + sizeof(before) - 1;
        if (strncmp(prelude[i], before, sizeof(before) - 1) != 0) {
            fputs(is_needed ? prelude[i] : "", out);
            continue;
        }
        is_needed = true;
        for (unsigned section = 0; section < EMIT_SECTION_COUNT; section++) {
            const size_t size = strlen(section_names[section]);
            if (strncmp(name, section_names[section], size) == 0 && name[size] == ' ') {
                is_needed = emit.needs[section];
            }
        }
    }
}

void emit_finish(FILE *out)
{
    int character;
    put_head(out);
    put_prelude(out);
    rewind(emit.body);
    while ((character = fgetc(emit.body)) != EOF) {
        fputc(character, out);
    }
    fclose(emit.body);
    fprintf(out, "\nint main(int argc, char **argv)\n{\n    (void)argv;\n"
                 "    is_verbose = argc > 1;\n");
    for (size_t i = 0; i < emit.program_count; i++) {
        fprintf(out, "    program_%zu();\n", i);
    }
    fprintf(out, "    return 0;\n}\n");
}

ENGINE_END
