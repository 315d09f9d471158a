/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * What the tests of pools share.
 */

#include <libcork/core.h>

#include "harness.h"

#if defined(__cplusplus)
extern "C" {
#endif

/* An errno that no call of the C library leaves behind. */
#define ODD_ERRNO 12345

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define OPTIONS(...)    (&(const struct cork_mempool_options){__VA_ARGS__})

/* INIT initializes a pool with options: INIT(&mp, .element_size = 24, .alignment = 8). */
#define INIT(mp, ...) CHECK(cork_mempool_init_with((mp), OPTIONS(__VA_ARGS__)))

/* No protection, each one alone, and sets whose members work together. */
#define ONE_MORE(name, word) +1
#define PROTECTIONS_COUNT    (4 CORK_MEMPOOL_PROTECTIONS_(ONE_MORE))
extern const unsigned all_protections[PROTECTIONS_COUNT];

/* How many sets of protections there are; set_of returns one for each number below that. */
#define SETS_COUNT (1u << (0 CORK_MEMPOOL_PROTECTIONS_(ONE_MORE)))
unsigned set_of(unsigned number);

/* What the pool itself puts between objects. */
#define GAP_SIZE (TEST_UNDER_ASAN ? (size_t)16 : (size_t)0)

struct cork_mempool_stats stats_of(const struct cork_mempool *mp);

bool same_stats(const struct cork_mempool_stats *a, const struct cork_mempool_stats *b);

/* fill writes bytes that depend on an object's number and differ from its neighbours'; is_filled
 * says whether the object still holds them. */
void fill(void *object, size_t size, size_t number);
bool is_filled(const void *object, size_t size, size_t number);

/* The alignment of objects of this size: no type of the size, or smaller, can need more. */
size_t alignment_needed(size_t size);

/* The stride of a pool that was initialized by a size, and of one by a type. AddressSanitizer has a
 * gap of 16 bytes behind each object, and no two may share 8 bytes. */
size_t slot_needed(size_t size);
size_t type_slot_needed(size_t size, size_t alignment);

/* The size of the machine's pages, or of simulated ones. */
size_t page_size(void);

/* Says whether address space is scarce: then a large pool reserves as much as it has, not more. */
bool regions_are_small(void);

/* Limits this process's address space to a little less than unlimited, which makes it scarce. */
void make_regions_small(void);

/* Takes count objects, checks that each is new, aligned and not NULL, and fills each. */
void take_objects(struct cork_mempool *mp, void **objects, size_t count);

/* Checks that objects still hold what take_objects filled them with, and frees them in order. */
void give_objects(struct cork_mempool *mp, void **objects, size_t count);

/* Frees whatever is live, and finalizes the pool. */
void clear_and_end(struct cork_mempool *mp);

/* The calls of a pool that is initialized. make_call makes one, about an object where it takes one,
 * and demands what it returns in a pool that has the object. */
enum call { NEW, FREE, FREE_NULL, STATS, OWNS, FOREACH, VERIFY, CLEAR, TRIM, DONE, CALL_COUNT };
void make_call(enum call call, struct cork_mempool *mp, void *object);

/* Takes count objects from a pool that has none live, gives them back, and finalizes the pool. */
void exercise(struct cork_mempool *mp, size_t count);

/* For pools that need a destructor or a source, whatever it does. */
void destruct_nothing(void *user_data, void *object);
extern const struct cork_mempool_source plain_source;

#if defined(__cplusplus)
} /* extern "C" */
#endif
