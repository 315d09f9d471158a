/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Refused calls, left by longjmp: wherever a pointer leads, in whatever state a pool is, nothing
 * has changed. test/misuse/ has each misuse once, as a program; this goes through many of a kind.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/populated.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

#define NO_SLOT CORK_MEMPOOL_NO_SLOT

static struct populated_pool populated;

static char *at(const void *pointer, ptrdiff_t offset)
{
    return (char *)((uintptr_t)pointer + (uintptr_t)offset);
}

static void double_free_is_refused(struct cork_mempool *mp, const void *pointer, size_t slot)
{
    CHECK_FREE_REFUSED(mp, CORK_MEMPOOL_DOUBLE_FREE, pointer, slot);
}

static void interior_is_refused(struct cork_mempool *mp, const void *pointer, size_t slot)
{
    CHECK_FREE_REFUSED(mp, CORK_MEMPOOL_INTERIOR_POINTER, pointer, slot);
}

static void foreign_is_refused(struct cork_mempool *mp, const void *pointer)
{
    CHECK_FREE_REFUSED(mp, CORK_MEMPOOL_FOREIGN_POINTER, pointer, NO_SLOT);
}

static void never_issued_is_refused(struct cork_mempool *mp, const void *pointer, size_t slot)
{
    CHECK_FREE_REFUSED(mp, CORK_MEMPOOL_NEVER_ISSUED, pointer, slot);
}

/* Frees a few objects at random, then takes some again; objects[] and is_live[] go by slots. */
static void use_at_random(struct cork_mempool *mp, void *const *objects, bool *is_live,
                          size_t count, uint64_t *random)
{
    for (size_t i = 0; i < 20; i++) {
        const size_t slot = (size_t)(test_random(random) % count);

        if (is_live[slot]) {
            cork_mempool_free(mp, objects[slot]);
            is_live[slot] = false;
        }
    }
    for (size_t left = (size_t)(test_random(random) % 20); left > 0; left--) {
        void *object = cork_mempool_new(mp);
        size_t slot = 0;

        while (slot < count && objects[slot] != object) {
            slot++;
        }
        if (slot == count) {
            cork_mempool_free(mp, object);
        } else {
            CHECK(!is_live[slot]);
            is_live[slot] = true;
        }
    }
}

/* Now and then, all are free. */
TEST(a_double_free_after_random_use_is_refused)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;
    void *objects[400];
    bool is_live[400];

    cork_mempool_init(&mp, int[10]);
    take_objects(&mp, objects, 400);
    memset(is_live, true, sizeof(is_live));
    for (size_t round = 0; round < 100; round++) {
        use_at_random(&mp, objects, is_live, 400, &random);
        for (size_t i = 0; i < 400; i++) {
            if (is_live[i] && round % 30 == 29) {
                cork_mempool_free(&mp, objects[i]);
                is_live[i] = false;
            }
            if (!is_live[i]) {
                double_free_is_refused(&mp, objects[i], i);
            }
        }
    }
    cork_mempool_clear(&mp);
    exercise(&mp, 1000);
}

/* In a pool that has issued all that it may; behind its last slot, memory may go on or not. Slots
 * are in the order of issue, but with SHUFFLE, where there is one region. */
static void every_pointer_is_refused(size_t element_size, unsigned protections, size_t count)
{
    const struct cork_mempool_options options = {.element_size = element_size,
                                                 .max_objects = count,
                                                 .protections = protections,
                                                 .seed = test_seed()};
    struct cork_mempool mp;
    void *objects[200];

    CHECK(cork_mempool_init_with(&mp, &options));
    take_objects(&mp, objects, count);
    for (size_t i = 0; i < count; i++) {
        const size_t slot_size = stats_of(&mp).slot_size;
        const char *const end = at(objects[i], (ptrdiff_t)slot_size);
        const size_t slot = (protections & CORK_MEMPOOL_SHUFFLE) == 0
                                ? i
                                : (size_t)((char *)objects[i] - mp.oldest->base) / slot_size;

        for (size_t offset = 1; offset < slot_size && i % 21 == 0; offset++) {
            interior_is_refused(&mp, at(objects[i], (ptrdiff_t)offset), slot);
        }
        if (is_foreign(&mp, end)) {
            foreign_is_refused(&mp, end);
        } else if (!cork_mempool_owns(&mp, end)) {
            never_issued_is_refused(&mp, end, slot + 1);
        }
    }
    CHECK_REFUSED(&mp, CORK_MEMPOOL_LEAK, NULL, NO_SLOT, cork_mempool_done(&mp));
    cork_mempool_free(&mp, NULL);
    give_objects(&mp, objects, count);
    exercise(&mp, count);
}

