/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Constructors and destructors of objects.
 */

#include <errno.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"

#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

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

static struct cork_mempool mp;
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
#if TEST_UNDER_ASAN
    const char *const base = mp.newest->base;
    const size_t size = live_count > 0 ? 0 : mp.geometry.block_slots * mp.geometry.stride;

    for (size_t i = 0; i < size; i++) {
        CHECK(__asan_address_is_poisoned(base + i));
    }
#endif
}

/* With a limit of objects, a slot that is lost is an object that cannot be had. */
TEST(a_failing_constructor_gives_null_with_its_errno_and_loses_no_slot)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        begin((struct cork_mempool_options){.init_object = construct,
                                            .done_object = destruct,
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
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, OBJECT_COUNT);
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
