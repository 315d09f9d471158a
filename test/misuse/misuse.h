/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * A misuse is a tiny program that makes one mistake with a pool, and stands with its like behind
 * the guarantee which says what comes of it:
 *
 *     GUARANTEE("what is done", {PROFILES, verdict}, ...)
 *
 *     MISUSE(name_that_says_what_is_done)
 *     {
 *         ...
 *     }
 *
 *     MISUSE_IS(name_of_one_that_is_a_call, call)
 *
 * What a guarantee says must happen for objects of every size and in every profile, so it names
 * each of ALL once. A tool sees what the default pool says, unless the guarantee names the tool.
 * docs/guarantees.md is made from the guarantees, which table.py reads.
 */

#include "fixture.h"
#include "test/support/harness.h"

/* Profiles: each protection by itself, a default pool, and one of a tool under which that runs. */
#define PROFILE(name, word)    name = CORK_MEMPOOL_##name,
#define OR_PROFILE(name, word) | name
enum {
    CORK_MEMPOOL_PROTECTIONS_(PROFILE) /* and: */
    DEFAULT = 0x10000,
    PARANOID = 0x20000,
    ALL = DEFAULT CORK_MEMPOOL_PROTECTIONS_(OR_PROFILE) | PARANOID,
    OTHERS = ALL, /* those that the guarantee has not named so far */
    ASAN = 0x40000,
    MSAN = 0x80000,
    VALGRIND = 0x100000
};

/* Verdicts; any other is a message: of the pool's, or with a tool's profile of the tool's. */
#define FAULT        "fault"          /* an access to no memory ends the process */
#define ABSORBED     "absorbed"       /* no harm is done */
#define NOT_DETECTED "not detected"   /* it takes effect, and the program goes on */
#define CHECK_FAILS  "check is false" /* so says cork_mempool_check */

struct verdict {
    unsigned profiles;
    const char *text;
};

struct guarantee {
    const char *text;
    const struct verdict *verdicts; /* the last has no profiles */
};

/* The guarantee of the misuses that follow in a file; before main, each of them notes its own. That
 * goes by lines, because a linker that optimizes calls other constructors in any order. */
__attribute__((unused)) static const struct guarantee *misuse_guarantee;
#define MISUSE_BY_LINE __attribute__((constructor(1000 + __LINE__)))

/* What the test of a misuse does. */
void misuse_test(void (*commit)(void), const struct guarantee *guarantee);

#define MISUSE_JOINED(a, b) a##b
#define MISUSE_JOIN(a, b)   MISUSE_JOINED(a, b)

#define GUARANTEE(words, ...)                                                                      \
    MISUSE_BY_LINE static void MISUSE_JOIN(guarantee_, __LINE__)(void)                             \
    {                                                                                              \
        static const struct verdict verdicts[] = {__VA_ARGS__, {0, NULL}};                         \
        static const struct guarantee guarantee = {words, verdicts};                               \
                                                                                                   \
        misuse_guarantee = &guarantee;                                                             \
    }

#define MISUSE(name)                                                                               \
    static void commit_##name(void);                                                               \
    static const struct guarantee *guarantee_of_##name;                                            \
    MISUSE_BY_LINE static void note_guarantee_of_##name(void)                                      \
    {                                                                                              \
        guarantee_of_##name = misuse_guarantee;                                                    \
    }                                                                                              \
    TEST(name)                                                                                     \
    {                                                                                              \
        misuse_test(commit_##name, guarantee_of_##name);                                           \
    }                                                                                              \
    static void commit_##name(void)

#define MISUSE_IS(name, call)                                                                      \
    MISUSE(name)                                                                                   \
    {                                                                                              \
        call;                                                                                      \
    }
