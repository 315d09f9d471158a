/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Protections in programs that do nothing wrong: nothing may differ, but for what each of them is
 * there to change. What they find in other programs is damage_test.c's; guards, region_test.c's.
 * And constructors and destructors of objects, with each of them.
 */

#include <errno.h>
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
        CHECK_EQUAL(mp.newest->checksums != NULL,
                    (set & (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) == CORK_MEMPOOL_SEAL);

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

/* All of it, also if its size is no multiple of 8; and that which is kept for the next new. */
TEST(a_freed_object_stays_forbidden_whatever_looks_at_it)
{
    static const enum call calls[] = {VERIFY, TRIM, CLEAR};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        INIT(&mp, .element_size = 13, .protections = all_protections[i]);
        take_objects(&mp, objects, 3);
        cork_mempool_free(&mp, objects[1]);
        cork_mempool_free(&mp, objects[2]);
        for (size_t j = 0; j < COUNT_OF(calls); j++) {
            make_call(calls[j], &mp, NULL);
            for (size_t k = 0; k < 13; k++) {
                test_row("protections %#x, call %d, byte %zu", all_protections[i], (int)calls[j],
                         k);
                CHECK_FORBIDDEN((char *)objects[1] + k);
                CHECK_FORBIDDEN((char *)objects[2] + k);
            }
        }
        cork_mempool_done(&mp);
    }
}

/* The order in which a pool of 64 slots, all in one group, issues some, with others freed. */

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

/* SplitMix64 makes of 1234567: 6457827717110365317, 3203168211198807973, 9817491932198370423,
 * 4593380528125082431, 16408922859458223821. With CANARY alone, what is freed is issued next. */
TEST(a_pool_issues_the_slots_that_splitmix64_tells_with_shuffle_and_else_the_first)
{
    static const size_t random[] = {5, 37, 55, 63, 13}, with_canary[] = {0, 1, 2, 1, 3};

    for (unsigned number = 0; number < SETS_COUNT; number++) {
        const unsigned set = set_of(number);
        size_t order[COUNT_OF(random)];

        order_of(set, 1234567, order, COUNT_OF(order));
        CHECK_EQUAL(memcmp(order, random, sizeof(order)) == 0, (set & CORK_MEMPOOL_SHUFFLE) != 0);
        CHECK((set & CORK_MEMPOOL_SHUFFLE) != 0 || order[0] == 0);
        CHECK(set != CORK_MEMPOOL_CANARY || memcmp(order, with_canary, sizeof(order)) == 0);
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

TEST(a_full_pool_with_quarantine_issues_what_has_rested_longest)
{
    static _Alignas(16) char buffer[8000];

    for (size_t i = 0; i < 2; i++) {
        INIT(&mp, .element_size = 48, .protections = CORK_MEMPOOL_QUARANTINE,
             .max_objects = i * 200, .buffer = i == 0 ? buffer : NULL,
             .buffer_size = i == 0 ? sizeof(buffer) : 0);
        const size_t count = take_until_null(&mp, objects, 0, QUARANTINE_COUNT);

        for (size_t j = count; j-- > 0;) {
            cork_mempool_free(&mp, objects[j]);
        }
        for (size_t j = count; j-- > 0;) {
            CHECK_POINTER(cork_mempool_new(&mp), objects[j]);
        }
        clear_and_end(&mp);
    }
}

#define OBJECT_COUNT 1500

/* An object that knows what it is. */
struct thing {
    struct thing *self; /* where it was constructed */
    size_t life;        /* ALIVE from constructor to destructor */
    size_t value;       /* the user's */
    char rest[40];
};

#define ALIVE ((size_t)0x616c6976)
#define DEAD  ((size_t)0x64656164)

/* What constructors and destructors have done. */
static struct {
    size_t asked;       /* constructors called */
    size_t constructed; /* with success */
    size_t destructed;
    bool is_failing; /* the first two of three calls fail */
} tally;

static struct thing *things[OBJECT_COUNT];

static void bring_to_life(struct thing *thing)
{
    thing->self = thing;
    thing->life = ALIVE;
    thing->value = 0;
}

static int construct(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &tally);
    tally.asked++;
    fill(object, sizeof(struct thing), tally.asked);
    if (tally.is_failing && tally.asked % 3 != 0) {
        errno = EDOM;
        return -1;
    }
    tally.constructed++;
    bring_to_life(object);
    return 0;
}

static void expect_alive(const struct thing *thing)
{
    CHECK_POINTER(thing->self, thing);
    CHECK_EQUAL(thing->life, ALIVE);
}

static void destruct(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &tally);
    expect_alive(object);
    ((struct thing *)object)->life = DEAD;
    tally.destructed++;
}

