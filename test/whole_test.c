/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The functions that see a pool as a whole: foreach, owns, clear and trim.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/support/crowd.h"
#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

#define OBJECT_COUNT 3000
#define MILLION      ((size_t)1000000)

/* The C library may keep the pages of the heap's pieces, which are 1.2 MiB in all. */
#define KEPT_SIZE ((size_t)5 << 18)

static struct crowd crowd;
static void *objects[MILLION];

static void init(struct cork_mempool *mp, unsigned protection)
{
    CHECK(cork_mempool_init_with(
        mp, &(const struct cork_mempool_options){.element_size = 64, .protections = protection}));
}

/* What foreach has visited. */
struct visits {
    struct cork_mempool *mp; /* where objects are freed, or NULL */
    size_t free_every;
    size_t count;
    void *objects[OBJECT_COUNT];
};

static struct visits visits;

static void visit(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &visits);
    CHECK(visits.count < COUNT_OF(visits.objects));
    visits.objects[visits.count++] = object;
    if (visits.mp != NULL && visits.count % visits.free_every == 0) {
        cork_mempool_free(visits.mp, object);
    }
}

/* Visits, and frees each of so many of the visited; 0: none. */
static void visit_all(struct cork_mempool *mp, size_t free_every)
{
    visits.mp = free_every == 0 ? NULL : mp;
    visits.free_every = free_every;
    visits.count = 0;
    cork_mempool_foreach(mp, visit, &visits);
    for (size_t i = 0; i < visits.count; i++) {
        const bool is_freed = free_every != 0 && (i + 1) % free_every == 0;

        CHECK_EQUAL(cork_mempool_owns(mp, visits.objects[i]), !is_freed);
    }
}

static void live_crowd_is_visited(void)
{
    size_t count = 0;

    visit_all(&crowd.mp, 0);
    for (size_t i = 0; i < crowd.count; i++) {
        if (crowd.objects[i] != NULL) {
            CHECK(count < visits.count);
            CHECK_POINTER(visits.objects[count], crowd.objects[i]);
            count++;
        }
    }
    CHECK_EQUAL(visits.count, count);
}

TEST(foreach_visits_each_live_object_once_in_the_order_of_slots_in_every_region)
{
    crowd_gather(&crowd);
    live_crowd_is_visited();
    for (size_t step = 7; step >= 2; step--) {
        for (size_t i = step; i < crowd.count; i += step) {
            cork_mempool_free(&crowd.mp, crowd.objects[i]);
            crowd.objects[i] = NULL;
        }
        live_crowd_is_visited();
    }
    crowd_disperse(&crowd);
}

TEST(foreach_visits_objects_that_are_alone_in_their_group_or_region)
{
    crowd_gather(&crowd);
    for (size_t i = 0; i < crowd.count; i++) {
        size_t place = 0;

        while (place < CROWD_PLACE_COUNT && crowd.places[place] != i) {
            place++;
        }
        if (place == CROWD_PLACE_COUNT) {
            cork_mempool_free(&crowd.mp, crowd.objects[i]);
            crowd.objects[i] = NULL;
        }
    }
    live_crowd_is_visited();
    CHECK_EQUAL(visits.count, CROWD_PLACE_COUNT);
    crowd_disperse(&crowd);
}

TEST(foreach_may_free_what_it_visits)
{
    crowd_gather(&crowd);
    visit_all(&crowd.mp, 2);
    CHECK_EQUAL(visits.count, crowd.count);
    for (size_t i = 0; i < crowd.count; i++) {
        CHECK_POINTER(visits.objects[i], crowd.objects[i]);
        if (i % 2 == 1) {
            crowd.objects[i] = NULL;
        }
    }
    live_crowd_is_visited();
    crowd_disperse(&crowd);
}

TEST(foreach_visits_nothing_in_a_pool_without_live_objects)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;

        init(&mp, all_protections[i]);
        visit_all(&mp, 0);
        CHECK_EQUAL(visits.count, 0);
        take_objects(&mp, objects, OBJECT_COUNT);
        give_objects(&mp, objects, OBJECT_COUNT);
        visit_all(&mp, 0);
        CHECK_EQUAL(visits.count, 0);
        cork_mempool_done(&mp);
    }
}

