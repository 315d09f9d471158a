/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Which memory a pool takes next: of the heap first, then of the system, each time more; less where
 * less can be had; and none where there is none. And that there is enough for many pools.
 */

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "test/support/memory.h"

#define MILLION ((size_t)1000000)

static void *objects[2 * MILLION];

/* Takes objects until a pool has so many regions more. */
static void take_regions(struct cork_mempool *mp, size_t region_count)
{
    size_t count = 0;

    while (region_count > 0) {
        const struct cork_mempool_region *const newest = mp->newest;

        CHECK(count++ < 4 * MILLION);
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
    const size_t block_slots = mp->geometry.block_slots < 64 ? mp->geometry.block_slots : 64;
    size_t piece_count = 0;
    size_t sum = 0;

    while (sum <= most) {
        const size_t factor = piece_count == 1 ? 2 : 16;
        const size_t count = piece_count > 0 ? counts[piece_count - 1] * factor : 2 * block_slots;
        const size_t limit = piece_count == 0 ? most / 16 : sum >= kept / 2 ? most : kept;

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
        CHECK_EQUAL(requests.heap_count, 2 * piece_count - 1 + has_heap_tables(mp.newest));
        CHECK(requests.mapped_size > 0);
        for (const struct cork_mempool_region *region = mp.oldest; region != mp.newest;
             region = region->newer) {
            CHECK_EQUAL(region->reserved_count, counts[number++]);
        }
        finish(&mp, NULL, 0);
    }
}

/* Takes objects, and finalizes the pool; says what it has asked for, and what it had. */
static struct cork_mempool_stats use(struct cork_mempool_options options, size_t count, int refused)
{
    struct cork_mempool_stats stats;
    struct cork_mempool mp;

    requests_start();
    requests_refuse(refused, REFUSE_FROM, 1);
    CHECK(cork_mempool_init_with(&mp, &options));
    for (size_t i = 0; i < count; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
    }
    stats = stats_of(&mp);
    free_objects(&mp, objects, 0, count);
    cork_mempool_done(&mp);
    requests_finish();
    return stats;
}

/* The heap is asked once or twice for a region, and once for a quarantine. */
TEST(some_hundred_kib_of_objects_are_a_few_pieces_of_the_heap_and_no_call_of_the_system)
{
    static const size_t counts[] = {1, 64, 65, 100, 1000, 8000};
    static const size_t sizes[] = {8, 16, 100, 1000, 4096, 5000, 20000, 60000};
    static const size_t block_sizes[] = {1, 0, 65536, 1 << 20};

    for (size_t i = 0; i < COUNT_OF(all_protections) * COUNT_OF(counts); i++) {
        const unsigned protections = all_protections[i / COUNT_OF(counts)];
        const size_t count = counts[i % COUNT_OF(counts)];

        if ((protections & CORK_MEMPOOL_GUARD) == 0) {
            const size_t region_count =
                use(*OPTIONS(.element_size = 64, .protections = protections), count, 0)
                    .region_count;

            CHECK_EQUAL(requests.system_count + requests.advice_count, 0);
            CHECK(region_count <= (count == 1 ? 1 : count < 1000 ? 3 : 4));
            CHECK(requests.count <= 2 * region_count + 1);
            CHECK(protections != 0 || count > 32 || requests.count == 1);
        }
    }
    for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(block_sizes); i++) {
        const size_t size = sizes[i / COUNT_OF(block_sizes)];

        use(*OPTIONS(.element_size = size, .block_size = block_sizes[i % COUNT_OF(block_sizes)]),
            ((size_t)300 << 10) / size, 0);
        CHECK_EQUAL(requests.system_count + requests.advice_count, 0);
        CHECK(requests.count < 14);
    }
}

/* Ten times the objects may cost some requests more, not ten times as many; each doubling of a
 * reservation is a few. Of the heap a piece is 16 times the last one at most, up to a MiB. */
TEST(growth_is_geometric_also_where_a_kind_of_memory_is_not_to_be_had)
{
    static const struct {
        size_t element_size;
        int refused;
        size_t more_requests;
    } cases[] = {{8, 0, 20}, {100, 0, 20}, {8, MAPPINGS, 50}, {100, COMMITS, 100}, {8, HEAP, 40}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t last_requests = 0, last_regions = 0;

        for (size_t count = 10; count <= MILLION; count *= 10) {
            const struct cork_mempool_stats stats =
                use(*OPTIONS(.element_size = cases[i].element_size), count, cases[i].refused);
            const size_t used = (count < 1000 ? 1000 : count) * stats.slot_size;

            CHECK(requests.count > 0);
            CHECK(count == 10 || requests.count <= last_requests + cases[i].more_requests);
            CHECK(count == 10 || stats.region_count <= last_regions + 5);
            CHECK(stats.memory_size < (used < (size_t)4 << 20 ? 18 : 3) * used);
            last_requests = requests.count;
            last_regions = stats.region_count;
        }
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
        requests_start();
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
        CHECK_EQUAL(heap_count, 4);
        finish(&mp, NULL, 0);
    }
}

