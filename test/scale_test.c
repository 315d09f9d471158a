/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Many objects, and many pools.
 */

#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

static void **allocate(size_t count)
{
    void **pointers = malloc(count * sizeof(*pointers));

    CHECK(pointers != NULL);
    return pointers;
}

static void shuffle(void **objects, size_t count, uint64_t *random)
{
    for (size_t left = count; left > 1; left--) {
        const size_t i = (size_t)(test_random(random) % left);
        void *object = objects[i];

        objects[i] = objects[left - 1];
        objects[left - 1] = object;
    }
}

/* Writes each object's number into it, and reads all of them: no two objects may be one. */
static void number_objects(void **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(objects[i], &i, sizeof(i));
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(memcmp(objects[i], &i, sizeof(i)) == 0);
    }
}

TEST(a_million_objects_are_distinct_and_reused_in_random_order)
{
    const size_t count = 1000000;
    uint64_t random = test_seed();
    void **objects = allocate(count);
    struct cork_mempool mp;
    size_t memory_size = 0;

    cork_mempool_init_size(&mp, 24);
    for (size_t round = 0; round < 3; round++) {
        take_objects(&mp, objects, count);
        CHECK(memory_size == 0 || stats_of(&mp).memory_size == memory_size);
        memory_size = stats_of(&mp).memory_size;
        number_objects(objects, count);
        shuffle(objects, count, &random);
        for (size_t i = 0; i < count / 2; i++) {
            cork_mempool_free(&mp, objects[i]);
        }
        take_objects(&mp, objects, count / 2);
        CHECK_EQUAL(stats_of(&mp).memory_size, memory_size);
        number_objects(objects, count);
        shuffle(objects, count, &random);
        for (size_t i = 0; i < count; i++) {
            cork_mempool_free(&mp, objects[i]);
        }
        CHECK_EQUAL(stats_of(&mp).live_count, 0);
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_done(&mp);
    free(objects);
}

struct figures {
    struct requests requests;
    struct cork_mempool_stats stats;
};

/* Takes count objects, frees them, and says what the pool has asked for. */
static struct figures use(struct cork_mempool_options options, size_t count, void **objects)
{
    struct figures figures;
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp, &options));
    for (size_t i = 0; i < count; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
    }
    figures.requests = requests;
    figures.stats = stats_of(&mp);
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_done(&mp);
    return figures;
}

/* The heap is asked once or twice for a region, and once for a quarantine. */
TEST(a_small_pool_is_a_few_pieces_of_the_heap_and_no_call_of_the_system)
{
    static const size_t counts[] = {1, 64, 65, 100, 1000, 8000};
    static void *objects[8000];

    for (size_t i = 0; i < COUNT_OF(all_protections) * COUNT_OF(counts); i++) {
        const unsigned protections = all_protections[i / COUNT_OF(counts)];
        const size_t count = counts[i % COUNT_OF(counts)];
        struct figures figures;

        if ((protections & CORK_MEMPOOL_GUARD) != 0) {
            continue;
        }
        requests_start();
        figures = use((struct cork_mempool_options){.element_size = 64, .protections = protections},
                      count, objects);
        requests_stop();
        CHECK_EQUAL(requests.system_count, 0);
        CHECK_EQUAL(requests.advice_count, 0);
        CHECK_EQUAL(requests.heap_count, 0);
        CHECK(figures.stats.region_count <= (count == 1 ? 1 : count < 1000 ? 3 : 4));
        CHECK(figures.requests.count <= 2 * figures.stats.region_count + 1);
        CHECK(protections != 0 || count > 32 || figures.requests.count == 1);
    }
}

TEST(some_hundred_kib_of_objects_are_the_heaps_whatever_their_size_and_the_blocks)
{
    static const size_t element_sizes[] = {8, 16, 100, 1000, 4096, 5000, 20000, 60000};
    static const size_t block_sizes[] = {1, 0, 65536, 1 << 20};
    static void *objects[(size_t)300 << 7];

    for (size_t i = 0; i < COUNT_OF(element_sizes) * COUNT_OF(block_sizes); i++) {
        const struct cork_mempool_options options = {
            .element_size = element_sizes[i / COUNT_OF(block_sizes)],
            .block_size = block_sizes[i % COUNT_OF(block_sizes)],
        };

        requests_start();
        use(options, ((size_t)300 << 10) / options.element_size, objects);
        requests_stop();
        CHECK_EQUAL(requests.system_count, 0);
        CHECK(requests.count < 14);
    }
}

/*
 * Ten times the objects may cost some requests more, not ten times as many; each doubling of a
 * reservation is a few. Of the heap a piece is 16 times the last one at most, up to a MiB.
 */
