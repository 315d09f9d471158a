/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * The pool that misuses are made on, full of live objects:
 *
 *     | some in the heap, but with GUARD |     | 70 in a reserved region, from first_object on |
 *
 * At the end of a misuse, whatever the misuse has not written itself must be as it was.
 */

#include "test/support/pools.h"

extern struct cork_mempool pool;
extern struct cork_mempool other_pool; /* for misuses that take two */
extern size_t object_size;
extern size_t slot_size;

extern char *object;                 /* with more than 20 neighbours on both sides */
char *neighbour(ptrdiff_t n);        /* of the object; n may be negative */
extern char *first_object;           /* of the reserved region */
char *first_slot_never_issued(void); /* in the second group of that */

/* Options for a pool like it; init_other_pool initializes the other one by such options. */
struct cork_mempool_options fixture_options(void);
void init_other_pool(struct cork_mempool_options options);

/* Says whether the pool has one of some protections. */
bool has(unsigned protections);

/* The calls of new, free and clear: each made in one place, which reports must name. */
void *call_new(struct cork_mempool *mp);
void call_free(struct cork_mempool *mp, void *pointer);
void clear_pool(void);

void free_object(void);
void free_next(void); /* neighbour(1) */

/* Frees all objects, or all but those in the slots from one on. */
void free_all(void);
void free_all_but(const char *kept, size_t count);

/* Calls visit for each live object of the pool. */
void visit_pool(void (*visit)(void *user_data, void *visited), void *user_data);

void trim_pool(void);
void check_pool(void); /* where the result is false, this is what CHECK_FAILS means */

void finalize_pool(void);

/* Initializes the pool as if it had none of its objects. */
void init_pool_again(void);

/* Takes objects until no slot is free in the memory that the pool has. */
void take_all_free_slots(void);

/* Takes an object and frees it, a thousand times. */
void use_pool_much(void);

/* Takes and frees objects until a slot is issued again; false: it was not. */
bool is_issued_again(const char *slot);

/* Accesses that a tool may report. */
void write_byte(char *address, char value);
char read_byte(const char *address);

/* Changes bytes that are not the program's to change, each to another than it was; or one, to a
 * value. mend_damage, or the end of the misuse, sets all of them right. */
void damage(char *address, size_t size);
void damage_with(char *address, char value);
void mend_damage(void);

/* The misuse takes effect if this is so. Without any, it is absorbed. */
void note_effect(bool is_so);

/* Ends the misuse where pools like this leave no room for it. */
void require(bool is_possible);

/* What the refusal, or the fault, must be; of a refusal, apart from what follows from its kind. */
struct expectation {
    const struct cork_mempool *pool;
    const void *pointer; /* as of the last call_free */
    const void *moved_from;
    const char *canary;       /* that is damaged, if one is; by default the one behind the object */
    const char *canary_owner; /* by default, the object */
    const char *written;      /* the freed object that is written; by default, the object */
    const char *fault;        /* the first of the addresses where an access may fault */
    size_t fault_size;        /* their number; 0: all may */
};
extern struct expectation expected;

/* An access that follows faults at one of so many addresses. */
void expect_fault(const char *address, size_t size);

/* The next call, by another way than call_new and call_free, is one on a pool. */
void expect_call_on(const struct cork_mempool *mp, const void *pointer);

/* What follows is for the test of a misuse. */

/* An object that the pool was populated with. */
struct tracked {
    char *start; /* NULL: none of this slot was */
    bool is_live;
    bool is_written; /* by the misuse, so that its contents need not survive */
};

struct fixture {
    unsigned protections;
    unsigned other_protections;
    struct tracked objects[400]; /* by their slots, which are counted over the pool */
    size_t slot_count;           /* up to the last of them; 0: they are lost */
    size_t heap_count;           /* those in the heap */
    unsigned char canary[8];
    bool is_pool_gone;          /* finalized, or not to be ended any more */
    bool is_visited;            /* the pool, which may not be asked for its stats then */
    struct cork_mempool called; /* what the pool of the last call was before it */
};
extern struct fixture fixture;

/* What a misuse comes to, if its process goes on; shared with that of its test. */
struct outcome {
    bool is_impossible;
    const char *verdict; /* ABSORBED, NOT_DETECTED or CHECK_FAILS */
    char report[16384];  /* that the refusal must print; empty before there is one */
};
extern struct outcome *outcome;

#define FIXTURE_NAME "populated pool"

/* Populates the pool, commits a misuse, and ends the pool. */
void fixture_play(void (*commit)(void), size_t size, unsigned protections);

/* From the handler: leaves the refused call, which must have changed nothing. */
_Noreturn void fixture_leave(void);

/* Says whether all live objects hold what they must. */
bool fixture_is_intact(void);
