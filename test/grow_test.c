/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Which memory a pool takes next: of the heap first, then of the system, each time more; less where
 * less can be had; and none where there is none, or for more objects than there may be.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/memory.h"

static void *objects[100000];

/* Takes objects until a pool has so many regions more. */
static void take_regions(struct cork_mempool *mp, size_t region_count)
{
    for (size_t count = 0; region_count > 0; count++) {
        const struct cork_mempool_region *const newest = mp->newest;

        CHECK(count < 4000000);
        CHECK(cork_mempool_new(mp) != NULL);
        region_count -= mp->newest != newest;
    }
}

/* Slots of the pieces that a pool takes of the heap, as long as these have room for another slot in
 * a MiB. With what may be told of its slots, none before the last has more than 96 KiB. */
static size_t heap_pieces(const struct cork_mempool *mp, size_t counts[8])
{
    const size_t stride = mp->geometry.stride;
    const size_t slot_size = stride + 2 * sizeof(void *) + 8;
    const size_t kept_size = (size_t)96 * 1024;
    const size_t most = ((size_t)1 << 20) / stride;
    size_t piece_count = 0;

    counts[0] = 2 * (mp->geometry.block_slots < 64 ? mp->geometry.block_slots : 64);
    counts[0] = counts[0] < most / 16 ? counts[0] : most >= 32 ? most / 16 : 1;
    for (size_t sum = 0; sum < most; sum += counts[piece_count++]) {
        if (piece_count > 0) {
            counts[piece_count] = piece_count == 1 && sum > 1       ? 2 * sum
                                  : sum * slot_size < kept_size / 2 ? kept_size / slot_size
                                                                    : most;
        }
    }
    return piece_count;
}

/* Slots and tables are two pieces, but for a first region that has no tables of its own. */
static void expect_pieces(size_t size, size_t block_size, unsigned protections)
{
    const struct cork_mempool_region *region;
    struct cork_mempool mp;
    size_t counts[8];

    test_row("size %zu, block size %zu, protections %#x", size, block_size, protections);
    INIT(&mp, .element_size = size, .block_size = block_size, .protections = protections);
    const size_t piece_count = heap_pieces(&mp, counts);
    const size_t heap_count = 2 * piece_count - (piece_count > 0 && protections == 0);

    CHECK(piece_count <= 7);
    CHECK_EQUAL(piece_count == 0, stats_of(&mp).slot_size > 1 << 20);
    requests_start();
    take_regions(&mp, piece_count);
    CHECK_EQUAL(requests.heap_count, heap_count);
    CHECK_EQUAL(requests.count, heap_count);
    CHECK_EQUAL(requests.advice_count, 0);
    take_regions(&mp, 1);
    CHECK(requests.heap_count <= heap_count + 1); /* small tables are of the heap */
    CHECK(requests.mapped_size > 0);
    CHECK(piece_count > 0 || mp.newest->reserved_count <=
                                 mp.geometry.block_slots + 16 * page_size() / mp.geometry.stride);
    region = mp.oldest;
    for (size_t i = 0; i < piece_count; i++) {
        CHECK_EQUAL(region->reserved_count, counts[i]);
        region = region->newer;
    }
    finish(&mp, NULL, 0);
}

TEST(a_pool_takes_a_mib_of_the_heap_in_few_pieces_before_it_asks_the_system)
{
    static const size_t sizes[] = {1,     8,       24,     64,     1000,   5000,    20000,
                                   60000, 1 << 16, 100000, 400000, 600000, 1 << 20, 1 << 21};
    static const size_t block_sizes[] = {1, 0, 65536, 1 << 20};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(block_sizes); j++) {
            expect_pieces(sizes[i], block_sizes[j], 0);
        }
        for (size_t j = 0; j < PROTECTIONS_COUNT; j++) {
            expect_pieces(sizes[i], 0, without_guards(j));
        }
    }
}

/* Many times as much as there is, so that there are few; or as much where it has its price. Of that
 * as much is committed at first as there is, and of tables what is small is of the heap. */
