/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * foreach, owns, stats and what else finds a region by an address, in pools of hundreds of regions,
 * whose addresses come in any order; and what a visitor of foreach may do.
 */

#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"

#define SIZE         64
#define GRANT_SIZE   4096
#define GRANT_COUNT  2048
#define OBJECT_COUNT 18000

/* A source that grants little at a time, and memory in an order of its own. */
static _Alignas(GRANT_SIZE) char memory[GRANT_COUNT][GRANT_SIZE];
static bool is_granted[GRANT_COUNT];
static size_t granted_count, last_grant, step; /* step: from grant to grant; odd */

static struct cork_mempool mp;
static void *objects[OBJECT_COUNT];

static size_t grant_of(const void *address)
{
    return (size_t)((const char *)address - memory[0]) / GRANT_SIZE;
}

static void *grant(void *source_data, size_t size, size_t alignment)
{
    CHECK_POINTER(source_data, &step);
    CHECK(alignment <= GRANT_SIZE);
    if (size > GRANT_SIZE || granted_count == GRANT_COUNT) {
        return NULL;
    }
    do {
        last_grant = (last_grant + step) % GRANT_COUNT;
    } while (is_granted[last_grant]);
    is_granted[last_grant] = true;
    granted_count++;
    return memory[last_grant];
}

static void take_back(void *source_data, void *granted, size_t size)
{
    const size_t number = grant_of(granted);

    CHECK_POINTER(source_data, &step);
    CHECK(size <= GRANT_SIZE && granted == memory[number] && is_granted[number]);
    is_granted[number] = false;
    granted_count--;
}

static void begin(unsigned protections)
{
    static const struct cork_mempool_source source = {grant, take_back};

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = SIZE, .alignment = 16,
                                              .block_size = 16 * SIZE, .protections = protections,
                                              .seed = 1, .source = &source, .source_data = &step)));
    last_grant = 0;
    take_objects(&mp, objects, OBJECT_COUNT);
    CHECK(stats_of(&mp).region_count > 200);
}

static void finish(void)
{
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
    CHECK_EQUAL(granted_count, 0);
}

/* Runs a test on pools whose regions come at rising, falling and scattered addresses. */
static void with_hundreds_of_regions(void (*test)(void))
{
    static const size_t steps[] = {1, GRANT_COUNT - 1, 389};
    static const unsigned sets[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL,
                                    CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_WIPE};

    for (size_t i = 0; i < COUNT_OF(steps) * COUNT_OF(sets); i++) {
        step = steps[i % COUNT_OF(steps)];
        test_row("protections %#x, step %zu", sets[i / COUNT_OF(steps)], step);
        begin(sets[i / COUNT_OF(steps)]);
        test();
        CHECK(cork_mempool_check(&mp));
        finish();
    }
}

/* A test of such pools. */
#define TEST_OF_HUNDREDS(name)                                                                     \
    static void name##_in_one(void);                                                               \
    TEST(name)                                                                                     \
    {                                                                                              \
        with_hundreds_of_regions(name##_in_one);                                                   \
    }                                                                                              \
    static void name##_in_one(void)

static void refuse_free(void *pointer, enum cork_mempool_violation_kind kind, size_t slot)
{
    RUN_UNTIL_REFUSED(cork_mempool_free(&mp, pointer));
    CHECK_EQUAL(seen.violation.kind, kind);
    CHECK_POINTER(seen.violation.pointer, pointer);
    CHECK_EQUAL(seen.violation.slot, slot);
}

/* foreach must visit the objects from first on, each every-th, in this order, and nothing else. */
struct visits {
    size_t next, every;
};

static void visit_next(void *user_data, void *object)
{
    struct visits *visits = user_data;

    CHECK(visits->next < OBJECT_COUNT);
    CHECK_POINTER(object, objects[visits->next]);
    visits->next += visits->every;
}

static void visit_all(size_t first, size_t every)
{
    struct visits visits = {first, every};

    cork_mempool_foreach(&mp, visit_next, &visits);
    CHECK_EQUAL(visits.next, OBJECT_COUNT);
}

/* Slots are numbered in the order in which they are made, wherever they are. */
TEST_OF_HUNDREDS(objects_of_hundreds_of_regions_are_found_in_the_order_of_their_slots)
{
    visit_all(0, 1);
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        CHECK(cork_mempool_owns(&mp, objects[i]));
        CHECK(!cork_mempool_owns(&mp, (char *)objects[i] + 1));
        CHECK(is_filled(objects[i], SIZE, i));
        if (i % 3 != 0) {
            cork_mempool_free(&mp, objects[i]);
        }
    }
    visit_all(0, 3);
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        CHECK_EQUAL(cork_mempool_owns(&mp, objects[i]), i % 3 == 0);
    }
}

