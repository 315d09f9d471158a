/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a pool costs the system: address space, resident and locked memory, core dumps.
 */

#define _DEFAULT_SOURCE 1 /* getpagesize */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test/support/memory.h"

#define LIMIT ((size_t)64 << 20)

static void *objects[LIMIT / 64];

/* Doubled regions would leave much unused if they were not halved again where memory is short. */
TEST(a_limit_of_the_address_space_gives_null_and_a_valid_pool)
{
    struct rlimit limit;
    size_t counts[3];

    if (UNDER_SANITIZER || TEST_UNDER_QEMU) {
        test_skip("this sanitizer needs much address space, or the emulator does not obey a limit");
    }
    CHECK_EQUAL(getrlimit(RLIMIT_AS, &limit), 0);
    /* Never of simulated pages. */
    const size_t page_count = (size_t)strtoull(read_file("/proc/self/statm"), NULL, 10);

    limit.rlim_cur = page_count * (size_t)getpagesize() + LIMIT;
    CHECK_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
    for (size_t round = 0; round < 3; round++) {
        struct cork_mempool mp;

        cork_mempool_init_size(&mp, 64);
        counts[round] = take_until_null(&mp, objects, 0, COUNT_OF(objects));
        CHECK(counts[round] > LIMIT / 4 * 3 / 64);
        free_objects(&mp, objects, counts[round] / 2, counts[round]);
        CHECK(take_until_null(&mp, objects, counts[round] / 2, COUNT_OF(objects)) >= counts[round]);
        finish(&mp, objects, stats_of(&mp).live_count);
    }
    /* What the heap keeps for itself may be in the way, and a region of large pages. */
    counts[2] += 16 * (page_size() - 4096) / 64;
    CHECK(counts[2] > counts[0] / 100 * 99);
}

#define MANY ((size_t)25000)

/* What a pool with many small objects has. */
static struct cork_mempool_stats stats_of_many(int lacks)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    requests_start_lacking(lacks);
    take_objects(&mp, objects, MANY);
    const struct cork_mempool_stats stats = stats_of(&mp);
    finish(&mp, objects, MANY);
    return stats;
}

/* Whoever may not lock much more memory does not get much for the asking. */
TEST(a_pool_reserves_little_where_memory_is_locked_if_what_can_be_is_limited)
{
    struct rlimit limit;

    if (UNDER_SANITIZER || TEST_UNDER_QEMU) {
        test_skip("this sanitizer lets nothing be locked, or the emulator locks its own memory");
    }
    CHECK_EQUAL(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur == RLIM_INFINITY) {
        limit.rlim_cur = (size_t)1 << 30;
        CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    }
    if (mlockall(MCL_FUTURE) != 0) {
        test_skip("memory cannot be locked here");
    }
    const struct cork_mempool_stats stats = stats_of_many(0);
    CHECK(stats.region_count > 4 && stats.reserved_size < 4 * MANY * 64);
    /* Where there is no limit, and be it simulated, it reserves much. */
    if (!regions_are_small() &&
        mmap(NULL, LIMIT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
        CHECK(stats_of_many(NO_LOCK_LIMIT).reserved_size > 8 * MANY * 64);
    }
}

TEST(what_is_reserved_and_not_committed_is_kept_out_of_core_dumps)
{
    const size_t size = 1100000; /* no piece of the heap has such an object */
    struct cork_mempool mp;
    size_t most = 0;

    requests_start();
    cork_mempool_init_size(&mp, size);
    for (size_t i = 0; i < 200; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
        CHECK(stats_of(&mp).reserved_size >= requests.mapped_size);
        CHECK_EQUAL(stats_of(&mp).reserved_size - stats_of(&mp).memory_size,
                    requests.undumped_size);
        most = requests.undumped_size > most ? requests.undumped_size : most;
    }
    CHECK(regions_are_small() || most > 10 * size);
    finish(&mp, NULL, 0);
}

/* What memory_size counts of a piece of the heap costs nothing until objects are issued there. */
TEST(a_pool_has_little_more_resident_memory_than_its_objects_take)
{
    static const size_t counts[] = {1, 65, 100, 200, 1000, 2300, 5000, 20000};

    memset(objects, 1, 20000 * sizeof(*objects));
    (void)resident_size(); /* skips where it is not to be had */
    for (size_t i = 0; i < 2 * COUNT_OF(counts); i++) {
        const size_t count = counts[i / 2], size = 64 + i % 2 * sizeof(struct cork_mempool_sites);

        CHECK_PASSES({
            const size_t before = resident_size();
            struct cork_mempool mp;

            INIT(&mp, .element_size = 64, .protections = i % 2 * CORK_MEMPOOL_CALLSITES);
            take_objects(&mp, objects, count);
            CHECK(resident_size() <= before + count * size * 11 / 10 + 8 * page_size());
            finish(&mp, objects, count);
        });
    }
}