TEST(a_reservation_grows_with_what_there_is)
{
    for (size_t scarce = 0; scarce < 2; scarce++) {
        struct cork_mempool mp;
        size_t heap_count = 0;

        if (scarce != 0) {
            make_regions_small();
        }
        requests_start();
        cork_mempool_init_size(&mp, 64);
        take_regions(&mp, regions_are_small() ? 7 : 5);
        for (const struct cork_mempool_region *region = mp.oldest; region != NULL;
             region = region->newer) {
            const size_t older = region->first_number;
            const size_t tables_size =
                sizeof(*region) + (region->reserved_count + 63) / 64 * sizeof(*region->groups);

            heap_count += !is_reserved(region);
            if (is_reserved(region)) {
                CHECK_EQUAL(region->reserved_count, older * (regions_are_small() ? 1 : 32));
                CHECK(region->committed_count >= older);
                CHECK(region->committed_count <= older + page_size() / 64);
                CHECK_EQUAL(region->head_size != 0, tables_size <= 64 * 1024);
            }
        }
        CHECK_EQUAL(heap_count, 4);
        const struct cork_mempool_region *const newest = mp.newest;
        const size_t count = newest->committed_count;
        take_objects(&mp, objects, count);
        CHECK(newest->committed_count <= 2 * count + page_size() / 64);
        finish(&mp, NULL, 0);
    }
}

TEST(a_first_reservation_is_small_and_a_block_of_it_is_committed)
{
    struct cork_mempool mp;

    cork_mempool_init_size_ex(&mp, 64, 2 * page_size());
    requests_start_lacking(NO_HEAP);
    take_objects(&mp, objects, 1);
    CHECK(requests.mapped_size >= 16 * page_size());
    CHECK(requests.mapped_size < (16 + 6) * page_size());
    /* It is mapped, two parts are committed; a large one is kept out of core dumps. */
    CHECK_EQUAL(requests.system_count, 3);
    CHECK_EQUAL(requests.advice_count, requests.mapped_size > 256 * 1024 ? 3 : 2);
    CHECK(stats_of(&mp).memory_size <= 4 * page_size());
    CHECK(stats_of(&mp).free_count + 1 >= mp.geometry.block_slots);
    finish(&mp, NULL, 0);
}

/* What is refused is asked for by a 32nd: the third request for a region is granted. */
TEST(a_region_is_no_smaller_than_a_32nd_of_what_can_be_had_and_takes_few_requests)
{
    if (regions_are_small()) {
        test_skip("regions begin small where address space is scarce");
    }
    for (size_t limit = 64 * page_size(); limit < (size_t)1 << 25; limit *= 2) {
        struct cork_mempool mp;

        cork_mempool_init_size(&mp, 64);
        requests_start();
        requests_refuse(MAPPINGS, REFUSE_LARGER, limit);
        take_objects(&mp, objects, 20000);
        CHECK(requests.refused_count > 0);
        /* The first four regions are of the heap. */
        CHECK(requests.refused_count <= 2 * (stats_of(&mp).region_count - 4));
        CHECK(requests.mapped_size > limit / 32);
        finish(&mp, NULL, 0);
    }
}

/* A block for which slots and tables together are a little more than all memory. The heap serves
 * the first objects, and nobody the others. */
TEST(tables_of_a_block_do_not_wrap_to_something_small)
{
    for (size_t is_sealed = 0; is_sealed < 2; is_sealed++) {
        const size_t stride = 1 + (TEST_UNDER_ASAN ? 23 : 0);
        /* Of eight slots, with 16 or 24 bytes for each 64 of them. */
        const size_t slots_size = 8 * (stride + is_sealed * sizeof(uint64_t));
        const size_t slot_count = SIZE_MAX / (slots_size + 2 + is_sealed) * 8 + 3000;
        struct cork_mempool mp;
        size_t count = 0;

        INIT(&mp, .element_size = 1, .alignment = 1, .block_size = slot_count * stride,
             .protections = is_sealed ? CORK_MEMPOOL_SEAL : 0);
        CHECK_EQUAL(stats_of(&mp).slot_size, stride);
        requests_start();
        while (cork_mempool_new(&mp) != NULL) {
            CHECK(++count * stride <= (size_t)2 << 20);
        }
        CHECK_EQUAL(errno, ENOMEM);
        CHECK(count * stride > (size_t)1 << 20);
        CHECK_EQUAL(requests.mapped_size, 0);
        CHECK_EQUAL(requests.stray_count, 0);
        finish(&mp, NULL, 0);
    }
}

TEST(memory_is_asked_for_a_block_of_2_to_the_31_objects_but_of_no_more)
{
    if (SIZE_MAX <= UINT32_MAX) {
        test_skip("words are too narrow for either");
    }
    for (size_t more = 0; more < 2; more++) {
        struct cork_mempool mp;

        INIT(&mp, .element_size = 8, .block_size = (((size_t)1 << 31) + more) * slot_needed(8));
        requests_start_lacking(NO_HEAP | NO_MAPPINGS);
        expect_null(&mp);
        CHECK_EQUAL(requests.system_count, more == 0 ? 3 : 0);
        finish(&mp, NULL, 0);
    }
}

