/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Constructors and destructors of objects.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define OBJECT_COUNT 1500

/* What combines with constructed objects. */
static const unsigned combining[] = {
    0,
    CORK_MEMPOOL_CANARY,
    CORK_MEMPOOL_SEAL,
    CORK_MEMPOOL_SHUFFLE,
    CORK_MEMPOOL_QUARANTINE,
    CORK_MEMPOOL_GUARD,
    CORK_MEMPOOL_CALLSITES,
    CORK_MEMPOOL_SEAL | CORK_MEMPOOL_QUARANTINE,
    CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_QUARANTINE |
        CORK_MEMPOOL_GUARD | CORK_MEMPOOL_CALLSITES,
};

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
struct tally {
    size_t asked;       /* constructors called */
    size_t constructed; /* with success */
    size_t destructed;
    size_t fail_at; /* the call that fails, counted from 1; 0: none */
    size_t fail_every;
};

static int construct(void *user_data, void *object)
{
    struct tally *tally = user_data;
    struct thing *thing = object;

    tally->asked++;
    fill(thing, sizeof(*thing), tally->asked);
    if (tally->asked == tally->fail_at ||
        (tally->fail_every != 0 && tally->asked % tally->fail_every == 0)) {
        errno = EDOM;
        return -1;
    }
    tally->constructed++;
    thing->self = thing;
    thing->life = ALIVE;
    thing->value = 0;
    return 0;
}

static void destruct(void *user_data, void *object)
{
    struct tally *tally = user_data;
    struct thing *thing = object;

    CHECK_POINTER(thing->self, thing);
    CHECK_EQUAL(thing->life, ALIVE);
    thing->life = DEAD;
    tally->destructed++;
}

static struct thing *things[2 * OBJECT_COUNT];

static void init(struct cork_mempool *mp, struct tally *tally, unsigned protection)
{
    *tally = (struct tally){.asked = 0};
    CHECK(cork_mempool_init_with(
        mp, &(const struct cork_mempool_options){.element_size = sizeof(struct thing),
                                                 .protections = protection,
                                                 .init_object = construct,
                                                 .done_object = destruct,
                                                 .user_data = tally}));
}

static void take(struct cork_mempool *mp, struct thing **taken, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        taken[i] = cork_mempool_new(mp);
        CHECK(taken[i] != NULL);
        CHECK_POINTER(taken[i]->self, taken[i]);
        CHECK_EQUAL(taken[i]->life, ALIVE);
    }
    CHECK(cork_mempool_check(mp));
}

static void give(struct cork_mempool *mp, struct thing **taken, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_POINTER(taken[i]->self, taken[i]);
        CHECK_EQUAL(taken[i]->life, ALIVE);
        cork_mempool_free(mp, taken[i]);
    }
    CHECK(cork_mempool_check(mp));
}

static int compare(const void *one, const void *other)
{
    const uintptr_t a = (uintptr_t)*(struct thing *const *)one;
    const uintptr_t b = (uintptr_t)*(struct thing *const *)other;

    return (a > b) - (a < b);
}

static size_t count_different(struct thing **list, size_t count)
{
    size_t different = count > 0;

    qsort(list, count, sizeof(struct thing *), compare);
    for (size_t i = 1; i < count; i++) {
        different += list[i] != list[i - 1];
    }
    return different;
}

TEST(a_slot_is_constructed_once_before_its_first_object_and_destructed_once_at_done)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct cork_mempool mp;
        struct tally tally;

        init(&mp, &tally, combining[i]);
        CHECK_EQUAL(tally.asked, 0);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            take(&mp, things + j, 1);
            CHECK_EQUAL(tally.asked, j + 1);
        }
        give(&mp, things, OBJECT_COUNT);
        take(&mp, things + OBJECT_COUNT, OBJECT_COUNT);
        give(&mp, things + OBJECT_COUNT, OBJECT_COUNT);
        CHECK_EQUAL(tally.destructed, 0);
        CHECK_EQUAL(tally.constructed, count_different(things, 2 * OBJECT_COUNT));
        CHECK(tally.constructed < 2 * OBJECT_COUNT);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, tally.constructed);
        CHECK_EQUAL(tally.asked, tally.constructed);
    }
}