TEST(every_pointer_into_and_behind_objects_is_refused)
{
    static const size_t sizes[] = {2, 3, 7, 8, 12, 16, 20, 24, 33, 40, 64, 100, 256, 1000, 2000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        every_pointer_is_refused(sizes[i], 0, 200);
    }
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        every_pointer_is_refused(24, set, 32);
    }
}

/* Of a freed object: whatever lies in its slot and the next. */
static void neighbourhood_is_refused(const char *freed, size_t slot)
{
    static const ptrdiff_t offsets[] = {1, 8, 16, 500, 999, 1000, 1007};

    double_free_is_refused(&populated.mp, freed, slot);
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        interior_is_refused(&populated.mp, at(freed, offsets[i]), slot);
        interior_is_refused(&populated.mp, at(populated.objects[slot + 1], offsets[i]), slot + 1);
    }
}

/* Just before a region is nothing of the pool's; a slot before or behind it may be another region.
 */
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
        const char *const slot = at(last, (ptrdiff_t)ahead[i] * ELEMENT_SLOT);

        never_issued_is_refused(&populated.mp, slot, populated.count - 1 + ahead[i]);
        interior_is_refused(&populated.mp, slot + 1, populated.count - 1 + ahead[i]);
    }
    foreign_is_refused(&populated.mp,
                       at(last, (ptrdiff_t)(populated.unissued_count + 1) * ELEMENT_SLOT));
}

TEST(a_free_that_is_refused_changes_nothing_wherever_it_points)
{
    void *freed[POPULATED_PLACE_COUNT];

    populate(&populated);
    for (size_t i = 0; i < POPULATED_PLACE_COUNT; i++) {
        const size_t slot = populated.places[i];

        freed[i] = populated.objects[slot];
        cork_mempool_free(&populated.mp, freed[i]);
        neighbourhood_is_refused(freed[i], slot);
        if (i % 2 == 0) {
            outside_of_regions_is_refused(freed[i], i > 0 ? populated.objects[slot - 1] : NULL);
        }
        populated.objects[slot] = NULL;
        slots_ahead_are_refused();
    }
    for (size_t i = 0; i < POPULATED_PLACE_COUNT; i++) {
        double_free_is_refused(&populated.mp, freed[i], populated.places[i]);
    }
    end_populated(&populated);
}

TEST(a_foreign_pointer_is_refused_whatever_it_is)
{
    struct cork_mempool mp, other;
    int on_the_stack = 0;
    void *objects[100];

    cork_mempool_init_size(&mp, 48);
    foreign_is_refused(&mp, &on_the_stack); /* before the first new, all are */
    cork_mempool_init_size(&other, SIZE_MAX);
    foreign_is_refused(&other, &on_the_stack);
    cork_mempool_init_size(&other, 48);
    take_objects(&mp, objects, 100);
    const void *const pointers[] = {
        cork_mempool_new(&other),
        at(&other, 8),
        (void *)(uintptr_t)abort,
        (void *)(uintptr_t)48,
        (void *)(UINTPTR_MAX - 47),
        (void *)(UINTPTR_MAX / 2 + 1),
        (void *)((uintptr_t)objects[0] ^ (UINTPTR_MAX / 2 + 1)),
    };
    for (size_t i = 0; i < COUNT_OF(pointers); i++) {
        foreign_is_refused(&mp, pointers[i]);
    }
    cork_mempool_clear(&other);
    cork_mempool_done(&other);
    give_objects(&mp, objects, 100);
    cork_mempool_done(&mp);
}

TEST(a_free_of_a_neighbour_of_the_memory_is_refused)
{
    const ptrdiff_t slot = (ptrdiff_t)slot_needed(48);
    struct cork_mempool mp;
    void *object;
    void *end;

    cork_mempool_init_size_ex(&mp, 48, 5 * (size_t)slot); /* the memory is two blocks */
    object = cork_mempool_new(&mp);
    end = at(object, 10 * slot);
    foreign_is_refused(&mp, at(object, -1));
    foreign_is_refused(&mp, at(object, -slot));
    foreign_is_refused(&mp, end);
    foreign_is_refused(&mp, at(end, 1));
    interior_is_refused(&mp, at(end, -1), 9);
    never_issued_is_refused(&mp, at(end, -slot), 9);
    cork_mempool_free(&mp, object);
    cork_mempool_done(&mp);
}

