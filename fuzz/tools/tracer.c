/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What explain.py runs: reads an input of a driver from standard input.
 *
 *     tracer encode DRIVER   takes it for text, and writes the bytes that the text says
 *     tracer trace DRIVER    does its runs, and tells what happens, an event on each line
 *
 * Exit code: 2 where the input makes no sense; else as the runs end.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/engine/run.h"
#include "fuzz/targets/options.h"
#include "text.h"

#define EXIT_UNUSABLE  2
#define INPUT_SIZE_MAX ((size_t)1 << 20)

/* The tests of explain.py name another. */
#if !defined(TRACED_SUBJECT)
#define TRACED_SUBJECT subject_cork
#endif
extern const struct subject TRACED_SUBJECT;

static struct run run;
static const struct subject *inner;
static size_t call_count;

static size_t address_of(const void *pointer)
{
    return (size_t)(uintptr_t)pointer;
}

static void on_step(const struct operation *operation)
{
    if (operation == NULL) {
        printf("end\n");
        return;
    }
    const struct run_pool *pool = &run.pools[operation->pool];
    printf("step\n");
    if (operation->kind == OPERATION_WRITE && pool->count > 0) {
        const size_t index = pool->first + operation->operands[0] % pool->count;
        printf("touch %u 0x%zx write\n", operation->pool, address_of(pool->objects[index]));
    }
}

static void on_damage(void *start, size_t size)
{
    printf("touch %u 0x%zx invert %zu bytes at\n", run.pool, address_of(start), size);
}

static void print_options(const struct cork_mempool_options *options)
{
    printf("options %u element size %zu", run.pool, options->element_size);
    if (options->block_size != 0) {
        printf(", block size %zu", options->block_size);
    }
    if (options->max_objects != 0) {
        printf(", at most %zu objects", options->max_objects);
    }
#define PRINT_PROTECTION(name, word)                                                               \
    if ((options->protections & CORK_MEMPOOL_##name) != 0) {                                       \
        printf(", " #word);                                                                        \
    }
    CORK_MEMPOOL_PROTECTIONS_(PRINT_PROTECTION)
    if (options->buffer != NULL) {
        printf(", in a buffer of %zu bytes", options->buffer_size);
    }
    printf("%s%s\n", options->source != NULL ? ", memory from a source" : "",
           options->init_object != NULL ? ", a constructor" : "");
}

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    const size_t number = ++call_count;
    printf("call %zu %u 0x0 init, element size %zu\n", number, run.pool, how->options.element_size);
    const bool is_accepted = inner->init(pool, how);
    printf("return %zu %u 0x0 %s\n", number, run.pool,
           is_accepted ? "" : "the options are refused");
    print_options(&how->options);
    return is_accepted;
}

static void print_stats(const struct cork_mempool_stats *stats)
{
    const struct model_pool *known = &run.model.pools[run.pool];
    printf("stats %u %zu the model knows %zu live and %zu freed objects, aligned to %zu\t",
           run.pool, stats->slot_size, known->live_count, known->freed_count, known->alignment);
    printf("stats: %zu live, %zu free; slots of %zu, blocks of %zu; %zu regions; %zu bytes of "
           "memory, %zu reserved\n",
           stats->live_count, stats->free_count, stats->slot_size, stats->block_size,
           stats->region_count, stats->memory_size, stats->reserved_size);
}

/* Returns: what is told of a call that has returned, if anything. */
static const char *outcome_of(enum subject_call call, const struct subject_result *result)
{
    if (result->violation.kind != 0) {
        return result->violation.message;
    } else if (call == SUBJECT_NEW && result->object == NULL) {
        return result->error == ENOMEM ? "NULL, no memory" : "NULL, not constructed";
    } else if (call == SUBJECT_OWNS || call == SUBJECT_CHECK) {
        return result->is_true ? "true" : "false";
    }
    return "";
}

static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
#define NAME_OF(NAME, name) name,
    static const char *const names[SUBJECT_CALL_COUNT] = {SUBJECT_CALLS(NAME_OF)};
    const size_t number = ++call_count; /* callbacks call too */
    printf("call %zu %u 0x%zx %s\n", number, run.pool, address_of(pointer), names[call]);
    inner->call(pool, call, pointer, result);
    const bool is_new = call == SUBJECT_NEW && result->violation.kind == 0;
    printf("return %zu %u 0x%zx %s\n", number, run.pool, address_of(is_new ? result->object : NULL),
           outcome_of(call, result));
    if (call == SUBJECT_STATS && result->violation.kind == 0) {
        print_stats(&result->stats);
    }
}

/* The linker's names for where the program's static data lies. */
extern const char __executable_start[], end[];

static void trace_run(const struct driver *driver, const struct driver_run *driver_run)
{
    static const struct run_observer observer = {on_step, on_damage};
    struct run_settings settings = driver_run->settings;
    struct subject traced = *settings.subject;
    printf("run 0x%02x\n", settings.protections);
    text_print(driver, driver_run);
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        printf("place 0x%zx 0x%zx pool %u itself\n", address_of(&run.pools[i]),
               address_of(&run.pools[i].storage + 1), i);
    }
    printf("place 0x%zx 0x%zx static data\n", address_of(__executable_start), address_of(end));
    inner = settings.subject;
    traced.init = init;
    traced.call = call;
    settings.subject = &traced;
    settings.observer = &observer;
    run_program(&run, &settings, driver_run->data, driver_run->size);
}

_Noreturn static void fail(const char *reason, const char *detail)
{
    fprintf(stderr, "%s%s\n", reason, detail);
    exit(EXIT_UNUSABLE);
}

/* Does all runs, and the first again if there are others: the last is the one that is shown. */
static void trace(const struct driver *driver, const uint8_t *data, size_t size)
{
    const size_t count = driver->profile_count;
    struct driver_run driver_run;
    if (driver->has_options) {
        options_print(data, size);
        options_test(data, size);
    } else if (!driver_decode(driver, &TRACED_SUBJECT, data, size, 0, &driver_run)) {
        fail("too short for an input of ", driver->name);
    }
    for (size_t i = 0; i < count + (count > 1); i++) {
        driver_decode(driver, &TRACED_SUBJECT, data, size, i % count, &driver_run);
        trace_run(driver, &driver_run);
    }
}

static void encode(const struct driver *driver, const char *text)
{
    static uint8_t bytes[RUN_MAX_SIZE];
    struct program_error error;
    size_t size;
    if (driver->has_options) {
        fail(driver->name, " has no programs: its inputs are options");
    }
    if (!text_encode(driver, text, bytes, &size, &error)) {
        fprintf(stderr, "line %u, column %u: expected %s\n", error.line, error.column,
                error.expected);
        exit(EXIT_UNUSABLE);
    }
    fwrite(bytes, 1, size, stdout);
}

int main(int argc, char **argv)
{
    static uint8_t data[INPUT_SIZE_MAX + 1]; /* with a 0 behind it */
    const size_t size = fread(data, 1, INPUT_SIZE_MAX, stdin);
    const struct driver *driver = argc == 3 ? driver_find(argv[2]) : NULL;
    if (driver == NULL) {
        fail("there is no driver ", argc == 3 ? argv[2] : "");
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (strcmp(argv[1], "encode") == 0) {
        encode(driver, (const char *)data);
    } else {
        trace(driver, data, size);
    }
    return 0;
}