TEST(objects_keep_what_is_in_them_from_free_to_new)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct cork_mempool mp;
        struct tally tally;
        size_t kept_count = 0;

        init(&mp, &tally, combining[i]);
        take(&mp, things, OBJECT_COUNT);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            things[j]->value = (uintptr_t)things[j] + 1;
        }
        give(&mp, things, OBJECT_COUNT);
        take(&mp, things, OBJECT_COUNT);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            CHECK(things[j]->value == 0 || things[j]->value == (uintptr_t)things[j] + 1);
            kept_count += things[j]->value != 0;
        }
        CHECK_EQUAL(kept_count + tally.constructed, 2 * OBJECT_COUNT);
        CHECK(kept_count >= OBJECT_COUNT - 256 - 64);
        cork_mempool_clear(&mp);
        CHECK_EQUAL(tally.destructed, 0);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, tally.constructed);
    }
}

/* Between two failures the pool is as before the first, and as if it had not been asked. */
TEST(a_failing_constructor_gives_null_with_its_errno_and_loses_nothing)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct cork_mempool mp;
        struct tally tally;
        size_t null_count = 0;

        init(&mp, &tally, combining[i]);
        tally.fail_every = 3;
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            const size_t constructed = tally.constructed;

            errno = ODD_ERRNO;
            while ((things[j] = cork_mempool_new(&mp)) == NULL) {
                CHECK_EQUAL(errno, EDOM);
                CHECK_EQUAL(stats_of(&mp).live_count, j);
                CHECK(stats_of(&mp).free_count > 0);
                null_count++;
            }
            CHECK_EQUAL(tally.constructed, constructed + 1);
            CHECK_EQUAL(things[j]->life, ALIVE);
        }
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(null_count, (OBJECT_COUNT - 1) / 2);
        give(&mp, things, OBJECT_COUNT);
        CHECK_EQUAL(count_different(things, OBJECT_COUNT), OBJECT_COUNT);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, OBJECT_COUNT);
    }
}

/* With a limit of objects, a slot that is lost is an object that cannot be had. */
TEST(a_slot_whose_constructor_failed_is_not_lost)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (size_t fail_at = 1; fail_at <= 200; fail_at += fail_at < 5 ? 1 : 13) {
            struct cork_mempool mp;
            struct tally tally = {.fail_at = fail_at};

            CHECK(cork_mempool_init_with(
                &mp, &(const struct cork_mempool_options){.element_size = sizeof(struct thing),
                                                          .max_objects = 200,
                                                          .protections = combining[i],
                                                          .init_object = construct,
                                                          .done_object = destruct,
                                                          .user_data = &tally}));
            take(&mp, things, fail_at - 1);
            errno = ODD_ERRNO;
            CHECK_POINTER(cork_mempool_new(&mp), NULL);
            CHECK_EQUAL(errno, EDOM);
            CHECK(cork_mempool_check(&mp));
            take(&mp, things + fail_at - 1, 200 - fail_at + 1);
            CHECK_POINTER(cork_mempool_new(&mp), NULL);
            CHECK_EQUAL(errno, ENOMEM);
            CHECK_EQUAL(tally.asked, 201);
            give(&mp, things, 200);
            cork_mempool_done(&mp);
            CHECK_EQUAL(tally.destructed, 200);
        }
    }
}

TEST(trim_destructs_what_it_gives_back_and_nothing_else)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (size_t kept = 0; kept <= OBJECT_COUNT; kept += OBJECT_COUNT / 5) {
            struct cork_mempool mp;
            struct tally tally;

            init(&mp, &tally, combining[i]);
            take(&mp, things, OBJECT_COUNT);
            for (size_t j = 0; j < kept; j++) {
                things[j]->value = j + 1;
            }
            give(&mp, things + kept, OBJECT_COUNT - kept);
            cork_mempool_trim(&mp);
            CHECK(kept > 0 || tally.destructed == OBJECT_COUNT);
            CHECK(tally.destructed <= OBJECT_COUNT - kept);
            take(&mp, things + kept, OBJECT_COUNT - kept);
            for (size_t j = 0; j < kept; j++) {
                CHECK_EQUAL(things[j]->value, j + 1);
            }
            CHECK(tally.constructed - tally.destructed >= OBJECT_COUNT);
            give(&mp, things, OBJECT_COUNT);
            cork_mempool_done(&mp);
            CHECK_EQUAL(tally.destructed, tally.constructed);
        }
    }
}

