/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a violation handler sees, and that a refused call from which it leaves by longjmp has
 * changed nothing: the pool passes its check, has the same figures, and goes on to work.
 */

#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "test/support/crowd.h"
#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"

typedef void action(struct cork_mempool *mp, void *pointer);

static struct crowd crowd;

static jmp_buf refused;
static size_t refusal_count;
static struct cork_mempool_violation seen;
static struct cork_mempool_object seen_objects[16];

static void leave(const struct cork_mempool_violation *violation)
{
    refusal_count++;
    seen = *violation;
    CHECK(violation->listed_count <= COUNT_OF(seen_objects));
    for (size_t i = 0; i < violation->listed_count; i++) {
        seen_objects[i] = violation->listed[i];
    }
    longjmp(refused, 1);
}

static void call_new(struct cork_mempool *mp, void *pointer)
{
    CHECK_POINTER(cork_mempool_new(mp), pointer);
}

static void call_free(struct cork_mempool *mp, void *pointer)
{
    cork_mempool_free(mp, pointer);
}

static void call_done(struct cork_mempool *mp, void *pointer)
{
    (void)pointer;
    cork_mempool_done(mp);
}

static void call_check(struct cork_mempool *mp, void *pointer)
{
    (void)pointer;
    CHECK(cork_mempool_check(mp));
}

static void call_stats(struct cork_mempool *mp, void *pointer)
{
    CHECK(pointer == NULL);
    stats_of(mp);
}

static cork_mempool_violation_handler *handler = leave;

static bool is_refused(action *act, struct cork_mempool *mp, void *pointer)
{
    cork_mempool_violation_handler *const before = cork_mempool_on_violation(handler);
    volatile bool was_refused = true;

    refusal_count = 0;
    if (setjmp(refused) == 0) {
        act(mp, pointer);
        was_refused = false;
    }
    CHECK(cork_mempool_on_violation(before) == handler);
    return was_refused;
}

/* Checks that a call is refused as expected says, with expected->pointer as its argument. */
static void check_refusal(action *act, struct cork_mempool *mp,
                          const struct cork_mempool_violation *expected)
{
    static struct cork_mempool before;

    memcpy(&before, mp, sizeof(before));
    CHECK(is_refused(act, mp, (void *)(uintptr_t)expected->pointer));
    CHECK_EQUAL(refusal_count, 1);
    CHECK_EQUAL(seen.kind, expected->kind);
    CHECK_STRING(seen.message, expected->message);
    CHECK_POINTER(seen.pool, mp);
    CHECK_STRING(seen.pool_name, expected->pool_name);
    CHECK_POINTER(seen.pointer, expected->pointer);
    CHECK_EQUAL(seen.slot, expected->slot);
    CHECK_EQUAL(seen.live_count, expected->live_count);
    CHECK_EQUAL(seen.listed_count, expected->live_count < 16 ? expected->live_count : 16);
    /* The struct has padding, of which MemorySanitizer knows that nobody has written it. */
    CHECK(TEST_UNDER_MSAN || memcmp(&before, mp, sizeof(before)) == 0);
}

/* The same for a live pool, of which more can be asked. */
static void check_live_refusal(action *act, struct cork_mempool *mp,
                               const struct cork_mempool_violation *expected)
{
    const struct cork_mempool_stats before = stats_of(mp);
    struct cork_mempool_stats after;

    check_refusal(act, mp, expected);
    CHECK(cork_mempool_check(mp));
    after = stats_of(mp);
    CHECK(same_stats(&before, &after));
}

static void check_free_refusal(struct cork_mempool *mp, enum cork_mempool_violation_kind kind,
                               const char *message, const void *pointer, size_t slot)
{
    const struct cork_mempool_violation expected = {.kind = kind,
                                                    .message = message,
                                                    .pool_name = mp->is_named ? mp->name : NULL,
                                                    .pointer = pointer,
                                                    .slot = slot};

    check_live_refusal(call_free, mp, &expected);
}

