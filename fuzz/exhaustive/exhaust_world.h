/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * A world is a run of the engine with one pool, and all the memory that the pool can have, in one
 * struct at a fixed address. So a state is saved and restored by copying, and compared or hashed as
 * bytes.
 *
 * exhaust_memory.c is the system and the heap, in the place of src/os_posix.c: pages of 256 bytes,
 * and a few pieces of address space and of the heap, each handed out as a whole, the smallest that
 * fits. A pool that asks for more is refused, and asks for less.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/run_state.h"

#define PAGE_SIZE    256 /* a region's struct must fit */
#define PAGE_COUNT   48
#define PIECE_MAX    12
#define DEPTH_MAX    255
#define REFUSED_BITS 6    /* of a new's number: each refuses a request */
#define BANNED_BYTE  0xee /* in pages that nobody may touch, and what nobody reads */

/* struct memory is what a state is made of, besides the pool and its objects. */
struct memory {
    uint64_t usable;            /* of each page: it may be read and written */
    uint64_t reserved;          /* of each page: it may be committed */
    uint64_t guards;            /* of each page: it stays inaccessible when it is committed */
    uint64_t sizes[PAGE_COUNT]; /* bytes of the piece that begins with a page and is the pool's */
    /* From here up to the pages, states that differ in nothing else are one. */
    size_t size;        /* bytes that the pool has */
    size_t returned;    /* by the last operation: bytes of pieces that had been used */
    uint64_t purged;    /* by the last operation: pages that lost what was in them */
    bool has_uncounted; /* tables were committed, and the commit of their slots refused */
    _Alignas(PAGE_SIZE) unsigned char pages[PAGE_COUNT][PAGE_SIZE];
};

extern struct world {
    struct run run;
    struct memory memory;
} world;

/* The only pool, and what counts and refuses its requests. */
static struct run *const run = &world.run;
static struct cork_mempool *const world_pool = (void *)&world.run.pools[0].storage;
static struct requests *const pool_requests = &world.run.pools[0].memory;

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

extern const struct cork_mempool_source memory_source; /* a user's own; in truth the heap */
extern unsigned long long memory_calls; /* so many have been made that count their requests */

/* memory_verify fails where somebody has written to pages that nobody may. memory_committed returns
 * how many bytes of some pages may be used; memory_left, what trim has left of a slot, and of the
 * canary before it. */
void memory_verify(void);
size_t memory_committed(uint64_t pages);
enum model_left memory_left(uintptr_t address);

/* Where something is not so, the engine says what was expected, and aborts. */
static inline void expect(bool is_so, const char *expected)
{
    run_require(run, is_so, expected);
}