TEST_OF_HUNDREDS(frees_in_hundreds_of_regions_are_refused_rightly)
{
    for (size_t i = 0; i < OBJECT_COUNT; i += 7) {
        char *const object = objects[i];

        refuse_free(object + 1, CORK_MEMPOOL_INTERIOR_POINTER, i);
        refuse_free(object + SIZE - 1, CORK_MEMPOOL_INTERIOR_POINTER, i);
        cork_mempool_free(&mp, object);
        refuse_free(objects[i], CORK_MEMPOOL_DOUBLE_FREE, i);
    }
    refuse_free((char *)((uintptr_t)memory - 8), CORK_MEMPOOL_FOREIGN_POINTER,
                CORK_MEMPOOL_NO_SLOT);
    refuse_free(&mp, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
    for (size_t i = 0; i < OBJECT_COUNT; i += 7) {
        refuse_free(objects[i], CORK_MEMPOOL_DOUBLE_FREE, i);
    }
    CHECK_EQUAL(stats_of(&mp).live_count, OBJECT_COUNT - (OBJECT_COUNT + 6) / 7);
}

/* An object is issued to nobody else while it is live, and a freed one is issued again. */
TEST_OF_HUNDREDS(objects_come_and_go_in_hundreds_of_regions)
{
    const size_t region_count = stats_of(&mp).region_count;
    uint64_t random = test_seed();

    for (size_t round = 0; round < 300; round++) {
        size_t freed[100];

        for (size_t i = 0; i < COUNT_OF(freed); i++) {
            do {
                freed[i] = (size_t)(test_random(&random) % OBJECT_COUNT);
            } while (objects[freed[i]] == NULL);
            CHECK(is_filled(objects[freed[i]], SIZE, freed[i]));
            cork_mempool_free(&mp, objects[freed[i]]);
            objects[freed[i]] = NULL;
        }
        CHECK(round % 50 != 0 || cork_mempool_check(&mp));
        for (size_t i = 0; i < COUNT_OF(freed); i++) {
            objects[freed[i]] = cork_mempool_new(&mp);
            CHECK(objects[freed[i]] != NULL);
            fill(objects[freed[i]], SIZE, freed[i]);
        }
    }
    CHECK(stats_of(&mp).region_count <= region_count + 256 / 16);
    give_objects(&mp, objects, OBJECT_COUNT);
}

static size_t depth_of(const struct cork_mempool_region *region)
{
    size_t lower, higher;

    if (region == NULL) {
        return 0;
    }
    lower = depth_of(region->lower);
    higher = depth_of(region->higher);
    return 1 + (lower > higher ? lower : higher);
}

/* A balanced search looks at 20 or 25 of so many; one in the order of addresses, at all. */
TEST_OF_HUNDREDS(a_search_among_hundreds_of_regions_looks_at_few)
{
    CHECK(depth_of(mp.root) < 50);
}

static size_t kept; /* trim leaves each kept-th region its objects, from the second on */

static void trim(void)
{
    const size_t region_count = stats_of(&mp).region_count;
    size_t live_count = 0;
    size_t last = GRANT_COUNT;
    size_t region = 0;

    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        region += grant_of(objects[i]) != last;
        last = grant_of(objects[i]);
        if (region % kept == 1) {
            fill(objects[live_count] = objects[i], SIZE, live_count);
            live_count++;
        } else {
            cork_mempool_free(&mp, objects[i]);
        }
    }
    CHECK(cork_mempool_trim(&mp) > 0);
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, live_count);
    CHECK(stats_of(&mp).region_count < region_count);
    /* Slots are counted over the regions that are left. */
    for (size_t i = 0; i < live_count; i += 40) {
        refuse_free((char *)objects[i] + 1, CORK_MEMPOOL_INTERIOR_POINTER, i);
    }
    take_objects(&mp, objects + live_count, OBJECT_COUNT - live_count);
    give_objects(&mp, objects + live_count, OBJECT_COUNT - live_count);
    give_objects(&mp, objects, live_count);
}