TEST(a_first_reservation_is_small)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    requests_start_lacking(NO_HEAP);
    take_objects(&mp, objects, 1);
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    CHECK(requests.mapped_size >= 16 * page_size());
    CHECK(requests.mapped_size < (16 + 6) * page_size());
    CHECK(stats_of(&mp).memory_size <= 3 * page_size());
    finish(&mp, NULL, 0);
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
        finish(&mp, NULL, 0);
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

        INIT(&mp, .element_size = cases[i].slot_size - GAP_SIZE, .alignment = 16,
             .block_size = cases[i].block_size);
        requests_start();
        take_objects(&mp, objects, 1);
        CHECK_EQUAL(requests.system_count > 0, cases[i].is_mapped);
        CHECK_EQUAL(requests.heap_count, 1);
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
    finish(&mp, NULL, 0);
}

/* Takes objects from many pools, each of which holds its number; frees them in every second pool,
 * and then in the others. About so many mappings can be had. */
static void use_pools(size_t pool_count, size_t size, size_t count, size_t mapped)
{
    struct cork_mempool *pools = malloc(pool_count * sizeof(*pools));

    CHECK(pools != NULL);
    requests_start();
    requests_refuse(MAPPINGS | COMMITS, REFUSE_FROM, mapped);
    for (size_t i = 0; i < pool_count * count; i++) {
        if (i % count == 0) {
            cork_mempool_init_size(&pools[i / count], size);
        }
        objects[i] = cork_mempool_new(&pools[i / count]);
        CHECK(objects[i] != NULL);
        memcpy(objects[i], &i, sizeof(i));
    }
    for (size_t turn = 0; turn < pool_count; turn++) {
        const size_t i = turn < pool_count / 2 ? 2 * turn + 1 : 2 * (turn - pool_count / 2);

        CHECK(cork_mempool_check(&pools[i]));
        CHECK_EQUAL(stats_of(&pools[i]).live_count, count);
        for (size_t number = i * count; number < (i + 1) * count; number++) {
            CHECK(memcmp(objects[number], &number, sizeof(number)) == 0);
            cork_mempool_free(&pools[i], objects[number]);
        }
        cork_mempool_done(&pools[i]);
    }
    requests_finish();
    free(pools);
}

/* A mapping for each would be more than Linux allows. */
TEST(many_small_pools_leave_all_mappings_to_others)
{
    use_pools(100000, 16, 1, SIZE_MAX);
    CHECK_EQUAL(requests.system_count + requests.advice_count, 0);
    use_pools(20000, 16, 100, SIZE_MAX);
    CHECK_EQUAL(requests.system_count + requests.advice_count, 0);
}

/* The first object of such a pool needs a reservation. */
#define LARGE_SIZE 70000

/* A reserved region takes two mappings, as neighbours share a guard; Linux allows 65,530 by
 * default, and the heap cannot grow where there are none. */
TEST(more_large_pools_than_there_can_be_mappings_work_side_by_side)
{
    struct rlimit data;

    if (UNDER_SANITIZER || TEST_UNDER_QEMU) {
        test_skip(
            "this sanitizer or emulator needs mappings itself, and ends where there are none");
    }
    getrlimit(RLIMIT_DATA, &data);
    if (regions_are_small() || data.rlim_cur != RLIM_INFINITY) {
        test_skip("memory ends before mappings do");
    }
#if defined(__GLIBC__)
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    free(malloc((size_t)10000 * LARGE_SIZE));
#else
    test_skip("this heap may need a mapping for each piece");
#endif
    use_pools(40000, LARGE_SIZE, 1, SIZE_MAX);
    CHECK(requests.refused_count > 0 ||
          strtoull(read_file("/proc/sys/vm/max_map_count"), NULL, 10) >= 2 * 40000);
}

/* The same where there are fewer pools, or more mappings: from some pool on there are none. */
TEST(pools_work_side_by_side_where_mappings_run_out)
{
    use_pools(3000, LARGE_SIZE, 1, 3000);
    CHECK(requests.refused_count > 3000 / 2);
}
