/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The violation handler: what it may do, how often it is called, and what comes of one that
 * returns, leaves, or misuses its pool in its turn.
 */

#include <stdio.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

static struct cork_mempool mp, zeroed;
static void *objects[200];

static void count_visit(void *user_data, void *object)
{
    CHECK(object != NULL);
    ++*(size_t *)user_data;
}

static size_t expected_live_count;

static void inspect(const struct cork_mempool_violation *violation)
{
    size_t visited = 0;

    CHECK_POINTER(violation->pool, &mp);
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, expected_live_count);
    CHECK(!cork_mempool_owns(&mp, violation->pointer));
    cork_mempool_foreach(&mp, count_visit, &visited);
    CHECK_EQUAL(visited, expected_live_count);
}

TEST(a_handler_may_inspect_the_pool_that_it_is_told_of)
{
    refusal_inspects = inspect;
    expected_live_count = 100;
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        INIT(&mp, .element_size = 24, .protections = all_protections[i]);
        take_objects(&mp, objects, 200);
        give_objects(&mp, objects, 100);
        CHECK_KIND(cork_mempool_free(&mp, objects[5]), CORK_MEMPOOL_DOUBLE_FREE);
        CHECK_KIND(cork_mempool_free(&mp, (char *)objects[150] + 1), CORK_MEMPOOL_INTERIOR_POINTER);
        CHECK_KIND(cork_mempool_done(&mp), CORK_MEMPOOL_LEAK);
        cork_mempool_clear(&mp);
        exercise(&mp, 200);
    }
}

static int construct_with_free(void *user_data, void *object)
{
    (void)user_data;
    cork_mempool_free(&mp, object);
    return 0;
}

/* The call in which the refused one was made has ended when the handler runs. */
TEST(a_handler_may_inspect_a_pool_that_was_called_during_another_call)
{
    refusal_inspects = inspect;
    INIT(&mp, .element_size = 24, .init_object = construct_with_free);
    for (size_t i = 0; i < 10; i++) {
        CHECK_KIND((void)!cork_mempool_new(&mp), CORK_MEMPOOL_BUSY);
    }
    cork_mempool_done(&mp);
}

/* Has a free refused so many frames of some bytes further down the stack. */
__attribute__((noinline)) static void is_refused_below(size_t frame_count, size_t frame_size)
{
    char room[frame_size];

    __asm__ volatile("" : : "r"(room) : "memory");
    if (frame_count > 0) {
        is_refused_below(frame_count - 1, frame_size);
    } else {
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, &mp));
        CHECK_EQUAL(seen.count, 1);
    }
    __asm__ volatile("" : : "r"(room) : "memory");
}

/* A handler that is called while an earlier one has not returned may be one that misuses the pool
 * again and again. Those that were left by longjmp must not count. */
TEST(a_handler_is_called_each_time_from_wherever_on_the_stack_it_was_left)
{
    uint64_t random = test_seed();

    cork_mempool_init_size(&mp, 24);
    for (size_t i = 0; i < 1000; i++) {
        is_refused_below(0, 16);
        is_refused_below(i % 63, 16);
        is_refused_below((size_t)(test_random(&random) % 1000), 16);
    }
    for (size_t i = 1000; i > 0; i--) {
        is_refused_below(i, 16);
    }
    /* Each time 32 KiB below the last, as from stacks of their own. */
    for (size_t i = 0; i < 100; i++) {
        is_refused_below(i, (size_t)32 * 1024);
    }
    /* As often as is allowed, each time below the last, and then on another stack. */
    for (size_t i = 0; i < 256; i++) {
        is_refused_below(i, 16);
    }
    is_refused_below(2, (size_t)1024 * 1024);
    CHECK_ABORTS(slot_report(CORK_MEMPOOL_FOREIGN_POINTER, &mp, NO_NAME, &mp, CORK_MEMPOOL_NO_SLOT),
                 cork_mempool_free(&mp, &mp));
    cork_mempool_done(&mp);
}

/* How the handler misuses its pool; or NULL. */
static void (*misuse_again)(void);

static void call_free(void)
{
    cork_mempool_free(&mp, objects[0]);
}

static void call_done(void)
{
    cork_mempool_done(&zeroed);
}

static void say_kind_and_misuse(const struct cork_mempool_violation *violation)
{
    fprintf(stderr, "handler: %d\n", (int)violation->kind);
    if (misuse_again != NULL) {
        misuse_again();
    }
}

/* Has objects[0] freed twice, with a handler that makes a misuse of a kind as often as it is
 * called; then come reports of the first violation, if it is not the only one, and of the last. */
static void handler_is_called(int count, int kind, const char *first, const char *last)
{
    static char expected[16384];
    size_t length = 0;

    for (int i = 0; i < count; i++) {
        length += (size_t)snprintf(expected + length, sizeof(expected) - length, "handler: %d\n",
                                   i == 0 ? CORK_MEMPOOL_DOUBLE_FREE : kind);
    }
    snprintf(expected + length, sizeof(expected) - length, "%s%s", first, last);
    CHECK_ABORTS(expected, call_free());
}

TEST(a_handler_that_does_not_leave_is_called_256_times_at_most_and_then_the_process_aborted)
{
    char double_free[1000], first[1000];

    cork_mempool_init(&mp, long long);
    take_objects(&mp, objects, 20);
    call_free();
    strcpy(double_free, slot_report(CORK_MEMPOOL_DOUBLE_FREE, &mp, "long long", objects[0], 0));
    strcpy(first, report_of(&(struct cork_mempool_violation){.kind = CORK_MEMPOOL_DOUBLE_FREE,
                                                             .pool = &mp,
                                                             .pointer = objects[0],
                                                             .slot = CORK_MEMPOOL_NO_SLOT}));
    CHECK(cork_mempool_on_violation(say_kind_and_misuse) == NULL);
    handler_is_called(1, 0, "", double_free);
    misuse_again = call_free;
    handler_is_called(256, CORK_MEMPOOL_DOUBLE_FREE, first, double_free);
    misuse_again = call_done;
    handler_is_called(256, CORK_MEMPOOL_USE_BEFORE_INIT, first,
                      pool_report(CORK_MEMPOOL_USE_BEFORE_INIT, &zeroed, NO_NAME));
    CHECK(cork_mempool_on_violation(NULL) == say_kind_and_misuse);
    CHECK_ABORTS(double_free, call_free());
    clear_and_end(&mp);
}
