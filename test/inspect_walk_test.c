/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * foreach, owns and what else finds a region by an address: with every protection, in memory of the
 * heap, of the system, and of hundreds of regions at addresses in any order; and what a visitor of
 * foreach may do.
 */

#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"

#define SIZE         256
#define GRANT_SIZE   4096
#define GRANT_COUNT  1024
#define OBJECT_COUNT 4000

/* A source that grants little at a time, and memory in an order of its own; none of it twice. It
 * grants slots and tables in turn, apart from each other, so that regions may touch. */
static _Alignas(GRANT_SIZE) char memory[2][GRANT_COUNT][GRANT_SIZE];
static size_t step; /* from grant to grant; odd; 0: no source */
static size_t grant_count, kept_count;

static struct cork_mempool mp;
static void *objects[OBJECT_COUNT]; /* in the order of their slots */
static bool is_live[OBJECT_COUNT];

static void *grant(void *source_data, size_t size, size_t alignment)
{
    CHECK_POINTER(source_data, &step);
    CHECK(alignment <= GRANT_SIZE && grant_count < 2 * GRANT_COUNT);
    if (size > GRANT_SIZE) {
        return NULL;
    }
    kept_count++;
    grant_count++;
    return memory[grant_count % 2][grant_count / 2 * step % GRANT_COUNT];
}

static void take_back(void *source_data, void *granted, size_t size)
{
    CHECK_POINTER(source_data, &step);
    CHECK(((char *)granted - memory[0][0]) % GRANT_SIZE == 0 && size <= GRANT_SIZE);
    kept_count--;
}

static void *visited[OBJECT_COUNT];
static size_t visit_count;

static void visit(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &visit_count);
    CHECK(visit_count < OBJECT_COUNT);
    visited[visit_count++] = object;
}

/* Checks that foreach visits the live ones of objects in this order, and owns knows no others. */
static void expect_live(void)
{
    size_t live_count = 0;

    visit_count = 0;
    cork_mempool_foreach(&mp, visit, &visit_count);
    for (size_t i = 0; i < OBJECT_COUNT && objects[i] != NULL; i++) {
        char *object = objects[i];

        if (is_live[i]) {
            CHECK(live_count < visit_count);
            CHECK_POINTER(visited[live_count++], object);
        }
        CHECK_EQUAL(cork_mempool_owns(&mp, object), is_live[i]);
        CHECK(!cork_mempool_owns(&mp, object + 1));
        CHECK(!cork_mempool_owns(&mp, object + SIZE - 1));
    }
    CHECK_EQUAL(visit_count, live_count);
    CHECK(!cork_mempool_owns(&mp, NULL));
    CHECK(!cork_mempool_owns(&mp, &mp));
}

/* Where slots are issued at random, their order is that of addresses, but between regions. */
static void put_in_order(void)
{
    size_t descent_count = 0;

    visit_count = 0;
    cork_mempool_foreach(&mp, visit, &visit_count);
    CHECK_EQUAL(visit_count, OBJECT_COUNT);
    memcpy(objects, visited, sizeof(objects));
    for (size_t i = 1; i < OBJECT_COUNT; i++) {
        descent_count += (uintptr_t)objects[i - 1] >= (uintptr_t)objects[i];
    }
    CHECK(descent_count < stats_of(&mp).region_count);
}

/* Begins a pool of objects in memory of the heap, and then of the system; or of the source. */
static void begin(unsigned protections, size_t grant_step)
{
    static const struct cork_mempool_source source = {grant, take_back};
    const size_t of_heap = grant_step == 0 ? 100 : 0;

    test_row("protections %#x, step %zu", protections, grant_step);
    step = grant_step;
    grant_count = 0;
    INIT(&mp, .element_size = SIZE, .alignment = 16, .block_size = 4 * SIZE,
         .protections = step == 0 ? protections : protections & ~CORK_MEMPOOL_GUARD, .seed = 1,
         .source = step == 0 ? NULL : &source, .source_data = step == 0 ? NULL : &step);
    memset(is_live, false, sizeof(is_live));
    expect_live();
    requests_start();
    take_objects(&mp, objects, of_heap);
    requests.lacks = NO_HEAP;
    take_objects(&mp, objects + of_heap, OBJECT_COUNT - of_heap);
    memset(is_live, true, sizeof(is_live));
    CHECK(stats_of(&mp).region_count > (step == 0 ? 1 : 200));
}

