/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * After fork, parent and child have a pool each, with the same objects.
 */

#include "test/support/pools.h"

/* More than the heap's pieces hold. */
#define COUNT 5000
#define SIZE  400

static struct cork_mempool mp;
static void *objects[2 * COUNT];

/* Uses and ends the pool after a fork, in which all objects are live, whatever another process has
 * freed; with each number of objects kept, it does other things. */
static void use_on(size_t kept)
{
    for (size_t i = kept; i < COUNT; i++) {
        CHECK(is_filled(objects[i], SIZE, i));
        cork_mempool_free(&mp, objects[i]);
    }
    take_objects(&mp, objects + kept, 2 * COUNT - kept);
    give_objects(&mp, objects + kept, 2 * COUNT - kept);
    give_objects(&mp, objects, kept);
    cork_mempool_done(&mp);
}

TEST(parent_child_and_grandchild_go_on_independently)
{
    cork_mempool_init_size(&mp, SIZE);
    take_objects(&mp, objects, COUNT);
    CHECK_PASSES({
        CHECK_PASSES(use_on(10));
        use_on(100);
    });
    use_on(1000);
}
