/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The seeds that pools get of their own, whatever the system adds to them.
 */

#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

/* What the system has for a process, or NULL: link with -Wl,--wrap=getauxval. */
static const void *random_bytes;

unsigned long __wrap_getauxval(unsigned long type);

unsigned long __wrap_getauxval(unsigned long type)
{
    (void)type;
    return (unsigned long)(uintptr_t)random_bytes;
}

/* The field is private; it is what a report tells. */
static uint64_t new_seed(void)
{
    static struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp,
                                 OPTIONS(.element_size = 16, .protections = CORK_MEMPOOL_SHUFFLE)));
    cork_mempool_done(&mp);
    return mp.seed;
}

/* A seed of 0 would stand for none. */
TEST(seeds_differ_and_are_never_0_whatever_random_bytes_there_are)
{
    uint64_t before = 0;

    for (uint64_t bytes = 0; bytes < 100; bytes++) {
        random_bytes = bytes < 10 ? NULL : &bytes;
        const uint64_t seed = new_seed();

        CHECK(seed % 2 != 0);
        CHECK(seed != before);
        before = seed;
    }
}
