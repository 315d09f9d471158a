/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Walks and lookups: pools of hundreds of regions, whose addresses come in any order; what a
 * visitor of foreach may do; and the object that free keeps aside, which no walk may meet.
 */

#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

#define SIZE         64
#define GRANT_SIZE   4096
#define GRANT_COUNT  2048
#define OBJECT_COUNT 18000

/* A source that grants little at a time, and memory in an order of its own. */
struct grants {
    size_t step; /* from grant to grant; odd */
    size_t next;
    size_t live_count;
    bool are_live[GRANT_COUNT];
};

static _Alignas(GRANT_SIZE) char memory[GRANT_COUNT][GRANT_SIZE];
static struct grants grants;
static void *objects[OBJECT_COUNT];

static void *grant(void *source_data, size_t size, size_t alignment)
{
    CHECK_POINTER(source_data, &grants);
    CHECK(alignment <= GRANT_SIZE);
    if (size > GRANT_SIZE || grants.live_count == GRANT_COUNT) {
        return NULL;
    }
    do {
        grants.next = (grants.next + grants.step) % GRANT_COUNT;
    } while (grants.are_live[grants.next]);
    grants.are_live[grants.next] = true;
    grants.live_count++;
    return memory[grants.next];
}

static size_t grant_of(const void *address)
{
    return (size_t)((const char *)address - memory[0]) / GRANT_SIZE;
}

static void take_back(void *source_data, void *granted, size_t size)
{
    const size_t number = grant_of(granted);

    CHECK_POINTER(source_data, &grants);
    CHECK(size <= GRANT_SIZE && granted == memory[number] && grants.are_live[number]);
    grants.are_live[number] = false;
    grants.live_count--;
}

static const struct cork_mempool_source source = {grant, take_back};

static void init(struct cork_mempool *mp, unsigned protections, size_t step)
{
    const struct cork_mempool_options options = {.element_size = SIZE,
                                                 .alignment = 16,
                                                 .block_size = 16 * SIZE,
                                                 .protections = protections,
                                                 .seed = 1,
                                                 .source = &source,
                                                 .source_data = &grants};

    grants = (struct grants){.step = step};
    CHECK(cork_mempool_init_with(mp, &options));
}

/* Takes as many objects as there are. */
static void populate(struct cork_mempool *mp)
{
    take_objects(mp, objects, OBJECT_COUNT);
    CHECK(stats_of(mp).region_count > 200);
}

static void finish(struct cork_mempool *mp)
{
    cork_mempool_clear(mp);
    cork_mempool_done(mp);
    CHECK_EQUAL(grants.live_count, 0);
}

/* The last violation, whose call was left by longjmp. */
static struct cork_mempool_violation violation;
static jmp_buf refused;

static void leave(const struct cork_mempool_violation *seen)
{
    violation = *seen;
    longjmp(refused, 1);
}

/* Frees what must be refused. */
static void refuse_free(struct cork_mempool *mp, void *pointer,
                        enum cork_mempool_violation_kind kind, size_t slot)
{
    violation = (struct cork_mempool_violation){.live_count = 0};
    cork_mempool_on_violation(leave);
    if (setjmp(refused) == 0) {
        cork_mempool_free(mp, pointer);
    }
    cork_mempool_on_violation(NULL);
    CHECK_EQUAL(violation.kind, kind);
    CHECK_POINTER(violation.pointer, pointer);
    CHECK_EQUAL(violation.slot, slot);
}

/* What foreach visits: the objects from first on, each step-th, and nothing else. */
struct visits {
    size_t next, step;
};

static void visit_next(void *user_data, void *object)
{
    struct visits *visits = user_data;

    CHECK(visits->next < OBJECT_COUNT);
    CHECK_POINTER(object, objects[visits->next]);
    visits->next += visits->step;
}

static const size_t steps[] = {1, GRANT_COUNT - 1, 389};
static const unsigned sets[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL,
                                CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_WIPE};

