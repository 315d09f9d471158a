/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_REFUSALS_H
#define CORK_MEMPOOL_TEST_REFUSALS_H

/*
 * Calls that are refused and left by longjmp: what they say, and that they have changed nothing.
 * There is one pool, the subject, of a few slots.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libcork/core.h>

#define SUBJECT_NAME  "ledger"
#define SUBJECT_SEED  UINT64_C(0x1234567890abcdef)
#define SUBJECT_COUNT 32 /* slots in all */

struct subject {
    struct cork_mempool mp;
    unsigned protections;
    size_t element_size;
    size_t slot_size;
    char *objects[SUBJECT_COUNT]; /* in the order in which they were issued */
    char *lowest;                 /* the object of slot 0 */
};

extern struct subject subject;

/* Makes the pool and issues all of its slots; object i is filled with the number i. */
void subject_begin(unsigned protections, size_t element_size);

/* Checks and frees the objects from first up to end. */
void subject_give(size_t first, size_t end);

/* Frees the objects from first on, which are all that are live; uses all slots anew; ends. */
void subject_end(size_t first);

/* The number of an object's slot. */
size_t subject_slot(const char *object);

/* The only places that issue and free the subject's objects. */
void *site_of_new(struct cork_mempool *mp);
void site_of_free(struct cork_mempool *mp, void *object);

/* Calls on the subject; of these, FREE alone takes a pointer. */
enum call { FREE, NEW, VERIFY, CLEAR, TRIM, DONE };

/* The violation that the last call was refused for. Its pointers point to the copies here. */
struct seen {
    struct cork_mempool_violation violation;
    unsigned char found[16], expected[16];
    struct cork_mempool_object listed[16];
};

extern struct seen seen;

/* Makes a call. Returns: whether it was refused. */
bool is_refused(enum call call, void *pointer);

/* Makes a call without a handler, which is the end if it is refused. */
void make(enum call call, void *pointer);

/*
 * Makes a call that must be refused and must change nothing that can be seen, and checks all that
 * is said about it but the damage and the list. pointer: the violation's, and FREE's; is_freed: the
 * slot's object has been freed.
 */
void refuse(enum call call, void *pointer, enum cork_mempool_violation_kind kind, size_t slot,
            bool is_freed);

/* Says whether a return address is that of the call in site_of_new. */
bool is_site_of_new(const void *site);

/* Bytes that nobody may touch, touched behind a sanitizer's back. */
unsigned char peek(const void *address);
void poke(void *address, unsigned value);

#endif /* CORK_MEMPOOL_TEST_REFUSALS_H */
