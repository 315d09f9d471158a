/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* fork, kill, strsignal */

#include "harness.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SKIPPED = 77 };

/* Long enough for the slowest sanitizer; so a test that hangs is named, not killed with the run. */
#if !defined(SECONDS_PER_TEST)
#define SECONDS_PER_TEST (TEST_UNDER_QEMU ? 500 : 50)
#endif

static struct test {
    const char *name;
    test_function *function;
} tests[256];
static size_t test_count;

static uint64_t seed = 20240229;
static const char *filter = "";

static char row[200]; /* what test_row was told, or nothing */

/* The child process of the last check that made one, and where its standard error is read. */
static pid_t child;
static int child_stderr;
static char child_text[1 << 16];

void test_register(const char *name, test_function *function)
{
    CHECK(test_count < sizeof(tests) / sizeof(*tests));
    tests[test_count++] = (struct test){name, function};
}

uint64_t test_seed(void)
{
    return seed;
}

/* Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014). */
uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

void test_skip(const char *reason)
{
    printf("[%s] ", reason);
    fflush(stdout);
    _exit(EXIT_SKIPPED);
}

void test_row(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(row, sizeof(row), format, arguments);
    va_end(arguments);
}

void test_fails(const char *file, int line, const char *format, ...)
{
    va_list arguments;

    printf("\n    %s:%d: %s%s", file, line, row, row[0] != '\0' ? ": " : "");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n    ");
    fflush(stdout);
    /* Not exit: what a failed test leaves behind is no leak worth a report of its own. */
    _exit(EXIT_FAILED);
}

void test_compares_numbers(const char *file, int line, const char *what, uintmax_t actual,
                           uintmax_t expected)
{
    if (actual != expected) {
        test_fails(file, line,
                   "%s is %" PRIuMAX " (%#" PRIxMAX "), not %" PRIuMAX " (%#" PRIxMAX ")", what,
                   actual, actual, expected, expected);
    }
}

void test_compares_strings(const char *file, int line, const char *what, const char *actual,
                           const char *expected)
{
    actual = actual != NULL ? actual : "(NULL)";
    expected = expected != NULL ? expected : "(NULL)";
    if (strcmp(actual, expected) != 0) {
        test_fails(file, line, "%s is \"%s\", not \"%s\"", what, actual, expected);
    }
}

bool test_child_starts(int signal_number)
{
    const struct rlimit no_core = {0, 0};
    int pipe_ends[2];

    fflush(stdout);
    CHECK(pipe(pipe_ends) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(SECONDS_PER_TEST);
        if (signal_number == SIGSEGV) {
            signal(SIGSEGV, SIG_DFL); /* a sanitizer would rather report the fault itself */
        }
        return true;
    }
    close(pipe_ends[1]);
    child_stderr = pipe_ends[0];
    return false;
}

void test_child_ends(void)
{
    fflush(stdout);
    _exit(0);
}

const char *test_child_text(void)
{
    return child_text;
}

/* Removes the second line of each report, which says where the refused call was made. Returns:
 * false where there is none. */
static bool omit_call(char *text)
{
    char *line = text;
    bool is_told = false;

    while ((line = strstr(line, ": pool 0x")) != NULL && (line = strchr(line, '\n')) != NULL) {
        const char *next = strchr(line + 1, '\n');
        const char *call = strstr(line, "cork_mempool: called at 0x");

        if (next == NULL || call == NULL || call > next) {
            return false;
        }
        memmove(line, next, strlen(next) + 1);
        is_told = true;
    }
    return is_told;
}

/* Waits for the child, of whose standard error child_text is as much as fits. */
static int child_wait(void)
{
    size_t size = 0;
    ssize_t got;
    char *added;
    int status;

    while ((got = read(child_stderr, child_text + size, sizeof(child_text) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    child_text[size] = '\0';
    /* An emulator adds this where a signal ends a process. */
    if (TEST_UNDER_QEMU && (added = strstr(child_text, "qemu: uncaught target signal ")) != NULL) {
        *added = '\0';
    }
    close(child_stderr);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static const char *ending(int status)
{
    static char text[64];

    snprintf(text, sizeof(text), "exit code %d", WEXITSTATUS(status));
    return WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : text;
}

void test_child_ended(const char *file, int line, int signal_number, const char *report)
{
    const int status = child_wait();
    const bool is_right =
        signal_number == 0 ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == signal_number;

    if (!is_right) {
        test_fails(file, line, "the child's end is %s, not %s; standard error:\n%s", ending(status),
                   signal_number == 0 ? "exit code 0" : strsignal(signal_number), child_text);
    }
    if (report == NULL) {
        return;
    }
    if (strstr(report, ": pool 0x") != NULL && strstr(report, "called at 0x") == NULL &&
        !omit_call(child_text)) {
        test_fails(file, line, "the report does not say where the call was made:\n%s", child_text);
    }
    test_compares_strings(file, line, "the child's standard error", child_text, report);
}

/* Runs one test in a process of its own; returns its exit code, or EXIT_FAILED. */
static int run_test(size_t index)
{
    int status, code;
    pid_t process;

    printf("%s ... ", tests[index].name);
    fflush(stdout);
    process = fork();
    CHECK(process >= 0);
    if (process == 0) {
        alarm(SECONDS_PER_TEST);
        tests[index].function();
        exit(0); /* not _exit: a leak checker does its work at exit */
    }
    CHECK(waitpid(process, &status, 0) == process);
    code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    if (code == 0 || code == EXIT_SKIPPED) {
        printf("%s\n", code == 0 ? "ok" : "skipped");
        return code;
    }
    printf("FAILED %s\n", ending(status));
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    size_t counts[EXIT_SKIPPED + 1] = {0}; /* of tests, by exit codes */

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0) {
            seed = strtoull(argv[i] + 7, NULL, 0);
        } else if (argv[i][0] != '-' && filter[0] == '\0') {
            filter = argv[i];
        } else {
            fprintf(stderr, "usage: %s [--seed=N] [part of a test's name]\n", argv[0]);
            return EXIT_USAGE;
        }
    }
    printf("seed %" PRIu64 "\n", seed);
    for (size_t i = 0; i < test_count; i++) {
        if (strstr(tests[i].name, filter) != NULL) {
            counts[run_test(i)]++;
        }
    }
    printf("%zu passed, %zu failed, %zu skipped\n", counts[0], counts[EXIT_FAILED],
           counts[EXIT_SKIPPED]);
    if (counts[0] + counts[EXIT_FAILED] + counts[EXIT_SKIPPED] == 0) {
        fprintf(stderr, "no test's name contains \"%s\"\n", filter);
        return EXIT_USAGE;
    }
    return counts[EXIT_FAILED] == 0 ? 0 : EXIT_FAILED;
}