static void check_double_free(struct cork_mempool *mp, const void *pointer, size_t slot)
{
    check_free_refusal(mp, CORK_MEMPOOL_DOUBLE_FREE, "double free", pointer, slot);
}

static void check_interior(struct cork_mempool *mp, const void *pointer, size_t slot)
{
    check_free_refusal(mp, CORK_MEMPOOL_INTERIOR_POINTER, "free of an interior pointer", pointer,
                       slot);
}

static void check_foreign(struct cork_mempool *mp, const void *pointer)
{
    check_free_refusal(mp, CORK_MEMPOOL_FOREIGN_POINTER, "free of a foreign pointer", pointer,
                       CORK_MEMPOOL_NO_SLOT);
}

static void check_never_issued(struct cork_mempool *mp, const void *pointer, size_t slot)
{
    check_free_refusal(mp, CORK_MEMPOOL_NEVER_ISSUED, "free of a slot never issued", pointer, slot);
}

static const void *at(const void *pointer, size_t offset)
{
    return (const void *)((uintptr_t)pointer + offset);
}

/* Frees objects in an order; each time, all that are free by then are refused. */
static void check_double_frees(struct cork_mempool *mp, void *const *objects, size_t count,
                               size_t first, size_t step)
{
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(mp, objects[(first + i * step) % count]);
        for (size_t j = 0; j <= i; j++) {
            const size_t number = (first + j * step) % count;

            check_double_free(mp, objects[number], number);
        }
    }
    CHECK_EQUAL(stats_of(mp).live_count, 0);
}

TEST(a_double_free_is_refused_in_whatever_order_objects_are_freed)
{
    /* Last in first out, first in first out, and two that wander over all groups. */
    static const size_t firsts[] = {149, 0, 0, 100};
    static const size_t steps[] = {149, 1, 77, 67};

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct cork_mempool mp;
        void *objects[150];

        cork_mempool_init_size(&mp, 24);
        take_objects(&mp, objects, 150);
        check_double_frees(&mp, objects, 150, firsts[i], steps[i]);
        exercise(&mp, 1000);
    }
}

/* Frees a few objects at random, then takes some again; objects[] and is_live[] go by slots. */
static void shuffle(struct cork_mempool *mp, void *const *objects, bool *is_live, size_t count,
                    uint64_t *random)
{
    for (size_t i = 0; i < 20; i++) {
        const size_t slot = (size_t)(test_random(random) % count);

        if (is_live[slot]) {
            cork_mempool_free(mp, objects[slot]);
            is_live[slot] = false;
        }
    }
    for (size_t left = (size_t)(test_random(random) % 20); left > 0; left--) {
        void *object = cork_mempool_new(mp);
        size_t slot = 0;

        while (slot < count && objects[slot] != object) {
            slot++;
        }
        if (slot == count) {
            cork_mempool_free(mp, object);
        } else {
            CHECK(!is_live[slot]);
            is_live[slot] = true;
        }
    }
}

TEST(a_double_free_after_random_use_is_refused)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;
    void *objects[400];
    bool is_live[400];

    cork_mempool_init(&mp, int[10]);
    take_objects(&mp, objects, 400);
    memset(is_live, true, sizeof(is_live));
    for (size_t round = 0; round < 100; round++) {
        shuffle(&mp, objects, is_live, 400, &random);
        for (size_t i = 0; i < 400; i++) {
            if (!is_live[i]) {
                check_double_free(&mp, objects[i], i);
            }
        }
    }
    for (size_t i = 0; i < 400; i++) {
        if (is_live[i]) {
            cork_mempool_free(&mp, objects[i]);
        }
    }
    exercise(&mp, 1000);
}

