/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Which freed slots are issued again, and in which order. Callers may not rely on the order; speed
 * does.
 */

#include <string.h>

#include "test/support/memory.h"

#define MILLION 1000000

/* Freed slots that are issued again without a look at any group: one aside, and a stack of them,
 * which is for the two newest regions, where nearly all objects are. */
#define STACKED_COUNT 65
#define FIRST_STACKED 128

static void *objects[MILLION];

TEST(a_burst_of_frees_is_issued_again_before_any_other_slot)
{
    const size_t object_count = 700;
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, object_count);
    for (size_t count = 1; count <= STACKED_COUNT; count++) {
        void *freed[STACKED_COUNT];

        for (size_t i = 0; i < count; i++) {
            freed[i] = objects[FIRST_STACKED + (count + 7 * i) % (object_count - FIRST_STACKED)];
            cork_mempool_free(&mp, freed[i]);
        }
        CHECK(cork_mempool_check(&mp));
        /* The first one stood aside; the others come back in reverse. */
        CHECK_POINTER(cork_mempool_new(&mp), freed[0]);
        for (size_t i = count; i > 1; i--) {
            CHECK_POINTER(cork_mempool_new(&mp), freed[i - 1]);
        }
    }
    finish(&mp, objects, object_count);
}

/* More is freed than the stack has room for, so that the last slot is left to its group. */
TEST(freed_slots_are_issued_again_wherever_they_are_in_their_group)
{
    for (size_t slot = 0; slot < 384; slot++) {
        struct cork_mempool mp;

        cork_mempool_init_size_ex(&mp, 64, 64 * slot_needed(64));
        take_objects(&mp, objects, 384);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        for (size_t i = 1; i <= STACKED_COUNT; i++) {
            cork_mempool_free(&mp, objects[(slot + i) % 384]);
        }
        cork_mempool_free(&mp, objects[slot]);
        CHECK(cork_mempool_check(&mp));
        for (size_t i = 1; i <= STACKED_COUNT; i++) {
            CHECK(cork_mempool_new(&mp) != objects[slot]);
        }
        CHECK_POINTER(cork_mempool_new(&mp), objects[slot]);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        CHECK(cork_mempool_check(&mp));
        finish(&mp, objects, 384);
    }
}

/* The objects take no memory, because nobody touches them. */
TEST(objects_beyond_4_gib_of_a_region_are_issued_again_where_they_were)
{
    if (regions_are_small() || TEST_UNDER_MSAN) {
        test_skip("there is no room for them, or for what MemorySanitizer knows of them");
    }
    for (unsigned i = 0; i < 2; i++) {
        struct cork_mempool mp;

        INIT(&mp, .element_size = (size_t)1 << 30, .block_size = 1, .max_objects = 20,
             .protections = i * CORK_MEMPOOL_CALLSITES);
        for (size_t j = 0; j < 20; j++) {
            objects[j] = cork_mempool_new(&mp);
            if (objects[j] == NULL) {
                test_skip("there is no memory for them");
            }
            CHECK(j < 2 || (char *)objects[j] - (char *)objects[j - 1] == 1 << 30);
        }
        cork_mempool_free(&mp, objects[2]);
        cork_mempool_free(&mp, objects[19]);
        CHECK_POINTER(cork_mempool_new(&mp), objects[2]);
        CHECK_POINTER(cork_mempool_new(&mp), objects[19]);
        clear_and_end(&mp);
    }
}

static void shuffle(size_t count, uint64_t *random)
{
    for (size_t left = count; left > 1; left--) {
        const size_t i = (size_t)(test_random(random) % left);
        void *object = objects[i];

        objects[i] = objects[left - 1];
        objects[left - 1] = object;
    }
}

/* Writes each object's number into it, and reads all of them: no two objects may be one. */
static void expect_distinct(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(objects[i], &i, sizeof(i));
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(memcmp(objects[i], &i, sizeof(i)) == 0);
    }
}

TEST(a_million_objects_are_distinct_and_reused_in_few_parts_in_the_order_of_addresses)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;
    size_t memory_size = 0;

    cork_mempool_init_size(&mp, 24);
    for (size_t round = 0; round < 4; round++) {
        size_t descent_count = 0;

        take_objects(&mp, objects, MILLION);
        /* Of those that come neither aside nor from the stack. */
        for (size_t i = STACKED_COUNT + 1; i < MILLION; i++) {
            descent_count += (uintptr_t)objects[i] < (uintptr_t)objects[i - 1];
        }
        CHECK(descent_count < MILLION / 64 / 32);
        CHECK(memory_size == 0 || stats_of(&mp).memory_size == memory_size);
        memory_size = stats_of(&mp).memory_size;
        expect_distinct(MILLION);
        shuffle(MILLION, &random);
        free_objects(&mp, objects, 0, MILLION / 2);
        take_objects(&mp, objects, MILLION / 2);
        CHECK_EQUAL(stats_of(&mp).memory_size, memory_size);
        expect_distinct(MILLION);
        shuffle(MILLION, &random);
        free_objects(&mp, objects, 0, MILLION);
        CHECK_EQUAL(stats_of(&mp).live_count, 0);
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_done(&mp);
}
