/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_MEMORY_H
#define FUZZ_EXHAUST_MEMORY_H

/*
 * Memory: a pool, all the memory it can have, and what its user knows, in one struct at a fixed
 * address. So a state is saved and restored by copying, and compared or hashed as bytes; there are
 * no addresses to translate.
 *
 * This is also src/source.c for the exhaustive search: pages of 128 bytes, and a few pieces of
 * address space and of the heap, each handed out as a whole, the first that fits. So the first
 * region that the pool asks for is too large, and it asks for half as much until one fits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcork/core/mempool.h"

#define WORLD_PAGE_SIZE  128
#define WORLD_PAGE_COUNT 64
#define WORLD_PIECE_MAX  6

/* Objects start at multiples of this: a place is an address in a world, counted in them. */
#define WORLD_PLACE_SIZE  16
#define WORLD_PLACE_COUNT (WORLD_PAGE_COUNT * WORLD_PAGE_SIZE / WORLD_PLACE_SIZE)
#define WORLD_RESTING_MAX 4

struct world_places {
    uint64_t bits[WORLD_PLACE_COUNT / 64];
};

enum world_life { WORLD_IS_ZERO, WORLD_IS_LIVE, WORLD_IS_DONE };

/* struct world_head is what a world's pages are beside. No byte of it is padding. */
struct world_head {
    struct cork_mempool pool;
    uint64_t usable;                 /* of each page: it may be read and written */
    uint64_t guards;                 /* likewise: it stays inaccessible when it is committed */
    uint64_t sizes[WORLD_PIECE_MAX]; /* bytes that the pool asked for; 0: it does not have it */
    struct world_places live;        /* objects */
    struct world_places freed; /* that were issued before, in memory that the pool still has */
    struct world_places kept;  /* of those, with the contents that they were freed with */
    uint16_t resting[WORLD_RESTING_MAX]; /* places in quarantine, from the oldest */
    uint32_t resting_count;
    uint32_t life; /* an enum world_life */
};

struct world {
    struct world_head head;
    /* Perhaps it has pages for tables, committed before those for slots were refused. It only says
     * how exact the oracle can be; states that differ in nothing else are one. */
    bool has_uncounted;
    _Alignas(WORLD_PAGE_SIZE) unsigned char pages[WORLD_PAGE_COUNT][WORLD_PAGE_SIZE];
};

/* struct world_piece is what the pool can have: pages of the heap or of address space. */
struct world_piece {
    bool is_heap;
    unsigned page_count;
};

/* Which requests of a call are refused: none; the one of a number, from 1; all from it on; or all
 * of a kind. */
enum world_request { WORLD_HEAP, WORLD_RESERVE, WORLD_COMMIT };
#define WORLD_REFUSE_NONE 0
#define WORLD_REFUSE_ONE  1
#define WORLD_REFUSE_FROM 32
#define WORLD_REFUSE_KIND 64
#define WORLD_REFUSE_END  (WORLD_REFUSE_KIND + 3)

/* struct world_requests counts what a call has asked of memory. */
struct world_requests {
    unsigned refused_by; /* the above */
    unsigned asked;
    unsigned possible; /* that memory could have met */
    unsigned refused;  /* by plan, or because there was no such memory */
    bool is_commit_refused;
    size_t returned; /* bytes that could be used and were given back */
};
extern struct world_requests world_requests;

/* world_lay_out says what pieces the pool of a world, NULL at the end of them, can have. */
void world_lay_out(struct world *world, const struct world_piece *pieces);

/* world_enter makes a world the one whose memory is asked for, and begins to count. */
void world_enter(struct world *world, unsigned refused_by);

/* world_copy makes *to, whose layout is the same, equal to *from. */
void world_copy(struct world *to, const struct world *from);

/* world_is_same says whether two worlds are equal, as far as pages may be read. */
bool world_is_same(const struct world *one, const struct world *other);

/* world_is_untouched says whether nobody has written to pages that may not be. */
bool world_is_untouched(const struct world *world);

/* world_used_size returns the bytes that may be used, world_reserved_size with address space. */
size_t world_used_size(const struct world *world);
size_t world_reserved_size(const struct world *world);

static inline size_t world_place(const struct world *world, const void *pointer)
{
    return (size_t)((const unsigned char *)pointer - world->pages[0]) / WORLD_PLACE_SIZE;
}

static inline void *world_pointer(const struct world *world, size_t place)
{
    return (unsigned char *)(uintptr_t)world->pages[0] + place * WORLD_PLACE_SIZE;
}

static inline bool places_has(const struct world_places *places, size_t place)
{
    return (places->bits[place / 64] >> place % 64 & 1) != 0;
}

static inline void places_set(struct world_places *places, size_t place, bool is_in)
{
    const uint64_t bit = UINT64_C(1) << place % 64;

    places->bits[place / 64] =
        is_in ? places->bits[place / 64] | bit : places->bits[place / 64] & ~bit;
}

/* places_next returns the first place from one on that is in a set, or WORLD_PLACE_COUNT. */
static inline size_t places_next(const struct world_places *places, size_t from)
{
    for (size_t i = from / 64; i < WORLD_PLACE_COUNT / 64; i++) {
        const uint64_t bits =
            places->bits[i] & (i == from / 64 ? UINT64_MAX << from % 64 : UINT64_MAX);
        if (bits != 0) {
            return i * 64 + (size_t)__builtin_ctzll(bits);
        }
    }
    return WORLD_PLACE_COUNT;
}

static inline size_t places_count(const struct world_places *places)
{
    size_t count = 0;

    for (size_t i = 0; i < WORLD_PLACE_COUNT / 64; i++) {
        count += (size_t)__builtin_popcountll(places->bits[i]);
    }
    return count;
}

#define FOR_PLACES(place, places)                                                                  \
    for (size_t place = places_next(places, 0); place < WORLD_PLACE_COUNT;                         \
         place = places_next(places, place + 1))

#endif /* FUZZ_EXHAUST_MEMORY_H */
