/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * After fork, parent and child have a pool each, with the same objects.
 */

#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"

/* More than the heap's pieces hold. */
#define COUNT 5000
#define SIZE  400

static struct cork_mempool mp;
static void *objects[2 * COUNT];

/* A life of the pool from the fork on; the lives differ in all they do. */
static void live(size_t kept)
{
    for (size_t i = kept; i < COUNT; i++) {
        CHECK(is_filled(objects[i], SIZE, i));
        cork_mempool_free(&mp, objects[i]);
    }
    CHECK_EQUAL(stats_of(&mp).live_count, kept);
    CHECK(cork_mempool_check(&mp));
    for (size_t i = kept; i < 2 * COUNT; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
        fill(objects[i], SIZE, i ^ kept);
    }
    for (size_t i = 0; i < 2 * COUNT; i++) {
        CHECK(is_filled(objects[i], SIZE, i < kept ? i : i ^ kept));
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_done(&mp);
}

TEST(parent_and_child_go_on_independently)
{
    int status = -1;
    pid_t child;

    cork_mempool_init_size(&mp, SIZE);
    take_objects(&mp, objects, COUNT);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        live(100);
        _exit(0);
    }
    live(1000);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

static void live_with_a_child(void)
{
    CHECK_PASSES(live(10));
    live(20);
}

TEST(a_child_of_a_child_goes_on)
{
    cork_mempool_init_size(&mp, SIZE);
    take_objects(&mp, objects, COUNT);
    CHECK_PASSES(live_with_a_child());
    live(30);
}

TEST(what_a_child_frees_is_live_in_its_parent)
{
    void *object;

    cork_mempool_init_size(&mp, SIZE);
    take_objects(&mp, objects, 100);
    object = objects[50];
    CHECK_PASSES(cork_mempool_free(&mp, object));
    CHECK_ABORTS(slot_report("double free", &mp, NO_NAME, object, 50),
                 (cork_mempool_free(&mp, object), cork_mempool_free(&mp, object)));
    CHECK_EQUAL(stats_of(&mp).live_count, 100);
    give_objects(&mp, objects, 100);
    cork_mempool_done(&mp);
}

/* The seeds that children draw for pools of their own, and one of their parent's. */
TEST(children_draw_seeds_of_their_own)
{
    const struct cork_mempool_options options = {.element_size = 16,
                                                 .protections = CORK_MEMPOOL_SHUFFLE};
    uint64_t seeds[9];
    int ends[2];

    CHECK(cork_mempool_init_with(&mp, &options));
    seeds[8] = mp.seed;
    cork_mempool_done(&mp);
    CHECK(pipe(ends) == 0);
    for (size_t i = 0; i < 8; i++) {
        const pid_t child = fork();

        CHECK(child >= 0);
        if (child == 0) {
            _exit(cork_mempool_init_with(&mp, &options) &&
                          write(ends[1], &mp.seed, sizeof(mp.seed)) == sizeof(mp.seed)
                      ? 0
                      : 1);
        }
    }
    for (size_t i = 0; i < 8; i++) {
        int status;

        CHECK(wait(&status) > 0 && status == 0);
        CHECK_EQUAL(read(ends[0], &seeds[i], sizeof(seeds[i])), sizeof(seeds[i]));
    }
    for (size_t i = 0; i < COUNT_OF(seeds); i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK(seeds[i] != seeds[j]);
        }
    }
}