TEST(trim_gives_back_any_of_hundreds_of_regions)
{
    for (kept = 2; kept < 200; kept = kept * 4 - 1) {
        with_hundreds_of_regions(trim);
    }
}

TEST(the_kept_object_is_free_to_everybody)
{
    struct cork_mempool_stats before;

    step = 1;
    begin(0);
    before = stats_of(&mp);
    cork_mempool_free(&mp, objects[0]);
    CHECK_EQUAL(stats_of(&mp).live_count, before.live_count - 1);
    CHECK_EQUAL(stats_of(&mp).free_count, before.free_count + 1);
    CHECK(!cork_mempool_owns(&mp, objects[0]));
    visit_all(1, 1);
    refuse_free(objects[0], CORK_MEMPOOL_DOUBLE_FREE, 0);
    CHECK(cork_mempool_check(&mp));
    CHECK_POINTER(cork_mempool_new(&mp), objects[0]);
    finish();
}

static size_t visit_count, new_count, free_count;

/* Visits the 1000 objects of a new pool. */
static void walk(unsigned protections, void (*visit)(void *user_data, void *object), bool ends)
{
    test_row("protections %#x", protections);
    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = SIZE, .protections = protections)));
    take_objects(&mp, objects, 1000);
    visit_count = new_count = free_count = 0;
    cork_mempool_foreach(&mp, visit, &ends);
}

static void end_walk(void)
{
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, 1000 + new_count - free_count);
    finish();
}

/* Frees the object, and at the first one every third of the others, wherever they are. */
static void visit_and_free(void *user_data, void *object)
{
    (void)user_data;
    for (size_t i = 2; visit_count == 0 && i < 1000; i += 3) {
        if (objects[i] != object) {
            cork_mempool_free(&mp, objects[i]);
            free_count++;
        }
    }
    visit_count++;
    cork_mempool_free(&mp, object);
    free_count++;
}

/* Frees every second object, and issues one for every third. */
static void visit_and_trade(void *user_data, void *object)
{
    (void)user_data;
    visit_count++;
    if (visit_count % 3 == 0 && new_count < 10000) {
        CHECK(cork_mempool_new(&mp) != NULL);
        new_count++;
    }
    if (visit_count % 2 == 0) {
        cork_mempool_free(&mp, object);
        free_count++;
    }
}

TEST(a_visitor_may_issue_and_free_objects)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        walk(all_protections[i], visit_and_free, false);
        CHECK(free_count == 1000 && visit_count < 700);
        end_walk();
        walk(all_protections[i], visit_and_trade, false);
        CHECK(visit_count >= 1000 && new_count >= 300);
        end_walk();
    }
}

/* A visitor that goes on after a refused call is in no call any more, and may end the pool. */
static void visit_and_call(void *user_data, void *object)
{
    const bool *ends = user_data;

    (void)object;
    if (++visit_count == 3) {
        RUN_UNTIL_REFUSED(cork_mempool_trim(&mp));
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_BUSY);
        if (*ends) {
            finish();
        }
    }
}

TEST(a_walk_ends_with_a_refused_call_of_its_visitor)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        walk(all_protections[i], visit_and_call, false);
        CHECK_EQUAL(visit_count, 3);
        give_objects(&mp, objects, 1000);
        cork_mempool_done(&mp);
        walk(all_protections[i], visit_and_call, true);
        CHECK_EQUAL(visit_count, 3);
        RUN_UNTIL_REFUSED((void)!cork_mempool_new(&mp));
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_USE_AFTER_DONE);
    }
}
