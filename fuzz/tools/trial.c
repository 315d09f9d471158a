/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* strsignal */

#include "trial.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/engine.h"

ENGINE_BEGIN

/* What stands before the finding in a line of a report, in the order of how much it tells, and
 * what ends it, if not the line does. */
static const struct {
    const char *before;
    const char *end;
} findings[] = {
    {"runtime error: ", "\n"},
    {"AddressSanitizer: ", " on "},
    {"MemorySanitizer: ", " on "},
    {"ThreadSanitizer: ", " ("},
    {"UndefinedBehaviorSanitizer: ", " on "},
    {"expected: ", "\n  program:"},
    {"cork_mempool: ", ": pool"},
};

/* What hangs mostly uses the processor. That time, unlike time on the clock, passes no faster on a
 * machine that is busy; what sleeps gets so many times more. */
#define SLEEP_FACTOR 10

/* A violation's kind and the call are told by numbers, which are kept. */
static bool is_kept(const char *start, const char *position)
{
    return position - start >= 5 &&
           (strncmp(position - 5, "kind ", 5) == 0 || strncmp(position - 5, "call ", 5) == 0);
}

/* Copies what stands between two places in one line, with a # for each number. */
static void copy(const char *start, const char *end, char *kind, size_t size)
{
    size_t length = 0;
    for (const char *position = start; position < end && length < size - 1;) {
        const bool is_nil = strncmp(position, "(nil)", 5) == 0;
        if ((isdigit((unsigned char)*position) == 0 && !is_nil) || is_kept(start, position)) {
            kind[length++] = (char)(*position == '\n' ? ';' : *position);
            position++;
            continue;
        }
        kind[length++] = '#';
        position += is_nil ? 5 : 1;
        while (position < end && isxdigit((unsigned char)*position) != 0) {
            position++;
        }
        /* Behind the 0 of 0x stand digits too. */
        if (*position == 'x') {
            position++;
            while (position < end && isxdigit((unsigned char)*position) != 0) {
                position++;
            }
        }
    }
    kind[length] = '\0';
}

/* Returns: whether a finding has been found. */
static bool classify(const char *report, char *kind, size_t size)
{
    for (size_t i = 0; i < sizeof(findings) / sizeof(findings[0]); i++) {
        const char *start = strstr(report, findings[i].before);
        if (start != NULL) {
            const char *end = strstr(start, findings[i].end);
            const char *line = strchr(start, '\n');
            end = end != NULL && (line == NULL || end < line || *findings[i].end == '\n') ? end
                                                                                          : line;
            copy(start, end != NULL ? end : start + strlen(start), kind, size);
            return true;
        }
    }
    return false;
}

_Noreturn static void be_child(void (*function)(void *argument), void *argument, unsigned seconds,
                               FILE *report)
{
    const struct rlimit none = {0, 0};
    const struct rlimit time = {seconds, seconds + 1};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_CPU, &time);
    dup2(fileno(report), STDERR_FILENO);
    alarm(SLEEP_FACTOR * seconds);
    function(argument);
    _exit(0);
}

_Noreturn static void give_up(const char *what)
{
    perror(what);
    exit(2);
}

static void read_report(FILE *file, struct trial *trial)
{
    rewind(file);
    const size_t size = fread(trial->report, 1, sizeof(trial->report) - 1, file);
    trial->report[size] = '\0';
    fclose(file);
}

void trial_run(void (*function)(void *argument), void *argument, unsigned seconds,
               struct trial *trial)
{
    int status;
    FILE *report = tmpfile();
    fflush(NULL);
    const pid_t child = report != NULL ? fork() : -1;
    if (child < 0) {
        give_up("a child process");
    }
    if (child == 0) {
        be_child(function, argument, seconds, report);
    }
    if (waitpid(child, &status, 0) != child) {
        give_up("waitpid");
    }
    read_report(report, trial);
    trial->is_failing = status != 0;
    trial->kind[0] = '\0';
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGALRM)) {
        snprintf(trial->kind, sizeof(trial->kind), "timeout");
    } else if (status != 0 && !classify(trial->report, trial->kind, sizeof(trial->kind))) {
        if (WIFSIGNALED(status)) {
            snprintf(trial->kind, sizeof(trial->kind), "signal: %s", strsignal(WTERMSIG(status)));
        } else {
            snprintf(trial->kind, sizeof(trial->kind), "exit code %d", WEXITSTATUS(status));
        }
    }
}

ENGINE_END
