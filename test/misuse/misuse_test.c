/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS, sigaction, siginfo_t */

#include "misuse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test/support/refusals.h"
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
#define TOOL (TEST_UNDER_ASAN ? ASAN : MSAN)
#else
#define TOOL 0
#endif

/* Of each profile, what options ask of a pool. */
#define ASKED(name, word) {name, CORK_MEMPOOL_##name},
static const struct {
    unsigned profile, protections;
} asked[] = {{DEFAULT, 0}, CORK_MEMPOOL_PROTECTIONS_(ASKED){PARANOID, CORK_MEMPOOL_PARANOID}};

static const size_t sizes[] = {1, 8, 24, 64, 1000, 5000};

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
    const struct verdict *verdict = guarantee->verdicts;

    while (verdict->profiles != 0 && (verdict->profiles & profile) == 0) {
        verdict++;
    }
    return verdict->text;
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

/*
 * What a violation must say: all of it follows from its kind, from what the misuse expects, and
 * from which objects are live.
 */

/* The linker's, for sections whose names are identifiers. */
extern const char __start_issuing[], __stop_issuing[], __start_freeing[], __stop_freeing[],
    __start_accessing[], __stop_accessing[];

#define IS_IN(section, site)                                                                       \
    ((const char *)(site) > __start_##section && (const char *)(site) <= __stop_##section)

/* Demands those sites that must be known, and no others. */
static void check_sites(const struct cork_mempool_violation *violation)
{
    const bool has_sites = (violation->protections & CORK_MEMPOOL_CALLSITES) != 0;
    const size_t slot = violation->slot;
    bool was_issued = slot != CORK_MEMPOOL_NO_SLOT;
    bool was_freed = was_issued;

    if (expected.pool == &pool) {
        was_issued = slot < fixture.slot_count && fixture.objects[slot].start != NULL;
        was_freed = was_issued && !fixture.objects[slot].is_live;
    }
    for (size_t i = 0; i < violation->listed_count; i++) {
        const void *const site = violation->listed[i].new_site;

        CHECK(has_sites ? IS_IN(issuing, site) : site == NULL);
    }
    CHECK(has_sites && was_issued ? IS_IN(issuing, violation->new_site)
                                  : violation->new_site == NULL);
    CHECK(has_sites && was_freed ? IS_IN(freeing, violation->free_site)
                                 : violation->free_site == NULL);
    CHECK(violation->kind <= CORK_MEMPOOL_NEVER_ISSUED ? IS_IN(freeing, violation->call_site)
                                                       : violation->call_site != NULL);
}

/* The slot of a pointer; of the pool, only objects of the reserved region are misused. */
static size_t slot_of(const char *pointer)
{
    return expected.pool == &other_pool
               ? (size_t)(pointer - other_pool.oldest->base) / slot_size
               : fixture.heap_count + (size_t)(pointer - first_object) / slot_size;
}

static char found[16];

static void expect_damage(struct cork_mempool_violation *violation, const char *owner,
                          const char *start, size_t size, const void *must_be)
{
    violation->pointer = owner;
    violation->slot = slot_of(owner);
    violation->damaged = start;
    violation->damaged_size = size;
    violation->found = found;
    violation->expected = must_be;
    for (size_t i = 0; i < size; i++) {
        found[i] = (char)peek(start + i);
    }
}

/* Of a checksum it is only known that it differs, not where; of zeros, which is the first. */
static void expect_write(struct cork_mempool_violation *violation)
{
    static const char zeros[sizeof(found)];
    const char *start = expected.written;
    const char *const end = start + object_size;

    while (has(CORK_MEMPOOL_WIPE) && start < end && peek(start) == 0) {
        start++;
    }
    expect_damage(violation, expected.written, start,
                  end - start < 16 ? (size_t)(end - start) : sizeof(found),
                  has(CORK_MEMPOOL_WIPE) ? zeros : NULL);
}

static void expect_leak(struct cork_mempool_violation *violation)
{
    static struct cork_mempool_object listed[16];

    violation->pointer = NULL;
    violation->listed = listed;
    for (size_t i = 0; i < fixture.slot_count; i++) {
        if (fixture.objects[i].is_live && violation->live_count++ < 16) {
            listed[violation->listed_count++] =
                (struct cork_mempool_object){.pointer = fixture.objects[i].start, .slot = i};
        }
    }
}

static struct cork_mempool_violation violation_of(enum cork_mempool_violation_kind kind)
{
    const bool is_live = kind < CORK_MEMPOOL_USE_AFTER_DONE || kind > CORK_MEMPOOL_NOT_A_POOL;
    struct cork_mempool_violation violation = {
        .kind = kind,
        .pool = expected.pool,
        .pool_name = is_live || kind == CORK_MEMPOOL_USE_AFTER_DONE ? FIXTURE_NAME : NULL,
        .pointer = kind < CORK_MEMPOOL_BUSY ? expected.pointer : NULL,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .seed = test_seed(),
        .moved_from = expected.moved_from,
    };

    if (is_live) {
        violation.element_size = object_size;
        violation.protections =
            expected.pool == &pool ? fixture.protections : fixture.other_protections;
        violation.is_seeded = violation.protections != 0;
    }
    if (kind == CORK_MEMPOOL_CANARY_DAMAGED) {
        expect_damage(&violation, expected.canary_owner, expected.canary, sizeof(fixture.canary),
                      fixture.canary);
    } else if (kind == CORK_MEMPOOL_WRITE_AFTER_FREE) {
        expect_write(&violation);
    } else if (kind == CORK_MEMPOOL_LEAK) {
        expect_leak(&violation);
    } else if (kind <= CORK_MEMPOOL_NEVER_ISSUED && kind != CORK_MEMPOOL_FOREIGN_POINTER) {
        violation.slot = slot_of(expected.pointer);
    }
    return violation;
}

static void check_violation(const struct cork_mempool_violation *violation)
{
    const struct cork_mempool_violation must_be = violation_of(violation->kind);

    CHECK(fixture_is_intact());
    check_sites(violation);
    CHECK_STRING(violation_difference(violation, &must_be), NULL);
    /* A free, or a call on a pool that is not live, changes no field of the pool, but ends a visit.
     * The struct has padding, of which MemorySanitizer knows that nobody has written it. */
    if ((violation->kind <= CORK_MEMPOOL_NEVER_ISSUED || violation->element_size == 0) &&
        !fixture.is_visited && !TEST_UNDER_MSAN) {
        CHECK(memcmp(&fixture.called, expected.pool, sizeof(fixture.called)) == 0);
    }
}

static void observe(const struct cork_mempool_violation *violation)
{
    CHECK_STRING(violation->message, trial.verdict);
    CHECK_STRING(outcome->report, ""); /* of a refusal before this one */
    check_violation(violation);
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

/* Commits the misuse in this process, which a signal must end; with 0, none. */
static void commit_trial(int signal_number)
{
    const struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = observe_fault};

    sigaction(SIGSEGV, &action, NULL);
    cork_mempool_on_violation(observe);
#if TEST_UNDER_ASAN || TEST_UNDER_MSAN
    __sanitizer_set_death_callback(abort); /* not exit, as by default */
#endif
    fixture_play(trial.commit, trial.size, trial.protections);
    if (!outcome->is_impossible) {
        CHECK_STRING(outcome->verdict, trial.verdict);
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
        CHECK(strcmp(outcome->verdict, CHECK_FAILS) != 0);
    }
}

/* The access that a tool reports must be the misuse's own, not one that the pool makes later. */
static bool is_told_by_tool(void)
{
    const char *report = strstr(test_child_text(), trial.verdict);
    const char *frame = report == NULL ? NULL : strstr(report, "#0 ");
    void *address = NULL;

    return frame != NULL && sscanf(frame, "#0 %p", &address) == 1 && IS_IN(accessing, address);
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
    for (unsigned i = 0; i < SETS_COUNT; i++) {
        trial.protections = set_of(i);
        test_row("protections %#x, left by longjmp", trial.protections);
        commit_and_leave();
    }
}

static void check_guarantee(const struct guarantee *guarantee)
{
    const char *const of_tool = verdict_for(guarantee, TOOL);

    for (size_t i = 0; i < (TOOL == 0 ? COUNT_OF(asked) : 1); i++) {
        trial.protections = asked[i].protections;
        trial.verdict = of_tool != NULL ? of_tool : verdict_for(guarantee, asked[i].profile);
        CHECK(trial.verdict != NULL);
        check_profile(of_tool != NULL);
    }
    if (TOOL == 0 && guarantee->verdicts[0].profiles == ALL && is_message()) {
        CHECK_PASSES(commit_and_leave_each());
    }
}

/* For a tool that watches, $WATCHED_SIZE is the objects' size, and each misuse is committed once:
 * its guarantee is printed before, and its verdict behind it. */
void misuse_test(void (*commit)(void), const struct guarantee *guarantee)
{
    const char *const size = getenv("WATCHED_SIZE");

    unsetenv("CORK_MEMPOOL_OPTIONS");
    trial.commit = commit;
    outcome =
        mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(outcome != MAP_FAILED);
    if (size == NULL) {
        check_guarantee(guarantee);
    } else {
        puts(guarantee->text);
        fflush(stdout);
        fixture_play(commit, strtoul(size, NULL, 10), 0);
        puts(outcome->is_impossible ? "impossible" : outcome->verdict);
    }
}
