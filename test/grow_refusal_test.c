/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Memory that cannot be had, at every place where a pool asks for it.
 */

#include <stdint.h>

#include "test/support/memory.h"

/* What is taken of a pool; but for the first, pools grow through pieces of the heap to
 * reservations.
 */
struct scenario {
    size_t element_size, block_size, count;
    unsigned protections;
};

static const struct scenario scenarios[] = {
    {1, 4096, 10000, 0}, {16, 4096, 119000, 0}, {1000, 1, 4000, 0},     {1000, 65536, 4000, 0},
    {5000, 0, 1000, 0},  {100000, 0, 50, 0},    {1 << 20, 4096, 12, 0}, {48, 1 << 17, 50000, 0},
};

static void *objects[120000];

/* The contents that tell objects apart without touching all of a large one. */
static void mark(size_t number, size_t size)
{
    fill(objects[number], size < 64 ? size : 64, number);
    ((char *)objects[number])[size - 1] = (char)number;
}

static bool is_marked(size_t number, size_t size)
{
    const char last = ((char *)objects[number])[size - 1];

    return (size <= 64 || is_filled(objects[number], 64, number)) && last == (char)number;
}

/* Where there is no memory, nothing is free, and what is freed is issued again. */
static void expect_out_of_memory(struct cork_mempool *mp, size_t count, size_t size)
{
    CHECK_EQUAL(stats_of(mp).free_count, 0);
    expect_null(mp);
    if (count > 0) {
        cork_mempool_free(mp, objects[count / 2]);
        CHECK_POINTER(try_new(mp), objects[count / 2]);
        mark(count / 2, size);
        CHECK_POINTER(try_new(mp), NULL);
    }
}

/* Gives everything back, and with it all memory; no more is asked for. */
static void finish_marked(struct cork_mempool *mp, size_t count)
{
    const size_t asked_for = requests.count;
    const struct cork_mempool_stats stats = stats_of(mp);

    CHECK_EQUAL(stats.live_count, count);
    CHECK(stats.memory_size >= count * stats.element_size);
    CHECK(stats.reserved_size >= stats.memory_size);
    CHECK(stats.reserved_size >= requests.mapped_size);
    for (size_t i = 0; i < count; i++) {
        CHECK(is_marked(i, stats.element_size));
        cork_mempool_free(mp, objects[i]);
    }
    CHECK(cork_mempool_check(mp));
    CHECK_EQUAL(stats_of(mp).live_count, 0);
    cork_mempool_done(mp);
    CHECK_EQUAL(requests.count, asked_for);
    CHECK_EQUAL(requests.stray_count, 0);
    requests_finish();
}

/* Takes a scenario's objects while some requests are refused; or, where all are refused from some
 * on, until there is no memory, and one more when there is again. Says how often there was none. */
static size_t use_refused(const struct scenario *scenario, int lacks, int kinds, enum refused how,
                          size_t n)
{
    const size_t size = scenario->element_size;
    size_t count = 0, most = scenario->count, null_count = 0;
    struct cork_mempool mp;

    requests_start_lacking(lacks);
    INIT(&mp, .element_size = size, .block_size = scenario->block_size,
         .protections = scenario->protections);
    CHECK(cork_mempool_check(&mp));
    cork_mempool_free(&mp, NULL);
    CHECK_EQUAL(requests.count, 0);
    requests_refuse(kinds, how, n);
    while (count < most) {
        const size_t refused_count = requests.refused_count;

        objects[count] = try_new(&mp);
        if (objects[count] != NULL) {
            mark(count++, size);
            continue;
        }
        CHECK(requests.refused_count > refused_count);
        null_count++;
        if (how == REFUSE_FROM) {
            expect_out_of_memory(&mp, count, size);
            requests_refuse(0, REFUSE_FROM, 0);
            most = count + 1;
        }
    }
    /* Whoever is refused large mappings makes small ones. */
    CHECK(how != REFUSE_LARGER || (kinds & MAPPINGS) == 0 || scenario == scenarios ||
          requests.mapped_size > 0);
    finish_marked(&mp, count);
    return null_count;
}

/* Refuses each request of a scenario, alone or with all that follow; says how many there are. */
static size_t refuse_each(const struct scenario *scenario, int lacks, int kinds, enum refused how)
{
    for (size_t number = 1;; number++) {
        const size_t null_count = use_refused(scenario, lacks, kinds, how, number);

        CHECK(number < 1000);
        CHECK(null_count <= 1);
        if (how == REFUSE_FROM ? null_count == 0 : !requests_reached()) {
            CHECK(!requests_reached());
            return number - 1;
        }
    }
}

