/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_CHECK_SEES_H
#define CORK_MEMPOOL_TEST_CHECK_SEES_H

/*
 * cork_mempool_check on damaged pools: a pool whose fields, private ones too, are given wrong
 * values one at a time.
 */

#include <stdint.h>

#include "harness.h"
#include "pools.h"

static struct cork_mempool pool;
static struct cork_mempool_geometry *const geometry = &pool.geometry;
static struct cork_mempool_cursor *const cursor = &pool.cursor;
static struct cork_mempool_lent *const lent = &pool.lent;
static struct cork_mempool_quarantine *const quarantine = &pool.quarantine;
static struct cork_mempool_region *first, *second, *third; /* the pool's; NULL: it has less */
static void *objects[4000];                                /* in the order in which they came */
static size_t object_count;

/* Gives a field each of these wrong values, which check must see, and then its own again. */
#define CHECK_SEES(field, ...)                                                                     \
    do {                                                                                           \
        const __typeof__(field) sound = (field);                                                   \
        const __typeof__(field) wrong[] = {__VA_ARGS__};                                           \
        for (size_t i_ = 0; i_ < COUNT_OF(wrong); i_++) {                                          \
            test_row("wrong value %zu of %s", i_, #field);                                         \
            field = wrong[i_];                                                                     \
            CHECK(!cork_mempool_check(&pool));                                                     \
        }                                                                                          \
        field = sound;                                                                             \
        CHECK(cork_mempool_check(&pool));                                                          \
    } while (0)

/* The same for fields of the pool's of which one alone would be noticed for another reason. */
#define CHECK_SEES_FORGERY(statements)                                                             \
    do {                                                                                           \
        const struct cork_mempool sound = pool;                                                    \
        test_row("%s", #statements);                                                               \
        statements;                                                                                \
        CHECK(!cork_mempool_check(&pool));                                                         \
        pool = sound;                                                                              \
    } while (0)

static inline void take(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(object_count < COUNT_OF(objects));
        objects[object_count] = cork_mempool_new(&pool);
        CHECK(objects[object_count++] != NULL);
    }
}

/* Takes objects until there are so many regions. */
static inline void take_regions(size_t region_count)
{
    while (stats_of(&pool).region_count < region_count) {
        take(1);
    }
    first = pool.oldest;
    second = region_count < 2 ? NULL : first->newer;
    third = region_count < 3 ? NULL : second->newer;
}

static inline void begin_with(const struct cork_mempool_options *options, size_t region_count)
{
    CHECK(cork_mempool_init_with(&pool, options));
    object_count = 0;
    take_regions(region_count);
}

static inline void begin(unsigned protections, size_t region_count)
{
    begin_with(OPTIONS(.element_size = 112, .block_size = 36 * slot_needed(112),
                       .protections = protections),
               region_count);
}

static inline void begin_in_a_buffer(size_t count)
{
    static _Alignas(16) char buffer[1000 * 128];

    begin_with(OPTIONS(.element_size = 112, .buffer = buffer, .buffer_size = sizeof(buffer)), 1);
    take(count - 1);
}

static inline void finish(void)
{
    cork_mempool_clear(&pool);
    CHECK(cork_mempool_check(&pool));
    cork_mempool_done(&pool);
}

/*
 * Three regions; an object kept aside, which is of the first; a full stack, of the others; groups
 * of the first and the third region on free lists, but not of the second; and an active group with
 * fresh slots.
 */
static inline void populate(void)
{
    size_t of_third;

    begin(0, 3);
    of_third = object_count - 1;
    take(600);
    for (size_t i = 0; i < object_count; i += 3) {
        /* So many less, that the stack is full in the middle of a group. */
        if (i < of_third || i > of_third + 30) {
            cork_mempool_free(&pool, objects[i]);
        }
    }
    CHECK(cork_mempool_check(&pool));
    CHECK_POINTER(lent->kept, objects[0]);
    CHECK_EQUAL(lent->stack_count, 64);
    CHECK(lent->bits != 0 && cursor->is_fresh);
    CHECK(first->free_list != NULL && second->free_list == NULL && third->free_list != NULL);
    CHECK(pool.newest == third && pool.linked == third && third->next_linked == first);
}

static inline struct cork_mempool_region *copy_of(const struct cork_mempool_region *region)
{
    static struct cork_mempool_region copy;

    copy = *region;
    return &copy;
}

#endif /* CORK_MEMPOOL_TEST_CHECK_SEES_H */
