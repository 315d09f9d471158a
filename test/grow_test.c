/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Which memory a pool takes next: of the heap first, then of the system, each time more; less where
 * less can be had; and none where there is none.
 */

#include <errno.h>
#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

static void *objects[20100];

static void init(struct cork_mempool *mp, struct cork_mempool_options options)
{
    CHECK(cork_mempool_init_with(mp, &options));
}

static bool is_reserved(const struct cork_mempool_region *region)
{
    return (const char *)region == (const char *)region->memory + page_size();
}

/* Takes objects until a pool has so many regions more. */
static void take_regions(struct cork_mempool *mp, size_t region_count)
{
    size_t count = 0;

    while (region_count > 0) {
        const struct cork_mempool_region *const newest = mp->newest;

        CHECK(count++ < 4000000);
        CHECK(cork_mempool_new(mp) != NULL);
        region_count -= mp->newest != newest;
    }
}

/* Slots of the pieces that a pool takes of the heap, as long as these have no MiB in all. With what
 * may be told of its slots, none before has more than 96 KiB. */
static size_t heap_pieces(const struct cork_mempool *mp, size_t counts[8])
{
    const size_t most = ((size_t)1 << 20) / mp->geometry.stride;
    const size_t fitting = (size_t)96 * 1024 / (mp->geometry.stride + 2 * sizeof(void *) + 8);
    const size_t kept = fitting < 64 ? fitting : fitting / 64 * 64;
    const size_t block_slots = mp->geometry.block_slots;
    size_t piece_count = 0;
    size_t sum = 0;

    while (sum <= most) {
        const size_t factor = piece_count == 1 ? 2 : 16;
        const size_t count = piece_count > 0    ? counts[piece_count - 1] * factor
                             : block_slots < 64 ? block_slots
                                                : 64;

        const size_t limit = piece_count == 0 || sum >= kept / 2 ? most : kept;

        counts[piece_count] = count < limit ? count : limit;
        sum += counts[piece_count++];
    }
    return piece_count;
}

TEST(a_pool_takes_few_pieces_of_the_heap_before_it_asks_the_system)
{
    static const size_t sizes[] = {1, 24, 64, 1000, 5000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cork_mempool mp;
        size_t counts[8];
        size_t number = 0;

        cork_mempool_init_size(&mp, sizes[i]);
        const size_t piece_count = heap_pieces(&mp, counts);

        CHECK(piece_count <= 6);
        requests_start();
        take_regions(&mp, piece_count);
        CHECK_EQUAL(requests.heap_count, 2 * piece_count - 1);
        CHECK_EQUAL(requests.system_count, 0);
        take_regions(&mp, 1);
        CHECK_EQUAL(requests.heap_count, 2 * piece_count - 1);
        CHECK(requests.mapped_size > 0);
        for (const struct cork_mempool_region *region = mp.oldest; region != mp.newest;
             region = region->newer) {
            CHECK_EQUAL(region->reserved_count, counts[number++]);
        }
        CHECK(cork_mempool_check(&mp));
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
        CHECK_EQUAL(requests.heap_count, 0);
        CHECK_EQUAL(requests.mapped_size, 0);
        requests_stop();
    }
}

/* Many times as much as there is, so that there are few; or as much where it has its price. Of that
 * at most as much is committed as there is, and at first no more than a block. */
TEST(a_reservation_grows_with_what_there_is)
{
    for (size_t scarce = 0; scarce < 2; scarce++) {
        struct cork_mempool mp;
        size_t heap_count = 0;

        if (scarce != 0) {
            make_regions_small();
        }
        cork_mempool_init_size(&mp, 64);
        take_regions(&mp, regions_are_small() ? 7 : 5);
        for (const struct cork_mempool_region *region = mp.oldest; region != NULL;
             region = region->newer) {
            if (is_reserved(region)) {
                CHECK_EQUAL(region->reserved_count,
                            region->first_number * (regions_are_small() ? 1 : 32));
                CHECK(region->committed_count <= region->first_number + page_size() / 64);
            } else {
                heap_count++;
            }
        }
        CHECK(heap_count == 4);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

TEST(a_first_reservation_is_small)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, 1);
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    CHECK(requests.mapped_size >= 16 * page_size());
    CHECK(requests.mapped_size < (16 + 6) * page_size());
    CHECK(stats_of(&mp).memory_size <= 3 * page_size());
    give_objects(&mp, objects, 1);
    cork_mempool_done(&mp);
    requests_stop();
}

