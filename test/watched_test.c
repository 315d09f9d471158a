/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Lives of pools that a tool may watch: nothing in them is wrong, and the tool must say so. They
 * are few and short, because Valgrind is slow; //fuzz:coverage has it run them.
 */

#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

#define SIZE 24

static struct cork_mempool mp;
static void *objects[200];

static void init(unsigned set)
{
    const struct cork_mempool_options options = {.element_size = SIZE, .protections = set};

    CHECK(cork_mempool_init_with(&mp, &options));
}

/* Objects are new, freed, issued again, and left to clear, to trim and to done. */
static void live(void)
{
    for (size_t round = 0; round < 2; round++) {
        take_objects(&mp, objects, COUNT_OF(objects));
        CHECK(cork_mempool_check(&mp));
        give_objects(&mp, objects, COUNT_OF(objects) / 2);
        CHECK(cork_mempool_check(&mp));
        cork_mempool_clear(&mp);
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_trim(&mp);
    CHECK(cork_mempool_check(&mp));
}

TEST(a_watched_pool_lives_with_each_protection)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        init(all_protections[i]);
        live();
        take_objects(&mp, objects, 1);
        give_objects(&mp, objects, 1);
        cork_mempool_done(&mp);
    }
}

TEST(a_watched_pool_may_never_have_had_an_object)
{
    init(0);
    cork_mempool_done(&mp);
    init(0);
    live();
    cork_mempool_done(&mp);
}

/* Objects of one region live on while others are added. */
TEST(a_watched_pool_may_have_several_regions)
{
    for (size_t i = 0; i < 2; i++) {
        init(i == 0 ? 0 : CORK_MEMPOOL_SEAL);
        requests_start();
        requests_refuse_mappings();
        take_objects(&mp, objects, COUNT_OF(objects));
        CHECK(stats_of(&mp).region_count > 1);
        give_objects(&mp, objects, COUNT_OF(objects));
        requests_stop();
        cork_mempool_done(&mp);
    }
}

/* What nobody has written is sealed and verified as well, and that is no use of it. */
TEST(objects_of_a_watched_pool_may_be_freed_as_they_were_issued)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        init(all_protections[i]);
        for (size_t round = 0; round < 2; round++) {
            for (size_t j = 0; j < 10; j++) {
                objects[j] = cork_mempool_new(&mp);
                CHECK(objects[j] != NULL);
            }
            for (size_t j = 0; j < 10; j++) {
                cork_mempool_free(&mp, objects[j]);
            }
            CHECK(cork_mempool_check(&mp));
        }
        cork_mempool_done(&mp);
    }
}

/* Nobody has told the tool of the end of the pool that was there, and that has given all back. */
TEST(a_watched_pool_may_be_where_another_was)
{
    for (size_t round = 0; round < 2; round++) {
        init(CORK_MEMPOOL_SEAL);
        live();
    }
    cork_mempool_done(&mp);
}

TEST(a_watched_buffer_holds_as_many_objects)
{
    static _Alignas(16) char buffer[150 * SIZE];
    const struct cork_mempool_options options = {
        .element_size = SIZE, .buffer = buffer, .buffer_size = sizeof(buffer)};
    size_t count = 0;

    CHECK(cork_mempool_init_with(&mp, &options));
    while ((objects[count] = cork_mempool_new(&mp)) != NULL) {
        fill(objects[count], SIZE, count);
        count++;
    }
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(SIZE));
    CHECK(count * slot_needed(SIZE) > sizeof(buffer) / 4 * 3);
    for (size_t i = 0; i < count; i++) {
        CHECK(is_filled(objects[i], SIZE, i));
    }
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}
