/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Refused calls, left by longjmp: wherever a pointer leads, in whatever state a pool is, nothing
 * has changed. test/misuse/ has each misuse once, as a program; this goes through many of a kind.
 */

#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

#define NO_SLOT CORK_MEMPOOL_NO_SLOT

static char *at(const void *pointer, ptrdiff_t offset)
{
    return (char *)((uintptr_t)pointer + (uintptr_t)offset);
}

static void free_is_refused(struct cork_mempool *mp, enum cork_mempool_violation_kind kind,
                            const void *pointer, size_t slot)
{
    CHECK_REFUSED(mp, cork_mempool_free(mp, at(pointer, 0)), .kind = kind, .pointer = pointer,
                  .slot = slot);
}

static void foreign_is_refused(struct cork_mempool *mp, const void *pointer)
{
    free_is_refused(mp, CORK_MEMPOOL_FOREIGN_POINTER, pointer, NO_SLOT);
}

/* In a pool that has issued all that it may; behind its last slot, memory may go on or not. Slots
 * are in the order of issue, but with SHUFFLE, where there is one region. */
static void every_pointer_is_refused(size_t element_size, unsigned protections, size_t count)
{
    struct cork_mempool mp;
    void *objects[200];

    INIT(&mp, .element_size = element_size, .max_objects = count, .protections = protections,
         .seed = test_seed());
    take_objects(&mp, objects, count);
    for (size_t i = 0; i < count; i++) {
        const size_t slot_size = stats_of(&mp).slot_size;
        const char *const end = at(objects[i], (ptrdiff_t)slot_size);
        const size_t slot =
            (protections & CORK_MEMPOOL_SHUFFLE) == 0 ? i : slot_number_at(&mp, objects[i]);

        for (size_t offset = 1; offset < slot_size && i % 21 == 0; offset++) {
            free_is_refused(&mp, CORK_MEMPOOL_INTERIOR_POINTER, at(objects[i], (ptrdiff_t)offset),
                            slot);
        }
        if (is_foreign(&mp, end)) {
            foreign_is_refused(&mp, end);
        } else if (!cork_mempool_owns(&mp, end)) {
            free_is_refused(&mp, CORK_MEMPOOL_NEVER_ISSUED, end, slot + 1);
        }
    }
    give_objects(&mp, objects, count);
    exercise(&mp, count);
}

TEST(every_pointer_into_and_behind_objects_is_refused)
{
    static const size_t sizes[] = {2, 3, 7, 8, 12, 16, 20, 24, 33, 40, 64, 100, 256, 1000, 2000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        every_pointer_is_refused(sizes[i], 0, 200);
    }
    for (unsigned number = 0; number < SETS_COUNT; number++) {
        every_pointer_is_refused(24, set_of(number), 32);
    }
}

/*
 * A populated pool: it has objects in memory of every kind that pools know. What is refused must be
 * refused wherever an object lies.
 */

#define ELEMENT_SIZE 1008
#define ELEMENT_SLOT (TEST_UNDER_ASAN ? ELEMENT_SIZE + 16 : ELEMENT_SIZE)

/* The objects' type; it gives the pool its name. */
struct element {
    char bytes[ELEMENT_SIZE];
};

/* In each of the regions: its first object, and one further on that has neighbours. */
#define PLACE_COUNT 8
#define RESERVED    2 /* the number of the one region that is reserved */

static struct {
    struct cork_mempool mp;
    size_t count;
    /* In the order in which they were issued, which is that of their slots; NULL: freed since. */
    void *objects[1200];
    size_t places[PLACE_COUNT];
    size_t unissued_count; /* slots behind that of the last object, up to the end of the memory */
} populated;

static void take_one(void)
{
    const size_t number = populated.count++;

    CHECK(number < COUNT_OF(populated.objects));
    take_objects(&populated.mp, &populated.objects[number], 1);
    fill(populated.objects[number], ELEMENT_SIZE, number);
}

/* Fills a pool's first region, one more of the heap, a reserved one, and some of another of the
 * heap, so that slots remain that were never issued. The last two are those that free finds on its
 * fast path. */
static void populate(void)
{
    cork_mempool_init(&populated.mp, struct element);
    populated.count = 0;
    requests_start();
    for (size_t region = 0; region < PLACE_COUNT / 2; region++) {
        requests_refuse(region == RESERVED ? HEAP : MAPPINGS, REFUSE_FROM, 1);
        while (stats_of(&populated.mp).region_count == region) {
            take_one();
        }
        populated.places[2 * region] = populated.count - 1;
        populated.places[2 * region + 1] = populated.count + (region < RESERVED ? 1 : 20);
    }
    requests_stop();
    CHECK(requests.refused_count > 0 && requests.mapped_size > 0);
    for (size_t i = 0; i < 30; i++) {
        take_one();
    }
    CHECK_EQUAL(stats_of(&populated.mp).region_count, PLACE_COUNT / 2);
    populated.unissued_count = stats_of(&populated.mp).free_count;
    CHECK(populated.unissued_count > 30);
}

/* Checks the contents of all objects, uses the pool anew and ends it. */
static void end_populated(void)
{
    size_t live_count = 0;

    for (size_t i = 0; i < populated.count; i++) {
        CHECK(populated.objects[i] == NULL || is_filled(populated.objects[i], ELEMENT_SIZE, i));
        live_count += populated.objects[i] != NULL;
    }
    CHECK(cork_mempool_check(&populated.mp));
    CHECK_EQUAL(stats_of(&populated.mp).live_count, live_count);
    cork_mempool_clear(&populated.mp);
    exercise(&populated.mp, populated.count);
}

