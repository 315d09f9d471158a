/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The report of every refusal, to the letter, and the abort that follows it.
 */

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test/support/crowd.h"
#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"

static struct crowd crowd;

static void *at(const void *pointer, ptrdiff_t offset)
{
    return (void *)((uintptr_t)pointer + (uintptr_t)offset);
}

TEST(double_free_is_refused)
{
    struct cork_mempool mp;
    void *objects[5];

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, 5);
    for (size_t i = 0; i < 5; i++) {
        cork_mempool_free(&mp, objects[i]);
        for (size_t j = 0; j <= i; j++) {
            CHECK_ABORTS(slot_report("double free", &mp, NO_NAME, objects[j], j),
                         cork_mempool_free(&mp, objects[j]));
        }
    }
    cork_mempool_done(&mp);
}

TEST(double_free_after_reuse_is_refused)
{
    struct cork_mempool mp;
    void *object;
    void *others[200];
    size_t count = 0;

    cork_mempool_init(&mp, int64_t);
    object = cork_mempool_new(&mp);
    cork_mempool_free(&mp, object);
    while ((others[count] = cork_mempool_new(&mp)) != object) {
        count++;
        CHECK(count < COUNT_OF(others));
    }
    cork_mempool_free(&mp, object);
    CHECK_ABORTS(slot_report("double free", &mp, "int64_t", object, 0),
                 cork_mempool_free(&mp, object));
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&mp, others[i]);
    }
    CHECK_ABORTS(slot_report("double free", &mp, "int64_t", object, 0),
                 cork_mempool_free(&mp, object));
    cork_mempool_done(&mp);
}

/* Nobody may do this, and AddressSanitizer does not have to say so here. */
__attribute__((no_sanitize("address"))) static void overwrite(void *freed, unsigned char value,
                                                              size_t size)
{
    for (volatile unsigned char *byte = freed; size > 0; size--) {
        *byte++ = value;
    }
}

/* The pool reads nothing of what a free object holds, so nothing written there can mislead it. */
TEST(double_free_after_the_contents_were_overwritten_is_refused)
{
    struct cork_mempool mp;
    void *objects[200];

    cork_mempool_init_size(&mp, 32);
    take_objects(&mp, objects, 200);
    cork_mempool_free(&mp, objects[1]);
    cork_mempool_free(&mp, objects[100]);
    CHECK_ABORTS(slot_report("double free", &mp, NO_NAME, objects[1], 1),
                 (overwrite(objects[1], 0xff, 32), cork_mempool_free(&mp, objects[1])));
    CHECK_ABORTS(slot_report("double free", &mp, NO_NAME, objects[100], 100),
                 (overwrite(objects[100], 0, 32), cork_mempool_free(&mp, objects[100])));
    objects[1] = cork_mempool_new(&mp);
    objects[100] = cork_mempool_new(&mp);
    for (size_t i = 0; i < 200; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_done(&mp);
}

TEST(double_free_is_refused_in_every_region)
{
    crowd_gather(&crowd);
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i++) {
        const size_t number = crowd.places[i];
        void *object = crowd.objects[number];
        void *other = crowd.objects[crowd.places[(i + 3) % CROWD_PLACE_COUNT] + 1];

        CHECK_ABORTS(slot_report("double free", &crowd.mp, "struct person", object, number),
                     (cork_mempool_free(&crowd.mp, object), cork_mempool_free(&crowd.mp, object)));
        CHECK_ABORTS(slot_report("double free", &crowd.mp, "struct person", object, number),
                     (cork_mempool_free(&crowd.mp, object), cork_mempool_free(&crowd.mp, other),
                      cork_mempool_free(&crowd.mp, object)));
    }
    crowd_disperse(&crowd);
}

