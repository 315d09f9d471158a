/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* fork, MAP_ANONYMOUS, alarm, sigaction, siginfo_t */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "misuse.h"
#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"

/*
 * Each misuse is a test: for every size and every profile, a process of its own commits it. Where
 * the verdict is a message, another process leaves the refused call by longjmp, and does so with
 * every set of protections where the message is the same for all.
 *
 * The guarantees are about the pool as it is shipped. AddressSanitizer and MemorySanitizer stop a
 * misuse before the pool can find it: a test built with them has default pools only, and the
 * verdicts of its own profile, where there is one.
 */

#define SECONDS_PER_TRIAL 100

#if TEST_UNDER_ASAN
#define TOOL ASAN
#elif TEST_UNDER_MSAN
#define TOOL MSAN
#else
#define TOOL 0
#endif

/* In the order of the profiles' numbers. */
#define PROFILE(name, word) CORK_MEMPOOL_##name,
static const unsigned profiles[] = {0, CORK_MEMPOOL_PROTECTIONS_(PROFILE) CORK_MEMPOOL_PARANOID};

#define PROFILE_IS_IN_PLACE(name, word)                                                            \
    _Static_assert(name == CORK_MEMPOOL_##name << 1, "profiles have the order of protections");
CORK_MEMPOOL_PROTECTIONS_(PROFILE_IS_IN_PLACE)

static const size_t sizes[] = {1, 8, 24, 64, 1000, 5000};

struct guarantee misuse_guarantee;

void misuse_register(struct misuse *misuse)
{
    test_register(misuse->name, misuse->test);
}

struct trial {
    const struct misuse *misuse;
    const char *verdict;
    size_t size;
    unsigned protections;
    int status; /* as from waitpid */
    char text[65536];
};

static struct trial trial;

/* The verdict for some profiles, or NULL; a guarantee must name none of them twice. */
static const char *verdict_for(const struct guarantee *guarantee, unsigned profile)
{
    const char *found = NULL;
    unsigned named = 0;

    for (size_t i = 0; i < guarantee->count; i++) {
        named |= guarantee->verdicts[i].profiles;
    }
    for (size_t i = 0; i < guarantee->count; i++) {
        const unsigned some = guarantee->verdicts[i].profiles;

        if ((((some & OTHERS) != 0 ? some | (ALL & ~named) : some) & profile) != 0) {
            CHECK(found == NULL);
            found = guarantee->verdicts[i].text;
        }
    }
    return found;
}

/* The kind with a message, or 0. */
static enum cork_mempool_violation_kind kind_of(const char *verdict)
{
    for (enum cork_mempool_violation_kind kind = 1;; kind++) {
        const char *message = cork_mempool_violation_message(kind);

        if (message == NULL || strcmp(message, verdict) == 0) {
            return message == NULL ? 0 : kind;
        }
    }
}

static void observe(const struct cork_mempool_violation *violation)
{
    outcome->refusal_count++;
    outcome->complaint = strcmp(violation->message, trial.verdict) != 0
                             ? violation->message
                             : fixture_complaint(violation);
    snprintf(outcome->report, sizeof(outcome->report), "%s", report_of(violation));
}

static void observe_and_leave(const struct cork_mempool_violation *violation)
{
    observe(violation);
    fixture_leave(violation->kind != CORK_MEMPOOL_CANARY_DAMAGED &&
                  violation->kind != CORK_MEMPOOL_WRITE_AFTER_FREE);
}

/* Returning meets the fault again, which then ends the process. */
static void observe_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    outcome->fault = (uintptr_t)info->si_addr;
    outcome->complaint = fixture_is_intact() ? NULL : "an object lost its contents";
    signal(number, SIG_DFL);
}

static void commit_and_end(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    action.sa_sigaction = observe_fault;
    sigaction(SIGSEGV, &action, NULL);
    cork_mempool_on_violation(observe);
    fixture_play(trial.misuse->commit, trial.size, trial.protections, test_seed());
}

static void commit_and_leave(unsigned protections)
{
    cork_mempool_on_violation(observe_and_leave);
    fixture_play(trial.misuse->commit, trial.size, protections, test_seed());
    if (!outcome->is_impossible &&
        (outcome->refusal_count != 1 || outcome->complaint != NULL || outcome->is_check_false)) {
        fprintf(stderr, "left by longjmp, size %zu, protections %#x, %zu refusals: %s\n",
                trial.size, protections, outcome->refusal_count,
                outcome->complaint != NULL ? outcome->complaint : "the pool is not as it was");
        _exit(1);
    }
}

/* The profiles of this build for which the verdict is the trial's. */
static unsigned profiles_alike(void)
{
    unsigned alike = 0;

    for (size_t i = 0; i < (TOOL == 0 ? COUNT_OF(profiles) : 1); i++) {
        alike |= verdict_for(&trial.misuse->guarantee, 1u << i) == trial.verdict ? 1u << i : 0;
    }
    return alike;
}

/* With every set of protections where these are all. */
static void commit_and_leave_each(void)
{
    const unsigned alike = profiles_alike();

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        trial.size = sizes[i];
        for (size_t j = 0; j < COUNT_OF(profiles); j++) {
            if ((alike >> j & 1) != 0) {
                commit_and_leave(profiles[j]);
            }
        }
    }
    trial.size = 24;
    for (unsigned set = 0; set < SETS_COUNT && alike == ALL; set++) {
        commit_and_leave(set);
    }
}

