/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_WORLD_H
#define FUZZ_EXHAUST_WORLD_H

/*
 * A world is a run of the engine with one pool, and all the memory that the pool can have, in one
 * struct at a fixed address. So a state is saved and restored by copying, and compared or hashed as
 * bytes.
 *
 * exhaust_memory.c counts requests, and is also the system and the heap, in the place of
 * src/os_posix.c: pages of 256 bytes, and a few pieces of address space and of the heap, each
 * handed out as a whole, the smallest that fits. A pool that asks for more is refused, and asks for
 * less.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/run_state.h"

#define PAGE_SIZE  256 /* a region's struct must fit */
#define PAGE_COUNT 48
#define PIECE_MAX  12
#define DEPTH_MAX  255

/* struct memory is what a state is made of, besides the pool and its objects. */
struct memory {
    uint64_t usable;           /* of each page: it may be read and written */
    uint64_t reserved;         /* of each page: it may be committed */
    uint64_t guards;           /* of each page: it stays inaccessible when it is committed */
    uint64_t sizes[PIECE_MAX]; /* bytes that the pool asked for; 0: it does not have the piece */
    /* A commit was refused after tables had been committed, which the pool does not count. It only
     * says how exact the oracle can be; states that differ in nothing else are one. */
    bool has_uncounted;
    _Alignas(PAGE_SIZE) unsigned char pages[PAGE_COUNT][PAGE_SIZE];
};

extern struct world {
    struct run run;
    struct memory memory;
} world;

/* world_pool is the only pool. */
static inline struct cork_mempool *world_pool(void)
{
    return (struct cork_mempool *)(void *)&world.run.pools[0].storage;
}

/* What pools to search, and the pieces that it can have: pages of the heap or of address space. */
extern const struct profile {
    const char *name;
    size_t element_size, block_size;
    unsigned protections;
    size_t max_objects;
    bool has_source;
    unsigned depth; /* of the search */
    struct piece {
        bool is_heap;
        unsigned page_count;
    } pieces[PIECE_MAX + 1]; /* one of no pages is last */
} profiles[], *profile;      /* one without a name is last; the one that is searched */
extern size_t exhaust_group_slots;

/* Bit i: a call's request i for memory is refused; the last bit stands for all later ones too. */
#define REFUSED_BITS 6

/* What a call has asked of memory, besides what the pool's struct requests says. */
extern struct asked {
    unsigned refused_bits;
    unsigned possible; /* requests that memory could have met */
    size_t returned;   /* bytes that the pool had used, and gave back */
    uint64_t purged;   /* pages that lost what was in them, and stay usable */
} asked;

extern unsigned long long memory_calls; /* so many have been made that count their requests */
extern const struct cork_mempool_source memory_source; /* a user's own; in truth the heap */
/* memory_lay_out begins with the profile's pieces. memory_verify fails where somebody has written
 * to pages that nobody may. memory_size returns the bytes that may be used; or those and what is
 * reserved for more. */
void memory_lay_out(void);
void memory_verify(void);
size_t memory_size(bool with_reserved);
/* memory_left returns what trim has left of a slot, and of the canary before it. */
enum model_left memory_left(uintptr_t address);

/* Where something is not so, the engine says what was expected, and aborts. */
static inline void expect(bool is_so, const char *expected)
{
    run_require(&world.run, is_so, expected);
}

#endif /* FUZZ_EXHAUST_WORLD_H */