/* What the user has put into an object stays there until the destructor, trimmed or not. */
static void finish(void *user_data, void *object)
{
    struct tally *tally = user_data;

    CHECK_EQUAL(((struct thing *)object)->value, 99);
    ((struct thing *)object)->value = 0;
    tally->destructed++;
}

TEST(a_destructor_without_a_constructor_sees_every_object_as_it_was_freed)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct tally tally = {.asked = 0};
        struct cork_mempool mp;

        CHECK(cork_mempool_init_with(
            &mp, &(const struct cork_mempool_options){.element_size = sizeof(struct thing),
                                                      .protections = combining[i],
                                                      .done_object = finish,
                                                      .user_data = &tally}));
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
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct tally tally = {.asked = 0};
        struct cork_mempool mp;

        CHECK(cork_mempool_init_with(
            &mp, &(const struct cork_mempool_options){.element_size = sizeof(struct thing),
                                                      .protections = combining[i],
                                                      .init_object = construct,
                                                      .user_data = &tally}));
        take(&mp, things, OBJECT_COUNT);
        give(&mp, things + 1, OBJECT_COUNT - 1);
        cork_mempool_trim(&mp);
        take(&mp, things + 1, OBJECT_COUNT - 1);
        give(&mp, things, OBJECT_COUNT);
        cork_mempool_done(&mp);
        CHECK(tally.constructed >= OBJECT_COUNT);
    }
}

TEST(objects_in_a_buffer_are_constructed_too)
{
    static _Alignas(16) char buffer[20000];

    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct tally tally = {.asked = 0};
        struct cork_mempool mp;
        size_t count = 0;

        if ((combining[i] & CORK_MEMPOOL_GUARD) != 0) {
            continue;
        }
        CHECK(cork_mempool_init_with(
            &mp, &(const struct cork_mempool_options){.element_size = sizeof(struct thing),
                                                      .protections = combining[i],
                                                      .buffer = buffer,
                                                      .buffer_size = sizeof(buffer),
                                                      .init_object = construct,
                                                      .done_object = destruct,
                                                      .user_data = &tally}));
        while ((things[count] = cork_mempool_new(&mp)) != NULL) {
            count++;
        }
        CHECK(count > 100);
        give(&mp, things, count);
        take(&mp, things, count);
        CHECK_EQUAL(tally.asked, count);
        cork_mempool_clear(&mp);
        cork_mempool_trim(&mp);
        CHECK_EQUAL(tally.destructed, count);
        take(&mp, things, count);
        CHECK_EQUAL(tally.asked, 2 * count);
        give(&mp, things, count);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, 2 * count);
    }
}

#if TEST_UNDER_ASAN
TEST(nobody_may_touch_what_a_failing_constructor_has_left)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct cork_mempool mp;
        struct tally tally;

        init(&mp, &tally, combining[i]);
        tally.fail_at = 1;
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        for (size_t j = 0; j < mp.geometry.block_slots * mp.geometry.stride; j++) {
            CHECK(__asan_address_is_poisoned(mp.newest->base + j));
        }
        cork_mempool_done(&mp);
    }
}
#endif

static jmp_buf refused;

static void leave(const struct cork_mempool_violation *violation)
{
    CHECK_EQUAL(violation->kind, CORK_MEMPOOL_LEAK);
    longjmp(refused, 1);
}

TEST(a_refused_done_destructs_nothing)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct cork_mempool mp;
        struct tally tally;

        init(&mp, &tally, combining[i]);
        take(&mp, things, 100);
        give(&mp, things, 99);
        cork_mempool_on_violation(leave);
        if (setjmp(refused) == 0) {
            cork_mempool_done(&mp);
            test_fails(__FILE__, __LINE__, "a leak is accepted");
        }
        CHECK_EQUAL(tally.destructed, 0);
        give(&mp, things + 99, 1);
        cork_mempool_done(&mp);
        CHECK_EQUAL(tally.destructed, 100);
    }
}
