/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_MISUSE_MISUSE_H
#define CORK_MEMPOOL_TEST_MISUSE_MISUSE_H

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
 * What a guarantee says must happen for objects of every size and in every profile, so it names
 * each of ALL once. A tool sees what the default pool says, unless the guarantee names the tool.
 * docs/guarantees.md is made from the guarantees, which table.py reads.
 */

#include <stdbool.h>
#include <stddef.h>

/* Profiles. The first nine are what options ask of a pool; a tool's is a default pool under it. */
enum {
    DEFAULT = 0x1,
    CANARY = 0x2,
    SEAL = 0x4,
    WIPE = 0x8,
    SHUFFLE = 0x10,
    QUARANTINE = 0x20,
    GUARD = 0x40,
    CALLSITES = 0x80,
    PARANOID = 0x100,
    ALL = 0x1ff, /* of these */
    ASAN = 0x200,
    MSAN = 0x400,
    VALGRIND = 0x800,
    OTHERS = 0x1000 /* those of ALL that the guarantee does not name */
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
    const struct verdict *verdicts;
    size_t count;
};

struct misuse {
    const char *name;
    void (*commit)(void);
    void (*test)(void);
    struct guarantee guarantee;
};

/* The guarantee of the misuses that follow. */
extern struct guarantee misuse_guarantee;

/* Whoever links the misuses is given each one before main, and tests each in his way. */
void misuse_register(struct misuse *misuse);
void misuse_test(const struct misuse *misuse);

#define MISUSE_JOINED(a, b) a##b
#define MISUSE_JOIN(a, b)   MISUSE_JOINED(a, b)

#define GUARANTEE(words, ...)                                                                      \
    __attribute__((constructor)) static void MISUSE_JOIN(guarantee_, __LINE__)(void)               \
    {                                                                                              \
        static const struct verdict verdicts[] = {__VA_ARGS__};                                    \
                                                                                                   \
        misuse_guarantee = (struct guarantee){                                                     \
            .text = words, .verdicts = verdicts, .count = sizeof(verdicts) / sizeof(verdicts[0])}; \
    }

#define MISUSE(function)                                                                           \
    static void function(void);                                                                    \
    static void test_##function(void);                                                             \
    static struct misuse misuse_##function = {                                                     \
        .name = #function, .commit = function, .test = test_##function};                           \
    static void test_##function(void)                                                              \
    {                                                                                              \
        misuse_test(&misuse_##function);                                                           \
    }                                                                                              \
    __attribute__((constructor)) static void register_##function(void)                             \
    {                                                                                              \
        misuse_##function.guarantee = misuse_guarantee;                                            \
        misuse_register(&misuse_##function);                                                       \
    }                                                                                              \
    static void function(void)

#endif /* CORK_MEMPOOL_TEST_MISUSE_MISUSE_H */
