/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_REFUSALS_H
#define CORK_MEMPOOL_TEST_REFUSALS_H

/*
 * Calls that are refused and left by longjmp: what they say, and that they have changed nothing.
 */

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include <libcork/core.h>

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

/*
 * Demands that a statement is refused, once, for a misuse of a kind, in a call of a pool with a
 * pointer into a slot, or with CORK_MEMPOOL_NO_SLOT; that the violation says what there is to say
 * of the pool; and that the pool, if it is live, is as before.
 */
#define CHECK_REFUSED(mp, kind, pointer, slot, statement)                                          \
    do {                                                                                           \
        refusal_notes((mp), (kind));                                                               \
        RUN_UNTIL_REFUSED(statement);                                                              \
        refusal_is_checked((mp), (kind), (pointer), (slot), #statement, __LINE__);                 \
    } while (0)

/* The same for a free. */
#define CHECK_FREE_REFUSED(mp, kind, pointer, slot)                                                \
    CHECK_REFUSED(mp, kind, pointer, slot, cork_mempool_free((mp), (void *)(uintptr_t)(pointer)))

/* Bytes that nobody may touch, touched behind a sanitizer's back. */
unsigned char peek(const void *address);
void poke(void *address, unsigned value);

/* What the macros call. */
extern jmp_buf refusal_exit;
void refusal_begins(void);
void refusal_ends(void);
void refusal_notes(const struct cork_mempool *mp, enum cork_mempool_violation_kind kind);
void refusal_is_checked(const struct cork_mempool *mp, enum cork_mempool_violation_kind kind,
                        const void *pointer, size_t slot, const char *statement, int line);

#endif /* CORK_MEMPOOL_TEST_REFUSALS_H */