/* Slots are numbered in the order in which they are made, wherever they are. */
TEST(objects_of_hundreds_of_regions_are_found_in_the_order_of_their_slots)
{
    for (size_t i = 0; i < COUNT_OF(steps) * COUNT_OF(sets); i++) {
        struct visits visits = {0, 1};
        struct cork_mempool mp;

        init(&mp, sets[i / COUNT_OF(steps)], steps[i % COUNT_OF(steps)]);
        populate(&mp);
        cork_mempool_foreach(&mp, visit_next, &visits);
        CHECK_EQUAL(visits.next, OBJECT_COUNT);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            CHECK(cork_mempool_owns(&mp, objects[j]));
            CHECK(!cork_mempool_owns(&mp, (char *)objects[j] + 1));
            CHECK(is_filled(objects[j], SIZE, j));
            if (j % 3 != 0) {
                cork_mempool_free(&mp, objects[j]);
            }
        }
        visits = (struct visits){0, 3};
        cork_mempool_foreach(&mp, visit_next, &visits);
        CHECK_EQUAL(visits.next, OBJECT_COUNT);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            CHECK_EQUAL(cork_mempool_owns(&mp, objects[j]), j % 3 == 0);
        }
        CHECK(cork_mempool_check(&mp));
        finish(&mp);
    }
}

TEST(frees_in_hundreds_of_regions_are_refused_rightly)
{
    for (size_t i = 0; i < COUNT_OF(steps) * COUNT_OF(sets); i++) {
        struct cork_mempool mp;

        init(&mp, sets[i / COUNT_OF(steps)], steps[i % COUNT_OF(steps)]);
        populate(&mp);
        for (size_t j = 0; j < OBJECT_COUNT; j += 7) {
            char *const object = objects[j];

            refuse_free(&mp, object + 1, CORK_MEMPOOL_INTERIOR_POINTER, j);
            refuse_free(&mp, object + SIZE - 1, CORK_MEMPOOL_INTERIOR_POINTER, j);
            cork_mempool_free(&mp, object);
            refuse_free(&mp, object, CORK_MEMPOOL_DOUBLE_FREE, j);
        }
        refuse_free(&mp, (char *)((uintptr_t)memory - 8), CORK_MEMPOOL_FOREIGN_POINTER,
                    CORK_MEMPOOL_NO_SLOT);
        refuse_free(&mp, &mp, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
        for (size_t j = 0; j < OBJECT_COUNT; j += 7) {
            refuse_free(&mp, objects[j], CORK_MEMPOOL_DOUBLE_FREE, j);
        }
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).live_count, OBJECT_COUNT - (OBJECT_COUNT + 6) / 7);
        finish(&mp);
    }
}

/* An object is issued to nobody else while it is live, and a freed one is issued again. */
TEST(objects_come_and_go_in_hundreds_of_regions)
{
    for (size_t i = 0; i < COUNT_OF(steps) * COUNT_OF(sets); i++) {
        uint64_t random = test_seed();
        struct cork_mempool mp;
        size_t region_count;

        init(&mp, sets[i / COUNT_OF(steps)], steps[i % COUNT_OF(steps)]);
        populate(&mp);
        region_count = stats_of(&mp).region_count;
        for (size_t round = 0; round < 300; round++) {
            size_t freed[100];

            for (size_t j = 0; j < COUNT_OF(freed); j++) {
                do {
                    freed[j] = (size_t)(test_random(&random) % OBJECT_COUNT);
                } while (objects[freed[j]] == NULL);
                CHECK(is_filled(objects[freed[j]], SIZE, freed[j]));
                cork_mempool_free(&mp, objects[freed[j]]);
                objects[freed[j]] = NULL;
            }
            CHECK(round % 50 != 0 || cork_mempool_check(&mp));
            for (size_t j = 0; j < COUNT_OF(freed); j++) {
                objects[freed[j]] = cork_mempool_new(&mp);
                CHECK(objects[freed[j]] != NULL);
                fill(objects[freed[j]], SIZE, freed[j]);
            }
        }
        CHECK(stats_of(&mp).region_count <= region_count + 256 / 16);
        give_objects(&mp, objects, OBJECT_COUNT);
        finish(&mp);
    }
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

/* Of so many regions a search by chance looks at 20 or 25; one in the order of addresses, at all.
 */
TEST(a_search_among_hundreds_of_regions_looks_at_few)
{
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct cork_mempool mp;

        init(&mp, 0, steps[i]);
        populate(&mp);
        CHECK(depth_of(mp.root) < 50);
        finish(&mp);
    }
}