TEST(a_slot_is_never_issued_until_it_is)
{
    const size_t slot_size = slot_needed(32);
    struct cork_mempool mp;
    char *first;

    cork_mempool_init_size_ex(&mp, 32, 64 * slot_size);
    first = cork_mempool_new(&mp);
    for (size_t count = 1; count <= 64; count++) {
        for (size_t slot = 0; slot < count; slot++) {
            cork_mempool_free(&mp, first + slot * slot_size);
        }
        for (size_t slot = 0; slot < 64; slot++) {
            (slot < count ? double_free_is_refused
                          : never_issued_is_refused)(&mp, first + slot * slot_size, slot);
        }
        /* Whatever their order, the same ones are issued again before another is. */
        for (size_t slot = 0; slot < count; slot++) {
            CHECK(cork_mempool_new(&mp) != NULL);
        }
        for (size_t slot = 0; slot < count; slot++) {
            CHECK(cork_mempool_owns(&mp, first + slot * slot_size));
        }
        CHECK(count == 64 || cork_mempool_new(&mp) == first + count * slot_size);
    }
    cork_mempool_clear(&mp);
    exercise(&mp, 1000);
}

TEST(leaks_are_listed_wherever_they_are)
{
    static const size_t steps[] = {1, 3, 64, 301, 777};

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        size_t live_count = 0;

        populate(&populated);
        for (size_t j = 0; j < populated.count; j++) {
            if (j % steps[i] == 2 % steps[i]) {
                live_count++;
            } else {
                cork_mempool_free(&populated.mp, populated.objects[j]);
                populated.objects[j] = NULL;
            }
        }
        CHECK_REFUSED(&populated.mp, CORK_MEMPOOL_LEAK, NULL, NO_SLOT,
                      cork_mempool_done(&populated.mp));
        CHECK_EQUAL(seen.violation.live_count, live_count);
        for (size_t j = 0; j < seen.violation.listed_count; j++) {
            CHECK_EQUAL(seen.listed[j].slot, 2 % steps[i] + j * steps[i]);
            CHECK_POINTER(seen.listed[j].pointer, populated.objects[seen.listed[j].slot]);
        }
        end_populated(&populated);
    }
}

static void visit_nothing(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void every_call_is_refused(struct cork_mempool *mp, enum cork_mempool_violation_kind kind)
{
    struct cork_mempool_stats stats;

    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, CHECK(cork_mempool_new(mp) == NULL));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, cork_mempool_free(mp, NULL));
    CHECK_REFUSED(mp, kind, &stats, NO_SLOT, cork_mempool_free(mp, &stats));
    CHECK_REFUSED(mp, kind, &stats, NO_SLOT, (void)!cork_mempool_owns(mp, &stats));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, cork_mempool_done(mp));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, (void)!cork_mempool_check(mp));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, cork_mempool_stats(mp, &stats));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, cork_mempool_foreach(mp, visit_nothing, NULL));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, cork_mempool_clear(mp));
    CHECK_REFUSED(mp, kind, NULL, NO_SLOT, cork_mempool_trim(mp));
}

/* As far as it can be told: see mempool.h. The pool has one object kept aside, some on its stack,
 * and some in the active group, which new must not issue. */
TEST(calls_of_a_moved_pool_change_nothing)
{
    struct cork_mempool mp;
    struct cork_mempool moved;
    void *objects[64];

    cork_mempool_init(&mp, int);
    for (size_t freed = 0; freed < 5; freed++) {
        take_objects(&mp, objects, 64);
        give_objects(&mp, objects, freed < 4 ? freed : 30);
        moved = mp;
        every_call_is_refused(&moved, CORK_MEMPOOL_NOT_A_POOL);
        CHECK_POINTER(seen.violation.moved_from, &mp);
        cork_mempool_clear(&mp);
    }
    exercise(&mp, 500);
}

/* Of free this can be told where the pointer is looked for, so not where lookups are garbage. */
TEST(calls_of_what_is_no_pool_change_nothing)
{
    static const unsigned char bytes[] = {0x01, 0x40, 0xff};
    static struct cork_mempool mp;

    every_call_is_refused(&mp, CORK_MEMPOOL_USE_BEFORE_INIT);
    for (size_t i = 0; i < COUNT_OF(bytes); i++) {
        memset(&mp, bytes[i], sizeof(mp));
        memset(mp.lent.counts, 0, sizeof(mp.lent.counts));
        every_call_is_refused(&mp, CORK_MEMPOOL_NOT_A_POOL);
        CHECK_POINTER(seen.violation.moved_from, NULL);
    }
    cork_mempool_init(&mp, struct element);
    cork_mempool_done(&mp);
    every_call_is_refused(&mp, CORK_MEMPOOL_USE_AFTER_DONE);
    CHECK_STRING(seen.violation.pool_name, "struct element");
    cork_mempool_init_size(&mp, 24);
    exercise(&mp, 500);
    every_call_is_refused(&mp, CORK_MEMPOOL_USE_AFTER_DONE);
}
