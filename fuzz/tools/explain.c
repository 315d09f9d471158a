/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Shows what inputs of the fuzz tests say and do, and makes inputs of text.
 *
 *     explain [--driver NAME] [-o OUT] FILE...
 *     explain [--driver NAME] [-o OUT] --encode TEXT
 *
 * A FILE is bytes, or text as explain writes it, which begins with a line "driver NAME"; TEXT need
 * not. What explain writes goes to standard output, or with -o to a file. The driver is the one
 * that text names or after which a folder of the file is, if none is given. Of an input that stands
 * for several runs, the first that fails is shown, or the first if none does. Exit code: 0; 1 where
 * an input fails; 2 where something cannot be read or makes no sense.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draft.h"
#include "explain_trace.h"
#include "fuzz/targets/options.h"
#include "input.h"
#include "trace.h"
#include "trial.h"

static struct {
    bool is_encoding;
    const char *driver;
    const char *output;
    bool has_failed;
} wanted;

static struct trace *trace;
static struct trial trial;

static void run_input(void *input)
{
    const struct input *whole = (const struct input *)input;
    driver_test(whole->driver, input_subject, whole->data, whole->size);
}

static void explain_options(const struct input *input)
{
    printf("# %s: %s, %zu bytes\n", input->path, input->driver->name, input->size);
    options_print(input->data, input->size);
    trial_run(run_input, (void *)(uintptr_t)input, &trial);
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
    draft_decode(&draft, input->driver, input->data, input->size);
    printf("# %s: %zu bytes", input->path, input->size);
    if (input->driver->profile_count > 1) {
        printf(", protections 0x%02x", run->settings.protections);
    }
    printf("\n");
    draft_print_head(&draft);
    explain_trace(&draft, trace, &trial);
}

/* Shows the run that fails, or the first if none does. */
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
    trial_run(run_input, (void *)(uintptr_t)input, &trial);
    const bool is_failing = trial.is_failing;
    do {
        trial_run(run_traced, &run, &trial);
    } while (is_failing && !trial.is_failing &&
             driver_decode(input->driver, input_subject, input->data, input->size, ++index, &run));
    if (is_failing && !trial.is_failing) {
        input_fail(input->path, "fails, but no run of it does so alone");
    }
    show_run(input, &run);
    wanted.has_failed |= is_failing;
}

_Noreturn static void fail_usage(void)
{
    fprintf(stderr, "usage: explain [--driver NAME] [-o OUT] FILE...\n"
                    "       explain [--driver NAME] [-o OUT] --encode TEXT\n");
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
        } else if (strcmp(argv[i], "--encode") == 0) {
            wanted.is_encoding = true;
        } else {
            fail_usage();
        }
    }
    if (i == argc || (wanted.is_encoding && i + 1 != argc)) {
        fail_usage();
    }
    return i;
}

int main(int argc, char **argv)
{
    struct input input;
    int i = parse_arguments(argc, argv);
    input_start();
    trace = trace_make();
    if (trace == NULL) {
        input_fail(NULL, "no memory for a trace");
    }
    if (!wanted.is_encoding && wanted.output != NULL &&
        freopen(wanted.output, "w", stdout) == NULL) {
        input_fail(wanted.output, "cannot be written");
    }
    for (; i < argc; i++) {
        input_read(&input, argv[i], wanted.driver, wanted.is_encoding);
        if (wanted.is_encoding) {
            input_write(wanted.output, input.data, input.size);
        } else {
            explain(&input);
        }
        free(input.data);
    }
    return wanted.has_failed ? 1 : 0;
}
