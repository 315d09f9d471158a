/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The seeds that pools get of their own, whatever the system adds to them, and in every process.
 */

#include <time.h>
#include <unistd.h>

#include "test/support/pools.h"

/* What the system has for a process, or NULL, and the time: link with -Wl,--wrap=NAME for each. */
static const void *random_bytes;
static struct timespec now;

unsigned long __wrap_getauxval(unsigned long type);
int __wrap_clock_gettime(int clock, struct timespec *found);

unsigned long __wrap_getauxval(unsigned long type)
{
    (void)type;
    return (unsigned long)(uintptr_t)random_bytes;
}

int __wrap_clock_gettime(int clock, struct timespec *found)
{
    *found = now;
    return clock < 0 ? -1 : 0;
}

/* The library's os_random_word, by the name that the linker sees. */
uint64_t cork_mempool_os_random_word_(void);

TEST(a_random_word_follows_from_all_bytes_and_the_time)
{
    uint64_t words[5];

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const uint64_t bytes[] = {i == 1, i == 2};

        random_bytes = bytes;
        now = (struct timespec){.tv_sec = i == 3, .tv_nsec = i == 4 ? 4 : 0};
        words[i] = cork_mempool_os_random_word_();
        for (size_t j = 0; j < i; j++) {
            CHECK(words[j] != words[i]);
        }
    }
}

/* The field is private; it is what a report tells. A seed of 0 would stand for none. */
static uint64_t draw_seed(struct cork_mempool *mp)
{
    INIT(mp, .protections = CORK_MEMPOOL_SHUFFLE);
    cork_mempool_done(mp);
    CHECK(mp->seed % 2 != 0);
    return mp->seed;
}

TEST(a_pool_without_a_seed_gets_one_of_its_own_wherever_it_stands_whatever_random_bytes_there_are)
{
    static struct cork_mempool pools[25];
    uint64_t seeds[4 * COUNT_OF(pools)];

    for (uint64_t i = 0; i < COUNT_OF(seeds); i++) {
        const uint64_t bytes[] = {i / 2, i % 2};
        random_bytes = i < 2 * COUNT_OF(pools) ? NULL : bytes;
        seeds[i] = draw_seed(&pools[i % COUNT_OF(pools)]);
        for (size_t j = 0; j < i; j++) {
            CHECK(seeds[j] != seeds[i]);
        }
    }
}

/* Children of one process have the same bytes from the system, and pools in the same places; here
 * at the same time. */
TEST(children_draw_seeds_of_their_own)
{
    static struct cork_mempool mp;
    uint64_t seeds[9] = {draw_seed(&mp)};
    int ends[2];

    CHECK(pipe(ends) == 0);
    for (size_t i = 1; i < COUNT_OF(seeds); i++) {
        CHECK_PASSES({
            const uint64_t drawn = draw_seed(&mp);
            CHECK(write(ends[1], &drawn, sizeof(drawn)) == sizeof(drawn));
        });
        CHECK_EQUAL(read(ends[0], &seeds[i], sizeof(seeds[i])), sizeof(seeds[i]));
        for (size_t j = 0; j < i; j++) {
            CHECK(seeds[i] != seeds[j]);
        }
    }
}