/* Initializes the pool, with these protections as far as they combine with the options. */
static void begin(struct cork_mempool_options options, unsigned protections)
{
    test_row("protections %#x", protections);
    options.element_size = sizeof(struct thing);
    options.protections = protections & ~CORK_MEMPOOL_WIPE;
    options.protections &= options.buffer != NULL ? ~CORK_MEMPOOL_GUARD : ~0u;
    options.user_data = &tally;
    CHECK(cork_mempool_init_with(&mp, &options));
    memset(&tally, 0, sizeof(tally));
}

static void take(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        things[i] = cork_mempool_new(&mp);
        CHECK(things[i] != NULL);
        expect_alive(things[i]);
    }
    CHECK(cork_mempool_check(&mp));
}

static void give(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        expect_alive(things[i]);
        cork_mempool_free(&mp, things[i]);
    }
    CHECK(cork_mempool_check(&mp));
}

/* Takes things and gives back those from kept on: before and after trim, each slot keeps what is in
 * it until it is destructed. One that was constructed twice would be destructed only once. */
static void live(struct cork_mempool_options options, unsigned protections, size_t count,
                 size_t kept)
{
    size_t reused_count = 0;

    begin(options, protections);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(tally.asked, i);
        take(i, i + 1);
        things[i]->value = (uintptr_t)things[i];
    }
    give(kept, count);
    take(kept, count);
    for (size_t i = kept; i < count; i++) {
        CHECK(things[i]->value == 0 || things[i]->value == (uintptr_t)things[i]);
        reused_count += things[i]->value != 0;
    }
    CHECK(reused_count + kept + 256 + 64 >= count);
    CHECK_EQUAL(reused_count + tally.constructed, 2 * count - kept);
    CHECK_EQUAL(tally.asked, tally.constructed);
    give(kept, count);
    CHECK_EQUAL(tally.destructed, 0);
    cork_mempool_trim(&mp);
    CHECK(tally.destructed + kept <= tally.constructed);
    CHECK(kept > 0 || options.done_object == NULL || tally.destructed == tally.constructed);
    take(kept, count);
    for (size_t i = 0; i < kept; i++) {
        CHECK_EQUAL(things[i]->value, (uintptr_t)things[i]);
    }
    CHECK(tally.constructed >= count + tally.destructed);
    give(count / 2, count);

    const size_t destructed = tally.destructed;
    CHECK_KIND(cork_mempool_done(&mp), CORK_MEMPOOL_LEAK);
    cork_mempool_clear(&mp);
    CHECK_EQUAL(tally.destructed, destructed);
    cork_mempool_done(&mp);
    CHECK_EQUAL(tally.destructed, options.done_object != NULL ? tally.constructed : 0);
}

TEST(a_slot_is_constructed_once_and_keeps_what_is_in_it_until_trim_or_done_destructs_it_once)
{
    static _Alignas(16) char buffer[30000];
    static const struct cork_mempool_options of_both = {.init_object = construct,
                                                        .done_object = destruct},
                                             of_one = {.init_object = construct};
    struct cork_mempool_options in_a_buffer = of_both;

    in_a_buffer.buffer = buffer;
    in_a_buffer.buffer_size = sizeof(buffer);
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t kept = 0; kept <= OBJECT_COUNT; kept += OBJECT_COUNT / 5) {
            live(of_both, all_protections[i], OBJECT_COUNT, kept);
            live(of_one, all_protections[i], OBJECT_COUNT, kept);
        }
        live(in_a_buffer, all_protections[i], 100, 0);
    }
}

