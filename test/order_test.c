/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * In which order freed slots are issued again. Callers may not rely on it; speed does.
 */

#include <stdint.h>

#include "harness.h"
#include "pools.h"

#define GROUP_COUNT  100
#define OBJECT_COUNT (64 * GROUP_COUNT)

/* Frees in one group, issues and frees in another, and all the while none is open that has slots.
 */
TEST(freed_slots_are_issued_again_wherever_they_are_in_their_group)
{
    if (TEST_UNDER_ASAN) {
        test_skip("groups begin elsewhere");
    }
    for (size_t slot = 0; slot < 63; slot++) {
        struct cork_mempool mp;
        char *objects[192];
        size_t memory_size;

        cork_mempool_init_size(&mp, 64);
        take_objects(&mp, (void **)objects, 192);
        memory_size = stats_of(&mp).memory_size;
        cork_mempool_free(&mp, objects[127]);
        cork_mempool_free(&mp, objects[64 + slot]);
        CHECK_POINTER(cork_mempool_new(&mp), objects[127]);
        cork_mempool_free(&mp, objects[130]);
        CHECK(cork_mempool_check(&mp));
        CHECK_POINTER(cork_mempool_new(&mp), objects[130]);
        CHECK_POINTER(cork_mempool_new(&mp), objects[64 + slot]);
        CHECK_EQUAL(stats_of(&mp).memory_size, memory_size);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Swaps objects until they are in an order that depends on nothing but the seed. */
static void disorder(void **objects, unsigned seed)
{
    for (size_t i = OBJECT_COUNT - 1; i > 0; i--) {
        seed = seed * 1103515245U + 12345U;
        const size_t other = (seed >> 8) % (i + 1);
        void *object = objects[i];

        objects[i] = objects[other];
        objects[other] = object;
    }
}

/* Each time an object lies before the last one, another part of the pool has been begun. */
TEST(what_was_freed_in_any_order_is_issued_in_few_parts_in_the_order_of_addresses)
{
    static void *objects[OBJECT_COUNT];

    for (unsigned seed = 1; seed <= 20; seed++) {
        struct cork_mempool mp;
        size_t part_count = 1;

        cork_mempool_init_size(&mp, 64);
        take_objects(&mp, objects, OBJECT_COUNT);
        disorder(objects, seed);
        for (size_t i = 0; i < OBJECT_COUNT; i++) {
            cork_mempool_free(&mp, objects[i]);
        }
        take_objects(&mp, objects, OBJECT_COUNT);
        for (size_t i = 1; i < OBJECT_COUNT; i++) {
            part_count += (uintptr_t)objects[i] < (uintptr_t)objects[i - 1];
        }
        CHECK(part_count < GROUP_COUNT / 4);
        give_objects(&mp, objects, OBJECT_COUNT);
        cork_mempool_done(&mp);
    }
}