TEST(free_of_an_interior_pointer_is_refused_in_every_region)
{
    static const ptrdiff_t offsets[] = {1, 8, 16, 500, 999, 1000, 1007};

    crowd_gather(&crowd);
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i++) {
        for (size_t j = 0; j < COUNT_OF(offsets); j++) {
            const size_t number = crowd.places[i];
            void *pointer = at(crowd.objects[number], offsets[j]);

            CHECK_ABORTS(slot_report("free of an interior pointer", &crowd.mp, "struct person",
                                     pointer, number),
                         cork_mempool_free(&crowd.mp, pointer));
        }
    }
    crowd_disperse(&crowd);
}

TEST(free_of_a_foreign_pointer_is_refused)
{
    static int in_static_storage;
    int on_the_stack = 0;
    int *on_the_heap = malloc(sizeof(*on_the_heap));
    void *unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct cork_mempool other;
    struct cork_mempool mp;
    void *objects[100];
    void *pointers[20] = {&in_static_storage, &on_the_stack, on_the_heap, unmapped};
    size_t count = 4;

    CHECK_EQUAL(munmap(unmapped, 4096), 0);
    cork_mempool_init_size(&other, 48);
    cork_mempool_init_size(&mp, 48);
    take_objects(&mp, objects, 100);
    pointers[count++] = cork_mempool_new(&other);
    pointers[count++] = &mp;
    pointers[count++] = at(&other, 8);
    pointers[count++] = (void *)(uintptr_t)puts;
    pointers[count++] = (void *)(uintptr_t)1;
    pointers[count++] = (void *)(uintptr_t)48;
    pointers[count++] = (void *)UINTPTR_MAX;
    pointers[count++] = (void *)(UINTPTR_MAX - 47);
    pointers[count++] = (void *)(UINTPTR_MAX / 2 + 1);
    pointers[count++] = (void *)((uintptr_t)objects[0] ^ (UINTPTR_MAX / 2 + 1));
    for (size_t i = 0; i < count; i++) {
        CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, NO_NAME, pointers[i]),
                     cork_mempool_free(&mp, pointers[i]));
    }
    cork_mempool_free(&other, pointers[4]);
    cork_mempool_done(&other);
    give_objects(&mp, objects, 100);
    cork_mempool_done(&mp);
    free(on_the_heap);
}

/* A pool that has no memory yet has no pointer that is not foreign. */
TEST(free_before_the_first_new_is_refused)
{
    struct cork_mempool mp;
    int on_the_stack = 0;

    cork_mempool_init(&mp, char);
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, "char", &on_the_stack),
                 cork_mempool_free(&mp, &on_the_stack));
    cork_mempool_init_size(&mp, SIZE_MAX);
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, NO_NAME, &on_the_stack),
                 cork_mempool_free(&mp, &on_the_stack));
    cork_mempool_done(&mp);
}

TEST(free_of_a_neighbour_of_the_memory_is_refused)
{
    const ptrdiff_t slot = (ptrdiff_t)slot_needed(48);
    struct cork_mempool mp;
    void *object;
    void *end;

    cork_mempool_init_size_ex(&mp, 48, 10 * (size_t)slot);
    object = cork_mempool_new(&mp);
    end = at(object, 10 * slot);
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, NO_NAME, at(object, -1)),
                 cork_mempool_free(&mp, at(object, -1)));
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, NO_NAME, at(object, -slot)),
                 cork_mempool_free(&mp, at(object, -slot)));
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, NO_NAME, end),
                 cork_mempool_free(&mp, end));
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, NO_NAME, at(end, 1)),
                 cork_mempool_free(&mp, at(end, 1)));
    CHECK_ABORTS(slot_report("free of an interior pointer", &mp, NO_NAME, at(end, -1), 9),
                 cork_mempool_free(&mp, at(end, -1)));
    CHECK_ABORTS(slot_report("free of a slot never issued", &mp, NO_NAME, at(end, -slot), 9),
                 cork_mempool_free(&mp, at(end, -slot)));
    cork_mempool_free(&mp, object);
    cork_mempool_done(&mp);
}

/* Just before a region is nothing of the pool's; a slot before or behind it may be another region.
 */
