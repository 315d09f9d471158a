/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Memory that cannot be had, at every place where a pool asks for it.
 */

#include "test/support/memory.h"

/* What is taken of a pool; but for the first, pools grow through pieces of the heap to
 * reservations. */
struct scenario {
    size_t count;
    struct cork_mempool_options options;
};

static const struct scenario scenarios[] = {
    {10000, {.element_size = 1, .block_size = 4096}},
    {119000, {.element_size = 16, .block_size = 4096}},
    {4000, {.element_size = 1000, .block_size = 1}},
    {4000, {.element_size = 1000, .block_size = 65536}},
    {1000, {.element_size = 5000}},
    {50, {.element_size = 100000}},
    {12, {.element_size = 1 << 20, .block_size = 4096}},
    {50000, {.element_size = 48, .block_size = 1 << 17}},
};

static void *objects[120000];

/* Where there is no memory, nothing is free, and what is freed is issued again. */
static void expect_out_of_memory(struct cork_mempool *mp, size_t count)
{
    CHECK_EQUAL(stats_of(mp).free_count, 0);
    expect_null(mp);
    CHECK(mp->hooks != NULL || count == 0 || mp->lent.owner == mp); /* or free would be slow */
    if (count > 0) {
        cork_mempool_free(mp, objects[count / 2]);
        CHECK_POINTER(try_new(mp), objects[count / 2]);
        fill(objects[count / 2], stats_of(mp).element_size, count / 2);
        CHECK_POINTER(try_new(mp), NULL);
    }
}

/* Gives everything back, and with it all memory; no more is asked for. */
static void finish_whole(struct cork_mempool *mp, size_t count)
{
    const size_t asked_for = requests.count;
    const struct cork_mempool_stats stats = stats_of(mp);

    CHECK_EQUAL(stats.live_count, count);
    CHECK(stats.memory_size >= count * stats.element_size);
    CHECK(stats.reserved_size >= stats.memory_size);
    CHECK(stats.reserved_size >= requests.mapped_size);
    finish(mp, objects, count);
    CHECK_EQUAL(requests.count, asked_for);
    CHECK_EQUAL(requests.stray_count, 0);
}

/* Takes a scenario's objects while some requests are refused; or, where all are refused from some
 * on, until there is no memory, and one more when there is again. Says how often there was none. */
static size_t use_refused(const struct scenario *scenario, int lacks, int kinds, enum refused how,
                          size_t n)
{
    const size_t size = scenario->options.element_size;
    size_t count = 0, most = scenario->count, null_count = 0;
    struct cork_mempool mp;

    test_row("size %zu, block size %zu, protections %#x, refusal %d of kinds %d, %zu", size,
             scenario->options.block_size, scenario->options.protections, (int)how, kinds, n);
    requests_start_lacking(lacks);
    CHECK(cork_mempool_init_with(&mp, &scenario->options));
    CHECK(cork_mempool_check(&mp));
    cork_mempool_free(&mp, NULL);
    CHECK_EQUAL(requests.count, 0);
    requests_refuse(kinds, how, n);
    while (count < most) {
        const size_t refused_count = requests.refused_count;

        objects[count] = try_new(&mp);
        if (objects[count] != NULL) {
            fill(objects[count], size, count);
            count++;
            continue;
        }
        CHECK(requests.refused_count > refused_count);
        null_count++;
        if (how == REFUSE_FROM) {
            expect_out_of_memory(&mp, count);
            requests_refuse(0, REFUSE_FROM, 0);
            most = count + 1;
        }
    }
    /* Whoever is refused large mappings makes small ones. */
    CHECK(how != REFUSE_LARGER || (kinds & MAPPINGS) == 0 || scenario == scenarios ||
          requests.mapped_size > 0);
    finish_whole(&mp, count);
    return null_count;
}

/* Refuses each request of a scenario, alone or with all that follow; there are least or more, but
 * half as many where pages are larger and serve for longer. */
static void refuse_each(const struct scenario *scenario, int lacks, int kinds, enum refused how,
                        size_t least)
{
    const size_t expected = page_size() > 4096 ? least / 2 : least;
    bool is_last = false;

    for (size_t number = 1; !is_last; number++) {
        const size_t null_count = use_refused(scenario, lacks, kinds, how, number);

        is_last = how == REFUSE_FROM ? null_count == 0 : !requests_reached();
        CHECK(null_count <= 1 && number < 1000);
        CHECK(!is_last || (!requests_reached() && number > expected));
    }
}

TEST(each_request_may_be_refused_once_and_all_from_any_on)
{
    make_regions_small();
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        refuse_each(&scenarios[i], 0, EVERYTHING, REFUSE_NUMBER, 3);
        refuse_each(&scenarios[i], NO_MAPPINGS, HEAP, REFUSE_NUMBER, 3);
        refuse_each(&scenarios[i], 0, EVERYTHING, REFUSE_FROM, 4);
    }
}

/* Tables are refused too. Guarded pools use no heap, so that fewer objects do. A source refuses
 * what the heap, of which it is made, refuses. */
TEST(each_request_of_a_protected_pool_or_to_a_source_may_be_refused_once_and_all_from_any_on)
{
    make_regions_small();
    for (size_t i = 0; i < 2 * PROTECTIONS_COUNT; i++) {
        const bool has_source = i % 2 != 0;
        const unsigned protections = has_source ? without_guards(i / 2) : all_protections[i / 2];
        const bool is_small = has_source || (protections & CORK_MEMPOOL_GUARD) != 0;
        const struct scenario scenario = {is_small ? 6000 : 30000,
                                          {.element_size = 48,
                                           .block_size = 4096,
                                           .protections = protections,
                                           .source = has_source ? &plain_source : NULL}};

        refuse_each(&scenario, 0, EVERYTHING, REFUSE_NUMBER, 7);
        refuse_each(&scenario, 0, EVERYTHING, REFUSE_FROM, 7);
    }
}

TEST(a_pool_does_without_mappings_without_the_heap_and_without_large_pieces_of_either)
{
    static const int kinds[] = {MAPPINGS, COMMITS, HEAP};
    static const int large[][2] = {
        {NO_MAPPINGS, HEAP}, {0, COMMITS | HEAP}, {0, EVERYTHING}, {0, MAPPINGS | COMMITS}};

    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        const struct scenario *const scenario = &scenarios[i];
        const size_t slot = slot_needed(scenario->options.element_size);
        const size_t size = scenario->options.block_size;
        const size_t page_count = ((size > slot ? size : slot) + page_size() - 1) / page_size();
        /* A block and its alignment; descriptors; three guards. */
        const size_t most = (page_count * 2 + 4) * page_size();

        for (size_t n = 0; n < 30; n++) {
            CHECK_EQUAL(use_refused(scenario, 0, kinds[n % 3], REFUSE_FROM, 1 + n / 3), 0);
        }
        for (size_t j = 0; j < COUNT_OF(large); j++) {
            CHECK_EQUAL(use_refused(scenario, large[j][0], large[j][1], REFUSE_LARGER, most), 0);
            CHECK(requests.refused_count > 0 ||
                  scenario->count * scenario->options.element_size < 4 * most);
        }
    }
}