/* Just before a region is nothing of the pool's; a slot further may be another region. */
static void outside_of_regions_is_refused(const char *first, const char *last_of_other)
{
    foreign_is_refused(&populated.mp, at(first, -1));
    if (is_foreign(&populated.mp, at(first, -ELEMENT_SLOT))) {
        foreign_is_refused(&populated.mp, at(first, -ELEMENT_SLOT));
    }
    if (last_of_other != NULL && is_foreign(&populated.mp, at(last_of_other, ELEMENT_SLOT))) {
        foreign_is_refused(&populated.mp, at(last_of_other, ELEMENT_SLOT));
    }
}

static void slots_ahead_are_refused(void)
{
    const size_t ahead[] = {1, 10, populated.unissued_count / 2, populated.unissued_count};
    const char *const last = populated.objects[populated.count - 1];

    for (size_t i = 0; i < COUNT_OF(ahead); i++) {
        const char *const pointer = at(last, (ptrdiff_t)ahead[i] * ELEMENT_SLOT);
        const size_t slot = populated.count - 1 + ahead[i];

        free_is_refused(&populated.mp, CORK_MEMPOOL_NEVER_ISSUED, pointer, slot);
        free_is_refused(&populated.mp, CORK_MEMPOOL_INTERIOR_POINTER, pointer + 1, slot);
    }
    foreign_is_refused(&populated.mp,
                       at(last, (ptrdiff_t)(populated.unissued_count + 1) * ELEMENT_SLOT));
}

TEST(a_free_that_is_refused_changes_nothing_wherever_it_points)
{
    void *freed[PLACE_COUNT];

    populate();
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        const size_t slot = populated.places[i];

        freed[i] = populated.objects[slot];
        cork_mempool_free(&populated.mp, freed[i]);
        for (size_t offset = 1; offset < 2 * ELEMENT_SLOT; offset++) {
            if (offset != ELEMENT_SLOT) {
                free_is_refused(&populated.mp, CORK_MEMPOOL_INTERIOR_POINTER,
                                at(freed[i], (ptrdiff_t)offset), slot + offset / ELEMENT_SLOT);
            }
        }
        if (i % 2 == 0) {
            outside_of_regions_is_refused(freed[i], i > 0 ? populated.objects[slot - 1] : NULL);
        }
        populated.objects[slot] = NULL;
        slots_ahead_are_refused();
        for (size_t j = 0; j <= i; j++) {
            free_is_refused(&populated.mp, CORK_MEMPOOL_DOUBLE_FREE, freed[j], populated.places[j]);
        }
    }
    end_populated();
}

/* Before the first new, all pointers are foreign. */
TEST(a_foreign_pointer_is_refused_whatever_it_is)
{
    struct cork_mempool mp;
    int on_the_stack = 0;
    void *objects[100];

    cork_mempool_init_size(&mp, SIZE_MAX);
    foreign_is_refused(&mp, &on_the_stack);
    cork_mempool_init_size(&mp, 48);
    foreign_is_refused(&mp, &on_the_stack);
    take_objects(&mp, objects, 100);
    const void *const pointers[] = {
        (void *)(uintptr_t)48,
        (void *)(UINTPTR_MAX - 47),
        (void *)(UINTPTR_MAX / 2 + 1),
        (void *)((uintptr_t)objects[0] ^ (UINTPTR_MAX / 2 + 1)),
    };
    for (size_t i = 0; i < COUNT_OF(pointers); i++) {
        foreign_is_refused(&mp, pointers[i]);
    }
    give_objects(&mp, objects, 100);
    cork_mempool_done(&mp);
}

TEST(leaks_are_listed_wherever_they_are)
{
    static const size_t steps[] = {1, 3, 64, 301, 777};

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct cork_mempool_object live[1200];
        size_t live_count = 0;

        populate();
        for (size_t j = 0; j < populated.count; j++) {
            if (j % steps[i] == 2 % steps[i]) {
                live[live_count++] = (struct cork_mempool_object){populated.objects[j], j, NULL};
            } else {
                cork_mempool_free(&populated.mp, populated.objects[j]);
                populated.objects[j] = NULL;
            }
        }
        CHECK_REFUSED(&populated.mp, cork_mempool_done(&populated.mp), .kind = CORK_MEMPOOL_LEAK,
                      .slot = NO_SLOT, .live_count = live_count, .listed = live);
        end_populated();
    }
}

/* As far as it can be told: see mempool.h. The pool has one object kept aside, some on its stack,
 * and some in the active group, which new must not issue; or there is no such group. */
TEST(calls_of_a_moved_pool_change_nothing)
{
    struct cork_mempool mp, moved;
    void *objects[129];

    cork_mempool_init(&mp, int);
    for (size_t freed = 0; freed < 5; freed++) {
        take_objects(&mp, objects, 129);
        give_objects(&mp, objects, freed < 4 ? freed : 30);
        if (freed == 0) {
            cork_mempool_free(&mp, objects[128]); /* is alone in its region */
            cork_mempool_trim(&mp);
        }
        moved = mp;
        for (volatile enum call call = NEW; call < CALL_COUNT; call++) {
            test_row("%zu freed, call %d", freed, (int)call);
            CHECK_REFUSED(&moved, make_call(call, &moved, objects), .kind = CORK_MEMPOOL_NOT_A_POOL,
                          .moved_from = &mp, .slot = NO_SLOT,
                          .pointer = call == FREE || call == OWNS ? objects : NULL);
        }
        cork_mempool_clear(&mp);
    }
    exercise(&mp, 500);
}