TEST(a_free_of_an_interior_pointer_is_refused_at_every_offset)
{
    static const size_t sizes[] = {2, 3, 7, 8, 12, 16, 20, 24, 33, 40, 64, 100, 256, 1000, 2000};
    static const size_t numbers[] = {0, 63, 100};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cork_mempool mp;
        void *objects[200];

        cork_mempool_init_size(&mp, sizes[i]);
        take_objects(&mp, objects, 200);
        cork_mempool_free(&mp, objects[100]);
        for (size_t j = 0; j < COUNT_OF(numbers); j++) {
            for (size_t offset = 1; offset < stats_of(&mp).slot_size; offset++) {
                check_interior(&mp, at(objects[numbers[j]], offset), numbers[j]);
            }
        }
        objects[100] = cork_mempool_new(&mp);
        fill(objects[100], sizes[i], 100);
        CHECK_EQUAL(stats_of(&mp).live_count, 200);
        for (size_t j = 0; j < 200; j++) {
            cork_mempool_free(&mp, objects[j]);
        }
        exercise(&mp, 1000);
    }
}

TEST(a_free_that_is_refused_changes_nothing_wherever_it_points)
{
    int on_the_stack = 0;
    void *freed[CROWD_PLACE_COUNT];
    const void *last;

    crowd_gather(&crowd);
    last = crowd.objects[crowd.count - 1];
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i++) {
        const size_t slot = crowd.places[i];

        freed[i] = crowd.objects[slot];
        crowd.objects[slot] = NULL;
        cork_mempool_free(&crowd.mp, freed[i]);
        check_double_free(&crowd.mp, freed[i], slot);
        check_interior(&crowd.mp, at(freed[i], 1), slot);
        check_interior(&crowd.mp, at(crowd.objects[slot + 1], 1007), slot + 1);
        check_foreign(&crowd.mp, &on_the_stack);
        check_foreign(&crowd.mp, &crowd);
        check_foreign(&crowd.mp, at(freed[i / 2 * 2], (size_t)-1));
        if (is_foreign(&crowd.mp, at(freed[i / 2 * 2], (size_t)-PERSON_SLOT))) {
            check_foreign(&crowd.mp, at(freed[i / 2 * 2], (size_t)-PERSON_SLOT));
        }
        check_never_issued(&crowd.mp, at(last, PERSON_SLOT), crowd.count);
        check_never_issued(&crowd.mp, at(last, crowd.unissued_count * PERSON_SLOT),
                           crowd.count - 1 + crowd.unissued_count);
    }
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i++) {
        check_double_free(&crowd.mp, freed[i], crowd.places[i]);
    }
    crowd_disperse(&crowd);
}

TEST(a_slot_is_never_issued_until_it_is)
{
    struct cork_mempool mp;
    char *first;

    cork_mempool_init_size_ex(&mp, 32, 64 * slot_needed(32));
    first = cork_mempool_new(&mp);
    for (size_t count = 1; count <= 64; count++) {
        for (size_t slot = 0; slot < count; slot++) {
            cork_mempool_free(&mp, first + slot * slot_needed(32));
        }
        for (size_t slot = 0; slot < 64; slot++) {
            (slot < count ? check_double_free
                          : check_never_issued)(&mp, first + slot * slot_needed(32), slot);
        }
        /* Whatever their order, the same ones are issued again before another is. */
        for (size_t slot = 0; slot < count; slot++) {
            CHECK(cork_mempool_new(&mp) != NULL);
        }
        for (size_t slot = 0; slot < count; slot++) {
            CHECK(cork_mempool_owns(&mp, first + slot * slot_needed(32)));
        }
        CHECK(count == 64 || cork_mempool_new(&mp) == first + count * slot_needed(32));
    }
    cork_mempool_clear(&mp);
    exercise(&mp, 1000);
}