static void end(void)
{
    CHECK(cork_mempool_check(&mp));
    finish(&mp, NULL, 0);
    CHECK_EQUAL(kept_count, 0);
}

/* What is cleared is free as if it had been freed, and as much is issued again as there was. */
static void expect_cleared(void)
{
    const struct cork_mempool_stats before = stats_of(&mp);
    const bool is_held = (mp.protections & CORK_MEMPOOL_QUARANTINE) != 0;

    cork_mempool_clear(&mp);
    memset(is_live, false, sizeof(is_live));
    expect_live();
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        CHECK_FORBIDDEN(objects[i]);
    }
    CHECK(is_held || stats_of(&mp).free_count == before.free_count + before.live_count);
    CHECK_EQUAL(stats_of(&mp).memory_size, before.memory_size);
    take_objects(&mp, objects, OBJECT_COUNT);
    CHECK(is_held || stats_of(&mp).memory_size == before.memory_size);
    give_objects(&mp, objects, OBJECT_COUNT);
}

/* Of the heap and the system; of a source, at rising, falling and scattered addresses. */
static const size_t steps[] = {0, 1, GRANT_COUNT - 1, 389};

/* At last some objects are alone in their group, or region. */
TEST(foreach_visits_live_objects_in_the_order_of_slots_and_owns_knows_them_until_clear_frees_them)
{
    for (size_t i = 0; i < COUNT_OF(steps) * PROTECTIONS_COUNT; i++) {
        begin(all_protections[i / COUNT_OF(steps)], steps[i % COUNT_OF(steps)]);
        if ((mp.protections & CORK_MEMPOOL_SHUFFLE) != 0) {
            put_in_order();
        } else if (step == 0) {
            /* Nor are slots behind the last one live, which no object was issued in. */
            for (size_t j = 1; j <= stats_of(&mp).free_count + 3; j++) {
                CHECK(!cork_mempool_owns(&mp, (char *)objects[OBJECT_COUNT - 1] +
                                                  j * mp.geometry.stride));
            }
        }
        expect_live();
        for (size_t every = 7; every >= 1; every--) {
            for (size_t j = 0; j < OBJECT_COUNT; j++) {
                if (is_live[j] && j % every == 0 && j % 70 != 1) {
                    cork_mempool_free(&mp, objects[j]);
                    CHECK_FORBIDDEN(objects[j]);
                    is_live[j] = false;
                }
            }
            expect_live();
        }
        expect_cleared();
        end();
    }
}

static size_t depth_of(const struct cork_mempool_region *region)
{
    if (region == NULL) {
        return 0;
    }

    const size_t lower = depth_of(region->below[0]), higher = depth_of(region->below[1]);
    return 1 + (lower > higher ? lower : higher);
}

static void expect_refused(enum cork_mempool_violation_kind kind, void *ptr, size_t slot)
{
    CHECK_REFUSED(&mp, cork_mempool_free(&mp, ptr), .kind = kind, .pointer = ptr, .slot = slot);
}

/* Slots are numbered in the order in which they are made, wherever they are. */
static void frees_are_refused_rightly(void)
{
    for (size_t i = 0; i < OBJECT_COUNT; i += 61) {
        char *object = objects[i];

        expect_refused(CORK_MEMPOOL_INTERIOR_POINTER, object + 1, i);
        expect_refused(CORK_MEMPOOL_INTERIOR_POINTER, object + SIZE - 1, i);
        cork_mempool_free(&mp, object);
        expect_refused(CORK_MEMPOOL_DOUBLE_FREE, object, i);
        expect_refused(CORK_MEMPOOL_DOUBLE_FREE, objects[i / 122 * 61], i / 122 * 61);
    }
    expect_refused(CORK_MEMPOOL_FOREIGN_POINTER, &mp, CORK_MEMPOOL_NO_SLOT);
}

/* Each kept-th region keeps its objects, from the second on. Slots are counted over the regions
 * that are left. */