static size_t neighbour_is_refused(void *pointer)
{
    if (!is_foreign(&crowd.mp, pointer)) {
        return 0;
    }
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &crowd.mp, "struct person", pointer),
                 cork_mempool_free(&crowd.mp, pointer));
    return 1;
}

TEST(free_of_a_neighbour_of_a_region_is_refused)
{
    size_t count = 0;

    crowd_gather(&crowd);
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i += 2) {
        void *first = crowd.objects[crowd.places[i]];

        CHECK_EQUAL(neighbour_is_refused(at(first, -1)), 1);
        count += neighbour_is_refused(at(first, -PERSON_SLOT));
        if (i > 0) {
            void *last = crowd.objects[crowd.places[i] - 1];

            count += neighbour_is_refused(at(last, PERSON_SLOT));
        }
    }
    CHECK(count > 0);
    crowd_disperse(&crowd);
}

TEST(free_of_a_slot_never_issued_is_refused)
{
    crowd_gather(&crowd);
    for (size_t i = 0; i < 4; i++) {
        const size_t ahead[] = {1, 10, crowd.unissued_count / 2, crowd.unissued_count};
        void *pointer = at(crowd.objects[crowd.count - 1], (ptrdiff_t)ahead[i] * PERSON_SLOT);
        const size_t slot = crowd.count - 1 + ahead[i];

        CHECK_ABORTS(
            slot_report("free of a slot never issued", &crowd.mp, "struct person", pointer, slot),
            cork_mempool_free(&crowd.mp, pointer));
        CHECK_ABORTS(slot_report("free of an interior pointer", &crowd.mp, "struct person",
                                 at(pointer, 1), slot),
                     cork_mempool_free(&crowd.mp, at(pointer, 1)));
    }
    crowd_disperse(&crowd);
}

TEST(free_of_a_slot_never_issued_is_refused_though_others_are_free)
{
    struct cork_mempool mp;
    void *object;
    void *next;

    cork_mempool_init_size(&mp, 16);
    object = cork_mempool_new(&mp);
    cork_mempool_free(&mp, object);
    next = at(object, (ptrdiff_t)slot_needed(16));
    CHECK_ABORTS(slot_report("free of a slot never issued", &mp, NO_NAME, next, 1),
                 cork_mempool_free(&mp, next));
    cork_mempool_done(&mp);
}

TEST(free_past_the_end_of_all_slots_is_refused)
{
    void *end;

    crowd_gather(&crowd);
    end = at(crowd.objects[crowd.count - 1], (ptrdiff_t)(crowd.unissued_count + 1) * PERSON_SLOT);
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &crowd.mp, "struct person", end),
                 cork_mempool_free(&crowd.mp, end));
    crowd_disperse(&crowd);
}

TEST(leaks_are_counted_exactly_and_the_first_16_listed)
{
    static const size_t counts[] = {1, 2, 15, 16, 17, 64, 65, 1000};

    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct cork_mempool mp;
        void *objects[1000];

        cork_mempool_init(&mp, char[40]);
        take_objects(&mp, objects, counts[i]);
        CHECK_ABORTS(leak_report(&mp, "char[40]", counts[i], objects, 0, 1),
                     cork_mempool_done(&mp));
        give_objects(&mp, objects, counts[i]);
        CHECK_PASSES(cork_mempool_done(&mp));
        cork_mempool_done(&mp);
    }
}

TEST(leaks_are_listed_wherever_they_are)
{
    static const size_t steps[] = {3, 64, 301, 777};

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        const size_t step = steps[i];
        size_t live_count = 0;

        crowd_gather(&crowd);
        for (size_t j = 0; j < crowd.count; j++) {
            if (j % step == 2) {
                live_count++;
            } else {
                cork_mempool_free(&crowd.mp, crowd.objects[j]);
            }
        }
        CHECK_ABORTS(leak_report(&crowd.mp, "struct person", live_count, crowd.objects, 2, step),
                     cork_mempool_done(&crowd.mp));
        for (size_t j = 2; j < crowd.count; j += step) {
            cork_mempool_free(&crowd.mp, crowd.objects[j]);
        }
        cork_mempool_done(&crowd.mp);
    }
}