/* Where slots are issued at random, their order is that of addresses, but between regions. */
TEST(foreach_visits_each_live_object_once_with_every_protection)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        size_t descent_count = 0;

        init(&mp, all_protections[i]);
        take_objects(&mp, objects, OBJECT_COUNT);
        visit_all(&mp, 3);
        CHECK_EQUAL(visits.count, OBJECT_COUNT);
        visit_all(&mp, 0);
        CHECK_EQUAL(visits.count, OBJECT_COUNT - OBJECT_COUNT / 3);
        for (size_t j = 0; j < visits.count; j++) {
            descent_count +=
                j > 0 && (uintptr_t)visits.objects[j - 1] >= (uintptr_t)visits.objects[j];
        }
        CHECK(descent_count < stats_of(&mp).region_count);
        visit_all(&mp, 1);
        CHECK_EQUAL(stats_of(&mp).live_count, 0);
        cork_mempool_done(&mp);
    }
}

TEST(owns_knows_live_objects_and_nothing_else)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        struct cork_mempool other;
        int local;

        init(&mp, all_protections[i]);
        init(&other, all_protections[i]);
        CHECK(!cork_mempool_owns(&mp, NULL));
        CHECK(!cork_mempool_owns(&mp, &local));
        take_objects(&mp, objects, OBJECT_COUNT);
        take_objects(&other, objects + OBJECT_COUNT, OBJECT_COUNT);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            CHECK(cork_mempool_owns(&mp, objects[j]));
            CHECK(!cork_mempool_owns(&mp, (char *)objects[j] + 1));
            CHECK(!cork_mempool_owns(&mp, (char *)objects[j] + 32));
            CHECK(!cork_mempool_owns(&mp, (char *)objects[j] + 63));
            CHECK(!cork_mempool_owns(&mp, objects[OBJECT_COUNT + j]));
        }
        CHECK(!cork_mempool_owns(&mp, NULL));
        CHECK(!cork_mempool_owns(&mp, &local));
        CHECK(!cork_mempool_owns(&mp, &mp));
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            cork_mempool_free(&mp, objects[j]);
            CHECK(!cork_mempool_owns(&mp, objects[j]));
            CHECK(j + 1 == OBJECT_COUNT || cork_mempool_owns(&mp, objects[j + 1]));
        }
        give_objects(&other, objects + OBJECT_COUNT, OBJECT_COUNT);
        cork_mempool_done(&other);
        cork_mempool_done(&mp);
    }
}

TEST(owns_knows_no_slot_that_was_never_issued)
{
    crowd_gather(&crowd);
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i++) {
        char *const object = crowd.objects[crowd.places[i]];

        CHECK(cork_mempool_owns(&crowd.mp, object));
        CHECK(!cork_mempool_owns(&crowd.mp, object + 1));
        CHECK(!cork_mempool_owns(&crowd.mp, object + PERSON_SIZE - 1));
    }
    for (size_t i = 0; i < crowd.unissued_count + 3; i++) {
        const char *const last = crowd.objects[crowd.count - 1];

        CHECK(!cork_mempool_owns(&crowd.mp, last + (i + 1) * PERSON_SIZE));
    }
    crowd_disperse(&crowd);
}

TEST(clear_frees_all_objects_in_every_region)
{
    struct cork_mempool_stats before;
    size_t live_count;

    crowd_gather(&crowd);
    for (size_t i = 0; i < crowd.count; i += 3) {
        cork_mempool_free(&crowd.mp, crowd.objects[i]);
        crowd.objects[i] = NULL;
    }
    before = stats_of(&crowd.mp);
    live_count = before.live_count;
    cork_mempool_clear(&crowd.mp);
    CHECK(cork_mempool_check(&crowd.mp));
    before.free_count += live_count;
    before.live_count = 0;
    CHECK_EQUAL(stats_of(&crowd.mp).live_count, 0);
    CHECK_EQUAL(stats_of(&crowd.mp).free_count, before.free_count);
    CHECK_EQUAL(stats_of(&crowd.mp).memory_size, before.memory_size);
    for (size_t i = 0; i < crowd.count; i++) {
        CHECK(!cork_mempool_owns(&crowd.mp, crowd.objects[i]));
    }
    crowd.count = 0;
    crowd_disperse(&crowd); /* has nothing left to free */
}

/* Objects keep their contents through clear as they do through free. */
TEST(cleared_objects_are_issued_again_as_freed_ones_are)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        const bool is_kept = (all_protections[i] & CORK_MEMPOOL_WIPE) == 0;
        struct cork_mempool mp;
        size_t kept_count = 0;

        init(&mp, all_protections[i]);
        cork_mempool_clear(&mp);
        for (size_t round = 0; round < 3; round++) {
            take_objects(&mp, objects, OBJECT_COUNT);
            for (size_t j = 0; j < OBJECT_COUNT; j++) {
                *(uintptr_t *)objects[j] = (uintptr_t)objects[j];
            }
            cork_mempool_clear(&mp);
            CHECK(cork_mempool_check(&mp));
            CHECK_EQUAL(stats_of(&mp).live_count, 0);
        }
        for (size_t j = 0; j < OBJECT_COUNT - 400; j++) {
            const uintptr_t *const object = objects[j] = cork_mempool_new(&mp);

            if (is_kept) {
                kept_count += *object == (uintptr_t)object;
            }
        }
        CHECK(!is_kept || kept_count >= OBJECT_COUNT - 800);
        cork_mempool_clear(&mp);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Trim. */

