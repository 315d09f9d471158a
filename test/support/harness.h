/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * A small test harness. Each test runs in a process of its own, so that a crash, a hang or a leak
 * ends one test alone; the first check that fails ends its test.
 *
 * cmocka 1.1.5, Check 0.15.2 and Criterion 2.4.1 cannot replace it: none of them runs under
 * MemorySanitizer and compares what a process wrote before it aborted.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__has_feature) /* older gcc, with which only AddressSanitizer is used */
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_UNDER_ASAN 1
#else
#define TEST_UNDER_ASAN __has_feature(address_sanitizer)
#endif
#define TEST_UNDER_MSAN __has_feature(memory_sanitizer)
#define TEST_UNDER_TSAN __has_feature(thread_sanitizer)
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

/* Names the row of a table that is tested next: a check that fails prints it. */
__attribute__((format(printf, 1, 2))) void test_row(const char *format, ...);

/* A check that fails prints its place and what it saw, and ends the test. */
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : test_fails(__FILE__, __LINE__, "%s is false", #condition))
#define CHECK_EQUAL(actual, expected)                                                              \
    test_compares_numbers(__FILE__, __LINE__, #actual, (uintmax_t)(actual), (uintmax_t)(expected))
#define CHECK_POINTER(actual, expected)                                                            \
    test_compares_numbers(__FILE__, __LINE__, #actual, (uintptr_t)(actual), (uintptr_t)(expected))
#define CHECK_STRING(actual, expected)                                                             \
    test_compares_strings(__FILE__, __LINE__, #actual, (actual), (expected))

/*
 * These run a statement in a child process. It must end: CHECK_ABORTS, by abort(), with exactly the
 * text report on standard error (where report leaves out at which address the refused call was
 * made, any will do); CHECK_FAULTS, by an access to inaccessible memory; CHECK_PASSES, by coming to
 * its end with nothing written. The child's addresses are those of the test's process.
 */
#define CHECK_ABORTS(report, statement) TEST_CHILD_(SIGABRT, report, statement)
#define CHECK_FAULTS(statement)         TEST_CHILD_(SIGSEGV, NULL, statement)
#define CHECK_PASSES(statement)         TEST_CHILD_(0, "", statement)
#define TEST_CHILD_(signal, report, ...)                                                           \
    do {                                                                                           \
        if (test_child_starts(signal)) {                                                           \
            __VA_ARGS__;                                                                           \
            test_child_ends();                                                                     \
        }                                                                                          \
        test_child_ended(__FILE__, __LINE__, signal, report);                                      \
    } while (0)

/* Returns what the last such child wrote to standard error. */
const char *test_child_text(void);

/* What the macros above call. */
__attribute__((format(printf, 3, 4), noreturn)) void test_fails(const char *file, int line,
                                                                const char *format, ...);
void test_compares_numbers(const char *file, int line, const char *what, uintmax_t actual,
                           uintmax_t expected);
void test_compares_strings(const char *file, int line, const char *what, const char *actual,
                           const char *expected);
bool test_child_starts(int signal_number);
__attribute__((noreturn)) void test_child_ends(void);
void test_child_ended(const char *file, int line, int signal_number, const char *report);

#if defined(__cplusplus)
} /* extern "C" */
#endif