static void visit_nothing(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void every_call_is_refused(const char *message, struct cork_mempool *mp, const char *name)
{
    struct cork_mempool_stats stats;
    int on_the_stack = 0;

    CHECK_ABORTS(pool_report(message, mp, name), CHECK(cork_mempool_new(mp) == NULL));
    CHECK_ABORTS(pool_report(message, mp, name), cork_mempool_free(mp, NULL));
    CHECK_ABORTS(dead_pointer_report(message, mp, name, &on_the_stack),
                 cork_mempool_free(mp, &on_the_stack));
    CHECK_ABORTS(dead_pointer_report(message, mp, name, &on_the_stack),
                 (void)!cork_mempool_owns(mp, &on_the_stack));
    CHECK_ABORTS(pool_report(message, mp, name), cork_mempool_done(mp));
    CHECK_ABORTS(pool_report(message, mp, name), (void)!cork_mempool_check(mp));
    CHECK_ABORTS(pool_report(message, mp, name), cork_mempool_stats(mp, &stats));
    CHECK_ABORTS(pool_report(message, mp, name), cork_mempool_foreach(mp, visit_nothing, NULL));
    CHECK_ABORTS(pool_report(message, mp, name), cork_mempool_clear(mp));
    CHECK_ABORTS(pool_report(message, mp, name), cork_mempool_trim(mp));
}

TEST(every_use_before_init_is_refused)
{
    static struct cork_mempool in_static_storage;
    struct cork_mempool mp;

    every_call_is_refused("use before init", &in_static_storage, NO_NAME);
    memset(&mp, 0, sizeof(mp));
    every_call_is_refused("use before init", &mp, NO_NAME);
}

TEST(every_use_after_done_is_refused)
{
    struct cork_mempool mp;
    void *objects[300];

    cork_mempool_init(&mp, struct person);
    cork_mempool_done(&mp);
    every_call_is_refused("use after done", &mp, "struct person");

    cork_mempool_init_size(&mp, 16);
    take_objects(&mp, objects, 300);
    give_objects(&mp, objects, 300);
    cork_mempool_done(&mp);
    every_call_is_refused("use after done", &mp, NO_NAME);
    for (size_t i = 0; i < 300; i += 50) {
        CHECK_ABORTS(dead_pointer_report("use after done", &mp, NO_NAME, objects[i]),
                     cork_mempool_free(&mp, objects[i]));
    }
}

/* A pool that was moved after its first new, as far as it can be told: see mempool.h. It has one
 * object kept aside, some on its stack, and some in the active group, which new must not issue. */
TEST(a_pool_moved_after_its_first_new_is_refused)
{
    struct cork_mempool mp;
    struct cork_mempool moved;
    void *objects[30];

    cork_mempool_init(&mp, int);
    for (size_t freed = 0; freed <= 3; freed++) {
        take_objects(&mp, objects, 30);
        give_objects(&mp, objects, freed);
        moved = mp;
        reported_origin = &mp;
        every_call_is_refused("not a pool", &moved, NO_NAME);
        cork_mempool_clear(&mp);
    }
    cork_mempool_done(&mp);
}

/* Of free this can be told where the pointer is looked for, so not where lookups are garbage. */
TEST(a_pool_that_was_overwritten_is_refused)
{
    static const unsigned char bytes[] = {0x01, 0x40, 0xff};

    for (size_t i = 0; i < COUNT_OF(bytes); i++) {
        struct cork_mempool mp;

        memset(&mp, bytes[i], sizeof(mp));
        memset(mp.lent.counts, 0, sizeof(mp.lent.counts));
        every_call_is_refused("not a pool", &mp, NO_NAME);
    }
}
