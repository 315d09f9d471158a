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

static struct cork_mempool pools[2];

/* The field is private, but what a report tells is this. */
static uint64_t new_seed(struct cork_mempool *mp)
{
    const struct cork_mempool_options options = {.element_size = 16,
                                                 .protections = CORK_MEMPOOL_SHUFFLE};
    uint64_t seed;

    CHECK(cork_mempool_init_with(mp, &options));
    seed = mp->seed;
    cork_mempool_done(mp);
    return seed;
}

TEST(a_system_without_random_bytes_has_seeds_that_differ_by_place_and_time)
{
    const uint64_t first = new_seed(&pools[0]);
    const uint64_t second = new_seed(&pools[0]);
    const uint64_t third = new_seed(&pools[1]);

    CHECK(first != 0 && second != 0 && third != 0);
    CHECK(first != second && first != third && second != third);
}

/* Who gives a seed of 0 gets another. */
TEST(a_seed_is_never_0)
{
    for (uint64_t bytes = 0; bytes < 100; bytes++) {
        random_bytes = &bytes;
        CHECK(new_seed(&pools[0]) % 2 != 0);
    }
}
