/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Trim, to the byte: which of the memory that no live object needs is given back, and that the
 * figure is right. What trim leaves is whole_test.c's.
 */

#include <stdint.h>

#include "harness.h"
#include "pools.h"
#include "requests.h"

#define GROUP_SLOTS 64
#define GROUP_COUNT 6

static void *objects[33 * 1024];

static void init(struct cork_mempool *mp, size_t element_size, size_t max_objects, unsigned set)
{
    const struct cork_mempool_options options = {.element_size = element_size,
                                                 .block_size = page_size(),
                                                 .max_objects = max_objects,
                                                 .protections = set};

    CHECK(cork_mempool_init_with(mp, &options));
}

static void free_some(struct cork_mempool *mp, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        cork_mempool_free(mp, objects[i]);
    }
}

/* Takes objects, the first 64 from the heap and all others from one region of the system's. Returns
 * how much memory the former are in. */
static size_t take_all(struct cork_mempool *mp, size_t count)
{
    size_t heap_size;

    requests_start();
    take_objects(mp, objects, 1);
    heap_size = stats_of(mp).memory_size;
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(mp, objects + 1, count - 1);
    requests_stop();
    return heap_size;
}

/* 64 objects of the second region are a page. */
TEST(trim_gives_back_the_pages_of_each_group_without_live_objects)
{
    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between objects");
    }
    for (unsigned live = 1; live < 1u << GROUP_COUNT; live++) {
        struct cork_mempool mp;
        size_t freed_count = 0;
        size_t heap_size;

        init(&mp, page_size() / GROUP_SLOTS, 0, 0);
        heap_size = take_all(&mp, (1 + GROUP_COUNT) * GROUP_SLOTS);
        free_some(&mp, 0, GROUP_SLOTS);
        for (size_t group = 0; group < GROUP_COUNT; group++) {
            const size_t first = (1 + group) * GROUP_SLOTS;
            const bool is_live = (live >> group & 1) != 0;

            free_some(&mp, first, first + 20 + group);
            free_some(&mp, first + 20 + group + is_live, first + GROUP_SLOTS);
            freed_count += !is_live;
        }
        CHECK_EQUAL(cork_mempool_trim(&mp), heap_size + freed_count * page_size());
        CHECK(cork_mempool_check(&mp));
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Behind the last object there is memory that was never used, and so cannot be given back. */
TEST(trim_gives_back_no_more_than_was_used)
{
    const size_t count = 4 + GROUP_SLOTS + 8;
    size_t heap_size;
    struct cork_mempool mp;

    if (regions_are_small()) {
        test_skip("regions are small");
    }
    init(&mp, page_size() / 4, count, 0);
    heap_size = take_all(&mp, count);
    free_some(&mp, 0, 20);
    free_some(&mp, 21, count);
    CHECK_EQUAL(cork_mempool_trim(&mp), heap_size + 2 * page_size());
    cork_mempool_free(&mp, objects[20]);
    exercise(&mp, count);
}

/* Pieces of the heap are given back as a whole or not at all. */
TEST(trim_gives_back_the_pieces_of_the_heap_without_live_objects)
{
    static const size_t counts[] = {64, 128, 2048, 100};

    for (size_t kept = 0; kept < COUNT_OF(counts); kept++) {
        struct cork_mempool mp;
        size_t sizes[COUNT_OF(counts)];
        size_t count = 0, kept_object = 0, memory_size = 0;

        init(&mp, 16, 0, 0);
        for (size_t piece = 0; piece < COUNT_OF(counts); piece++) {
            take_objects(&mp, objects + count, counts[piece]);
            CHECK_EQUAL(stats_of(&mp).region_count, piece + 1);
            sizes[piece] = stats_of(&mp).memory_size - memory_size;
            memory_size += sizes[piece];
            kept_object = piece == kept ? count + 7 : kept_object;
            count += counts[piece];
        }
        free_some(&mp, 0, kept_object);
        free_some(&mp, kept_object + 1, count);
        CHECK_EQUAL(cork_mempool_trim(&mp), memory_size - sizes[kept]);
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).memory_size, sizes[kept]);
        CHECK(is_filled(objects[kept_object], 16, 7));
        cork_mempool_free(&mp, objects[kept_object]);
        exercise(&mp, count);
    }
}

/* Where slots must be found as they were freed, each region with a live object keeps its pages. */
TEST(trim_of_a_pool_that_is_bound_to_its_memory_says_that_it_gives_nothing_back)
{
    static const unsigned sets[] = {CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL, CORK_MEMPOOL_GUARD};

    if (regions_are_small()) {
        test_skip("regions are small");
    }
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct cork_mempool mp;

        init(&mp, page_size() / GROUP_SLOTS, 500, sets[i]);
        take_all(&mp, 500);
        free_some(&mp, 1, 499);
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        cork_mempool_free(&mp, objects[0]);
        cork_mempool_free(&mp, objects[499]);
        cork_mempool_done(&mp);
    }
}

/* Without a heap, the second region has 32 times as many slots as
 * the first; where pages have 4096 bytes, the words for its groups fill whole pages. */
TEST(trim_and_clear_look_at_no_table_beyond_its_end)
{
    const size_t count = COUNT_OF(objects);
    struct cork_mempool mp;

    init(&mp, page_size() / GROUP_SLOTS, 0, CORK_MEMPOOL_QUARANTINE);
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, count);
    requests_stop();
    CHECK(TEST_UNDER_ASAN || page_size() != 4096 || mp.newest->extended_count == 512 * GROUP_SLOTS);
    free_some(&mp, 0, count - 1);
    CHECK(cork_mempool_trim(&mp) > 0);
    CHECK_EQUAL(stats_of(&mp).live_count, 1);
    cork_mempool_clear(&mp);
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    cork_mempool_done(&mp);
}