/* Frees the objects of all regions but each step-th from another on, and trims. */
TEST(trim_gives_back_any_of_hundreds_of_regions)
{
    for (size_t i = 0; i < COUNT_OF(steps) * COUNT_OF(sets); i++) {
        for (size_t step = 2; step < 200; step = step * 4 - 1) {
            struct cork_mempool mp;
            size_t live_count = 0;
            const char *last_start = NULL;
            size_t region = 0;
            size_t region_count;

            init(&mp, sets[i / COUNT_OF(steps)], steps[i % COUNT_OF(steps)]);
            populate(&mp);
            region_count = stats_of(&mp).region_count;
            for (size_t j = 0; j < OBJECT_COUNT; j++) {
                const char *const start = memory[grant_of(objects[j])];

                region += start != last_start;
                last_start = start;
                if (region % step == 1) {
                    fill(objects[live_count] = objects[j], SIZE, live_count);
                    live_count++;
                } else {
                    cork_mempool_free(&mp, objects[j]);
                }
            }
            CHECK(cork_mempool_trim(&mp) > 0);
            CHECK(cork_mempool_check(&mp));
            CHECK_EQUAL(stats_of(&mp).live_count, live_count);
            CHECK(stats_of(&mp).region_count < region_count);
            /* Slots are counted over the regions that are left. */
            for (size_t j = 0; j < live_count; j += 40) {
                refuse_free(&mp, (char *)objects[j] + 1, CORK_MEMPOOL_INTERIOR_POINTER, j);
            }
            take_objects(&mp, objects + live_count, OBJECT_COUNT - live_count);
            give_objects(&mp, objects + live_count, OBJECT_COUNT - live_count);
            give_objects(&mp, objects, live_count);
            finish(&mp);
        }
    }
}

TEST(the_kept_object_is_free_to_everybody)
{
    struct cork_mempool mp;
    struct visits visits = {1, 1};
    struct cork_mempool_stats before;

    init(&mp, 0, 1);
    populate(&mp);
    before = stats_of(&mp);
    cork_mempool_free(&mp, objects[0]);
    CHECK_EQUAL(stats_of(&mp).live_count, before.live_count - 1);
    CHECK_EQUAL(stats_of(&mp).free_count, before.free_count + 1);
    CHECK(!cork_mempool_owns(&mp, objects[0]));
    cork_mempool_foreach(&mp, visit_next, &visits);
    CHECK_EQUAL(visits.next, OBJECT_COUNT);
    refuse_free(&mp, objects[0], CORK_MEMPOOL_DOUBLE_FREE, 0);
    CHECK(cork_mempool_check(&mp));
    CHECK_POINTER(cork_mempool_new(&mp), objects[0]);
    finish(&mp);
}

/* Visitors. */

/* Calls on a pool, of which a visitor may make the first two. */
static void nothing(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void call(struct cork_mempool *mp, size_t number)
{
    switch (number) {
    case 0:
        (void)cork_mempool_check(mp);
        break;
    case 1:
        stats_of(mp);
        break;
    case 2:
        (void)cork_mempool_owns(mp, mp);
        break;
    case 3:
        cork_mempool_foreach(mp, nothing, NULL);
        break;
    case 4:
        cork_mempool_clear(mp);
        break;
    case 5:
        cork_mempool_trim(mp);
        break;
    case 6:
        cork_mempool_done(mp);
        break;
    }
}

#define CALL_COUNT 7

/* A visitor that makes a call at its third object. */
struct caller {
    struct cork_mempool *walked, *called;
    size_t number, count;
    bool catches; /* in the visitor: then it goes on as if nothing had been */
};

static void visit_and_call(void *user_data, void *object)
{
    struct caller *caller = user_data;

    (void)object;
    if (++caller->count != 3) {
        return;
    }
    if (!caller->catches) {
        call(caller->called, caller->number);
    } else if (setjmp(refused) == 0) {
        call(caller->called, caller->number);
    }
}

TEST(a_visitor_may_call_nothing_but_new_and_free)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT * CALL_COUNT * 2; i++) {
        const unsigned protections = all_protections[i / CALL_COUNT % PROTECTIONS_COUNT];
        struct cork_mempool mp;
        struct caller caller = {&mp, &mp, i % CALL_COUNT, 0,
                                i >= (size_t)PROTECTIONS_COUNT * CALL_COUNT};

        CHECK(cork_mempool_init_with(&mp, &(const struct cork_mempool_options){
                                              .element_size = SIZE, .protections = protections}));
        take_objects(&mp, objects, 300);
        cork_mempool_free(&mp, objects[299]);
        violation = (struct cork_mempool_violation){.live_count = 0};
        cork_mempool_on_violation(leave);
        if (caller.catches || setjmp(refused) == 0) {
            cork_mempool_foreach(&mp, visit_and_call, &caller);
        }
        cork_mempool_on_violation(NULL);
        CHECK_EQUAL(violation.kind, CORK_MEMPOOL_BUSY);
        CHECK_STRING(violation.message, "use during another call");
        CHECK_POINTER(violation.pool, &mp);
        CHECK_POINTER(violation.pointer, i % CALL_COUNT == 2 ? &mp : NULL);
        CHECK_EQUAL(violation.element_size, SIZE);
        /* The walk has ended with the call that was refused. */
        CHECK_EQUAL(caller.count, 3);
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).live_count, 299);
        give_objects(&mp, objects, 299);
        cork_mempool_done(&mp);
    }
}

