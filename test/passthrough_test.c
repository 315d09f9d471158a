/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Passthrough: objects that are pieces of the heap, and the table that knows them.
 */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "pools.h"
#include "refusals.h"
#include "requests.h"

#define OPTIONS(...) (&(const struct cork_mempool_options){__VA_ARGS__})

TEST(with_passthrough_each_object_is_a_piece_of_the_heap)
{
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        struct cork_mempool mp;
        void *objects[1000];

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 40, .alignment = alignment,
                                                  .protections = CORK_MEMPOOL_PASSTHROUGH)));
        requests_start();
        objects[0] = cork_mempool_new(&mp);
        const size_t tables = requests.heap_count - 1;
        CHECK(tables <= 3);
        cork_mempool_free(&mp, objects[0]);
        CHECK_EQUAL(requests.heap_count, tables);
        take_objects(&mp, objects, 1000);
        CHECK(requests.heap_count >= 1000 + tables && requests.heap_count <= 1003 + tables);
        give_objects(&mp, objects, 1000);
        CHECK(requests.heap_count <= 3 + tables);
        cork_mempool_done(&mp);
        CHECK_EQUAL(requests.heap_count, 0);
        CHECK_EQUAL(requests.mapped_size, 0);
        requests_stop();
    }
}

TEST(with_passthrough_a_heap_that_refuses_gives_null_and_loses_nothing)
{
    struct cork_mempool mp;
    void *objects[300];

    for (size_t number = 1; number < 700; number++) {
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 40, .max_objects = 300,
                                                  .protections = CORK_MEMPOOL_PASSTHROUGH)));
        requests_start();
        requests_refuse(EVERYTHING, REFUSE_NUMBER, number);
        for (size_t i = 0; i < 300; i++) {
            errno = ODD_ERRNO;
            while ((objects[i] = cork_mempool_new(&mp)) == NULL) {
                CHECK_EQUAL(errno, ENOMEM);
                CHECK_EQUAL(stats_of(&mp).live_count, i);
                CHECK(cork_mempool_check(&mp));
            }
            CHECK(!cork_mempool_owns(&mp, NULL));
            fill(objects[i], 40, i);
        }
        requests_refuse(0, REFUSE_FROM, 0);
        give_objects(&mp, objects, 300);
        cork_mempool_done(&mp);
        CHECK_EQUAL(requests.heap_count, 0);
        requests_stop();
    }
}

/* What is no object must be looked for, and not found, in whatever table: the heap's addresses are
 * evenly spaced, and so may be their places. */
TEST(owns_comes_to_an_end_whatever_objects_are_live)
{
    for (size_t size = 16; size <= 2048; size += 16) {
        struct cork_mempool mp;
        void *objects[70];

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = size, .alignment = 16,
                                                  .protections = CORK_MEMPOOL_PASSTHROUGH)));
        for (size_t i = 0; i < COUNT_OF(objects); i++) {
            objects[i] = cork_mempool_new(&mp);
            CHECK(objects[i] != NULL);
            for (size_t j = 0; j < 32; j++) {
                CHECK(!cork_mempool_owns(&mp, (char *)objects + j));
            }
        }
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* A pool that has one object at a time, each elsewhere, must not need more and more for it. */
TEST(objects_that_are_gone_are_forgotten)
{
    static void *hoard[2000];
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(
        &mp, OPTIONS(.element_size = 48, .protections = CORK_MEMPOOL_PASSTHROUGH)));
    requests_start();
    requests_refuse(HEAP, REFUSE_LARGER, 4096);
    for (size_t i = 0; i < COUNT_OF(hoard); i++) {
        void *const object = cork_mempool_new(&mp);

        CHECK(object != NULL);
        cork_mempool_free(&mp, object);
        /* So that the heap does not give the piece to the pool again. */
        hoard[i] = malloc(48);
    }
    requests_stop();
    for (size_t i = 0; i < COUNT_OF(hoard); i++) {
        free(hoard[i]);
    }
    cork_mempool_done(&mp);
}

