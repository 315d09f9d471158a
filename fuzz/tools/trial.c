/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* strsignal */

#include "trial.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/engine/engine.h"

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
            const size_t length = end != NULL ? (size_t)(end - start) : strlen(start);
            snprintf(kind, size, "%.*s", (int)length, start);
            for (char *newline = kind; (newline = strchr(newline, '\n')) != NULL;) {
                *newline = ';';
            }
            return true;
        }
    }
    return false;
}

_Noreturn static void be_child(void (*function)(void *argument), void *argument, FILE *report)
{
    const struct rlimit none = {0, 0};
    const struct rlimit time = {TRIAL_SECONDS, TRIAL_SECONDS + 1};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_CPU, &time);
    dup2(fileno(report), STDERR_FILENO);
    alarm(SLEEP_FACTOR * TRIAL_SECONDS);
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

void trial_run(void (*function)(void *argument), void *argument, struct trial *trial)
{
    int status;
    FILE *report = tmpfile();
    fflush(NULL);
    const pid_t child = report != NULL ? fork() : -1;
    if (child < 0) {
        give_up("a child process");
    }
    if (child == 0) {
        be_child(function, argument, report);
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