/* Whoever goes on in a visitor after a violation is in no call any more, and may end the pool. */
static void visit_and_end(void *user_data, void *object)
{
    struct caller *caller = user_data;

    (void)object;
    caller->count++;
    if (setjmp(refused) == 0) {
        cork_mempool_trim(caller->called);
    }
    cork_mempool_clear(caller->called);
    cork_mempool_done(caller->called);
}

TEST(a_walk_does_not_go_on_in_a_pool_that_its_visitor_has_ended)
{
    struct cork_mempool mp;
    struct caller caller = {.called = &mp};

    init(&mp, 0, 1);
    populate(&mp);
    cork_mempool_on_violation(leave);
    cork_mempool_foreach(&mp, visit_and_end, &caller);
    CHECK_EQUAL(caller.count, 1);
    CHECK_EQUAL(grants.live_count, 0);
    if (setjmp(refused) == 0) {
        (void)!cork_mempool_new(&mp);
    }
    CHECK_EQUAL(violation.kind, CORK_MEMPOOL_USE_AFTER_DONE);
    cork_mempool_on_violation(NULL);
}

TEST(a_visitor_may_call_anything_on_another_pool)
{
    for (size_t number = 0; number < CALL_COUNT; number++) {
        struct cork_mempool mp;
        struct cork_mempool other;
        struct caller caller = {&mp, &other, number, 0, false};

        cork_mempool_init_size(&mp, SIZE);
        cork_mempool_init_size(&other, SIZE);
        take_objects(&mp, objects, 10);
        cork_mempool_foreach(&mp, visit_and_call, &caller);
        CHECK_EQUAL(caller.count, 10);
        give_objects(&mp, objects, 10);
        cork_mempool_done(&mp);
    }
}

/* A visitor that frees each second object, and issues one for each third; what is issued is kept
 * behind the others. */
struct trader {
    struct cork_mempool *mp;
    size_t visit_count, new_count, free_count;
    void *issued[OBJECT_COUNT];
};

static struct trader trader;

static void visit_and_trade(void *user_data, void *object)
{
    struct trader *const t = user_data;

    t->visit_count++;
    if (t->visit_count % 3 == 0 && t->new_count < COUNT_OF(t->issued) / 2) {
        t->issued[t->new_count] = cork_mempool_new(t->mp);
        CHECK(t->issued[t->new_count++] != NULL);
    }
    if (t->visit_count % 2 == 0) {
        for (size_t i = 0; i < t->new_count; i++) {
            if (t->issued[i] == object) {
                return; /* is freed later */
            }
        }
        cork_mempool_free(t->mp, object);
        t->free_count++;
    }
}

TEST(a_visitor_may_issue_and_free_objects)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        struct cork_mempool mp;

        CHECK(cork_mempool_init_with(
            &mp, &(const struct cork_mempool_options){.element_size = SIZE,
                                                      .protections = all_protections[i]}));
        take_objects(&mp, objects, 1000);
        trader = (struct trader){.mp = &mp};
        cork_mempool_foreach(&mp, visit_and_trade, &trader);
        CHECK(trader.visit_count >= 1000);
        CHECK(trader.new_count >= 300 && trader.free_count >= 400);
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).live_count, 1000 + trader.new_count - trader.free_count);
        for (size_t j = 0; j < trader.new_count; j++) {
            CHECK(cork_mempool_owns(&mp, trader.issued[j]));
            cork_mempool_free(&mp, trader.issued[j]);
        }
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}