static void check_growth(size_t element_size, int refused_kinds, size_t more_requests)
{
    const size_t most = 1000000;
    void **objects = allocate(most);
    struct figures last = {.requests.count = 0};

    for (size_t count = 10; count <= most; count *= 10) {
        struct figures figures;
        size_t used;

        requests_start();
        requests_refuse(refused_kinds, REFUSE_FROM, 1);
        figures = use((struct cork_mempool_options){.element_size = element_size}, count, objects);
        requests_stop();
        CHECK(figures.requests.count > 0);
        CHECK(count == 10 || figures.requests.count <= last.requests.count + more_requests);
        CHECK(count == 10 || figures.stats.region_count <= last.stats.region_count + 5);
        used = (count < 1000 ? 1000 : count) * figures.stats.slot_size;
        CHECK(figures.stats.memory_size < (used < (size_t)4 << 20 ? 18 : 3) * used);
        last = figures;
    }
    free(objects);
}

TEST(growth_is_geometric)
{
    check_growth(8, 0, 20);
    check_growth(100, 0, 20);
}

TEST(growth_is_geometric_where_there_are_no_mappings)
{
    check_growth(8, MAPPINGS, 50);
    check_growth(100, COMMITS, 50);
}

TEST(growth_is_geometric_where_there_is_no_heap)
{
    check_growth(8, HEAP, 40);
}

/* The objects of many pools, and of pools whose first object needs a reservation. */
#define SMALL_SIZE 16
#define LARGE_SIZE 70000

/* Takes count objects from each pool; each holds its number. */
static void fill_pools(struct cork_mempool *pools, size_t pool_count, size_t element_size,
                       void **objects, size_t count)
{
    for (size_t i = 0; i < pool_count; i++) {
        cork_mempool_init_size(&pools[i], element_size);
        for (size_t j = 0; j < count; j++) {
            objects[i * count + j] = cork_mempool_new(&pools[i]);
            CHECK(objects[i * count + j] != NULL);
        }
    }
    number_objects(objects, pool_count * count);
}

/* Ends every second pool, from the first or second on. */
static void empty_pools(struct cork_mempool *pools, size_t first, size_t pool_count, void **objects,
                        size_t count)
{
    for (size_t i = first; i < pool_count; i += 2) {
        CHECK(cork_mempool_check(&pools[i]));
        CHECK_EQUAL(stats_of(&pools[i]).live_count, count);
        for (size_t j = 0; j < count; j++) {
            const size_t number = i * count + j;

            CHECK(memcmp(objects[number], &number, sizeof(number)) == 0);
            cork_mempool_free(&pools[i], objects[number]);
        }
        cork_mempool_done(&pools[i]);
    }
}

/* mapped: the mappings that can be had, or so. */
static void check_many_pools(size_t pool_count, size_t element_size, size_t count, size_t mapped)
{
    struct cork_mempool *pools = malloc(pool_count * sizeof(*pools));
    void **objects = allocate(pool_count * count);

    CHECK(pools != NULL);
    requests_start();
    requests_refuse(MAPPINGS | COMMITS, REFUSE_FROM, mapped);
    fill_pools(pools, pool_count, element_size, objects, count);
    empty_pools(pools, 1, pool_count, objects, count);
    empty_pools(pools, 0, pool_count, objects, count);
    requests_stop();
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    free(objects);
    free(pools);
}

/* A mapping for each would be more than Linux allows. */
TEST(a_hundred_thousand_pools_of_one_object_live_side_by_side)
{
    check_many_pools(100000, SMALL_SIZE, 1, SIZE_MAX);
    CHECK_EQUAL(requests.system_count, 0);
}

TEST(twenty_thousand_pools_of_a_hundred_objects_leave_all_mappings_to_others)
{
    check_many_pools(20000, SMALL_SIZE, 100, SIZE_MAX);
    CHECK_EQUAL(requests.system_count, 0);
    CHECK_EQUAL(requests.advice_count, 0);
}

static size_t most_mappings(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    size_t count = 0;

    CHECK(file != NULL && fscanf(file, "%zu", &count) == 1);
    fclose(file);
    return count;
}

/* The heap cannot grow where there are no mappings. */
static void make_heap_large(size_t size)
{
#if defined(__GLIBC__)
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    free(malloc(size));
#else
    (void)size;
    test_skip("this heap may need a mapping for each piece");
#endif
}

/* A reserved region takes four mappings at least, which are more than Linux allows by default. */
TEST(more_large_pools_than_there_can_be_mappings_live_side_by_side)
{
    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN) {
        test_skip("this sanitizer needs mappings itself, and ends where there are none");
    }
    if (TEST_UNDER_QEMU) {
        test_skip("the emulator needs mappings itself");
    }
    make_heap_large((size_t)5000 * LARGE_SIZE);
    check_many_pools(20000, LARGE_SIZE, 1, SIZE_MAX);
    CHECK(requests.refused_count > 0 || most_mappings() >= 4 * 20000);
}

/* The same where there are fewer pools, or more mappings: from some pool on there are none. */
TEST(pools_live_side_by_side_where_mappings_run_out)
{
    check_many_pools(3000, LARGE_SIZE, 1, 3000);
    CHECK(requests.refused_count > 3000 / 2);
}