static void regions_are_trimmed(size_t kept)
{
    size_t live_count = 0, region = 0;

    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        region += i > 0 && ((uintptr_t)objects[i - 1] ^ (uintptr_t)objects[i]) >= GRANT_SIZE;
        if (region % kept == 1) {
            fill(objects[live_count] = objects[i], SIZE, live_count);
            live_count++;
        } else {
            cork_mempool_free(&mp, objects[i]);
        }
    }
    CHECK(cork_mempool_trim(&mp) >= (OBJECT_COUNT - live_count) * SIZE);
    CHECK_EQUAL(stats_of(&mp).live_count, live_count);
    CHECK_EQUAL(stats_of(&mp).region_count, (region - 1) / kept + 1);
    for (size_t i = 0; i < live_count; i += 40) {
        expect_refused(CORK_MEMPOOL_INTERIOR_POINTER, (char *)objects[i] + 1, i);
    }
    /* The active group may be gone. */
    cork_mempool_free(&mp, objects[--live_count]);
    CHECK(cork_mempool_check(&mp));
    take_objects(&mp, objects + live_count, OBJECT_COUNT - live_count);
    give_objects(&mp, objects + live_count, OBJECT_COUNT - live_count);
    give_objects(&mp, objects, live_count);
}

/* A balanced search looks at 20 or 25 of so many; one in the order of addresses, at all. */
TEST(an_object_in_any_of_hundreds_of_regions_is_found_soon_and_any_of_them_is_given_back)
{
    static const unsigned sets[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL,
                                    CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_WIPE};

    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        for (size_t j = 1; j < COUNT_OF(steps); j++) {
            begin(sets[i], steps[j]);
            CHECK(depth_of(mp.root) < 50);
            frees_are_refused_rightly();
            end();
            for (size_t kept = 2; kept < 200; kept = kept * 4 - 1) {
                begin(sets[i], steps[j]);
                regions_are_trimmed(kept);
                end();
            }
        }
    }
}

/* Visits the 1000 objects of a new pool. */
static void walk(unsigned protections, void (*visit_so)(void *, void *), void *user_data)
{
    test_row("protections %#x", protections);
    INIT(&mp, .element_size = SIZE, .protections = protections);
    take_objects(&mp, objects, 1000);
    visit_count = 0;
    cork_mempool_foreach(&mp, visit_so, user_data);
}

/* First frees every third object but this, wherever they are; then every second one that it comes
 * to, and issues one for every third. */
static void visit_and_trade(void *user_data, void *object)
{
    size_t *live_count = user_data;

    for (size_t i = 2; visit_count == 0 && i < 1000; i += 3) {
        if (objects[i] != object) {
            cork_mempool_free(&mp, objects[i]);
            --*live_count;
        }
    }
    visit_count++;
    if (visit_count % 3 == 0 && visit_count < 10000) {
        CHECK(cork_mempool_new(&mp) != NULL);
        ++*live_count;
    }
    cork_mempool_free(&mp, visit_count % 2 == 0 ? object : NULL);
    *live_count -= visit_count % 2 == 0;
}

TEST(a_visitor_may_issue_and_free_objects)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        size_t live_count = 1000;

        walk(all_protections[i], visit_and_trade, &live_count);
        CHECK(visit_count >= 666);
        CHECK_EQUAL(stats_of(&mp).live_count, live_count);
        end();
    }
}

/* A visitor that goes on after a refused call is in no call any more, and may end the pool. */
static void visit_and_call(void *user_data, void *object)
{
    const bool *ends = user_data;

    (void)object;
    if (++visit_count == 3) {
        CHECK_KIND(cork_mempool_trim(&mp), CORK_MEMPOOL_BUSY);
        if (*ends) {
            end();
        }
    }
}

TEST(a_walk_ends_with_a_refused_call_of_its_visitor)
{
    for (size_t i = 0; i < 2 * PROTECTIONS_COUNT; i++) {
        bool ends = i % 2 != 0;

        walk(all_protections[i / 2], visit_and_call, &ends);
        CHECK_EQUAL(visit_count, 3);
        if (ends) {
            CHECK_KIND((void)!cork_mempool_new(&mp), CORK_MEMPOOL_USE_AFTER_DONE);
        } else {
            give_objects(&mp, objects, 1000);
            end();
        }
    }
}
