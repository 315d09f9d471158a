/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * foreach and owns: which objects of a pool are live, with every protection, in regions of the heap
 * and of the system. Pools of hundreds of regions, and what a visitor may do, have their own file.
 */

#include <stdint.h>
#include <string.h>

#include "test/support/memory.h"

#define OBJECT_COUNT 3000

static void *objects[OBJECT_COUNT], *others[OBJECT_COUNT];
static bool is_live[OBJECT_COUNT];

static void *visited[OBJECT_COUNT];
static size_t visit_count;

static void visit(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &visit_count);
    CHECK(visit_count < OBJECT_COUNT);
    visited[visit_count++] = object;
}

/* Checks that foreach visits the live ones of objects in this order, and owns knows no others. */
static void expect_live(struct cork_mempool *mp)
{
    size_t live_count = 0;
    int local;

    visit_count = 0;
    cork_mempool_foreach(mp, visit, &visit_count);
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        if (is_live[i]) {
            CHECK(live_count < visit_count);
            CHECK_POINTER(visited[live_count++], objects[i]);
        }
        if (objects[i] != NULL) {
            CHECK_EQUAL(cork_mempool_owns(mp, objects[i]), is_live[i]);
            CHECK(!cork_mempool_owns(mp, (char *)objects[i] + 1));
            CHECK(!cork_mempool_owns(mp, (char *)objects[i] + 32));
            CHECK(!cork_mempool_owns(mp, (char *)objects[i] + 63));
            CHECK(!cork_mempool_owns(mp, others[i]));
        }
    }
    CHECK_EQUAL(visit_count, live_count);
    CHECK(!cork_mempool_owns(mp, NULL));
    CHECK(!cork_mempool_owns(mp, &local));
    CHECK(!cork_mempool_owns(mp, mp));
}

/* Where slots are issued at random, their order is that of addresses, but between regions. */
static void put_in_order(struct cork_mempool *mp)
{
    size_t descent_count = 0;

    visit_count = 0;
    cork_mempool_foreach(mp, visit, &visit_count);
    CHECK_EQUAL(visit_count, OBJECT_COUNT);
    memcpy(objects, visited, sizeof(objects));
    for (size_t i = 1; i < OBJECT_COUNT; i++) {
        descent_count += (uintptr_t)objects[i - 1] >= (uintptr_t)objects[i];
    }
    CHECK(descent_count < stats_of(mp).region_count);
}

/* Where they are not, none is live from some behind the last one on. */
static void expect_no_more(struct cork_mempool *mp)
{
    const struct cork_mempool_stats stats = stats_of(mp);

    for (size_t i = 1; i <= stats.free_count + 3; i++) {
        CHECK(!cork_mempool_owns(mp, (char *)objects[OBJECT_COUNT - 1] + i * stats.slot_size));
    }
}

/* At last some objects are alone in their group, or region. */
TEST(foreach_visits_live_objects_in_the_order_of_slots_and_owns_knows_them)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        struct cork_mempool mp, other;

        INIT(&mp, .element_size = 64, .protections = all_protections[i]);
        INIT(&other, .element_size = 64, .protections = all_protections[i]);
        memset(objects, 0, sizeof(objects));
        expect_live(&mp);
        requests_start();
        take_objects(&mp, objects, 100);
        requests.lacks = NO_HEAP;
        take_objects(&mp, objects + 100, OBJECT_COUNT - 100);
        take_objects(&other, others, OBJECT_COUNT);
        if ((all_protections[i] & CORK_MEMPOOL_SHUFFLE) != 0) {
            put_in_order(&mp);
        } else {
            expect_no_more(&mp);
        }
        memset(is_live, true, sizeof(is_live));
        expect_live(&mp);
        for (size_t step = 7; step >= 1; step--) {
            for (size_t j = 0; j < OBJECT_COUNT; j++) {
                if (is_live[j] && j % step == 0 && j % 70 != 1) {
                    cork_mempool_free(&mp, objects[j]);
                    is_live[j] = false;
                }
            }
            expect_live(&mp);
        }
        cork_mempool_clear(&mp);
        memset(is_live, false, sizeof(is_live));
        expect_live(&mp);
        cork_mempool_done(&mp);
        finish(&other, others, OBJECT_COUNT);
    }
}