TEST(each_request_may_be_refused_once_and_all_from_any_on)
{
    make_regions_small();
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        CHECK(refuse_each(&scenarios[i], 0, EVERYTHING, REFUSE_NUMBER) >= 3);
        CHECK(refuse_each(&scenarios[i], NO_MAPPINGS, HEAP, REFUSE_NUMBER) >= 3);
        CHECK(refuse_each(&scenarios[i], 0, EVERYTHING, REFUSE_FROM) >= 4);
    }
}

/* Tables are refused too. */
TEST(each_request_of_a_protected_pool_may_be_refused_once_and_all_from_any_on)
{
    static const unsigned protections[] = {CORK_MEMPOOL_SEAL, CORK_MEMPOOL_QUARANTINE,
                                           CORK_MEMPOOL_GUARD, CORK_MEMPOOL_PARANOID};

    make_regions_small();
    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        /* Guarded pools need no more: they use no heap. */
        const size_t count = (protections[i] & CORK_MEMPOOL_GUARD) != 0 ? 6000 : 30000;
        const struct scenario scenario = {48, 4096, count, protections[i]};

        CHECK(refuse_each(&scenario, 0, EVERYTHING, REFUSE_NUMBER) >= 8);
        CHECK(refuse_each(&scenario, 0, EVERYTHING, REFUSE_FROM) >= 8);
    }
}

/* With tables that are committed at once, or with call sites as they are needed. */
TEST(each_request_may_be_refused_where_regions_are_large)
{
    static const struct scenario small = {16, 0, 10000, CORK_MEMPOOL_GUARD};
    static const struct scenario with_sites = {16, 0, 10000,
                                               CORK_MEMPOOL_GUARD | CORK_MEMPOOL_CALLSITES};
    static const struct scenario plain = {64, 0, 20000, 0};
    static const struct scenario guarded = {64, 0, 20000, CORK_MEMPOOL_GUARD};
    /* Larger pages serve for longer. */
    const size_t least = page_size() > 4096 ? 7 : 10;

    CHECK(refuse_each(&small, 0, COMMITS, REFUSE_NUMBER) >= 5);
    CHECK(refuse_each(&with_sites, 0, COMMITS, REFUSE_NUMBER) >= 10);
    CHECK(refuse_each(&plain, 0, EVERYTHING, REFUSE_FROM) >= least);
    CHECK(refuse_each(&guarded, 0, EVERYTHING, REFUSE_FROM) >= least);
}

TEST(a_pool_does_without_mappings_and_without_the_heap)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        for (size_t number = 1; number < 10; number += 2) {
            CHECK_EQUAL(use_refused(&scenarios[i], 0, MAPPINGS, REFUSE_FROM, number), 0);
            CHECK_EQUAL(use_refused(&scenarios[i], 0, COMMITS, REFUSE_FROM, number), 0);
        }
        CHECK_EQUAL(use_refused(&scenarios[i], 0, HEAP, REFUSE_FROM, 1), 0);
        CHECK_EQUAL(use_refused(&scenarios[i], 0, HEAP, REFUSE_FROM, 2), 0);
    }
}

/* A block and its alignment, each in pages; descriptors; three guards. */
static size_t least_request(const struct scenario *scenario)
{
    const size_t page = page_size();
    const size_t slot = slot_needed(scenario->element_size);
    const size_t block = scenario->block_size > slot ? scenario->block_size : slot;

    return (block + page - 1) / page * page * 2 + 4 * page;
}

TEST(a_pool_that_is_refused_much_asks_for_less)
{
    static const struct {
        int lacks, kinds;
    } cases[] = {
        {NO_MAPPINGS, HEAP}, {0, COMMITS | HEAP}, {0, EVERYTHING}, {0, MAPPINGS | COMMITS}};

    for (size_t i = 0; i < COUNT_OF(scenarios) * COUNT_OF(cases); i++) {
        const struct scenario *scenario = &scenarios[i / COUNT_OF(cases)];
        const int kinds = cases[i % COUNT_OF(cases)].kinds;
        const size_t most = least_request(scenario);

        CHECK_EQUAL(
            use_refused(scenario, cases[i % COUNT_OF(cases)].lacks, kinds, REFUSE_LARGER, most), 0);
        CHECK(requests.refused_count > 0 || scenario->count * scenario->element_size < 4 * most);
    }
}
