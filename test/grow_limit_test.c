/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The limit of objects: as many as that, whatever else the pool does.
 */

#include "test/support/memory.h"

static void *objects[5000];

/* A limit is exact, and stays so however objects come and go, also where trim takes the regions of
 * some and leaves those of others: no slot is counted twice. */
static void expect_exact_limit(unsigned protection, size_t limit, size_t block_size)
{
    struct cork_mempool mp;

    INIT(&mp, .element_size = 40, .block_size = block_size, .protections = protection,
         .max_objects = limit);
    const size_t block_slots = stats_of(&mp).block_size / stats_of(&mp).slot_size;

    CHECK(block_slots == limit || (block_slots < limit && block_size < limit * 200));
    take_objects(&mp, objects, limit);
    for (size_t round = 0; round < 4; round++) {
        const size_t kept = limit * round / 3;

        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        CHECK_EQUAL(stats_of(&mp).live_count, limit);
        expect_null(&mp);
        for (size_t i = 0; i < limit; i += 1 + limit / 9) {
            cork_mempool_free(&mp, objects[i]);
            objects[i] = cork_mempool_new(&mp);
            CHECK(objects[i] != NULL);
            fill(objects[i], 40, i);
            CHECK_POINTER(try_new(&mp), NULL);
        }
        free_objects(&mp, objects, kept, limit);
        CHECK(cork_mempool_check(&mp));
        if (round != 1) {
            cork_mempool_trim(&mp);
        }
        for (size_t i = kept; i < limit; i++) {
            objects[i] = cork_mempool_new(&mp);
            CHECK(objects[i] != NULL);
            fill(objects[i], 40, i);
        }
    }
    finish(&mp, objects, limit);
}

TEST(the_limit_of_objects_is_exact_with_every_protection)
{
    static const size_t limits[] = {1, 2, 9, 63, 64, 65, 127, 128, 129, 700, 1000, 5000};
    static const size_t block_sizes[] = {1, 0, 100000};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t j = 0; j < COUNT_OF(limits); j++) {
            for (size_t k = 0; k < COUNT_OF(block_sizes); k++) {
                expect_exact_limit(all_protections[i], limits[j], block_sizes[k]);
            }
        }
    }
}

/* Issues as many as are said to be free, and no request is made for them; then one more. */
static void issue_what_is_free(struct cork_mempool *mp, bool is_full)
{
    requests_start();
    for (size_t i = stats_of(mp).free_count; i > 0; i--) {
        CHECK_EQUAL(stats_of(mp).free_count, i);
        CHECK(cork_mempool_new(mp) != NULL);
    }
    CHECK_EQUAL(requests.count, 0);
    CHECK_EQUAL(stats_of(mp).free_count, 0);
    if (is_full) {
        expect_null(mp);
    } else {
        CHECK(cork_mempool_new(mp) == NULL || requests.count > 0);
    }
    requests_stop();
}

/* Where there is memory for more objects than there may be, it counts for as many as there may be.
 */
TEST(what_is_free_is_what_can_be_issued_without_more_memory)
{
    static _Alignas(64) char buffer[20000];
    static const struct {
        size_t limit, buffer_size, issued;
    } cases[] = {{0, 0, 25},     {0, 0, 50},     {0, 0, 100},    {0, 0, 200},    {0, 0, 400},
                 {0, 0, 800},    {70, 0, 66},    {100, 0, 25},   {100, 0, 50},   {100, 0, 100},
                 {1000, 0, 25},  {1000, 0, 50},  {1000, 0, 100}, {1000, 0, 200}, {1000, 0, 400},
                 {1000, 0, 800}, {0, 20000, 100}};

    for (size_t i = 0; i < COUNT_OF(cases) * PROTECTIONS_COUNT; i++) {
        const size_t limit = cases[i / PROTECTIONS_COUNT].limit;
        const size_t issued = cases[i / PROTECTIONS_COUNT].issued;
        const size_t buffer_size = cases[i / PROTECTIONS_COUNT].buffer_size;
        const unsigned protections = all_protections[i % PROTECTIONS_COUNT];
        struct cork_mempool mp;

        if (buffer_size != 0 && (protections & CORK_MEMPOOL_GUARD) != 0) {
            continue;
        }
        INIT(&mp, .element_size = 40, .max_objects = limit, .protections = protections,
             .buffer = buffer_size != 0 ? buffer : NULL, .buffer_size = buffer_size);
        take_objects(&mp, objects, issued);
        CHECK(limit != 70 || stats_of(&mp).free_count == 4);
        for (size_t j = 0; j < issued; j += 1 + j % 3 / 2) {
            cork_mempool_free(&mp, objects[j]);
        }
        issue_what_is_free(&mp, mp.objects_left == 0 || buffer_size != 0);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

TEST(slots_in_quarantine_serve_where_the_limit_is_reached)
{
    static const unsigned with[] = {CORK_MEMPOOL_QUARANTINE, CORK_MEMPOOL_PARANOID,
                                    CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_SEAL};

    for (size_t i = 0; i < COUNT_OF(with); i++) {
        struct cork_mempool mp;

        INIT(&mp, .element_size = 24, .max_objects = 100, .protections = with[i]);
        take_objects(&mp, objects, 100);
        for (size_t j = 0; j < 1000; j++) {
            void *const object = objects[j * 7 % 100];

            cork_mempool_free(&mp, object);
            CHECK_POINTER(objects[j * 7 % 100] = cork_mempool_new(&mp), object);
            fill(object, 24, j * 7 % 100);
        }
        give_objects(&mp, objects, 100);
        exercise(&mp, 100);
    }
}
