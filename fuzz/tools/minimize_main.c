/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Makes a failing input of a fuzz test, bytes or text, small: as few operations with as small
 * operands as still fail the same way.
 *
 *     minimize [--driver NAME] [--timeout SECONDS] [-o OUT] FILE
 *
 * Writes bytes to FILE.minimized, or to OUT, never to FILE itself, and text to standard output. The
 * driver is the one that text names or after which a folder of the file is, if none is given. What
 * uses the processor for longer than the timeout, 10 seconds, hangs, which is a failure too.
 * Options, which are no program, libFuzzer makes smaller: -minimize_crash=1.
 * Exit code: 0; 1 where the input does not fail, or not the same way each time; 2 where something
 * cannot be read or written or makes no sense.
 */

#define _POSIX_C_SOURCE 200809L /* isatty, setenv */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "minimize.h"

#define EXIT_PASSES 1

static struct {
    const char *driver;
    const char *output;
    const char *file;
    unsigned seconds;
} wanted = {.seconds = TRIAL_SECONDS};

/* Of the kinds of failures no part is the name of a function, and looking those up takes longer
 * than all else. The sanitizers read their options when the process starts. */
static void restart_without_symbolizer(char **argv)
{
    static const char *const names[] = {"ASAN_OPTIONS", "MSAN_OPTIONS", "TSAN_OPTIONS",
                                        "UBSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *options = getenv(names[i]);
        char text[1024];
        if (options != NULL && strstr(options, "symbolize=") != NULL) {
            return;
        }
        snprintf(text, sizeof(text), "%s%ssymbolize=0", options != NULL ? options : "",
                 options != NULL && *options != '\0' ? ":" : "");
        setenv(names[i], text, 1);
    }
    execv("/proc/self/exe", argv);
}

_Noreturn static void fail_usage(void)
{
    fprintf(stderr, "usage: minimize [--driver NAME] [--timeout SECONDS] [-o OUT] FILE\n");
    exit(INPUT_EXIT_UNUSABLE);
}

static unsigned parse_seconds(const char *text)
{
    char *end;
    const unsigned long seconds = strtoul(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || seconds > 86400) {
        fail_usage();
    }
    return (unsigned)seconds;
}

static void parse_arguments(int argc, char **argv)
{
    static char output[4096];
    int i = 1;
    for (; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--driver") == 0) {
            wanted.driver = argv[i + 1];
        } else if (strcmp(argv[i], "-o") == 0) {
            wanted.output = argv[i + 1];
        } else if (strcmp(argv[i], "--timeout") == 0) {
            wanted.seconds = parse_seconds(argv[i + 1]);
        } else {
            fail_usage();
        }
    }
    if (i + 1 != argc || argv[i][0] == '-') {
        fail_usage();
    }
    wanted.file = argv[i];
    snprintf(output, sizeof(output), "%s.minimized", wanted.file);
    wanted.output = wanted.output != NULL ? wanted.output : output;
}

static bool is_same_file(const char *one, const char *other)
{
    struct stat first, second;
    return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* On a terminal, one line that changes; else a line when operations have been left out. */
static void show_progress(const struct minimizer *minimizer, const struct draft *draft)
{
    static size_t shown_count = SIZE_MAX;
    if (isatty(STDERR_FILENO) != 0) {
        fprintf(stderr, "\rminimize: %zu operations, %zu trials ", draft->count,
                minimizer->trial_count);
    } else if (draft->count != shown_count) {
        fprintf(stderr, "minimize: %zu operations, %zu trials\n", draft->count,
                minimizer->trial_count);
    }
    shown_count = draft->count;
}

static void show(const struct minimizer *minimizer, const struct draft *draft)
{
    char text[OPERATION_TEXT_SIZE];
    fprintf(stderr, "%sminimize: %s: %zu operations after %zu trials\n",
            isatty(STDERR_FILENO) != 0 ? "\n" : "", wanted.output, draft->count,
            minimizer->trial_count);
    printf("# fails: %s\n", minimizer->kind);
    draft_print_head(draft);
    for (size_t i = 0; i < draft->count; i++) {
        operation_print(&draft->operations[i], text);
        printf("%s\n", text);
    }
}

int main(int argc, char **argv)
{
    static struct draft draft;
    static struct minimizer minimizer;
    struct input input;
    uint8_t bytes[RUN_MAX_SIZE];
    restart_without_symbolizer(argv);
    parse_arguments(argc, argv);
    input_start("minimize");
    input_read(&input, wanted.file, wanted.driver, false);
    if (input.driver->has_options) {
        input_fail(input.path, "%s has no programs; libFuzzer's -minimize_crash=1 serves",
                   input.driver->name);
    }
    if (is_same_file(wanted.file, wanted.output)) {
        input_fail(wanted.output, "is the input, which is never written over");
    }
    minimizer.subject = input_subject;
    minimizer.seconds = wanted.seconds;
    minimizer.on_trial = show_progress;
    draft_decode(&draft, input.driver, input.data, input.size);
    free(input.data);
    const enum minimize_result result = minimize(&minimizer, &draft);
    if (result != MINIMIZE_DONE) {
        fprintf(stderr, "minimize: %s: %s\n", input.path,
                result == MINIMIZE_PASSES
                    ? "does not fail, or not as draft.h writes its operations anew"
                    : "fails in different ways");
        return EXIT_PASSES;
    }
    input_write(wanted.output, bytes, draft_encode(&draft, bytes));
    show(&minimizer, &draft);
    return 0;
}
