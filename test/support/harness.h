/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_HARNESS_H
#define CORK_MEMPOOL_TEST_HARNESS_H

/*
 * A small test harness. Each test runs in a process of its own, so that a crash, a hang or a leak
 * ends one test and is charged to it; the first check that fails ends its test.
 *
 * Why not a packaged one: the tests must run under MemorySanitizer, and most of them are about a
 * process that aborts with an exact line on standard error. Looked at, in Debian 12: cmocka 1.1.5
 * (a shared library only; runs all tests in one process and cannot expect an abort), Check 0.15.2
 * (expects a signal but not what was written before it; its library is not instrumented, and
 * MemorySanitizer stops it with a false report before the first test), Criterion 2.4.1 (compares
 * standard error only from inside the process that would have aborted; brings libgit2, nanomsg
 * and libffi). None could be asked of a user who only wants to run the tests.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#define TEST_HAS_FEATURE(feature) __has_feature(feature)
#else
#define TEST_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TEST_HAS_FEATURE(address_sanitizer)
#define TEST_UNDER_ASAN 1
#else
#define TEST_UNDER_ASAN 0
#endif
#if TEST_HAS_FEATURE(memory_sanitizer)
#define TEST_UNDER_MSAN 1
#else
#define TEST_UNDER_MSAN 0
#endif
#if defined(__SANITIZE_THREAD__) || TEST_HAS_FEATURE(thread_sanitizer)
#define TEST_UNDER_TSAN 1
#else
#define TEST_UNDER_TSAN 0
#endif
#if !defined(TEST_UNDER_QEMU)
#define TEST_UNDER_QEMU 0 /* tools/cross says so: a program cannot know */
#endif

#if defined(__cplusplus)
extern "C" {
#endif

typedef void test_function(void);

void test_register(const char *name, test_function *function);

/* TEST defines and registers a test; tests run in the order in which a file defines them. */
#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void test_registers_##name(void)                           \
    {                                                                                              \
        test_register(#name, name);                                                                \
    }                                                                                              \
    static void name(void)

/* The run's seed: fixed, printed, and given by --seed=N where another is wanted. */
uint64_t test_seed(void);

/* The next number of a generator whose state is *state; start it at test_seed(). */
uint64_t test_random(uint64_t *state);

/* Ends the test as skipped, for a reason that is printed. */
__attribute__((noreturn)) void test_skip(const char *reason);

/* A check prints where it stands and what it saw, and ends the test, where it does not hold. */
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : test_fails(__FILE__, __LINE__, "%s is false", #condition))
#define CHECK_EQUAL(actual, expected)                                                              \
    test_compares_numbers(__FILE__, __LINE__, #actual, (uintmax_t)(actual), (uintmax_t)(expected))
#define CHECK_POINTER(actual, expected)                                                            \
    test_compares_pointers(__FILE__, __LINE__, #actual, (actual), (expected))
#define CHECK_STRING(actual, expected)                                                             \
    test_compares_strings(__FILE__, __LINE__, #actual, (actual), (expected))

/*
 * CHECK_ABORTS runs a statement in a child process and demands that it ends by abort() and that
 * standard error then holds exactly the text report. The child is a copy of the test's process, so
 * the addresses that the test knows are the addresses in the report. Where a report does not say at
 * which address the refused call was made, any will do.
 */
#define CHECK_ABORTS(report, statement)                                                            \
    do {                                                                                           \
        if (test_child_starts()) {                                                                 \
            statement;                                                                             \
            test_child_ends();                                                                     \
        }                                                                                          \
        test_child_aborted(__FILE__, __LINE__, (report));                                          \
    } while (0)

/* CHECK_PASSES runs a statement in a child process; it must come to its end and write nothing. */
#define CHECK_PASSES(statement)                                                                    \
    do {                                                                                           \
        if (test_child_starts()) {                                                                 \
            statement;                                                                             \
            test_child_ends();                                                                     \
        }                                                                                          \
        test_child_passed(__FILE__, __LINE__);                                                     \
    } while (0)

/* CHECK_FAULTS runs a statement in a child process, which must end by an access to no memory. */
#define CHECK_FAULTS(statement)                                                                    \
    do {                                                                                           \
        if (test_child_starts()) {                                                                 \
            test_child_may_fault();                                                                \
            statement;                                                                             \
            test_child_ends();                                                                     \
        }                                                                                          \
        test_child_faulted(__FILE__, __LINE__);                                                    \
    } while (0)

/* Takes off what an emulator has added to a process's standard error when a signal ended it. */
void test_omit_emulator(char *text);

/* Takes off the second line of each report, which says where the refused call was made. Returns:
 * false where there is none. */
bool test_omit_call(char *text);

/* What the macros above call. */
__attribute__((format(printf, 3, 4), noreturn)) void test_fails(const char *file, int line,
                                                                const char *format, ...);
void test_compares_numbers(const char *file, int line, const char *what, uintmax_t actual,
                           uintmax_t expected);
void test_compares_pointers(const char *file, int line, const char *what, const void *actual,
                            const void *expected);
void test_compares_strings(const char *file, int line, const char *what, const char *actual,
                           const char *expected);
bool test_child_starts(void);
__attribute__((noreturn)) void test_child_ends(void);
void test_child_aborted(const char *file, int line, const char *report);
void test_child_passed(const char *file, int line);
void test_child_may_fault(void);
void test_child_faulted(const char *file, int line);

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* CORK_MEMPOOL_TEST_HARNESS_H */
