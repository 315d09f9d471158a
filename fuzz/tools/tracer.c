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

static const struct driver *driver;
static uint8_t input[RUN_MAX_SIZE]; /* bytes, be they read or what the text says so far */
static size_t input_size;
static struct run run;
static size_t call_count;

_Noreturn static void fail(const char *reason, const char *detail)
{
    fprintf(stderr, "%s%s\n", reason, detail);
    exit(EXIT_UNUSABLE);
}

static const struct driver *find_driver(const char *name)
{
    static const struct driver *const drivers[] = {
        &driver_misuse, &driver_model, &driver_oom, &driver_options, &driver_profiles,
    };
    const struct driver *found = NULL;
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        found = strcmp(drivers[i]->name, name) == 0 ? drivers[i] : found;
    }
    return found;
}

static void on_step(const struct operation *operation)
{
    if (operation == NULL) {
        printf("end\n");
        return;
    }
    const void *object = run_object(&run, operation->operands[0]);
    printf("step\n");
    if (operation->kind == OPERATION_WRITE && object != NULL) {
        printf("touch %u 0x%zx write\n", run.pool, (size_t)object);
    }
}

static void on_damage(void *start, size_t size)
{
    printf("touch %u 0x%zx invert %zu bytes at\n", run.pool, (size_t)start, size);
}

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    const size_t number = ++call_count;
    printf("call %zu %u 0x0 init, ", number, run.pool);
    run_print_options(stdout, &how->options);
    const bool is_accepted = TRACED_SUBJECT.init(pool, how);
    printf("return %zu %u 0x0 %s\n", number, run.pool,
           is_accepted ? "" : "the options are refused");
    return is_accepted;
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
    TRACED_SUBJECT.call(pool, call, pointer, result);
    const bool is_accepted = result->violation.kind == 0;
    printf("return %zu %u 0x%zx %s\n", number, run.pool,
           call == SUBJECT_NEW && is_accepted ? (size_t)result->object : 0,
           outcome_of(call, result));
    if (call == SUBJECT_STATS && is_accepted) {
        const struct model_pool *known = run_known(&run);
        const struct cork_mempool_stats *stats = &result->stats;
        printf("stats %u the model knows %zu live and %zu freed objects, aligned to %zu\t"
               "stats: %zu live, %zu free; slots of %zu, blocks of %zu; %zu regions; "
               "%zu bytes of memory, %zu reserved\n",
               run.pool, known->live_count, known->freed_count, known->alignment, stats->live_count,
               stats->free_count, stats->slot_size, stats->block_size, stats->region_count,
               stats->memory_size, stats->reserved_size);
    }
}

static bool is_deep(void)
{
    const size_t head_size = driver->head_size;
    return run_max_work(input + head_size, input_size - head_size) == RUN_MAX_WORK;
}

/* Prints a run's text: "head" before each line that is no operation, "operation" before others. */
static void print_text(const struct run_settings *settings)
{
    struct program program = {input, input_size, driver->head_size, driver->dialect};
    struct operation operation;
    char text[OPERATION_TEXT_SIZE];
    printf("run 0x%02x\nhead driver %s\n", settings->protections, driver->name);
    if (driver->run == run_options) {
        printf("operation # options\nstep\n");
        return;
    }
    if (driver->head_size > 0) {
        printf("head failing 0x%016" PRIx64 "\n", settings->failing_mask);
    }
    printf("%s", is_deep() ? "head deep\n" : "");
    while (program_next(&program, &operation)) {
        operation_print(&operation, text);
        printf("operation %s\n", text);
    }
}

/* Does all runs, and the first again if there are others: the last is the one that is shown. */
static void trace(void)
{
    static const struct run_observer observer = {on_step, on_damage};
    const size_t head_size = driver->head_size;
    const size_t count = driver->profile_count;
    struct subject traced = TRACED_SUBJECT;
    traced.init = init;
    traced.call = call;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    input_size = fread(input, 1, sizeof(input), stdin);
    if (input_size < head_size) {
        fail("too short for an input of ", driver->name);
    }
    for (size_t i = 0; i < count + (count > 1); i++) {
        struct run_settings settings = driver_settings(driver, &traced, input, i % count);
        settings.observer = &observer;
        print_text(&settings);
        driver->run(&run, &settings, input + head_size, input_size - head_size);
    }
}

static unsigned line_number; /* of the text, from 1 */

_Noreturn static void fail_at(unsigned column, const char *expected)
{
    fprintf(stderr, "line %u, column %u: expected %s\n", line_number, column, expected);
    exit(EXIT_UNUSABLE);
}

static void append(const struct operation *operation)
{
    uint8_t bytes[OPERATION_BYTES_MAX];
    const size_t size = operation_encode(operation, driver->dialect, bytes);
    if (size == 0) {
        fail_at(1, "an operation that the driver's dialect has");
    } else if (size > RUN_MAX_SIZE - input_size) {
        fail_at(1, "the end: an input has at most 4096 bytes");
    }
    memcpy(input + input_size, bytes, size);
    input_size += size;
}

/* A hash of a program's bytes says how much work it may do. Unless theirs says most, appends a
 * write that makes it so: in the hash, one byte of the operand counts 31 times, the other once, so
 * some sum has the remainder that is wanted. */
static void deepen(unsigned pool)
{
    const size_t size = input_size;
    struct operation write = {.kind = OPERATION_WRITE, .pool = pool};
    while (!is_deep()) {
        input_size = size;
        append(&write);
        write.operands[0]++;
    }
}

/* Returns: whether the line is "deep". Its operation, if it has one, becomes the last. */
static bool encode_line(const char *line, struct operation *last)
{
    struct program_error error;
    char word[64] = "";
    char rest[2];
    uint64_t mask;
    const int count = sscanf(line, "%63s 0x%" SCNx64 " %1s", word, &mask, rest);
    if (count == 1 && strcmp(word, "deep") == 0) {
        return true;
    } else if (count == 2 && strcmp(word, "failing") == 0 && driver->head_size > 0) {
        for (size_t i = 0; i < driver->head_size; i++) {
            input[i] = (uint8_t)(mask >> 8 * i);
        }
    } else if (sscanf(line, " driver %63s %1s", word, rest) != 1 || find_driver(word) == NULL) {
        const enum parse_result result = operation_parse(line, last, &error);
        if (result == PARSE_FAILED) {
            fail_at(error.column, error.expected);
        } else if (result == PARSE_OPERATION) {
            append(last);
        }
    }
    return false;
}

static void encode(void)
{
    static char *line;
    size_t line_size = 0;
    struct operation last = {.pool = 0};
    bool must_be_deep = false;
    if (driver->run == run_options) {
        fail(driver->name, " has no programs: its inputs are options");
    }
    input_size = driver->head_size;
    for (line_number = 1; getline(&line, &line_size, stdin) > 0; line_number++) {
        line[strcspn(line, "#")] = '\0';
        must_be_deep |= encode_line(line, &last);
    }
    if (must_be_deep) {
        deepen(last.pool);
    }
    fwrite(input, 1, input_size, stdout);
}

int main(int argc, char **argv)
{
    driver = argc == 3 ? find_driver(argv[2]) : NULL;
    if (driver == NULL) {
        fail("there is no driver ", argc == 3 ? argv[2] : "");
    }
    (strcmp(argv[1], "encode") == 0 ? encode : trace)();
    return 0;
}
