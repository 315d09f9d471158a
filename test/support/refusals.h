/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Calls that are refused and left by longjmp: what they say, and that they have changed nothing.
 */

#include <setjmp.h>

#include <libcork/core.h>

#include "harness.h"

/* The violation of the last refusal. Its pointers point to the copies here. */
struct seen {
    struct cork_mempool_violation violation;
    size_t count; /* calls of the handler */
    unsigned char found[16], expected[16];
    struct cork_mempool_object listed[16];
    char name[CORK_MEMPOOL_NAME_SIZE_];
};

extern struct seen seen;

/* What the handler does before it leaves; or NULL. */
extern void (*refusal_inspects)(const struct cork_mempool_violation *violation);

/* Runs a statement, which a refusal leaves. seen.count says whether there was one. */
#define RUN_UNTIL_REFUSED(statement)                                                               \
    do {                                                                                           \
        refusal_begins();                                                                          \
        if (setjmp(refusal_exit) == 0) {                                                           \
            statement;                                                                             \
        }                                                                                          \
        refusal_ends();                                                                            \
    } while (0)

/* Demands that a statement is refused with a violation of this kind. */
#define CHECK_KIND(statement, expected_kind)                                                       \
    do {                                                                                           \
        RUN_UNTIL_REFUSED(statement);                                                              \
        CHECK_EQUAL(seen.violation.kind, expected_kind);                                           \
    } while (0)

/*
 * Demands that a statement is refused, once, with a violation of which the fields follow, but for
 * those that are about the pool, which is as it was before, and live, if it is a pool.
 */
#define CHECK_REFUSED(mp, statement, ...)                                                          \
    do {                                                                                           \
        refusal_is_expected((mp), (struct cork_mempool_violation){__VA_ARGS__});                   \
        RUN_UNTIL_REFUSED(statement);                                                              \
        refusal_is_checked(__FILE__, __LINE__, #statement);                                        \
    } while (0)

/* Checks that nobody may touch a byte, where there is a tool that can say so. */
#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#define CHECK_FORBIDDEN(address) CHECK(__asan_address_is_poisoned(address))
#else
#define CHECK_FORBIDDEN(address) ((void)(address))
#endif

/* Bytes that nobody may touch, touched behind a sanitizer's back. */
unsigned char peek(const void *address);
void poke(void *address, unsigned value);

/* What the macros call. */
extern jmp_buf refusal_exit;
void refusal_begins(void);
void refusal_ends(void);
void refusal_is_expected(const struct cork_mempool *mp, struct cork_mempool_violation violation);
void refusal_is_checked(const char *file, int line, const char *statement);
