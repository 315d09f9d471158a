/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What explain.py runs: reads an input of a driver from standard input.
 *
 *     tracer encode DRIVER   takes it for text, and writes the bytes that the text says
 *     tracer trace DRIVER    does its runs, and tells what happens, an event on each line
 *
 * Text has an operation on each line, as operation_print writes it. Three other lines may stand
 * anywhere:
 *
 *     driver NAME   the driver
 *     failing 0x5   failing_mask, for a driver whose inputs begin with it
 *     deep          the program may do RUN_MAX_WORK
 *
 * Exit code: 2 where the input makes no sense; else as the runs end.
 */

#define _POSIX_C_SOURCE 200809L /* getline */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/engine/run.h"
#include "fuzz/targets/driver.h"

#define EXIT_UNUSABLE 2

extern const struct subject TRACED_SUBJECT; /* subject_cork, or what the tests of explain.py name */

static struct run run;
static const struct subject *inner;
static size_t call_count;

static void on_step(const struct operation *operation)
{
    if (operation == NULL) {
        printf("end\n");
        return;
    }
    const void *object = run_object(&run, operation->operands[0]);
    printf("step\n");
    if (operation->kind == OPERATION_WRITE && object != NULL) {
        printf("touch %u 0x%zx write\n", operation->pool, (size_t)object);
    }
}

static void on_damage(void *start, size_t size)
{
    printf("touch %u 0x%zx invert %zu bytes at\n", run.pool, (size_t)start, size);
}

