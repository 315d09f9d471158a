/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Shows what inputs of the fuzz tests say and do, as C if wanted, and makes inputs of text.
 *
 *     explain [--driver NAME] FILE...
 *     explain [--driver NAME] --emit-c [--outcomes TRACE] FILE...
 *     explain [--driver NAME] --encode TEXT
 *
 * What it writes goes to standard output, or with -o OUT to a file. The driver is the one after
 * which a folder of the file is named, if none is given. Of an input that stands for several runs,
 * the first that fails is shown; --emit-c takes all if none does. TRACE gets what the emitted
 * program will tell of each call.
 * Exit code: 0; 1 where an input fails; 2 where something cannot be read or makes no sense.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draft.h"
#include "emit.h"
#include "explain_trace.h"
#include "fuzz/options.h"
#include "input.h"
#include "trace.h"
#include "trial.h"

enum mode { EXPLAIN, EMIT_C, ENCODE };

static struct {
    enum mode mode;
    const char *driver;
    const char *output;
    const char *outcomes;
    bool has_failed;
} wanted;

static FILE *outcomes; /* or NULL */
static struct trace *trace;
static struct trial trial;

static void run_input(void *input)
{
    const struct input *whole = (const struct input *)input;
    driver_test(whole->driver, input_subject, whole->data, whole->size);
}

static void explain_options(const struct input *input)
{
    if (wanted.mode != EXPLAIN) {
        input_fail(input->path, "%s has no programs: its inputs are options", input->driver->name);
    }
    printf("# %s: %s, %zu bytes\n", input->path, input->driver->name, input->size);
    options_print(input->data, input->size);
    trial_run(run_input, (void *)(uintptr_t)input, TRIAL_SECONDS, &trial);
    if (trial.is_failing) {
        printf("# fails: %s\n%s", trial.kind, trial.report);
        wanted.has_failed = true;
    }
}

static void run_traced(void *run)
{
    trace_run(trace, (const struct driver_run *)run);
}

static void show_run(const struct input *input, const struct driver_run *run)
{
    static struct draft draft;
    char name[600];
    const bool is_one = input->driver->profile_count == 1;
    snprintf(name, sizeof(name), is_one ? "%s" : "%s, protections 0x%02x", input->path,
             run->settings.protections);
    if (wanted.mode == EMIT_C) {
        emit_add(name, trace, &trial);
        if (outcomes != NULL) {
            fprintf(outcomes, "program %s\n", name);
            explain_outcomes(trace, outcomes);
        }
    } else {
        draft_decode(&draft, input->driver, input->data, input->size);
        printf("# %s: %s, %zu bytes\n", name, input->driver->name, input->size);
        draft_print_head(&draft, stdout);
        explain_trace(&draft, trace, &trial);
    }
}

/* Shows the run that fails, or if none does, the first or all. */
static void explain(const struct input *input)
{
    struct driver_run run;
    size_t index = 0;
    if (input->driver->has_options) {
        explain_options(input);
        return;
    }
    if (!driver_decode(input->driver, input_subject, input->data, input->size, 0, &run)) {
        input_fail(input->path, "too short for an input of %s", input->driver->name);
    }
    trial_run(run_input, (void *)(uintptr_t)input, TRIAL_SECONDS, &trial);
    const bool is_failing = trial.is_failing;
    while (driver_decode(input->driver, input_subject, input->data, input->size, index, &run)) {
        trial_run(run_traced, &run, TRIAL_SECONDS, &trial);
        if (!is_failing || trial.is_failing) {
            show_run(input, &run);
        }
        if (trial.is_failing || (!is_failing && wanted.mode == EXPLAIN)) {
            break;
        }
        index++;
    }
    if (is_failing && !trial.is_failing) {
        input_fail(input->path, "fails, but no run of it does so alone");
    }
    wanted.has_failed |= is_failing;
}

static void encode(const struct input *input)
{
    static struct draft draft;
    uint8_t bytes[RUN_MAX_SIZE];
    struct program_error error;
    if (input->driver->has_options) {
        input_fail(input->path, "%s has no programs: its inputs are options", input->driver->name);
    }
    if (memchr(input->data, 0, input->size) != NULL) {
        input_fail(input->path, "is no text");
    }
    if (!draft_parse(&draft, input->driver, (const char *)input->data, &error)) {
        input_fail(input->path, "line %u, column %u: expected %s", error.line, error.column,
                   error.expected);
    }
    const size_t size = draft_encode(&draft, bytes);
    if (size == 0 && draft.count > 0) {
        input_fail(input->path, "more than %d bytes", RUN_MAX_SIZE);
    }
    input_write(wanted.output, bytes, size);
}

_Noreturn static void fail_usage(void)
{
    fprintf(stderr,
            "usage: explain [--driver NAME] [--emit-c [--outcomes TRACE]] [-o OUT] FILE...\n"
            "       explain [--driver NAME] --encode [-o OUT] TEXT\n");
    exit(INPUT_EXIT_UNUSABLE);
}

/* Returns: the index of the first file. */
static int parse_arguments(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--driver") == 0 && i + 1 < argc) {
            wanted.driver = argv[++i];
        } else if (strncmp(argv[i], "--driver=", 9) == 0) {
            wanted.driver = argv[i] + 9;
        } else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
            wanted.output = argv[++i];
        } else if (strcmp(argv[i], "--emit-c") == 0) {
            wanted.mode = EMIT_C;
        } else if (strcmp(argv[i], "--outcomes") == 0 && i + 1 < argc) {
            wanted.outcomes = argv[++i];
        } else if (strcmp(argv[i], "--encode") == 0) {
            wanted.mode = ENCODE;
        } else {
            fail_usage();
        }
    }
    if (i == argc || (wanted.mode == ENCODE && i + 1 != argc) ||
        (wanted.mode != EMIT_C && wanted.outcomes != NULL)) {
        fail_usage();
    }
    return i;
}

int main(int argc, char **argv)
{
    struct input input;
    int i = parse_arguments(argc, argv);
    input_start("explain");
    trace = trace_make();
    if (trace == NULL) {
        input_fail(NULL, "no memory for a trace");
    }
    if (wanted.mode != ENCODE && wanted.output != NULL &&
        freopen(wanted.output, "w", stdout) == NULL) {
        input_fail(wanted.output, "cannot be written");
    }
    if (wanted.outcomes != NULL && (outcomes = fopen(wanted.outcomes, "w")) == NULL) {
        input_fail(wanted.outcomes, "cannot be written");
    }
    for (; i < argc; i++) {
        input_read(&input, argv[i], wanted.driver);
        if (wanted.mode == ENCODE) {
            encode(&input);
        } else {
            explain(&input);
        }
        free(input.data);
    }
    if (wanted.mode == EMIT_C) {
        emit_finish(stdout);
    }
    return wanted.has_failed ? 1 : 0;
}
