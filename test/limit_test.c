/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The limit of objects: as many as that, whatever else the pool does.
 */

#include <errno.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

#define OPTIONS(...) (&(const struct cork_mempool_options){__VA_ARGS__})

static void new_gives_null(struct cork_mempool *mp)
{
    for (size_t i = 0; i < 3; i++) {
        errno = ODD_ERRNO;
        CHECK_POINTER(cork_mempool_new(mp), NULL);
        CHECK_EQUAL(errno, ENOMEM);
        CHECK(cork_mempool_check(mp));
    }
}

/* A limit is exact, and stays so however objects come and go. */
static void limit_is_exact(unsigned protection, size_t limit, size_t block_size)
{
    static void *objects[5000];
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 40, .block_size = block_size,
                                              .protections = protection, .max_objects = limit)));
    CHECK(limit >= stats_of(&mp).block_size / stats_of(&mp).slot_size);
    for (size_t round = 0; round < 3; round++) {
        take_objects(&mp, objects, limit);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        new_gives_null(&mp);
        CHECK_EQUAL(stats_of(&mp).live_count, limit);
        for (size_t i = 0; i < limit; i += 1 + limit / 9) {
            cork_mempool_free(&mp, objects[i]);
            objects[i] = cork_mempool_new(&mp);
            CHECK(objects[i] != NULL);
            fill(objects[i], 40, i);
            new_gives_null(&mp);
        }
        give_objects(&mp, objects, limit);
        if (round == 1) {
            cork_mempool_trim(&mp);
        }
    }
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    cork_mempool_done(&mp);
}

TEST(the_limit_of_objects_is_exact_with_every_protection)
{
    static const size_t limits[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000, 5000};
    static const size_t block_sizes[] = {1, 0, 100000};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t j = 0; j < COUNT_OF(limits); j++) {
            for (size_t k = 0; k < COUNT_OF(block_sizes); k++) {
                limit_is_exact(all_protections[i], limits[j], block_sizes[k]);
            }
        }
    }
}

TEST(a_block_holds_no_more_objects_than_the_limit)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t limit = 1; limit < 10; limit++) {
            struct cork_mempool mp;

            CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .max_objects = limit,
                                                      .protections = all_protections[i])));
            CHECK_EQUAL(stats_of(&mp).block_size, limit * stats_of(&mp).slot_size);
            exercise(&mp, limit);
        }
    }
}

/* There is memory for more objects than there may be, and it counts for as many as there may be. */
TEST(what_is_free_is_what_the_limit_leaves)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        void *objects[70];

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .max_objects = 70,
                                                  .protections = all_protections[i])));
        take_objects(&mp, objects, 66);
        CHECK_EQUAL(stats_of(&mp).free_count, 4);
        take_objects(&mp, objects + 66, 4);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Half of the objects stay while the other half is trimmed away: no slot may be counted twice. */
TEST(the_limit_of_objects_is_exact_after_a_trim_of_some)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t kept = 0; kept <= 700; kept += 70) {
            struct cork_mempool mp;
            void *objects[700];

            CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 40, .max_objects = 700,
                                                      .protections = all_protections[i])));
            take_objects(&mp, objects, 700);
            for (size_t j = kept; j < 700; j++) {
                cork_mempool_free(&mp, objects[j]);
            }
            cork_mempool_trim(&mp);
            CHECK(cork_mempool_check(&mp));
            for (size_t j = kept; j < 700; j++) {
                objects[j] = cork_mempool_new(&mp);
                CHECK(objects[j] != NULL);
                fill(objects[j], 40, j);
            }
            new_gives_null(&mp);
            give_objects(&mp, objects, 700);
            cork_mempool_done(&mp);
        }
    }
}

/* Issues as many as are said to be free, and no request is made for them; then one more. */
static void issue_what_is_free(struct cork_mempool *mp, bool is_full)
{
    const size_t free_count = stats_of(mp).free_count;

    requests_start();
    for (size_t i = free_count; i > 0; i--) {
        CHECK_EQUAL(stats_of(mp).free_count, i);
        CHECK(cork_mempool_new(mp) != NULL);
    }
    CHECK_EQUAL(requests.count, 0);
    CHECK_EQUAL(stats_of(mp).free_count, 0);
    if (is_full) {
        CHECK_POINTER(cork_mempool_new(mp), NULL);
    } else {
        CHECK(cork_mempool_new(mp) == NULL || requests.count > 0);
    }
    requests_stop();
}

TEST(what_is_free_is_what_can_be_issued_without_more_memory)
{
    static const size_t limits[] = {0, 100, 1000};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t j = 0; j < COUNT_OF(limits); j++) {
            for (size_t issued = 25; issued <= 1000 && (j != 1 || issued <= 100); issued *= 2) {
                struct cork_mempool mp;
                void *objects[1000];

                CHECK(cork_mempool_init_with(&mp,
                                             OPTIONS(.element_size = 40, .max_objects = limits[j],
                                                     .protections = all_protections[i])));
                take_objects(&mp, objects, issued);
                for (size_t k = 0; k < issued; k += 1 + k % 3 / 2) {
                    cork_mempool_free(&mp, objects[k]);
                }
                issue_what_is_free(&mp, mp.objects_left == 0);
                cork_mempool_clear(&mp);
                cork_mempool_done(&mp);
            }
        }
    }
}

TEST(what_is_free_of_a_buffer_is_what_can_be_issued)
{
    static _Alignas(64) char buffer[20000];

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        void *objects[100];

        if ((all_protections[i] & CORK_MEMPOOL_GUARD) != 0) {
            continue;
        }
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 40, .buffer = buffer,
                                                  .buffer_size = sizeof(buffer),
                                                  .protections = all_protections[i])));
        take_objects(&mp, objects, 100);
        give_objects(&mp, objects, 100);
        issue_what_is_free(&mp, true);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

TEST(resting_slots_serve_where_the_limit_is_reached)
{
    static const unsigned with[] = {CORK_MEMPOOL_QUARANTINE, CORK_MEMPOOL_PARANOID,
                                    CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_SEAL};

    for (size_t i = 0; i < COUNT_OF(with); i++) {
        struct cork_mempool mp;
        void *objects[100];

        CHECK(cork_mempool_init_with(
            &mp, OPTIONS(.element_size = 24, .max_objects = 100, .protections = with[i])));
        take_objects(&mp, objects, 100);
        for (size_t j = 0; j < 1000; j++) {
            void *const object = objects[j * 7 % 100];

            cork_mempool_free(&mp, object);
            CHECK_POINTER(objects[j * 7 % 100] = cork_mempool_new(&mp), object);
            fill(object, 24, j * 7 % 100);
        }
        give_objects(&mp, objects, 100);
        take_objects(&mp, objects, 100);
        give_objects(&mp, objects, 100);
        cork_mempool_done(&mp);
    }
}