static void print_options(const struct cork_mempool_options *options)
{
    printf("element size %zu", options->element_size);
    if (options->block_size != 0) {
        printf(", block size %zu", options->block_size);
    }
    if (options->max_objects != 0) {
        printf(", at most %zu objects", options->max_objects);
    }
#define PRINT_PROTECTION(name, word)                                                               \
    printf("%s", (options->protections & CORK_MEMPOOL_##name) != 0 ? ", " #word : "");
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
    printf("call %zu %u 0x0 init, ", number, run.pool);
    print_options(&how->options);
    const bool is_accepted = inner->init(pool, how);
    printf("return %zu %u 0x0 %s\n", number, run.pool,
           is_accepted ? "" : "the options are refused");
    return is_accepted;
}

static void print_stats(const struct cork_mempool_stats *stats)
{
    const struct model_pool *known = &run.model.pools[run.pool];
    printf("stats %u %zu the model knows %zu live and %zu freed objects, aligned to %zu\t"
           "stats: %zu live, %zu free; slots of %zu, blocks of %zu; %zu regions; "
           "%zu bytes of memory, %zu reserved\n",
           run.pool, stats->slot_size, known->live_count, known->freed_count, known->alignment,
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
    printf("call %zu %u 0x%zx %s\n", number, run.pool, (size_t)pointer, names[call]);
    inner->call(pool, call, pointer, result);
    const bool is_accepted = result->violation.kind == 0;
    printf("return %zu %u 0x%zx %s\n", number, run.pool,
           call == SUBJECT_NEW && is_accepted ? (size_t)result->object : 0,
           outcome_of(call, result));
    if (call == SUBJECT_STATS && is_accepted) {
        print_stats(&result->stats);
    }
}

static bool is_deep(const uint8_t *program, size_t size)
{
    return run_max_work(program, size) == RUN_MAX_WORK;
}

/* Prints a run's text: "head" before each line that is no operation, "operation" before others. */
static void print_text(const struct driver *driver, const struct driver_run *driver_run)
{
    struct program program = {driver_run->data, driver_run->size, 0, driver->dialect};
    struct operation operation;
    char text[OPERATION_TEXT_SIZE];
    printf("head driver %s\n", driver->name);
    if (driver->has_mask) {
        printf("head failing 0x%016" PRIx64 "\n", driver_run->settings.failing_mask);
    }
    printf("%s", is_deep(driver_run->data, driver_run->size) ? "head deep\n" : "");
    while (program_next(&program, &operation)) {
        operation_print(&operation, text);
        printf("operation %s\n", text);
    }
}

static void trace_run(const struct driver *driver, const struct driver_run *driver_run)
{
    static const struct run_observer observer = {on_step, on_damage};
    struct run_settings settings = driver_run->settings;
    struct subject traced = *settings.subject;
    printf("run 0x%02x\n", settings.protections);
    print_text(driver, driver_run);
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
static void trace(const struct driver *driver)
{
    static uint8_t data[RUN_MAX_SIZE];
    const size_t size = fread(data, 1, sizeof(data), stdin);
    const size_t count = driver->profile_count;
    struct driver_run driver_run;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (driver->has_options) {
        printf("run 0x00\nhead ");
        options_print(data, size);
        options_test(data, size);
    }
    for (size_t i = 0; i < count + (count > 1); i++) {
        if (!driver_decode(driver, &TRACED_SUBJECT, data, size, i % count, &driver_run)) {
            fail("too short for an input of ", driver->name);
        }
        trace_run(driver, &driver_run);
    }
}

/* The bytes of a text, up to the line that is read. */
static struct {
    const struct driver *driver;
    uint8_t bytes[RUN_MAX_SIZE];
    size_t head; /* bytes of the mask, which come first */
    size_t size; /* with them */
    unsigned line;
    struct operation last;
    bool must_be_deep;
} encoded;

_Noreturn static void fail_at(unsigned column, const char *expected)
{
    fprintf(stderr, "line %u, column %u: expected %s\n", encoded.line, column, expected);
    exit(EXIT_UNUSABLE);
}

static void append(const struct operation *operation)
{
    uint8_t bytes[OPERATION_BYTES_MAX];
    const size_t size = operation_encode(operation, encoded.driver->dialect, bytes);
    if (size == 0) {
        fail_at(1, "an operation that the driver's dialect has");
    } else if (size > RUN_MAX_SIZE - encoded.size) {
        fail_at(1, "the end: an input has at most 4096 bytes");
    }
    memcpy(encoded.bytes + encoded.size, bytes, size);
    encoded.size += size;
}

/* A hash of a program's bytes says how much work it may do. Unless theirs says most, appends a
 * write that makes it so: in the hash, one byte of the operand counts 31 times, the other once, so
 * some sum has the remainder that is wanted. */
static void deepen(void)
{
    const size_t size = encoded.size;
    struct operation write = {.kind = OPERATION_WRITE, .pool = encoded.last.pool};
    while (!is_deep(encoded.bytes + encoded.head, encoded.size - encoded.head)) {
        encoded.size = size;
        append(&write);
        write.operands[0]++;
    }
}

static void encode_line(const char *line)
{
    struct program_error error;
    char word[64] = "";
    char rest[2];
    uint64_t mask;
    const int count = sscanf(line, "%63s 0x%" SCNx64 " %1s", word, &mask, rest);
    if (count == 1 && strcmp(word, "deep") == 0) {
        encoded.must_be_deep = true;
    } else if (count == 2 && strcmp(word, "failing") == 0 && encoded.driver->has_mask) {
        for (size_t i = 0; i < encoded.head; i++) {
            encoded.bytes[i] = (uint8_t)(mask >> 8 * i);
        }
    } else if (sscanf(line, " driver %63s %1s", word, rest) != 1 || driver_find(word) == NULL) {
        const enum parse_result result = operation_parse(line, &encoded.last, &error);
        if (result == PARSE_FAILED) {
            fail_at(error.column, error.expected);
        } else if (result == PARSE_OPERATION) {
            append(&encoded.last);
        }
    }
}

static void encode(const struct driver *driver)
{
    static char *line;
    size_t line_size = 0;
    if (driver->has_options) {
        fail(driver->name, " has no programs: its inputs are options");
    }
    encoded.driver = driver;
    encoded.head = encoded.size = driver->has_mask ? sizeof(uint64_t) : 0;
    for (encoded.line = 1; getline(&line, &line_size, stdin) > 0; encoded.line++) {
        line[strcspn(line, "#")] = '\0';
        encode_line(line);
    }
    if (encoded.must_be_deep) {
        deepen();
    }
    fwrite(encoded.bytes, 1, encoded.size, stdout);
}

int main(int argc, char **argv)
{
    const struct driver *driver = argc == 3 ? driver_find(argv[2]) : NULL;
    if (driver == NULL) {
        fail("there is no driver ", argc == 3 ? argv[2] : "");
    }
    (strcmp(argv[1], "encode") == 0 ? encode : trace)(driver);
    return 0;
}
