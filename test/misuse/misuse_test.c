/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS, sigaction, siginfo_t */

#include "misuse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"
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

#if TEST_UNDER_ASAN || TEST_UNDER_MSAN
#include <sanitizer/common_interface_defs.h>
#endif

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

const struct guarantee *misuse_guarantee;

/* What is committed, and what must come of it. */
static struct {
    void (*commit)(void);
    size_t size;
    unsigned protections;
    const char *verdict;
} trial;

/* The verdict for a profile, or NULL. */
static const char *verdict_for(const struct guarantee *guarantee, unsigned profile)
{
    for (size_t i = 0; i < guarantee->count; i++) {
        if ((guarantee->verdicts[i].profiles & profile) != 0) {
            return guarantee->verdicts[i].text;
        }
    }
    return NULL;
}

static bool is_verdict(const char *verdict)
{
    return strcmp(trial.verdict, verdict) == 0;
}

/* Says whether the verdict is a message. */
static bool is_message(void)
{
    return !is_verdict(FAULT) && !is_verdict(ABSORBED) && !is_verdict(NOT_DETECTED) &&
           !is_verdict(CHECK_FAILS);
}

static void observe(const struct cork_mempool_violation *violation)
{
    CHECK_STRING(violation->message, trial.verdict);
    CHECK_STRING(outcome->report, ""); /* of a refusal before this one */
    fixture_check_violation(violation);
    snprintf(outcome->report, sizeof(outcome->report), "%s", report_of(violation));
}

static void observe_and_leave(const struct cork_mempool_violation *violation)
{
    observe(violation);
    fixture_leave();
}

/* What the machine tells of where a fault was: the byte, or its page. */
#if defined(__s390x__)
#define FAULT_UNIT ((uintptr_t)4096)
#else
#define FAULT_UNIT ((uintptr_t)1)
#endif

/* Addresses of no possible page come as 0, and what is expected may go through the highest address.
 * Returning meets the fault again, which then ends the process. */
static void observe_fault(int number, siginfo_t *info, void *context)
{
    const uintptr_t first = (uintptr_t)expected.fault;
    const uintptr_t low = first - first % FAULT_UNIT;

    (void)context;
    signal(number, SIG_DFL);
    CHECK(expected.fault_size == 0 ||
          (uintptr_t)info->si_addr - low < first + expected.fault_size - low);
    CHECK(fixture_is_intact());
}

static const char *verdict_seen(void)
{
    if (outcome->is_impossible) {
        return "impossible";
    }
    if (outcome->is_check_false) {
        return CHECK_FAILS;
    }
    return outcome->has_effect ? NOT_DETECTED : ABSORBED;
}

/* Commits the misuse in this process, which a signal must end; with 0, none. */
static void commit_trial(int signal_number)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    action.sa_sigaction = observe_fault;
    sigaction(SIGSEGV, &action, NULL);
    cork_mempool_on_violation(observe);
#if TEST_UNDER_ASAN || TEST_UNDER_MSAN
    __sanitizer_set_death_callback(abort); /* not exit, as by default */
#endif
    fixture_play(trial.commit, trial.size, trial.protections);
    if (!outcome->is_impossible) {
        CHECK_STRING(verdict_seen(), trial.verdict);
    } else if (signal_number != 0) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
}

static void commit_and_leave(void)
{
    cork_mempool_on_violation(observe_and_leave);
    fixture_play(trial.commit, trial.size, trial.protections);
    if (!outcome->is_impossible) {
        CHECK(outcome->report[0] != '\0');
        CHECK(!outcome->is_check_false);
    }
}

/* The access that a tool reports must be the misuse's own, not one that the pool makes later. */
static bool is_told_by_tool(void)
{
    const char *report = strstr(test_child_text(), trial.verdict);
    const char *frame = report == NULL ? NULL : strstr(report, "#0 ");
    char function[16] = "";

    return frame != NULL && sscanf(frame, "#0 %*s in %15s", function) == 1 &&
           (strcmp(function, "write_byte") == 0 || strcmp(function, "read_byte") == 0);
}

/* Commits the misuse in a process of its own, for which there must be room with some size. */
static void check_profile(bool is_of_tool)
{
    size_t count = 0;

    /* An emulator takes most of a minute for each size. */
    for (size_t i = 0; i < COUNT_OF(sizes); i += TEST_UNDER_QEMU ? 2 : 1) {
        trial.size = sizes[i];
        test_row("protections %#x, size %zu, should be \"%s\"", trial.protections, trial.size,
                 trial.verdict);
        memset(outcome, 0, sizeof(*outcome));
        if (is_of_tool) {
            CHECK_ABORTS(NULL, commit_trial(SIGABRT));
            CHECK(outcome->is_impossible || is_told_by_tool());
        } else if (is_message()) {
            CHECK_ABORTS(outcome->report, commit_trial(SIGABRT));
            CHECK(outcome->is_impossible == (outcome->report[0] == '\0'));
            CHECK_PASSES(commit_and_leave());
        } else if (is_verdict(FAULT)) {
            CHECK_FAULTS(commit_trial(SIGSEGV));
        } else {
            CHECK_PASSES(commit_trial(0));
        }
        count += !outcome->is_impossible;
    }
    /* Under tools, pools have less room for some misuses. */
    CHECK(count > 0 || TOOL != 0 || regions_are_small());
}

static void commit_and_leave_each(void)
{
    trial.size = 24;
    for (trial.protections = 0; trial.protections < SETS_COUNT; trial.protections++) {
        test_row("protections %#x, left by longjmp", trial.protections);
        commit_and_leave();
    }
}

/* For a tool that watches one misuse: $MISUSE is its name, and $MISUSE_SIZE the objects' size. Of
 * no name, the guarantee of each is printed. */
static void commit_watched(const char *chosen, const char *name, const struct guarantee *guarantee)
{
    if (chosen[0] == '\0') {
        puts(guarantee->text);
    } else if (strcmp(chosen, name) == 0) {
        fixture_play(trial.commit, strtoul(getenv("MISUSE_SIZE"), NULL, 10), 0);
        puts(verdict_seen());
    }
}

void misuse_test(const char *name, void (*commit)(void), const struct guarantee *guarantee)
{
    const char *const chosen = getenv("MISUSE");
    const char *const of_tool = verdict_for(guarantee, TOOL);

    unsetenv("CORK_MEMPOOL_OPTIONS");
    trial.commit = commit;
    if (chosen != NULL) {
        commit_watched(chosen, name, guarantee);
        return;
    }
    outcome =
        mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(outcome != MAP_FAILED);
    for (size_t i = 0; i < (TOOL == 0 ? COUNT_OF(profiles) : 1); i++) {
        trial.protections = profiles[i];
        trial.verdict = of_tool != NULL ? of_tool : verdict_for(guarantee, 1u << i);
        CHECK(trial.verdict != NULL);
        check_profile(of_tool != NULL);
    }
    if (TOOL == 0 && guarantee->verdicts[0].profiles == ALL && is_message()) {
        CHECK_PASSES(commit_and_leave_each());
    }
}
