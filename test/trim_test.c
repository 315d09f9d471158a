/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Trim and clear: which of the memory that no live object needs is given back, to the byte; that
 * the figure is right; and that the pool works on.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/populated.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

#define MILLION      ((size_t)1000000)
#define GROUP_SLOTS  64
#define OBJECT_COUNT 3000

static struct populated_pool populated;
static void *objects[MILLION];

/* Objects of which 64 are a page, in one region. What was never issued has not been used, and a
 * huge page could bring back what has been given back. */
TEST(trim_gives_back_each_used_page_without_live_objects_and_forbids_huge_pages)
{
    const size_t group_count = 7;

    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between objects");
    }
    for (unsigned live = 1; live < 1u << group_count; live++) {
        struct cork_mempool mp;
        size_t freed_count = 0;

        INIT(&mp, .element_size = page_size() / GROUP_SLOTS, .block_size = page_size());
        requests_start_lacking(NO_HEAP);
        take_objects(&mp, objects, group_count * GROUP_SLOTS);
        CHECK_EQUAL(stats_of(&mp).region_count, 1);
        CHECK(mp.newest->extended_count < mp.newest->committed_count);
        for (size_t group = 0; group < group_count; group++) {
            const size_t kept = group * GROUP_SLOTS + 20 + group;
            const bool is_live = (live >> group & 1) != 0;

            free_objects(&mp, objects, group * GROUP_SLOTS, kept);
            free_objects(&mp, objects, kept + is_live, (group + 1) * GROUP_SLOTS);
            freed_count += !is_live;
        }
        CHECK_EQUAL(requests.discard_size + requests.small_size, 0);
        CHECK_EQUAL(cork_mempool_trim(&mp), freed_count * page_size());
        CHECK_EQUAL(requests.discard_size, freed_count * page_size());
        CHECK_EQUAL(requests.small_size,
                    freed_count == 0 ? 0 : mp.newest->committed_count * mp.geometry.stride);
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        CHECK(cork_mempool_check(&mp));
        finish(&mp, NULL, 0);
    }
}

/* All but the first and one near the end are free, and lie across the ends of pages. */
TEST(trim_gives_back_whole_pages_between_live_objects)
{
    const size_t page = page_size();
    const size_t start = (71 * 7 + page - 1) / page * page;
    const size_t end = 2470 * 7 / page * page;
    struct cork_mempool mp;

    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between objects");
    }
    INIT(&mp, .element_size = 7, .alignment = 1);
    requests_start_lacking(NO_HEAP);
    take_objects(&mp, objects, 2500);
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    free_objects(&mp, objects, 1, 70);
    free_objects(&mp, objects, 71, 2470);
    free_objects(&mp, objects, 2471, 2500);
    const size_t size = cork_mempool_trim(&mp);

    CHECK_EQUAL(size, end > start ? end - start : 0);
    CHECK(size == 0 || *(char *)objects[(start + 6) / 7] == 0);
    for (size_t i = 0; i < 3; i++) {
        const size_t kept = i * 70 + i / 2 * 2330;

        CHECK(is_filled(objects[kept], 7, kept));
        cork_mempool_free(&mp, objects[kept]);
    }
    cork_mempool_done(&mp);
    requests_finish();
}

/* Trims while every step-th object is live, or of 0 none. Pools lose something with each page: it
 * is made anew where it is issued again, and all else is found as it was. */
