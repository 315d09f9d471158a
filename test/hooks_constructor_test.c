/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Constructors and destructors of objects.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
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
static struct thing *things[2 * OBJECT_COUNT];

static int construct(void *user_data, void *object)
{
    struct thing *thing = object;

    CHECK_POINTER(user_data, &tally);
    tally.asked++;
    fill(thing, sizeof(*thing), tally.asked);
    if (tally.is_failing && tally.asked % 3 != 0) {
        errno = EDOM;
        return -1;
    }
    tally.constructed++;
    thing->self = thing;
    thing->life = ALIVE;
    thing->value = 0;
    return 0;
}

static void destruct(void *user_data, void *object)
{
    struct thing *thing = object;

    CHECK_POINTER(user_data, &tally);
    CHECK_POINTER(thing->self, thing);
    CHECK_EQUAL(thing->life, ALIVE);
    thing->life = DEAD;
    tally.destructed++;
}

/* Initializes the pool, with these protections as far as they combine with constructed objects. */
static void begin_with(struct cork_mempool_options options, unsigned protections)
{
    options.element_size = sizeof(struct thing);
    options.protections = protections & ~CORK_MEMPOOL_WIPE;
    options.user_data = &tally;
    CHECK(cork_mempool_init_with(&mp, &options));
    memset(&tally, 0, sizeof(tally));
}

static const struct cork_mempool_options constructed = {.init_object = construct,
                                                        .done_object = destruct};

static void take(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        things[i] = cork_mempool_new(&mp);
        CHECK(things[i] != NULL);
        CHECK_POINTER(things[i]->self, things[i]);
        CHECK_EQUAL(things[i]->life, ALIVE);
    }
    CHECK(cork_mempool_check(&mp));
}

static void give(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        CHECK_POINTER(things[i]->self, things[i]);
        CHECK_EQUAL(things[i]->life, ALIVE);
        cork_mempool_free(&mp, things[i]);
    }
    CHECK(cork_mempool_check(&mp));
}

/* A slot that was constructed twice would be destructed only once. */
TEST(a_slot_is_constructed_once_and_keeps_what_is_in_it_until_done_destructs_it_once)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        size_t kept_count = 0;

        begin_with(constructed, all_protections[i]);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            CHECK_EQUAL(tally.asked, j);
            take(j, j + 1);
            things[j]->value = (uintptr_t)things[j] + 1;
        }
        give(0, OBJECT_COUNT);
        take(OBJECT_COUNT, 2 * OBJECT_COUNT);
        for (size_t j = OBJECT_COUNT; j < 2 * OBJECT_COUNT; j++) {
            CHECK(things[j]->value == 0 || things[j]->value == (uintptr_t)things[j] + 1);
            kept_count += things[j]->value != 0;
        }
        CHECK(kept_count >= OBJECT_COUNT - 256 - 64);
        CHECK_EQUAL(kept_count + tally.constructed, 2 * OBJECT_COUNT);
        CHECK_EQUAL(tally.asked, tally.constructed);
        RUN_UNTIL_REFUSED(cork_mempool_done(&mp));
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_LEAK);
        cork_mempool_clear(&mp);
        CHECK_EQUAL(tally.destructed, 0);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, tally.constructed);
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
        struct cork_mempool_options options = constructed;

        options.max_objects = OBJECT_COUNT;
        begin_with(options, all_protections[i]);
        tally.is_failing = true;
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            fail_to_construct(j);
            fail_to_construct(j);
            take(j, j + 1);
            CHECK_EQUAL(tally.constructed, j + 1);
        }
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        CHECK_EQUAL(errno, ENOMEM);
        CHECK_EQUAL(tally.asked, 3 * OBJECT_COUNT);
        give(0, OBJECT_COUNT);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, OBJECT_COUNT);
    }
}

TEST(trim_destructs_what_it_gives_back_and_nothing_else)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t kept = 0; kept <= OBJECT_COUNT; kept += OBJECT_COUNT / 5) {
            begin_with(constructed, all_protections[i]);
            take(0, OBJECT_COUNT);
            for (size_t j = 0; j < kept; j++) {
                things[j]->value = j + 1;
            }
            give(kept, OBJECT_COUNT);
            cork_mempool_trim(&mp);
            CHECK(kept > 0 || tally.destructed == OBJECT_COUNT);
            CHECK(tally.destructed <= OBJECT_COUNT - kept);
            take(kept, OBJECT_COUNT);
            for (size_t j = 0; j < kept; j++) {
                CHECK_EQUAL(things[j]->value, j + 1);
            }
            CHECK(tally.constructed - tally.destructed >= OBJECT_COUNT);
            give(0, OBJECT_COUNT);
            cork_mempool_done(&mp);
            CHECK_EQUAL(tally.destructed, tally.constructed);
        }
    }
}

static void destruct_value(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &tally);
    CHECK_EQUAL(((struct thing *)object)->value, 99);
    ((struct thing *)object)->value = 0;
    tally.destructed++;
}

TEST(a_destructor_without_a_constructor_sees_every_object_as_it_was_freed)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        begin_with((struct cork_mempool_options){.done_object = destruct_value},
                   all_protections[i]);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            things[j] = cork_mempool_new(&mp);
            things[j]->value = 99;
        }
        for (size_t j = 0; j < OBJECT_COUNT - 1; j++) {
            cork_mempool_free(&mp, things[j]);
        }
        cork_mempool_trim(&mp);
        CHECK_EQUAL(things[OBJECT_COUNT - 1]->value, 99);
        cork_mempool_free(&mp, things[OBJECT_COUNT - 1]);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, OBJECT_COUNT);
    }
}

TEST(a_constructor_without_a_destructor_is_complete)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        begin_with((struct cork_mempool_options){.init_object = construct}, all_protections[i]);
        take(0, OBJECT_COUNT);
        give(1, OBJECT_COUNT);
        cork_mempool_trim(&mp);
        take(1, OBJECT_COUNT);
        give(0, OBJECT_COUNT);
        cork_mempool_done(&mp);
        CHECK(tally.constructed >= OBJECT_COUNT);
    }
}

TEST(objects_in_a_buffer_are_constructed_too)
{
    static _Alignas(16) char buffer[20000];
    struct cork_mempool_options options = constructed;

    options.buffer = buffer;
    options.buffer_size = sizeof(buffer);
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        size_t count = 0;

        begin_with(options, all_protections[i] & ~CORK_MEMPOOL_GUARD);
        while ((things[count] = cork_mempool_new(&mp)) != NULL) {
            count++;
        }
        CHECK(count > 100);
        give(0, count);
        take(0, count);
        CHECK_EQUAL(tally.asked, count);
        cork_mempool_clear(&mp);
        cork_mempool_trim(&mp);
        CHECK_EQUAL(tally.destructed, count);
        take(0, count);
        CHECK_EQUAL(tally.asked, 2 * count);
        give(0, count);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, 2 * count);
    }
}
