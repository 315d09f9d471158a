/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_POPULATED_H
#define CORK_MEMPOOL_TEST_POPULATED_H

/*
 * A populated pool: it has objects in memory of every kind that pools know. What is refused must be
 * refused wherever an object lies.
 */

#include <stddef.h>

#include <libcork/core.h>

#define ELEMENT_SIZE 1008
#define ELEMENT_SLOT (TEST_UNDER_ASAN ? ELEMENT_SIZE + 16 : ELEMENT_SIZE)

/* The objects' type; it gives the pool its name. */
struct element {
    char bytes[ELEMENT_SIZE];
};

/* In each of the regions: its first object, and one further on that has neighbours. */
#define POPULATED_PLACE_COUNT 8

/* The number of the one region that is reserved. */
#define POPULATED_RESERVED 2

struct populated_pool {
    struct cork_mempool mp;
    size_t count;
    /* In the order in which they were issued, which is that of their slots; NULL: freed since. */
    void *objects[1200];
    size_t places[POPULATED_PLACE_COUNT];
    size_t unissued_count; /* slots behind that of the last object, up to the end of the memory */
};

/*
 * populate fills a pool's first region, one more of the heap, a reserved one, and some of
 * another of the heap, so that slots remain that were never issued. The last two are those that
 * free finds on its fast path.
 */
void populate(struct populated_pool *populated);

/* end_populated checks the contents of all objects, frees them, uses the pool anew and ends it. */
void end_populated(struct populated_pool *populated);

#endif /* CORK_MEMPOOL_TEST_POPULATED_H */