TEST(done_of_a_pool_with_live_objects_changes_nothing)
{
    struct cork_mempool_violation expected = {.kind = CORK_MEMPOOL_LEAK,
                                              .message = "leak at done",
                                              .pool_name = "struct person",
                                              .slot = CORK_MEMPOOL_NO_SLOT};

    crowd_gather(&crowd);
    expected.live_count = crowd.count;
    check_live_refusal(call_done, &crowd.mp, &expected);
    for (size_t i = 0; i < 16; i++) {
        CHECK_POINTER(seen_objects[i].pointer, crowd.objects[i]);
        CHECK_EQUAL(seen_objects[i].slot, i);
    }
    for (size_t i = 0; i < crowd.count; i++) {
        if (i != crowd.places[3] && i != crowd.places[6]) {
            cork_mempool_free(&crowd.mp, crowd.objects[i]);
            crowd.objects[i] = NULL;
        }
    }
    expected.live_count = 2;
    check_live_refusal(call_done, &crowd.mp, &expected);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQUAL(seen_objects[i].slot, crowd.places[3 + 3 * i]);
        CHECK_POINTER(seen_objects[i].pointer, crowd.objects[seen_objects[i].slot]);
    }
    crowd_disperse(&crowd);
}

static void check_dead(struct cork_mempool *mp, struct cork_mempool_violation expected)
{
    int on_the_stack = 0;

    expected.slot = CORK_MEMPOOL_NO_SLOT;
    check_refusal(call_new, mp, &expected);
    check_refusal(call_done, mp, &expected);
    check_refusal(call_check, mp, &expected);
    check_refusal(call_stats, mp, &expected);
    check_refusal(call_free, mp, &expected);
    expected.pointer = &on_the_stack;
    check_refusal(call_free, mp, &expected);
}

TEST(calls_before_init_change_nothing)
{
    const struct cork_mempool_violation expected = {.kind = CORK_MEMPOOL_USE_BEFORE_INIT,
                                                    .message = "use before init"};
    static struct cork_mempool in_static_storage;

    check_dead(&in_static_storage, expected);
    cork_mempool_init(&in_static_storage, struct person);
    exercise(&in_static_storage, 500);
}

TEST(calls_after_done_change_nothing)
{
    struct cork_mempool_violation expected = {.kind = CORK_MEMPOOL_USE_AFTER_DONE,
                                              .message = "use after done"};
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 16);
    exercise(&mp, 500);
    check_dead(&mp, expected);
    cork_mempool_init(&mp, struct person);
    exercise(&mp, 500);
    expected.pool_name = "struct person";
    check_dead(&mp, expected);
    cork_mempool_init_size(&mp, 24);
    exercise(&mp, 500);
}

TEST(calls_of_a_moved_pool_change_nothing)
{
    const struct cork_mempool_violation expected = {.kind = CORK_MEMPOOL_NOT_A_POOL,
                                                    .message = "not a pool"};
    struct cork_mempool mp;
    struct cork_mempool moved;
    void *objects[64];

    cork_mempool_init(&mp, int);
    take_objects(&mp, objects, 64);
    moved = mp;
    check_dead(&moved, expected);
    give_objects(&mp, objects, 30);
    moved = mp;
    check_dead(&moved, expected);
    cork_mempool_clear(&mp);
    exercise(&mp, 500);
}

TEST(installing_a_handler_returns_the_one_before)
{
    struct cork_mempool mp;

    CHECK(cork_mempool_on_violation(leave) == NULL);
    CHECK(cork_mempool_on_violation(leave) == leave);
    CHECK(cork_mempool_on_violation(NULL) == leave);
    CHECK(cork_mempool_on_violation(NULL) == NULL);
    cork_mempool_init_size(&mp, 16);
    exercise(&mp, 500);
    CHECK_EQUAL(refusal_count, 0);
}

static void count_visit(void *user_data, void *object)
{
    CHECK(object != NULL);
    ++*(size_t *)user_data;
}

static size_t expected_live_count;