/* There are so many objects that the next one has the table made anew. */
TEST(objects_freed_of_late_are_known_when_the_table_has_been_made_anew)
{
    char *freed[SUBJECT_COUNT / 2];
    void *hoard[SUBJECT_COUNT];

    subject_begin(CORK_MEMPOOL_PASSTHROUGH, 32);
    for (size_t i = 0; i < COUNT_OF(freed); i++) {
        freed[i] = subject.objects[i];
    }
    subject_give(0, COUNT_OF(freed));
    for (size_t i = 0; i < COUNT_OF(hoard); i++) {
        hoard[i] = malloc(32);
    }
    subject.objects[COUNT_OF(freed) - 1] = site_of_new(&subject.mp);
    fill(subject.objects[COUNT_OF(freed) - 1], 32, COUNT_OF(freed) - 1);
    for (size_t i = 0; i < COUNT_OF(freed); i++) {
        refuse(FREE, freed[i], CORK_MEMPOOL_DOUBLE_FREE, CORK_MEMPOOL_NO_SLOT, true);
    }
    for (size_t i = 0; i < COUNT_OF(hoard); i++) {
        free(hoard[i]);
    }
    subject_end(COUNT_OF(freed) - 1);
}

/* The slots are the pool's own, and a pointer to one is none to an object. */
TEST(a_pointer_to_a_slot_is_refused_as_foreign)
{
    for (unsigned more = 0; more <= CORK_MEMPOOL_CALLSITES; more += CORK_MEMPOOL_CALLSITES) {
        subject_begin(CORK_MEMPOOL_PASSTHROUGH | more, 24);
        subject_give(0, 1);
        subject.objects[0] = site_of_new(&subject.mp);
        fill(subject.objects[0], 24, 0);
        for (struct cork_mempool_region *region = subject.mp.newest; region != NULL;
             region = region->older) {
            refuse(FREE, region->base, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT, false);
            refuse(FREE, region->base + 1, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT,
                   false);
        }
        subject_end(0);
    }
}

/* The smallest multiple of the alignment that the size fits into is asked for, and no more. */
TEST(an_object_takes_its_size_rounded_up_to_its_alignment)
{
    static const struct {
        size_t element_size, taken_size;
    } cases[] = {{2048, 2048}, {2049, 2064}, {2063, 2064}, {2064, 2064}, {2065, 2080}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cork_mempool mp;
        void *object;

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = cases[i].element_size,
                                                  .alignment = 16, .block_size = 100000,
                                                  .protections = CORK_MEMPOOL_PASSTHROUGH)));
        CHECK_EQUAL(stats_of(&mp).slot_size, cases[i].taken_size);
        object = cork_mempool_new(&mp);
        requests_start();
        requests_refuse(HEAP, REFUSE_LARGER, cases[i].taken_size - 1);
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        requests_refuse(HEAP, REFUSE_LARGER, cases[i].taken_size);
        CHECK(cork_mempool_new(&mp) != NULL);
        requests_stop();
        CHECK(object != NULL);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Of the pool's own memory, an object takes a pointer, and nothing where no sites are noted. */
TEST(blocks_are_those_of_objects_and_hold_pointers)
{
    struct cork_mempool mp;
    void *object;

    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between pointers too");
    }
    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .block_size = 1000,
                                              .protections = CORK_MEMPOOL_PASSTHROUGH)));
    CHECK_EQUAL(stats_of(&mp).slot_size, 64);
    CHECK_EQUAL(stats_of(&mp).block_size, 15 * 64);
    take_objects(&mp, &object, 1);
    CHECK_EQUAL(stats_of(&mp).memory_size, 15 * sizeof(void *));
    give_objects(&mp, &object, 1);
    cork_mempool_done(&mp);
}
