/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* fork, MAP_ANONYMOUS, alarm */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "judge.h"
#include "misuses.h"
#include "test/support/harness.h"
#include "test/support/pools.h"

/*
 * The table's rows, each a test: for every profile and every size of the row, a process of its own
 * plays the misuse. Where the verdict is a message, a second one leaves the refused call by
 * longjmp.
 *
 * The rows are about the pool as it is shipped. AddressSanitizer and MemorySanitizer stop a misuse
 * before the pool can find it: a test built with them runs the rows of their own profiles, and of
 * default pools where these are silent.
 */

#define SECONDS_PER_TRIAL 100

#if TEST_UNDER_ASAN
#define TOOL ASAN
#elif TEST_UNDER_MSAN
#define TOOL MSAN
#else
#define TOOL 0
#endif

static char text[65536];

static struct evidence *new_evidence(void)
{
    static struct evidence *evidence;

    if (evidence == NULL) {
        evidence = mmap(NULL, sizeof(*evidence), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);
        CHECK(evidence != MAP_FAILED);
    }
    memset(evidence, 0, sizeof(*evidence));
    return evidence;
}

static void play(const struct row *row, size_t size, unsigned protections, struct trial *trial,
                 struct evidence *evidence)
{
    static struct scene scene;
    const struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    alarm(SECONDS_PER_TRIAL);
    scene_play(&scene, row->misuse, size, protections, test_seed(), trial->escapes, evidence);
    _exit(0);
}

static struct trial try(const struct row *row, size_t size, unsigned protections, bool escapes)
{
    struct evidence *evidence = new_evidence();
    struct trial trial = {.evidence = evidence, .text = text, .escapes = escapes};
    int ends[2];
    size_t length = 0;
    ssize_t got;

    fflush(stdout);
    CHECK(pipe(ends) == 0);
    const pid_t process = fork();
    CHECK(process >= 0);
    if (process == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        play(row, size, protections, &trial, evidence);
    }
    close(ends[1]);
    while (length < sizeof(text) - 1 &&
           (got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0) {
        length += (size_t)got;
    }
    text[length] = '\0';
    test_omit_emulator(text);
    trial.has_call = test_omit_call(text);
    close(ends[0]);
    CHECK_EQUAL(waitpid(process, &trial.status, 0), process);
    return trial;
}

static bool is_message(const char *verdict)
{
    const char *message = "";

    for (int kind = 1; message != NULL && strcmp(verdict, message) != 0; kind++) {
        message = cork_mempool_violation_message((enum cork_mempool_violation_kind)kind);
    }
    return message != NULL;
}

/* Returns false where the misuse is impossible. */
static bool check(const struct row *row, const char *profile, unsigned protections, size_t size,
                  bool escapes)
{
    const struct trial trial = try(row, size, protections, escapes);
    const bool is_tools = (row->profiles & (ALL | OTHERS)) == 0 && !is_message(row->verdict) &&
                          strcmp(row->verdict, FAULT) != 0;
    const char *wrong;

    if (trial.evidence->is_impossible) {
        return false;
    }
    wrong = is_tools ? judge_tool(&trial, row->verdict) : judge(&trial, row->verdict);
    if (wrong != NULL) {
        test_fails(__FILE__, __LINE__,
                   "%s, size %zu%s, should be \"%s\":\n%s\n(status %#x, fault at %#zx, seed %#zx) "
                   "standard error:\n%s",
                   profile, size, escapes ? ", left by longjmp" : "", row->verdict, wrong,
                   (unsigned)trial.status, (size_t)trial.evidence->fault,
                   (size_t)trial.evidence->seed, trial.text);
    }
    return true;
}

static void check_profile(const struct row *row, const struct profile *profile)
{
    size_t count = 0;

    /* An emulator takes most of a minute for each size. */
    for (size_t i = 0; i < SIZE_COUNT; i += TEST_UNDER_QEMU ? 2 : 1) {
        count += check(row, profile->name, profile->protections, sizes[i], false);
        if (is_message(row->verdict)) {
            check(row, profile->name, profile->protections, sizes[i], true);
        }
    }
    /* Under tools, pools have less room for some misuses. */
    CHECK(count > 0 || TOOL != 0 || regions_are_small());
}

static void run(const struct row *row)
{
    unsetenv("CORK_MEMPOOL_OPTIONS");
    if (TOOL != 0) {
        check_profile(row, &profiles[0]);
        return;
    }
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        if ((row_profiles(row) >> i & 1) != 0) {
            check_profile(row, &profiles[i]);
        }
    }
}

/* The table is complete: each misuse has each profile once. */
static void table_is_complete(void)
{
    for (size_t i = 0; i < row_count; i++) {
        unsigned seen = 0;

        for (size_t j = 0; j < row_count; j++) {
            if (strcmp(rows[i].name, rows[j].name) == 0) {
                CHECK_EQUAL(seen & row_profiles(&rows[j]), 0);
                seen |= row_profiles(&rows[j]);
            }
        }
        CHECK_EQUAL(seen & ALL, ALL);
    }
}

/* Whether a row is for this build: a tool's own, or where it has none, the default pool's. */
static bool is_wanted(const struct row *row)
{
    bool has_own = false;

    for (size_t i = 0; i < row_count; i++) {
        has_own |= strcmp(rows[i].name, row->name) == 0 && (rows[i].profiles & TOOL) != 0;
    }
    if (TOOL == 0) {
        return (row->profiles & (ALL | OTHERS)) != 0;
    }
    return has_own ? (row->profiles & TOOL) != 0 : (row_profiles(row) & DEFAULT) != 0;
}

#define JOINED(a, b) a##b
#define JOIN(a, b)   JOINED(a, b)

enum {
#define ROW(misuse, profiles, verdict) JOIN(INDEX_, __LINE__),
#include "misuse.def"
#undef ROW
};

#define ROW(misuse, profiles, verdict)                                                             \
    static void JOIN(run_, __LINE__)(void)                                                         \
    {                                                                                              \
        run(&rows[JOIN(INDEX_, __LINE__)]);                                                        \
    }
#include "misuse.def"
#undef ROW

static test_function *const functions[] = {
#define ROW(misuse, profiles, verdict) JOIN(run_, __LINE__),
#include "misuse.def"
#undef ROW
};

__attribute__((constructor)) static void register_rows(void)
{
    test_register("table_is_complete", table_is_complete);
    for (size_t i = 0; i < row_count; i++) {
        if (is_wanted(&rows[i])) {
            test_register(rows[i].title, functions[i]);
        }
    }
}
