/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Pools share nothing that changes: each thread may use its own without a lock. What makes this a
 * test is ThreadSanitizer; without it, the pools' own checks must still hold.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

#define THREAD_COUNT 8
#define OBJECT_COUNT 500
#define ROUND_COUNT  8

struct worker {
    pthread_t thread;
    uint64_t random;
    struct cork_mempool pools[3];
    void *objects[3][OBJECT_COUNT];
    bool has_ended;
};

static struct worker workers[THREAD_COUNT];

/* Runs a function to its end on so many threads at once. */
static void run_on_threads(size_t count, void *(*function)(void *worker))
{
    for (size_t i = 0; i < count; i++) {
        workers[i].random = test_seed() + i;
        CHECK_EQUAL(pthread_create(&workers[i].thread, NULL, function, &workers[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(pthread_join(workers[i].thread, NULL), 0);
        CHECK(workers[i].has_ended);
    }
}

/* The pools of a thread have other sizes in every round, and lie next to those of other threads;
 * the larger half of them outgrows the heap's pieces. */
static void *use_pools(void *argument)
{
    struct worker *worker = argument;

    for (size_t round = 0; round < ROUND_COUNT; round++) {
        for (size_t i = 0; i < 3; i++) {
            const size_t size = 8 + (size_t)(test_random(&worker->random) % 4000);

            cork_mempool_init_size_ex(&worker->pools[i], size, size * (1 + round % 7));
            take_objects(&worker->pools[i], worker->objects[i], OBJECT_COUNT);
        }
        for (size_t i = 0; i < 3; i++) {
            give_objects(&worker->pools[i], worker->objects[i], OBJECT_COUNT);
            exercise(&worker->pools[i], OBJECT_COUNT / 2);
        }
    }
    worker->has_ended = true;
    return NULL;
}

TEST(pools_of_different_threads_do_not_race)
{
    run_on_threads(THREAD_COUNT, use_pools);
}

static _Thread_local jmp_buf refused;
static _Thread_local size_t refused_count;

static void leave(const struct cork_mempool_violation *violation)
{
    refused_count++;
    longjmp(refused, (int)violation->kind);
}

static void *misuse(void *argument)
{
    struct worker *worker = argument;

    cork_mempool_init_size(&worker->pools[0], 16);
    for (volatile size_t i = 0; i < 200; i++) {
        CHECK(cork_mempool_on_violation(leave) == leave);
        if (setjmp(refused) == 0) {
            cork_mempool_free(&worker->pools[0], argument);
            CHECK(false);
        }
    }
    cork_mempool_done(&worker->pools[0]);
    worker->has_ended = refused_count == 200;
    return NULL;
}

TEST(handlers_are_installed_and_run_on_any_thread_at_any_time)
{
    CHECK(cork_mempool_on_violation(leave) == NULL);
    run_on_threads(THREAD_COUNT, misuse);
    CHECK(cork_mempool_on_violation(NULL) == leave);
}

static void *take_on_a_thread(void *argument)
{
    struct worker *worker = argument;

    cork_mempool_init(&worker->pools[0], struct worker *);
    take_objects(&worker->pools[0], worker->objects[0], OBJECT_COUNT);
    worker->has_ended = true;
    return NULL;
}

/* One thread at a time is enough; it need not be the same. */
TEST(a_pool_may_change_its_thread)
{
    run_on_threads(1, take_on_a_thread);
    give_objects(&workers[0].pools[0], workers[0].objects[0], OBJECT_COUNT);
    cork_mempool_done(&workers[0].pools[0]);
}
