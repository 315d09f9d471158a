/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_H
#define FUZZ_EXHAUST_H

/*
 * A world is a pool, all the memory it can have, and what the oracle knows of it, in one struct at
 * a fixed address. So a state is saved and restored by copying, and compared or hashed as bytes.
 *
 * exhaust_memory.c is also the system and the heap, in the place of src/os_posix.c: pages of 256
 * bytes, and a few pieces of address space and of the heap, each handed out as a whole, the
 * smallest that fits. A pool that asks for more is refused, and asks for less.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcork/core/mempool_options.h"
#include "libcork/core/mempool_violation.h"

#define PAGE_SIZE  256 /* a region's struct must fit */
#define PAGE_COUNT 48
#define PIECE_MAX  12
#define OBJECT_MAX 16

enum life { LIFE_IS_ZERO, LIFE_IS_LIVE, LIFE_IS_DONE };
/* INTACT: freed, with the contents that it was freed with. */
enum object_state { OBJECT_IS_LIVE = 1, OBJECT_IS_FREED, OBJECT_IS_INTACT };

/* An object that has been issued, in memory that the pool still has. */
struct object {
    uint32_t offset; /* in the world's pages */
    uint32_t state;
};

extern struct world {
    struct cork_mempool pool;
    uint64_t usable;           /* of each page: it may be read and written */
    uint64_t reserved;         /* of each page: it may be committed */
    uint64_t guards;           /* of each page: it stays inaccessible when it is committed */
    uint64_t sizes[PIECE_MAX]; /* bytes that the pool asked for; 0: it does not have the piece */
    struct object objects[OBJECT_MAX]; /* by their offsets; those behind are zeros */
    uint32_t object_count;
    uint32_t life;       /* an enum life */
    uint32_t resting[2]; /* offsets in quarantine, the oldest first; 0: none */
    /* A commit was refused after tables had been committed, which the pool does not count. It only
     * says how exact the oracle can be; states that differ in nothing else are one. */
    bool has_uncounted;
    _Alignas(PAGE_SIZE) unsigned char pages[PAGE_COUNT][PAGE_SIZE];
} world;

/* struct piece is what the pool can have: pages of the heap or of address space. */
struct piece {
    bool is_heap;
    unsigned page_count;
};

/* Bit i: a call's request i for memory is refused; the last bit stands for all later ones too. */
#define REFUSED_BITS 6

/* What a call has asked of memory. */
extern struct requests {
    unsigned refused_bits;
    unsigned asked;
    unsigned possible; /* requests that memory could have met */
    unsigned refused;  /* requests refused by plan, or because there was no such memory */
    size_t returned;   /* bytes that the pool had used, and gave back */
    uint64_t purged;   /* pages that lost what was in them, and stay usable */
} requests;

extern const struct cork_mempool_source memory_source; /* a user's own; in truth the heap */
/* memory_lay_out begins a world of zeros, with the profile's pieces. memory_verify fails where
 * somebody has written to pages that nobody may. memory_size returns the bytes that may be used; or
 * those and what is reserved for more. */
void memory_lay_out(void);
void memory_verify(void);
size_t memory_size(bool with_reserved);

/* The calls. Of operations, which change the world, new has an argument: the refused bits, and for
 * SHUFFLE the slot of a group to look from, shifted by these; and free: the object's place. foreach
 * has a visitor that frees. */
#define CALLS(CALL)                                                                                \
    CALL(NEW, "new", (void)!cork_mempool_new(pool))                                                \
    CALL(FREE, "free", cork_mempool_free(pool, pointer))                                           \
    CALL(CLEAR, "clear", cork_mempool_clear(pool))                                                 \
    CALL(TRIM, "trim", cork_mempool_trim(pool))                                                    \
    CALL(DONE, "done", cork_mempool_done(pool))                                                    \
    CALL(CHECK, "check", (void)!cork_mempool_check(pool))                                          \
    CALL(STATS, "stats", cork_mempool_stats(pool, &stats))                                         \
    CALL(OWNS, "owns", (void)!cork_mempool_owns(pool, pointer))                                    \
    CALL(FOREACH, "foreach", cork_mempool_foreach(pool, free_visited, NULL))
#define CALL_NUMBER(name, text, call) CALL_##name,
enum call { CALLS(CALL_NUMBER) CALL_INIT };

/* What pool to search. */
struct profile {
    const char *name;
    size_t element_size, block_size;
    unsigned protections;
    size_t max_objects;
    bool has_source;
    unsigned depth;                     /* of the search */
    struct piece pieces[PIECE_MAX + 1]; /* one of no pages is last */
};
extern const struct profile *profile;
extern size_t exhaust_group_slots;

/* The last call that was to change nothing, and the violation that it ended in. */
extern struct probe {
    bool is_running;
    bool is_done;     /* at least the call itself */
    bool is_visiting; /* it was made by a visitor of foreach */
    unsigned call;
    void *pointer;
    unsigned expected_kind; /* 0: none */
    struct cork_mempool_violation violation;
} probe;

/* oracle_begin makes the world that of the profile, with a pool of zeros; oracle_perform makes a
 * call, and looks at everything afterwards; oracle_expand tries each operation that the state
 * allows, by search_try; oracle_probe makes all calls that change nothing: those that ask, and
 * those that are refused. */
void oracle_begin(void);
void oracle_perform(unsigned call, unsigned arg);
void oracle_expand(void);
void oracle_probe(void);

/* search_try tries an operation in the state that the search is at, which it restores.
 * search_failed prints the program and what came of it, and ends the process with exit code 1. */
void search_try(unsigned call, unsigned arg);
_Noreturn void search_failed(const char *expected);
extern struct world search_state;
extern unsigned long long search_calls; /* so many have been made */

static inline void expect(bool is_so, const char *expected)
{
    if (__builtin_expect(!is_so, 0)) {
        search_failed(expected);
    }
}

#endif /* FUZZ_EXHAUST_H */
