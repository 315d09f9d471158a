/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Pools share nothing that changes: each thread may use its own without a lock. What makes this a
 * test is ThreadSanitizer; without it, the pools' own checks must still hold.
 */

#include <pthread.h>
#include <setjmp.h>

#include "test/support/pools.h"

#define THREAD_COUNT 8
#define OBJECT_COUNT 500
#define ROUND_COUNT  8

struct worker {
    pthread_t thread;
    uint64_t random;
    struct cork_mempool pools[3];
    void *objects[3][OBJECT_COUNT];
};

static struct worker workers[THREAD_COUNT];

/* Runs a function on all threads at once; it returns its argument where it comes to its end. */
static void run_on_threads(void *(*function)(void *worker))
{
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        workers[i].random = test_seed() + i;
        CHECK_EQUAL(pthread_create(&workers[i].thread, NULL, function, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        void *returned = NULL;

        CHECK_EQUAL(pthread_join(workers[i].thread, &returned), 0);
        CHECK_POINTER(returned, &workers[i]);
    }
}

/* The pools of a thread have other sizes in every round, and lie next to those of other threads;
 * the larger half of them outgrows the heap's pieces. Those of the last round are left in use. */
static void *use_pools(void *argument)
{
    struct worker *worker = argument;
    int state;

    pthread_cancel(pthread_self()); /* no function of the library is a cancellation point */
    for (size_t round = 0; round < ROUND_COUNT; round++) {
        for (size_t i = 0; i < 3; i++) {
            const size_t size = 8 + (size_t)(test_random(&worker->random) % 4000);

            if (round > 0) {
                give_objects(&worker->pools[i], worker->objects[i], OBJECT_COUNT);
                exercise(&worker->pools[i], OBJECT_COUNT / 2);
            }
            cork_mempool_init_size_ex(&worker->pools[i], size, size * (1 + round % 7));
            take_objects(&worker->pools[i], worker->objects[i], OBJECT_COUNT);
        }
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    CHECK_EQUAL(state, PTHREAD_CANCEL_ENABLE);
    return worker;
}

/* One thread at a time is enough for a pool; it need not be the same. */
TEST(pools_of_different_threads_do_not_race_and_may_change_their_thread)
{
    run_on_threads(use_pools);
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        for (size_t j = 0; j < 3; j++) {
            give_objects(&workers[i].pools[j], workers[i].objects[j], OBJECT_COUNT);
            exercise(&workers[i].pools[j], OBJECT_COUNT / 2);
        }
    }
}

static _Thread_local jmp_buf refused;

static void leave(const struct cork_mempool_violation *violation)
{
    longjmp(refused, (int)violation->kind);
}

static void *misuse(void *argument)
{
    struct worker *worker = argument;
    volatile size_t refused_count = 0;

    cork_mempool_init_size(&worker->pools[0], 16);
    for (volatile size_t i = 0; i < 200; i++) {
        CHECK(cork_mempool_on_violation(leave) == leave);
        if (setjmp(refused) == 0) {
            cork_mempool_free(&worker->pools[0], argument);
        } else {
            refused_count++;
        }
    }
    cork_mempool_done(&worker->pools[0]);
    return refused_count == 200 ? argument : NULL;
}

TEST(handlers_are_installed_and_run_on_any_thread_at_any_time)
{
    CHECK(cork_mempool_on_violation(leave) == NULL);
    run_on_threads(misuse);
    CHECK(cork_mempool_on_violation(NULL) == leave);
}