static void trim_all_but(struct cork_mempool *mp, size_t count, size_t step, size_t first)
{
    const struct cork_mempool_stats before = stats_of(mp);
    const size_t size = before.element_size;
    const size_t live_count = step == 0 ? 0 : (count - first + step - 1) / step;
    /* A reserved region keeps the pages of live objects; the heap, what its pieces share. */
    const bool is_bounded =
        step == 0 ? !TEST_UNDER_QEMU : requests.lacks == NO_HEAP && !regions_are_small();
    size_t memory_size, trimmed_size;

    take_objects(mp, objects, count);
    for (size_t i = 0; i < count; i++) {
        if (step == 0 || i % step != first) {
            cork_mempool_free(mp, objects[i]);
        }
    }
    memory_size = stats_of(mp).memory_size;
    trimmed_size = cork_mempool_trim(mp);
    CHECK(trimmed_size <= memory_size);
    CHECK(!is_bounded || trimmed_size + live_count * (size + 2 * page_size() + 64) >= count * size);
    CHECK(cork_mempool_check(mp));
    CHECK_EQUAL(stats_of(mp).live_count, live_count);
    CHECK_EQUAL(cork_mempool_trim(mp), 0);
    if (live_count == 0) {
        const struct cork_mempool_stats after = stats_of(mp);

        CHECK(same_stats(&before, &after));
        CHECK_EQUAL(requests.mapped_size, 0);
        CHECK_EQUAL(requests.heap_count, 0);
    }
    take_objects(mp, objects + count, count);
    give_objects(mp, objects + count, count);
    for (size_t i = first; step != 0 && i < count; i += step) {
        CHECK(cork_mempool_owns(mp, objects[i]));
        CHECK(is_filled(objects[i], size, i));
        cork_mempool_free(mp, objects[i]);
    }
    cork_mempool_trim(mp);
}

TEST(trim_gives_back_all_but_the_memory_of_live_objects_and_leaves_a_pool_that_works)
{
    static const struct {
        size_t element_size, count, step;
        int lacks;
    } cases[] = {
        {64, 20000, 4000, NO_HEAP}, {40, 20000, 1, NO_HEAP},    {1000, 3000, 50, NO_HEAP},
        {4096, 500, 7, NO_HEAP},    {6000, 300, 10, NO_HEAP},   {70000, 40, 13, NO_HEAP},
        {64, OBJECT_COUNT, 0, 0},   {64, OBJECT_COUNT, 1, 0},   {64, OBJECT_COUNT, 4, 0},
        {64, OBJECT_COUNT, 40, 0},  {64, OBJECT_COUNT, 364, 0}, {64, OBJECT_COUNT, 3000, 0}};

    for (size_t i = 0; i < COUNT_OF(cases) * PROTECTIONS_COUNT; i++) {
        const size_t number = i / PROTECTIONS_COUNT;
        struct cork_mempool mp;

        INIT(&mp, .element_size = cases[number].element_size, .block_size = page_size(),
             .protections = all_protections[i % PROTECTIONS_COUNT]);
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        requests_start_lacking(cases[number].lacks);
        for (size_t round = 0; round < (requests.lacks == NO_HEAP ? 1 : 3); round++) {
            const size_t step = cases[number].step;

            trim_all_but(&mp, cases[number].count, step, step == 0 ? 0 : round % step);
        }
        cork_mempool_done(&mp);
        requests_finish();
    }
}

/* Of the populated pool's regions, those in a set keep their objects. */
TEST(trim_gives_back_the_regions_without_live_objects_wherever_they_are)
{
    for (unsigned set = 0; set < 1u << POPULATED_PLACE_COUNT / 2; set++) {
        size_t freed_count = 0, region = 0, memory_size, trimmed_size;

        populate(&populated);
        memory_size = stats_of(&populated.mp).memory_size;
        for (size_t i = 0; i < populated.count; i++) {
            region +=
                region + 1 < POPULATED_PLACE_COUNT / 2 && i == populated.places[2 * region + 2];
            if ((set >> region & 1) == 0) {
                cork_mempool_free(&populated.mp, populated.objects[i]);
                populated.objects[i] = NULL;
                freed_count++;
            }
        }
        trimmed_size = cork_mempool_trim(&populated.mp);
        CHECK(TEST_UNDER_QEMU || trimmed_size >= freed_count * ELEMENT_SIZE);
        CHECK(trimmed_size <= memory_size);
        CHECK_EQUAL(stats_of(&populated.mp).region_count, __builtin_popcount(set));
        end_populated(&populated);
    }
}

/* The C library may keep the pages of the heap's pieces, which are 1.2 MiB in all. */
#define KEPT_SIZE ((size_t)5 << 18)