/* What a region has room for comes in smaller parts then, not from another. */
TEST(a_pool_that_may_not_commit_much_commits_less)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, page_size() / 64);
    requests_start();
    requests_refuse(COMMITS, REFUSE_LARGER, 2 * page_size());
    const size_t region_count = heap_pieces(&mp, (size_t[8]){0}) + 1;

    take_regions(&mp, region_count);
    CHECK(mp.newest->committed_count * mp.geometry.stride > page_size());
    take_objects(&mp, objects, 1000);
    CHECK(requests.mapped_size > 0);
    CHECK(requests.refused_count > 0);
    CHECK_EQUAL(stats_of(&mp).region_count, region_count);
    finish(&mp, NULL, 0);
}

TEST(a_refused_request_sets_few_guards_and_serves_many_calls)
{
    struct cork_mempool mp;

    INIT(&mp, .element_size = 1000, .protections = CORK_MEMPOOL_GUARD | CORK_MEMPOOL_QUARANTINE);
    requests_start();
    take_objects(&mp, objects, 5000);
    const size_t advice_count = requests.advice_count;

    requests_refuse(EVERYTHING, REFUSE_FROM, 1);
    const size_t count = take_until_null(&mp, objects, 5000, 100000);
    CHECK(requests.advice_count < advice_count + 1500);
    free_objects(&mp, objects, count - 200, count);
    const size_t request_count = requests.count;

    for (size_t i = 0; i < 1000; i++) {
        take_objects(&mp, &objects[count], 1);
        CHECK(mp.quarantine.count >= 100); /* half of it serves, and no more */
        cork_mempool_free(&mp, objects[count]);
    }
    CHECK(requests.count < request_count + 300);
    clear_and_end(&mp);
    requests_stop();
}

static void issue(struct cork_mempool *mp, size_t number)
{
    objects[number] = cork_mempool_new(mp);
    CHECK(objects[number] != NULL);
    fill(objects[number], 40, number);
}

/* A limit is exact however objects come and go, also where trim takes some regions, or a group is
 * extended in parts: no slot is counted twice. What rests in quarantine serves. */
static void expect_exact_limit(unsigned protection, size_t limit, size_t block_size, int lacks)
{
    struct cork_mempool mp;

    test_row("protection %#x, limit %zu, block size %zu", protection, limit, block_size);
    requests_start_lacking(lacks);
    INIT(&mp, .element_size = 40, .block_size = block_size, .protections = protection,
         .max_objects = limit);
    CHECK(stats_of(&mp).block_size <= limit * mp.geometry.stride);
    for (size_t i = 0; i < limit; i++) {
        const size_t request_count = requests.count;
        const bool needs_memory = stats_of(&mp).free_count == 0;

        issue(&mp, i);
        CHECK_EQUAL(requests.count != request_count, needs_memory);
    }
    for (size_t round = 0; round < 4; round++) {
        const size_t kept = limit * round / 3;

        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        CHECK_EQUAL(stats_of(&mp).live_count, limit);
        CHECK(is_reserved(mp.newest) || mp.newest->extended_count == mp.newest->reserved_count);
        expect_null(&mp);
        for (size_t i = 0; i < limit; i += 1 + limit / 9) {
            void *const object = objects[i];

            cork_mempool_free(&mp, object);
            issue(&mp, i);
            CHECK_POINTER(objects[i], object);
            CHECK_POINTER(try_new(&mp), NULL);
        }
        free_objects(&mp, objects, kept, limit);
        CHECK(cork_mempool_check(&mp));
        if (round != 1) {
            cork_mempool_trim(&mp);
        }
        for (size_t i = kept; i < limit; i++) {
            issue(&mp, i);
        }
    }
    finish(&mp, objects, limit);
}

TEST(the_limit_of_objects_is_exact_with_every_protection)
{
    static const size_t limits[] = {1, 2, 9, 63, 64, 65, 127, 128, 129, 700, 1000, 5000};
    static const size_t block_sizes[] = {1, 0, 100000};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t j = 0; j < COUNT_OF(limits) * COUNT_OF(block_sizes); j++) {
            expect_exact_limit(all_protections[i], limits[j / 3], block_sizes[j % 3], 0);
            expect_exact_limit(all_protections[i], limits[j / 3], block_sizes[j % 3], NO_HEAP);
        }
    }
}
