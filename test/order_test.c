/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * In which order freed slots are issued again. Callers may not rely on it; speed does.
 */

#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

#define GROUP_COUNT  1000
#define OBJECT_COUNT (64 * GROUP_COUNT)

/* Freed slots that are issued again without a look at any group: one aside, and a stack of them,
 * which is for the two newest regions, where nearly all objects are. */
#define STACKED_COUNT 65
#define FIRST_STACKED 64

TEST(what_was_freed_last_is_issued_next)
{
    struct cork_mempool mp;
    void *objects[1000];

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, COUNT_OF(objects));
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        cork_mempool_free(&mp, objects[i]);
        CHECK_POINTER(cork_mempool_new(&mp), objects[i]);
    }
    give_objects(&mp, objects, COUNT_OF(objects));
    cork_mempool_done(&mp);
}

TEST(a_burst_of_frees_is_issued_again_before_any_other_slot)
{
    struct cork_mempool mp;
    void *objects[700];

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, COUNT_OF(objects));
    for (size_t count = 1; count <= STACKED_COUNT; count++) {
        void *freed[STACKED_COUNT];

        for (size_t i = 0; i < count; i++) {
            freed[i] =
                objects[FIRST_STACKED + (count + 7 * i) % (COUNT_OF(objects) - FIRST_STACKED)];
            cork_mempool_free(&mp, freed[i]);
        }
        CHECK(cork_mempool_check(&mp));
        /* The first one stood aside; the others come back in reverse. */
        CHECK_POINTER(cork_mempool_new(&mp), freed[0]);
        for (size_t i = count; i > 1; i--) {
            CHECK_POINTER(cork_mempool_new(&mp), freed[i - 1]);
        }
    }
    CHECK_EQUAL(stats_of(&mp).live_count, COUNT_OF(objects));
    give_objects(&mp, objects, COUNT_OF(objects));
    cork_mempool_done(&mp);
}

/* More is freed than the stack has room for, so that the last slot is left to its group. */
TEST(freed_slots_are_issued_again_wherever_they_are_in_their_group)
{
    for (size_t slot = 0; slot < 192; slot++) {
        struct cork_mempool mp;
        char *objects[192];
        size_t memory_size;

        cork_mempool_init_size_ex(&mp, 64, 64 * slot_needed(64));
        take_objects(&mp, (void **)objects, 192);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        memory_size = stats_of(&mp).memory_size;
        for (size_t i = 1; i <= STACKED_COUNT; i++) {
            cork_mempool_free(&mp, objects[(slot + i) % 192]);
        }
        cork_mempool_free(&mp, objects[slot]);
        CHECK(cork_mempool_check(&mp));
        for (size_t i = 1; i <= STACKED_COUNT; i++) {
            CHECK(cork_mempool_new(&mp) != objects[slot]);
        }
        CHECK_POINTER(cork_mempool_new(&mp), objects[slot]);
        CHECK_EQUAL(stats_of(&mp).memory_size, memory_size);
        CHECK(cork_mempool_check(&mp));
        give_objects(&mp, (void **)objects, 192);
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
        for (size_t i = STACKED_COUNT + 1; i < OBJECT_COUNT; i++) {
            part_count += (uintptr_t)objects[i] < (uintptr_t)objects[i - 1];
        }

        CHECK(part_count < GROUP_COUNT / 4);
        give_objects(&mp, objects, OBJECT_COUNT);
        cork_mempool_done(&mp);
    }
}