/* What is refused is asked for by a 32nd. */
TEST(a_region_is_no_smaller_than_a_32nd_of_what_can_be_had)
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
        CHECK(requests.mapped_size > limit / 32);
        give_objects(&mp, objects, 20000);
        cork_mempool_done(&mp);
        requests_stop();
    }
}

TEST(objects_of_up_to_64_kib_begin_in_the_heap_and_larger_ones_do_not)
{
    static const struct {
        size_t slot_size, block_size;
        bool is_mapped;
    } cases[] = {{1 << 16, 1, false},       {(1 << 16) + 16, 1, true}, {1 << 14, 1 << 17, false},
                 {1 << 10, 1 << 20, false}, {1 << 20, 1 << 16, true},  {1 << 20, 1 << 20, true}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = cases[i].slot_size - GAP_SIZE,
                                                .alignment = 16,
                                                .block_size = cases[i].block_size});
        requests_start();
        take_objects(&mp, objects, 1);
        CHECK_EQUAL(requests.system_count > 0, cases[i].is_mapped);
        CHECK_EQUAL(requests.heap_count, cases[i].is_mapped ? 0 : 1);
        give_objects(&mp, objects, 1);
        cork_mempool_done(&mp);
        requests_stop();
    }
}

/* A block for which slots and tables together are a little more than all memory. The heap serves
 * the first objects, and nobody the others. */
TEST(tables_of_a_block_do_not_wrap_to_something_small)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_SEAL};

    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        const bool is_sealed = protections[i] != 0;
        const size_t stride = 1 + (TEST_UNDER_ASAN ? 23 : 0);
        /* Of eight slots, with 16 or 24 bytes for each 64 of them. */
        const size_t slots_size = 8 * (stride + (is_sealed ? sizeof(uint64_t) : 0));
        const size_t eight_size = slots_size + (is_sealed ? 3 : 2);
        const size_t slot_count = SIZE_MAX / eight_size * 8 + 3000;
        struct cork_mempool mp;
        size_t count = 0;

        init(&mp, (struct cork_mempool_options){.element_size = 1,
                                                .alignment = 1,
                                                .block_size = slot_count * stride,
                                                .protections = protections[i]});
        CHECK_EQUAL(stats_of(&mp).slot_size, stride);
        requests_start();
        while (cork_mempool_new(&mp) != NULL) {
            CHECK(++count * stride <= (size_t)2 << 20);
        }
        CHECK_EQUAL(errno, ENOMEM);
        CHECK(count * stride > (size_t)1 << 20);
        CHECK_EQUAL(requests.mapped_size, 0);
        CHECK_EQUAL(requests.stray_count, 0);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
        requests_stop();
    }
}

/* From the request with this number on; says whether there were so many. */
static bool refuse_from(unsigned protection, size_t number)
{
    const size_t most = 20000;
    struct cork_mempool mp;
    size_t count = 0;
    bool was_refused;

    init(&mp, (struct cork_mempool_options){.element_size = 64, .protections = protection});
    requests_start();
    requests_refuse(EVERYTHING, REFUSE_FROM, number);
    while (count < most && (objects[count] = cork_mempool_new(&mp)) != NULL) {
        fill(objects[count], 64, count);
        count++;
    }
    was_refused = requests_reached();
    CHECK_EQUAL(count < most, was_refused);
    CHECK_EQUAL(stats_of(&mp).free_count, was_refused ? 0 : stats_of(&mp).free_count);
    requests_refuse(0, REFUSE_FROM, 0);
    take_objects(&mp, objects + count, 100);
    give_objects(&mp, objects, count);
    for (size_t i = 0; i < 100; i++) {
        cork_mempool_free(&mp, objects[count + i]);
    }
    cork_mempool_done(&mp);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    requests_stop();
    return was_refused;
}

TEST(a_pool_that_is_refused_everything_from_any_request_on_gives_null)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_GUARD};

    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        size_t number = 1;

        while (refuse_from(protections[i], number)) {
            number++;
        }
        /* Larger pages serve for longer. */
        CHECK(number > (page_size() > 4096 ? 7 : 10));
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
    take_objects(&mp, objects, 1000);
    CHECK(requests.mapped_size > 0);
    CHECK(requests.refused_count > 0);
    CHECK_EQUAL(stats_of(&mp).region_count, region_count);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
    requests_stop();
}