TEST(what_trim_gives_back_of_a_million_objects_is_gone_and_a_few_live_ones_keep_little)
{
    static const size_t kept[] = {0, 1, 70, 1000, 4095, 500000, 500001, 999999};
    const size_t size = MILLION * 64;
    struct cork_mempool mp;
    size_t fresh;

    /* The list of objects is the test's own, and comes before all comparisons. */
    memset(objects, 1, sizeof(objects));
    fresh = resident_size();
    cork_mempool_init_size(&mp, 64);
    for (size_t round = 0; round < 4; round++) {
        const size_t kept_count = round == 0 ? 0 : COUNT_OF(kept);
        size_t next = 0, trimmed_size;

        take_objects(&mp, objects, MILLION);
        CHECK(resident_size() > fresh + size);
        for (size_t i = 0; i < MILLION; i++) {
            if (next < kept_count && i == kept[next]) {
                next++;
            } else {
                cork_mempool_free(&mp, objects[i]);
            }
        }
        trimmed_size = cork_mempool_trim(&mp);
        CHECK(cork_mempool_check(&mp));
        CHECK(trimmed_size >
              (round == 0 ? size - 1 : size - size / 50 - kept_count * (page_size() - 4096)));
        CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
        for (size_t i = 0; i < kept_count; i++) {
            CHECK(is_filled(objects[kept[i]], 64, kept[i]));
            cork_mempool_free(&mp, objects[kept[i]]);
        }
    }
    exercise(&mp, MILLION);
    CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
}

/* Grows and shrinks, with one object that stays for a while, as a busy program would. */
TEST(a_pool_that_grows_and_shrinks_stays_bounded)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;
        struct cork_mempool_stats first = {.region_count = 0};
        size_t mappings = 0;

        INIT(&mp, .element_size = 64, .protections = all_protections[i]);
        for (size_t round = 0; round < 40; round++) {
            take_objects(&mp, objects, OBJECT_COUNT);
            free_objects(&mp, objects, 1, OBJECT_COUNT);
            cork_mempool_trim(&mp);

            const struct cork_mempool_stats stats = stats_of(&mp);
            const size_t used_size = OBJECT_COUNT * 64;

            if (round == 0) {
                first = stats;
                mappings = mapping_count();
            }
            CHECK(stats.region_count <= first.region_count + 1);
            CHECK(stats.memory_size <= 2 * first.memory_size + 2 * used_size);
            CHECK(stats.reserved_size <= 2 * first.reserved_size + used_size);
            /* AddressSanitizer maps and unmaps shadow on its own account. */
            CHECK(TEST_UNDER_ASAN || mapping_count() <= mappings + 10);
            give_objects(&mp, objects, 1);
        }
        cork_mempool_done(&mp);
    }
}

static enum cork_mempool_violation_kind kind_of_free(struct cork_mempool *mp, void *pointer)
{
    RUN_UNTIL_REFUSED(cork_mempool_free(mp, pointer));
    return seen.violation.kind;
}

/* That a slot was issued is known though its page is gone. */
TEST(a_double_free_is_one_after_trim_too)
{
    static const unsigned sets[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_PARANOID};

    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct cork_mempool mp;
        size_t count = 0;

        INIT(&mp, .element_size = page_size() / 2, .block_size = page_size(), .max_objects = 300,
             .protections = sets[i]);
        requests_start_lacking(NO_HEAP);
        take_objects(&mp, objects, 300);
        requests_stop();
        free_objects(&mp, objects, 0, 299);
        cork_mempool_trim(&mp);
        for (size_t j = 0; j < 299; j++) {
            if (!is_foreign(&mp, objects[j])) {
                CHECK_EQUAL(kind_of_free(&mp, objects[j]), CORK_MEMPOOL_DOUBLE_FREE);
                count++;
            }
        }
        CHECK(count > 100);
        cork_mempool_free(&mp, objects[299]);
        cork_mempool_done(&mp);
    }
}