/* Counted page by page: what statm says lags behind by dozens of pages, which may be large. */
static size_t resident_size(void)
{
    static const char before[] = "\nRss:";
    char text[1024];
    const int file = open("/proc/self/smaps_rollup", O_RDONLY);
    const ssize_t size = read(file, text, sizeof(text) - 1);

    close(file);
    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN) {
        test_skip("the sanitizer has memory of its own");
    }
    if (TEST_UNDER_QEMU) {
        test_skip("the emulator has memory of its own");
    }
    CHECK(size > 0);
    text[size] = '\0';

    const char *line = strstr(text, before);

    CHECK(line != NULL);
    return strtoul(line + sizeof(before) - 1, NULL, 10) * 1024;
}

static size_t mapping_count(void)
{
    static char text[1 << 16];
    const int file = open("/proc/self/maps", O_RDONLY);
    size_t count = 0;
    ssize_t size;

    while ((size = read(file, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < size; i++) {
            count += text[i] == '\n';
        }
    }
    close(file);
    return count;
}

TEST(trim_of_a_pool_without_live_objects_gives_everything_back)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        struct cork_mempool_stats fresh;
        struct cork_mempool_stats after;
        size_t size, memory_size;

        init(&mp, all_protections[i]);
        fresh = stats_of(&mp);
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        requests_start();
        take_objects(&mp, objects, OBJECT_COUNT);
        give_objects(&mp, objects, OBJECT_COUNT);
        memory_size = stats_of(&mp).memory_size;
        size = cork_mempool_trim(&mp);
        /* The emulator does not tell what is resident. */
        CHECK((TEST_UNDER_QEMU || size >= OBJECT_COUNT * 64) && size <= memory_size);
        CHECK_EQUAL(requests.mapped_size, 0);
        CHECK_EQUAL(requests.heap_count, 0);
        after = stats_of(&mp);
        CHECK(same_stats(&after, &fresh));
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        exercise(&mp, OBJECT_COUNT);
        CHECK_EQUAL(requests.heap_count, 0);
        CHECK_EQUAL(requests.mapped_size, 0);
        requests_stop();
    }
}

/* Grows a pool to a million objects, and frees all but some; says what trim has given back. */
static size_t shrink(struct cork_mempool *mp, const size_t *kept, size_t kept_count)
{
    size_t size;

    take_objects(mp, objects, MILLION);
    for (size_t i = 0, next = 0; i < MILLION; i++) {
        if (next < kept_count && i == kept[next]) {
            next++;
        } else {
            cork_mempool_free(mp, objects[i]);
        }
    }
    size = cork_mempool_trim(mp);
    CHECK(cork_mempool_check(mp));
    CHECK_EQUAL(stats_of(mp).live_count, kept_count);
    return size;
}

TEST(what_trim_gives_back_of_a_million_objects_is_gone)
{
    const size_t size = MILLION * 64;
    struct cork_mempool mp;
    size_t fresh;

    /* The list of objects is the test's own, and comes before all comparisons. */
    memset(objects, 1, sizeof(objects));
    fresh = resident_size();
    cork_mempool_init_size(&mp, 64);
    CHECK(shrink(&mp, NULL, 0) >= size);
    CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
    take_objects(&mp, objects, MILLION);
    CHECK(resident_size() > fresh + size);
    give_objects(&mp, objects, MILLION);
    cork_mempool_done(&mp);
    CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
}

TEST(a_few_live_objects_keep_little_memory_from_being_given_back)
{
    static const size_t kept[] = {0, 1, 70, 1000, 4095, 500000, 500001, 999999};
    const size_t size = MILLION * 64;
    struct cork_mempool mp;
    size_t fresh;

    memset(objects, 1, sizeof(objects));
    fresh = resident_size();
    cork_mempool_init_size(&mp, 64);
    for (size_t round = 0; round < 3; round++) {
        CHECK(shrink(&mp, kept, COUNT_OF(kept)) >
              size - size / 50 - COUNT_OF(kept) * (page_size() - 4096));
        CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
        for (size_t i = 0; i < COUNT_OF(kept); i++) {
            CHECK(cork_mempool_owns(&mp, objects[kept[i]]));
            CHECK(is_filled(objects[kept[i]], 64, kept[i]));
            cork_mempool_free(&mp, objects[kept[i]]);
        }
    }
    exercise(&mp, MILLION);
}

