/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The seeds that pools get of their own, whatever the system adds to them.
 */

#include "test/support/pools.h"

/* What the system has for a process, or NULL: link with -Wl,--wrap=getauxval. */
static const void *random_bytes;

unsigned long __wrap_getauxval(unsigned long type);

unsigned long __wrap_getauxval(unsigned long type)
{
    (void)type;
    return (unsigned long)(uintptr_t)random_bytes;
}

/* The field is private; it is what a report tells. A seed of 0 would stand for none. */
TEST(a_pool_without_a_seed_gets_one_of_its_own_wherever_it_stands_whatever_random_bytes_there_are)
{
    static struct cork_mempool pools[25];
    uint64_t seeds[4 * COUNT_OF(pools)];

    for (uint64_t i = 0; i < COUNT_OF(seeds); i++) {
        struct cork_mempool *const mp = &pools[i % COUNT_OF(pools)];

        random_bytes = i < 2 * COUNT_OF(pools) ? NULL : &i;
        INIT(mp, .protections = CORK_MEMPOOL_SHUFFLE);
        cork_mempool_done(mp);
        seeds[i] = mp->seed;
        CHECK(seeds[i] % 2 != 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(seeds[j] != seeds[i]);
        }
    }
}