/* Looks at the pool that it is told of, and only then leaves. */
static void inspect_and_leave(const struct cork_mempool_violation *violation)
{
    struct cork_mempool *const mp = (struct cork_mempool *)(uintptr_t)violation->pool;
    size_t visited = 0;

    CHECK(cork_mempool_check(mp));
    CHECK_EQUAL(stats_of(mp).live_count, expected_live_count);
    CHECK(!cork_mempool_owns(mp, violation->pointer));
    cork_mempool_foreach(mp, count_visit, &visited);
    CHECK_EQUAL(visited, expected_live_count);
    leave(violation);
}

static int construct_with_free(void *user_data, void *object)
{
    cork_mempool_free(*(struct cork_mempool **)user_data, object);
    return 0;
}

TEST(a_handler_may_inspect_the_pool_that_it_is_told_of)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        const struct cork_mempool_options options = {.element_size = 24,
                                                     .protections = all_protections[i]};
        struct cork_mempool mp;
        void *objects[200];

        CHECK(cork_mempool_init_with(&mp, &options));
        take_objects(&mp, objects, 200);
        give_objects(&mp, objects, 100);
        expected_live_count = 100;
        handler = inspect_and_leave;
        CHECK(is_refused(call_free, &mp, objects[5]));
        CHECK_EQUAL(seen.kind, CORK_MEMPOOL_DOUBLE_FREE);
        CHECK(is_refused(call_free, &mp, (char *)objects[150] + 1));
        CHECK_EQUAL(seen.kind, CORK_MEMPOOL_INTERIOR_POINTER);
        CHECK(is_refused(call_done, &mp, NULL));
        CHECK_EQUAL(seen.kind, CORK_MEMPOOL_LEAK);
        handler = leave;
        cork_mempool_clear(&mp);
        exercise(&mp, 500);
    }
}

/* The call in which the refused one was made has ended when the handler runs. */
TEST(a_handler_may_inspect_a_pool_that_was_called_during_another_call)
{
    struct cork_mempool mp;
    struct cork_mempool *self = &mp;
    const struct cork_mempool_options options = {
        .element_size = 24, .init_object = construct_with_free, .user_data = &self};

    CHECK(cork_mempool_init_with(&mp, &options));
    expected_live_count = 0;
    handler = inspect_and_leave;
    for (size_t i = 0; i < 10; i++) {
        CHECK(is_refused(call_new, &mp, NULL));
        CHECK_EQUAL(seen.kind, CORK_MEMPOOL_BUSY);
    }
    cork_mempool_done(&mp);
}

/* Frees so many frames further down the stack. */
__attribute__((noinline)) static void free_below(struct cork_mempool *mp, void *pointer,
                                                 size_t frame_count)
{
    volatile size_t left = frame_count;

    if (left > 0) {
        free_below(mp, pointer, left - 1);
    } else {
        cork_mempool_free(mp, pointer);
    }
    left = 0; /* after the call, which is not a jump then */
}

static size_t depth;

static void call_free_below(struct cork_mempool *mp, void *pointer)
{
    free_below(mp, pointer, depth);
}

/* A handler that is called while an earlier one has not returned may be one that misuses the pool
 * again and again. Those that were left by longjmp must not count. */
TEST(a_handler_is_called_each_time_from_wherever_on_the_stack_it_was_left)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;
    void *freed;

    cork_mempool_init_size(&mp, 24);
    freed = cork_mempool_new(&mp);
    cork_mempool_free(&mp, freed);
    for (size_t i = 0; i < 1000; i++) {
        CHECK(is_refused(call_free, &mp, freed)); /* at one depth */
    }
    for (size_t i = 0; i < 3000; i++) {
        depth = i < 1000 ? i % 63 : 1000 - i % 1000; /* deeper 63 times, and ever less deep */
        CHECK(is_refused(call_free_below, &mp, freed));
        CHECK_EQUAL(refusal_count, 1);
    }
    for (size_t i = 0; i < 1000; i++) {
        depth = (size_t)(test_random(&random) % 1000);
        CHECK(is_refused(call_free_below, &mp, freed));
    }
    exercise(&mp, 500);
}