static void fail_to_construct(size_t live_count)
{
    errno = ODD_ERRNO;
    CHECK_POINTER(cork_mempool_new(&mp), NULL);
    CHECK_EQUAL(errno, EDOM);
    CHECK_EQUAL(stats_of(&mp).live_count, live_count);
    CHECK(stats_of(&mp).free_count > 0);
    CHECK(cork_mempool_check(&mp));

    /* A pool that has issued nothing has nothing that may be touched. */
    for (size_t i = 0; i < mp.geometry.block_slots * mp.geometry.stride && live_count == 0; i++) {
        CHECK_FORBIDDEN(mp.newest->base + i);
    }
}

/* With a limit of objects, a slot that is lost is an object that cannot be had. */
TEST(a_failing_constructor_gives_null_with_its_errno_and_loses_no_slot)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        begin((struct cork_mempool_options){.init_object = construct,
                                            .done_object = i % 2 == 0 ? destruct : NULL,
                                            .max_objects = OBJECT_COUNT},
              all_protections[i]);
        tally.is_failing = true;
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            fail_to_construct(j);
            fail_to_construct(j);
            take(j, j + 1);
            CHECK_EQUAL(tally.constructed, j + 1);
        }
        expect_null(&mp);
        CHECK_EQUAL(tally.asked, 3 * OBJECT_COUNT);
        give(0, OBJECT_COUNT);
        requests_start();
        cork_mempool_done(&mp);
        requests_stop();
        CHECK_EQUAL(requests.advice_count, 0); /* done tells nobody how much it gives back */
        CHECK_EQUAL(tally.destructed, i % 2 == 0 ? OBJECT_COUNT : 0);
    }
}

TEST(a_destructor_without_a_constructor_sees_every_object_as_it_was_freed)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        begin((struct cork_mempool_options){.done_object = destruct}, all_protections[i]);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            things[j] = cork_mempool_new(&mp);
            bring_to_life(things[j]);
        }
        give(1, OBJECT_COUNT);
        cork_mempool_trim(&mp);
        give(0, 1);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, OBJECT_COUNT);
    }
}

/* What an earlier owner has left in the heap, in a source's memory or in a buffer. */
TEST(objects_are_zero_when_they_are_first_issued_by_a_pool_that_wipes)
{
    static _Alignas(64) char buffer[8192];
    static const char zeros[100];
    struct cork_mempool_options options = {.element_size = sizeof(zeros),
                                           .protections = CORK_MEMPOOL_WIPE};

    memset(buffer, 0xff, sizeof(buffer));
    for (size_t i = 0; i < 3; i++) {
        cork_mempool_init_size(&mp, sizeof(zeros));
        take_objects(&mp, objects, 50);
        give_objects(&mp, objects, 50);
        cork_mempool_done(&mp);
        options.buffer = i == 1 ? buffer : NULL;
        options.buffer_size = i == 1 ? sizeof(buffer) : 0;
        options.source = i == 2 ? &plain_source : NULL;
        CHECK(cork_mempool_init_with(&mp, &options));
        for (size_t count = 0; count < 50; count++) {
            const void *const object = try_new(&mp);

            CHECK(object != NULL);
            CHECK(TEST_UNDER_MSAN || memcmp(object, zeros, sizeof(zeros)) == 0);
        }
        clear_and_end(&mp);
    }
}

static int look_at_another_pool(void *user_data, void *object)
{
    CHECK(!cork_mempool_owns(user_data, object));
    return 0;
}

TEST(a_call_site_is_the_callers_also_if_a_constructor_uses_another_pool)
{
    struct cork_mempool other;

    INIT(&other, .element_size = 24, .protections = CORK_MEMPOOL_CALLSITES);
    INIT(&mp, .element_size = 24, .protections = CORK_MEMPOOL_CALLSITES, .user_data = &other,
         .init_object = look_at_another_pool);
    CHECK(try_new(&other) != NULL && try_new(&mp) != NULL);
    CHECK_POINTER(mp.oldest->sites[0].new_site, other.oldest->sites[0].new_site);
    clear_and_end(&mp);
    clear_and_end(&other);
}
