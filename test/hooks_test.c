/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Protections in programs that do nothing wrong: nothing may differ, but for what each of them is
 * there to change. What they find in other programs is damage_test.c's; guards,
 * region_guard_test.c's.
 */

#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"

static struct cork_mempool mp;
static void *objects[1000];

/* What check refuses where a byte has been changed; 0: nothing. */
static int kind_found(char *byte)
{
    poke(byte, peek(byte) ^ 0xffu);
    RUN_UNTIL_REFUSED(CHECK(cork_mempool_check(&mp)));
    poke(byte, peek(byte) ^ 0xffu);
    return (int)seen.violation.kind;
}

TEST(a_pool_does_what_its_protections_say_and_nothing_else)
{
    for (unsigned number = 0; number < SETS_COUNT; number++) {
        const unsigned set = set_of(number);
        const bool verifies_contents = (set & (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) != 0;

        test_row("protections %#x", set);
        INIT(&mp, .element_size = 48, .block_size = 8192, .max_objects = 64, .protections = set);
        take_objects(&mp, objects, 64);
        char *const object = mp.newest->base;
        CHECK_EQUAL(mp.geometry.block_pitch != 0, (set & CORK_MEMPOOL_GUARD) != 0);

        CHECK_KIND(cork_mempool_free(&mp, object + 1), CORK_MEMPOOL_INTERIOR_POINTER);
        CHECK_EQUAL(seen.violation.protections, set);
        CHECK_EQUAL(seen.violation.new_site != NULL, (set & CORK_MEMPOOL_CALLSITES) != 0);

        CHECK_EQUAL(kind_found(object + 48),
                    (set & CORK_MEMPOOL_CANARY) != 0 ? CORK_MEMPOOL_CANARY_DAMAGED : 0);
        cork_mempool_free(&mp, object);
        CHECK_EQUAL(kind_found(object + 9), verifies_contents ? CORK_MEMPOOL_WRITE_AFTER_FREE : 0);
        clear_and_end(&mp);
    }
}

/* All slots of a pool are issued, so that each object of the second round was one of the first. */
TEST(contents_are_kept_from_free_to_new_or_cleared_with_wipe)
{
    static const size_t sizes[] = {1, 7, 8, 9, 24, 40, 100, 1000};
    static const char zeros[1000];

    for (unsigned i = 0; i < SETS_COUNT * COUNT_OF(sizes); i++) {
        const unsigned set = set_of(i % SETS_COUNT);
        const size_t size = sizes[i / SETS_COUNT];

        test_row("protections %#x, size %zu", set, size);
        INIT(&mp, .element_size = size, .protections = set, .max_objects = 200);
        take_objects(&mp, objects, 200);
        for (size_t j = 0; j < 200; j++) {
            fill(objects[j], size, (uintptr_t)objects[j]);
            cork_mempool_free(&mp, objects[j]);
        }
        for (size_t j = 0; j < 200; j++) {
            void *const object = cork_mempool_new(&mp);

            CHECK((set & CORK_MEMPOOL_WIPE) != 0 ? memcmp(object, zeros, size) == 0
                                                 : is_filled(object, size, (uintptr_t)object));
        }
        clear_and_end(&mp);
    }
}

/* The order in which a pool of 64 slots, all in one group, issues some, with others freed. */

#define ORDER_COUNT 90

static void order_of(unsigned set, uint64_t seed, size_t *order, size_t count)
{
    INIT(&mp, .element_size = 64, .block_size = 8192, .seed = seed, .max_objects = 64,
         .protections = set);
    for (size_t i = 0; i < count; i++) {
        take_objects(&mp, &objects[i], 1);
        order[i] = (size_t)((char *)objects[i] - mp.newest->base) / mp.geometry.stride;
        CHECK(order[i] < 64);
        if (i % 3 == 2) {
            cork_mempool_free(&mp, objects[i - 1]);
        }
    }
    clear_and_end(&mp);
}

TEST(the_order_of_a_shuffled_pool_follows_from_its_seed)
{
    static const unsigned with[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL,
                                    CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_WIPE};

    for (size_t i = 0; i < COUNT_OF(with); i++) {
        for (uint64_t seed = 1; seed < 50; seed++) {
            size_t orders[3][ORDER_COUNT];

            for (size_t j = 0; j < 3; j++) {
                order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed + j / 2, orders[j], ORDER_COUNT);
            }
            CHECK(memcmp(orders[0], orders[1], sizeof(orders[0])) == 0);
            CHECK(memcmp(orders[0], orders[2], sizeof(orders[0])) != 0);
        }
    }
}

TEST(a_shuffled_pool_issues_any_slot_of_a_group_first_and_others_do_not)
{
    for (unsigned number = 0; number < SETS_COUNT; number++) {
        const unsigned set = set_of(number);
        const bool is_shuffled = (set & CORK_MEMPOOL_SHUFFLE) != 0;
        uint64_t first_slots = 0;

        for (uint64_t seed = 1; seed <= (is_shuffled ? 500 : 20); seed++) {
            size_t slot;

            order_of(set, seed, &slot, 1);
            first_slots |= UINT64_C(1) << slot;
        }
        CHECK_EQUAL(first_slots, is_shuffled ? UINT64_MAX : 1);
    }
}

#define QUARANTINE_COUNT 256

/* Takes and frees objects, at random where up to most are live; says how many other frees there
 * are, at least, between a slot's free and its reuse. */
static size_t shortest_rest(unsigned set, size_t size, size_t most)
{
    static void *freed[10000];
    uint64_t random = test_seed();
    size_t shortest = SIZE_MAX, live_count = 0, slot_count = 0;

    INIT(&mp, .element_size = size, .protections = set);
    for (size_t count = 0; count < (most == 1 ? 3000 : COUNT_OF(freed));) {
        if (live_count == most || (live_count > 0 && test_random(&random) % 2 == 0)) {
            const size_t which = (size_t)(test_random(&random) % live_count);

            cork_mempool_free(&mp, objects[which]);
            freed[count++] = objects[which];
            objects[which] = objects[--live_count];
        } else {
            void *const object = objects[live_count++] = cork_mempool_new(&mp);
            size_t others = 0;

            CHECK(object != NULL);
            memset(object, 1, size);
            while (others < count && freed[count - 1 - others] != object) {
                others++;
            }
            slot_count += others == count;
            shortest = others < count && others < shortest ? others : shortest;
        }
        CHECK_EQUAL(stats_of(&mp).live_count, live_count);
    }
    CHECK(cork_mempool_check(&mp));
    /* It is a delay, not a leak. */
    CHECK(slot_count < most + QUARANTINE_COUNT + 2 * 128);
    clear_and_end(&mp);
    return shortest;
}

TEST(a_freed_slot_rests_until_256_others_have_been_freed_with_quarantine_alone)
{
    for (unsigned number = 0; number < SETS_COUNT; number++) {
        const unsigned set = set_of(number);
        const size_t shortest = shortest_rest(set, 24, 1);

        CHECK_EQUAL(shortest >= QUARANTINE_COUNT, (set & CORK_MEMPOOL_QUARANTINE) != 0);
        CHECK(shortest < QUARANTINE_COUNT + 2 * 128);
    }
    /* Blocks are smaller than groups, so that slots are added to groups with others that rest. */
    for (size_t size = 100; size <= 3200; size *= 2) {
        CHECK(shortest_rest(CORK_MEMPOOL_QUARANTINE, size, 1) >= QUARANTINE_COUNT);
    }
    CHECK(shortest_rest(CORK_MEMPOOL_QUARANTINE, 16, 500) >= QUARANTINE_COUNT);
}