TEST(trim_keeps_live_objects_and_leaves_a_pool_that_works)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t step = 1; step <= OBJECT_COUNT; step = step * 3 + 1) {
            struct cork_mempool mp;

            init(&mp, all_protections[i]);
            for (size_t round = 0; round < 3; round++) {
                take_objects(&mp, objects, OBJECT_COUNT);
                for (size_t j = 0; j < OBJECT_COUNT; j++) {
                    if (j % step != round % step) {
                        cork_mempool_free(&mp, objects[j]);
                    }
                }
                cork_mempool_trim(&mp);
                CHECK(cork_mempool_check(&mp));
                for (size_t j = round % step; j < OBJECT_COUNT; j += step) {
                    CHECK(cork_mempool_owns(&mp, objects[j]));
                    CHECK(is_filled(objects[j], 64, j));
                }
                take_objects(&mp, objects + OBJECT_COUNT, 2 * OBJECT_COUNT);
                give_objects(&mp, objects + OBJECT_COUNT, 2 * OBJECT_COUNT);
                for (size_t j = round % step; j < OBJECT_COUNT; j += step) {
                    CHECK(is_filled(objects[j], 64, j));
                    cork_mempool_free(&mp, objects[j]);
                }
            }
            exercise(&mp, OBJECT_COUNT);
        }
    }
}

TEST(trim_gives_back_no_more_than_there_was)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        size_t size;

        init(&mp, all_protections[i]);
        take_objects(&mp, objects, OBJECT_COUNT);
        size = stats_of(&mp).memory_size;
        for (size_t j = 1; j < OBJECT_COUNT; j++) {
            cork_mempool_free(&mp, objects[j]);
        }
        CHECK(cork_mempool_trim(&mp) <= size);
        give_objects(&mp, objects, 1);
        cork_mempool_done(&mp);
    }
}

TEST(trim_gives_back_the_regions_without_live_objects_wherever_they_are)
{
    for (unsigned set = 0; set < 16; set++) {
        size_t region_count = 0;

        crowd_gather(&crowd);
        for (size_t i = 0, region = 0; i < crowd.count; i++) {
            region += region + 1 < CROWD_PLACE_COUNT / 2 && i == crowd.places[2 * region + 2];
            if ((set >> region & 1) == 0) {
                cork_mempool_free(&crowd.mp, crowd.objects[i]);
                crowd.objects[i] = NULL;
            }
        }
        for (unsigned bit = 0; bit < 4; bit++) {
            region_count += set >> bit & 1;
        }
        CHECK(cork_mempool_trim(&crowd.mp) > 0 || region_count == 4 || TEST_UNDER_QEMU);
        CHECK(cork_mempool_check(&crowd.mp));
        CHECK_EQUAL(stats_of(&crowd.mp).region_count, region_count);
        live_crowd_is_visited();
        crowd_disperse(&crowd);
    }
}

/* Grows and shrinks, with one object that stays for a while, as a busy program would. */
TEST(a_pool_that_grows_and_shrinks_stays_bounded)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        struct cork_mempool_stats after_first = {.region_count = 0};
        size_t mappings = 0;

        init(&mp, all_protections[i]);
        for (size_t round = 0; round < 40; round++) {
            take_objects(&mp, objects, OBJECT_COUNT);
            for (size_t j = 1; j < OBJECT_COUNT; j++) {
                cork_mempool_free(&mp, objects[j]);
            }
            cork_mempool_trim(&mp);
            if (round == 0) {
                after_first = stats_of(&mp);
                mappings = mapping_count();
            }
            CHECK(stats_of(&mp).region_count <= after_first.region_count + 1);
            CHECK(stats_of(&mp).memory_size <= 2 * after_first.memory_size + 2 * OBJECT_COUNT * 64);
            CHECK(stats_of(&mp).reserved_size <= 2 * after_first.reserved_size + OBJECT_COUNT * 64);
            /* AddressSanitizer maps and unmaps shadow on its own account. */
            CHECK(TEST_UNDER_ASAN || mapping_count() <= mappings + 10);
            CHECK(is_filled(objects[0], 64, 0));
            cork_mempool_free(&mp, objects[0]);
        }
        cork_mempool_done(&mp);
    }
}