/* Runs part of a test in a process of its own, of which the trial tells. */
static void try(void (*part)(void))
{
    const struct rlimit no_core = {0, 0};
    int ends[2];
    size_t length = 0;
    ssize_t got;

    memset(outcome, 0, sizeof(*outcome));
    fflush(stdout);
    CHECK(pipe(ends) == 0);
    const pid_t process = fork();
    CHECK(process >= 0);
    if (process == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(SECONDS_PER_TRIAL);
        part();
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], trial.text + length, sizeof(trial.text) - 1 - length)) > 0) {
        length += (size_t)got;
    }
    trial.text[length] = '\0';
    test_omit_emulator(trial.text);
    close(ends[0]);
    CHECK_EQUAL(waitpid(process, &trial.status, 0), process);
}

/* What the machine tells of where a fault was: the byte, or its page. */
#if defined(__s390x__)
#define FAULT_UNIT ((uintptr_t)4096)
#else
#define FAULT_UNIT ((uintptr_t)1)
#endif

/* Addresses of no possible page come as 0. The range may go through the highest address. */
static bool is_fault_right(void)
{
    const uintptr_t low = outcome->fault_low - outcome->fault_low % FAULT_UNIT;

    return !outcome->is_fault_expected || outcome->fault - low < outcome->fault_end - low;
}

/* The access that a tool reports must be the misuse's own, not one that the pool makes later. */
static bool is_told_by_tool(void)
{
    const char *report = strstr(trial.text, trial.verdict);
    const char *frame = report == NULL ? NULL : strstr(report, "#0 ");
    const char *end = frame == NULL ? NULL : strchr(frame, '\n');

    for (; end != NULL && frame < end; frame++) {
        if (strncmp(frame, " in write_byte ", 15) == 0 ||
            strncmp(frame, " in read_byte ", 14) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_killed_by(int number)
{
    return WIFSIGNALED(trial.status) && WTERMSIG(trial.status) == number;
}

static bool is_verdict(const char *verdict)
{
    return strcmp(trial.verdict, verdict) == 0;
}

static bool is_verdict_right(bool is_of_tool)
{
    if (is_verdict(FAULT)) {
        return is_killed_by(SIGSEGV) && outcome->complaint == NULL && is_fault_right();
    }
    if (kind_of(trial.verdict) != 0) {
        return is_killed_by(SIGABRT) && outcome->complaint == NULL && outcome->refusal_count == 1 &&
               strcmp(trial.text, outcome->report) == 0;
    }
    if (is_of_tool) {
        return is_told_by_tool();
    }
    return trial.status == 0 && outcome->is_over && outcome->complaint == NULL &&
           trial.text[0] == '\0' && outcome->is_check_false == is_verdict(CHECK_FAILS) &&
           (outcome->is_check_false || outcome->has_effect == is_verdict(NOT_DETECTED));
}

static void demand(bool is_right, const char *what)
{
    if (!is_right) {
        test_fails(__FILE__, __LINE__,
                   "%s, protections %#x, size %zu, should be \"%s\"; seed %#zx\n"
                   "seen: %s (status %#x, fault at %#zx, %zu refusals%s%s)\n"
                   "standard error:\n%s\nshould be:\n%s",
                   what, trial.protections, trial.size, trial.verdict, (size_t)test_seed(),
                   outcome->complaint != NULL ? outcome->complaint : "", (unsigned)trial.status,
                   (size_t)outcome->fault, outcome->refusal_count,
                   outcome->has_effect ? ", takes effect" : "",
                   outcome->is_check_false ? ", check is false" : "", trial.text, outcome->report);
    }
}

static void check_profile(size_t profile, bool is_of_tool)
{
    size_t count = 0;

    trial.protections = profiles[profile];
    /* An emulator takes most of a minute for each size. */
    for (size_t i = 0; i < COUNT_OF(sizes); i += TEST_UNDER_QEMU ? 2 : 1) {
        trial.size = sizes[i];
        try(commit_and_end);
        count += !outcome->is_impossible;
        demand(outcome->is_impossible || is_verdict_right(is_of_tool), "in full");
    }
    /* Under tools, pools have less room for some misuses. */
    CHECK(count > 0 || TOOL != 0 || regions_are_small());
}

void misuse_test(const struct misuse *misuse)
{
    const char *const of_tool = verdict_for(&misuse->guarantee, TOOL);

    unsetenv("CORK_MEMPOOL_OPTIONS");
    outcome =
        mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(outcome != MAP_FAILED);
    trial.misuse = misuse;
    for (size_t i = 0; i < (TOOL == 0 ? COUNT_OF(profiles) : 1); i++) {
        trial.verdict = of_tool != NULL ? of_tool : verdict_for(&misuse->guarantee, 1u << i);
        CHECK(trial.verdict != NULL);
        check_profile(i, of_tool != NULL);
        if (kind_of(trial.verdict) != 0 && profiles_alike() % (2u << i) == 1u << i) {
            try(commit_and_leave_each);
            demand(trial.status == 0 && trial.text[0] == '\0', "left by longjmp");
        }
    }
}