/* Where the system takes nothing back, or does not tell, none is said to be given back; and errno
 * is as it was. */
TEST(trim_says_nothing_of_what_the_system_refuses_to_take_or_to_tell)
{
    static const int lacks[] = {NO_ADVICE, NO_RESIDENCY};
    struct cork_mempool mp;

    INIT(&mp, .element_size = page_size() / 4, .block_size = page_size());
    requests_start_lacking(NO_HEAP);
    take_objects(&mp, objects, 4000);
    for (size_t i = 0; i < 4000; i += 50) {
        free_objects(&mp, objects, i + 1, i + 50);
    }
    for (size_t i = 0; i < COUNT_OF(lacks); i++) {
        requests.lacks = lacks[i];
        errno = ODD_ERRNO;
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        CHECK_EQUAL(errno, ODD_ERRNO);
        CHECK_EQUAL(requests.discard_size > 0, lacks[i] == NO_RESIDENCY);
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_clear(&mp);
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    CHECK_EQUAL(stats_of(&mp).region_count, 0);
    exercise(&mp, 4000);
    requests_finish();
}

/* Without a heap, the second region has 32 times as many slots as the first; where pages have 4096
 * bytes, the words for its groups fill whole pages. */
TEST(trim_and_clear_look_at_no_table_beyond_its_end)
{
    const size_t count = 33 * 1024;
    struct cork_mempool mp;

    INIT(&mp, .element_size = page_size() / GROUP_SLOTS, .block_size = page_size(),
         .protections = CORK_MEMPOOL_QUARANTINE);
    requests_start_lacking(NO_HEAP);
    take_objects(&mp, objects, count);
    requests_stop();
    CHECK(TEST_UNDER_ASAN || page_size() != 4096 || mp.newest->extended_count == 512 * GROUP_SLOTS);
    free_objects(&mp, objects, 0, count - 1);
    CHECK(cork_mempool_trim(&mp) > 0);
    CHECK_EQUAL(stats_of(&mp).live_count, 1);
    cork_mempool_clear(&mp);
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    cork_mempool_done(&mp);
}

/* Objects keep their contents through clear as they do through free; in regions of both kinds. */
TEST(clear_frees_all_objects_which_are_issued_again_as_freed_ones_are)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        const bool is_kept = (all_protections[i] & CORK_MEMPOOL_WIPE) == 0;
        const bool is_held = (all_protections[i] & CORK_MEMPOOL_QUARANTINE) != 0;
        struct cork_mempool mp;
        size_t kept_count = 0;

        INIT(&mp, .element_size = 64, .protections = all_protections[i]);
        cork_mempool_clear(&mp);
        requests_start();
        for (size_t round = 0; round < 3; round++) {
            take_objects(&mp, objects, 100);
            requests.lacks = NO_HEAP;
            take_objects(&mp, objects + 100, OBJECT_COUNT - 100);
            for (size_t j = 0; j < OBJECT_COUNT; j++) {
                *(uintptr_t *)objects[j] = (uintptr_t)objects[j];
            }
            free_objects(&mp, objects, 0, round * 1000);

            const struct cork_mempool_stats before = stats_of(&mp);

            cork_mempool_clear(&mp);
            CHECK(cork_mempool_check(&mp));
            CHECK_EQUAL(stats_of(&mp).live_count, 0);
            CHECK(is_held || stats_of(&mp).free_count == before.free_count + before.live_count);
            CHECK_EQUAL(stats_of(&mp).memory_size, before.memory_size);
            for (size_t j = 0; j < OBJECT_COUNT; j++) {
                CHECK(!cork_mempool_owns(&mp, objects[j]));
            }
        }
        for (size_t j = 0; j < OBJECT_COUNT - 400; j++) {
            const uintptr_t *const object = cork_mempool_new(&mp);

            kept_count += is_kept && *object == (uintptr_t)object;
        }
        CHECK(!is_kept || kept_count >= OBJECT_COUNT - 800);
        cork_mempool_clear(&mp);
        finish(&mp, NULL, 0);
    }
}
