/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Regions, and what a pool's memory consists of to the page: how much is reserved, how much of that
 * may be touched, and what becomes of it.
 */

#define _DEFAULT_SOURCE /* read */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "pools.h"
#include "requests.h"

static void *objects[150000];

static void init(struct cork_mempool *mp, struct cork_mempool_options options)
{
    CHECK(cork_mempool_init_with(mp, &options));
}

static size_t in_pages(size_t size)
{
    return (size + page_size() - 1) / page_size() * page_size();
}

/* Reads what the kernel says of this process's memory, without asking for any. */
static const char *read_mappings(void)
{
    static char text[1 << 20];
    const int file = open("/proc/self/maps", O_RDONLY);
    size_t size = 0;
    ssize_t got;

    while ((got = read(file, text + size, sizeof(text) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    close(file);
    CHECK(size > 0 && size < sizeof(text) - 1);
    text[size] = '\0';
    return text;
}

/* The bytes from start up to end that may be read and written. */
static size_t usable_size(const char *mappings, const char *start, const char *end)
{
    size_t size = 0;

    for (const char *line = mappings; *line != '\0'; line = strchr(line, '\n') + 1) {
        char *rest;
        uintptr_t from = strtoull(line, &rest, 16);
        uintptr_t to = strtoull(rest + 1, &rest, 16);

        from = from < (uintptr_t)start ? (uintptr_t)start : from;
        to = to > (uintptr_t)end ? (uintptr_t)end : to;
        size += strncmp(rest, " rw", 3) == 0 && from < to ? to - from : 0;
    }
    return size;
}

/* The tables of so many slots, each on pages of its own; no pool has one that it does not use. */
static size_t tables_size(const struct cork_mempool_region *region, size_t slot_count)
{
    const size_t group_count = (slot_count + 63) / 64;

    return in_pages(sizeof(*region) + group_count * sizeof(*region->groups)) +
           (region->withheld != NULL ? in_pages(group_count * sizeof(*region->withheld)) : 0) +
           (region->records != NULL ? in_pages(slot_count * sizeof(*region->records)) : 0);
}

/* Says how much of a region from the operating system may be touched, which is its tables and,
 * behind a guard, its slots: without guards between them, whole pages, as full as they can be. */
static size_t measure(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const char *const mappings = read_mappings();
    const char *const end = (char *)region->memory + region->memory_size;
    const char *const lead = region->base - geometry->lead_size;
    const char *const slots = lead - (uintptr_t)lead % page_size();
    const size_t tables = usable_size(mappings, region->memory, slots);
    const size_t used = usable_size(mappings, slots, end);

    CHECK_EQUAL(tables, tables_size(region, region->usable_count));
    CHECK_EQUAL(usable_size(mappings, slots - page_size(), slots), 0);
    CHECK_EQUAL(usable_size(mappings, region->memory, (char *)region->memory + page_size()), 0);
    CHECK_EQUAL(usable_size(mappings, end - page_size(), end), 0);
    if (geometry->period_slots == 0) {
        const size_t needed =
            (size_t)(region->base - slots) + region->usable_count * geometry->stride;

        CHECK_EQUAL(used, in_pages(needed));
        CHECK(region->usable_count == region->capacity || used - needed < geometry->stride);
    }
    return tables + used;
}

/* Takes objects, and says how many regions they are in. */
static size_t compare_memory(size_t element_size, unsigned protection, size_t count,
                             bool guards_are_mapped)
{
    struct cork_mempool mp;
    size_t memory_size = 0;
    size_t reserved_size = 0;
    size_t region_count = 0;

    init(&mp,
         (struct cork_mempool_options){.element_size = element_size, .protections = protection});
    requests_start();
    if (guards_are_mapped) {
        requests_refuse_guards();
    }
    take_objects(&mp, objects, count);
    CHECK_EQUAL(requests.refused_count, 0);
    CHECK_EQUAL(requests.stray_count, 0);
    for (const struct cork_mempool_region *region = mp.newest; region != NULL;
         region = region->older) {
        const bool is_on_heap = region == &mp.nursery;

        memory_size += is_on_heap ? region->memory_size : measure(&mp, region);
        reserved_size += region->memory_size;
        region_count++;
    }
    CHECK_EQUAL(stats_of(&mp).memory_size, memory_size - requests.guard_size);
    CHECK_EQUAL(stats_of(&mp).reserved_size, reserved_size);
    CHECK_EQUAL(stats_of(&mp).region_count, region_count);
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
    requests_stop();
    return region_count;
}

static void compare_memory_of_all(void)
{
    static const struct {
        size_t element_size, count;
    } cases[] = {{1, 4200}, {16, 300}, {100, 300}, {5000, 10}};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t j = 0; j < COUNT_OF(cases); j++) {
            compare_memory(cases[j].element_size, all_protections[i], cases[j].count, false);
            compare_memory(cases[j].element_size, all_protections[i], cases[j].count, true);
        }
    }
}

TEST(stats_count_exactly_what_may_be_read_and_written)
{
    compare_memory_of_all();
}

TEST(stats_count_exactly_what_may_be_read_and_written_in_small_regions)
{
    make_regions_small();
    compare_memory_of_all();
    CHECK(compare_memory(100, 0, 900, false) > 2);
}

TEST(each_region_is_more_than_twice_and_less_than_three_times_as_large_as_the_last)
{
    struct cork_mempool mp;
    size_t count = 0;

    make_regions_small();
    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, 30000);
    for (const struct cork_mempool_region *region = mp.newest; region->older != &mp.nursery;
         region = region->older) {
        CHECK(region->memory_size > 2 * region->older->memory_size);
        CHECK(region->memory_size < 3 * region->older->memory_size);
        count++;
    }
    CHECK(count > (page_size() > 4096 ? 1 : 3));
    give_objects(&mp, objects, 30000);
    cork_mempool_done(&mp);
}

/* What is refused is asked for by half. */
TEST(a_region_is_at_least_half_as_large_as_can_be_had)
{
    if (regions_are_small()) {
        test_skip("regions begin small where address space is scarce");
    }
    for (size_t limit = (size_t)1 << 20; limit < (size_t)1 << 30; limit *= 2) {
        struct cork_mempool mp;

        cork_mempool_init_size(&mp, 64);
        requests_start();
        requests_refuse(MAPPINGS, REFUSE_LARGER, limit);
        take_objects(&mp, objects, 100);
        CHECK(requests.mapped_size > limit / 2);
        give_objects(&mp, objects, 100);
        cork_mempool_done(&mp);
        requests_stop();
    }
}

TEST(first_objects_of_64_kib_in_all_come_from_the_heap_and_larger_ones_do_not)
{
    static const struct {
        size_t slot_size, block_size;
        bool is_mapped;
    } cases[] = {{1 << 16, 1, false},       {(1 << 16) + 16, 1, true},
                 {1 << 14, 1 << 16, false}, {1 << 14, 1 << 17, true},
                 {1 << 10, 1 << 17, false}, {(1 << 10) + 16, 1 << 17, true},
                 {1 << 20, 1 << 16, true},  {1 << 20, 1 << 20, true}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = cases[i].slot_size - GAP_SIZE,
                                                .alignment = 16,
                                                .block_size = cases[i].block_size});
        requests_start();
        take_objects(&mp, objects, 1);
        CHECK_EQUAL(requests.system_count > 0, cases[i].is_mapped);
        CHECK_EQUAL(requests.heap_count, cases[i].is_mapped ? 0 : 1);
        give_objects(&mp, objects, 1);
        cork_mempool_done(&mp);
        requests_stop();
    }
}

/* A block for which slots and tables together are a little more than all memory. */
TEST(tables_of_a_block_do_not_wrap_to_something_small)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_SEAL};

    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        const size_t stride = 1 + (TEST_UNDER_ASAN ? 23 : 0);
        const size_t record_size = protections[i] == 0 ? 0 : sizeof(struct cork_mempool_record);
        /* Of four slots, with 16 bytes for each 64 of them. */
        const size_t quadruple_size = 4 * (stride + record_size) + 1;
        const size_t slot_count = SIZE_MAX / quadruple_size * 4 + 3000;
        struct cork_mempool mp;
        size_t count = 0;

        init(&mp, (struct cork_mempool_options){.element_size = 1,
                                                .alignment = 1,
                                                .block_size = slot_count * stride,
                                                .protections = protections[i]});
        CHECK_EQUAL(stats_of(&mp).slot_size, stride);
        requests_start();
        while ((objects[count] = cork_mempool_new(&mp)) != NULL) {
            fill(objects[count], 1, count);
            CHECK(++count <= 64);
        }
        CHECK_EQUAL(errno, ENOMEM);
        CHECK_EQUAL(requests.mapped_size, 0);
        CHECK_EQUAL(requests.stray_count, 0);
        give_objects(&mp, objects, count);
        cork_mempool_done(&mp);
        requests_stop();
    }
}

/* Takes so many objects from pools whose regions are small: none may be outside of its region. */
static void fill_small_regions(struct cork_mempool_options options, size_t count)
{
    struct cork_mempool mp;

    init(&mp, options);
    requests_start();
    take_objects(&mp, objects, count);
    CHECK(requests.mapped_size > 0);
    CHECK_EQUAL(requests.refused_count, 0);
    CHECK_EQUAL(requests.stray_count, 0);
    CHECK(requests.heap_count <= 1); /* the first objects */
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    requests_stop();
}

TEST(objects_aligned_to_more_than_a_page_stay_inside_their_region)
{
    make_regions_small();
    for (size_t alignment = 4096; alignment <= 65536; alignment *= 2) {
        for (unsigned protection = 0; protection <= CORK_MEMPOOL_CANARY; protection++) {
            fill_small_regions((struct cork_mempool_options){.element_size = 40,
                                                             .alignment = alignment,
                                                             .protections = protection},
                               30);
        }
    }
}

/* A byte more than pages hold, and more than a small region is. */
TEST(a_block_that_needs_a_page_for_its_last_object_stays_inside_its_region)
{
    make_regions_small();
    fill_small_regions((struct cork_mempool_options){.element_size = 1,
                                                     .alignment = 1,
                                                     .block_size = 65536 + page_size() + 1},
                       64 + 65536 + page_size() + 1);
}

/* From the request with this number on; says whether there were so many. */
static bool refuse_from(unsigned protection, size_t number)
{
    const size_t most = 20000;
    struct cork_mempool mp;
    size_t count = 0;
    bool was_refused;

    init(&mp, (struct cork_mempool_options){.element_size = 1, .protections = protection});
    requests_start();
    requests_refuse(EVERYTHING, REFUSE_FROM, number);
    while (count < most && (objects[count] = cork_mempool_new(&mp)) != NULL) {
        fill(objects[count], 1, count);
        count++;
    }
    was_refused = requests_reached();
    CHECK_EQUAL(count < most, was_refused);
    CHECK_EQUAL(stats_of(&mp).free_count, was_refused ? 0 : stats_of(&mp).free_count);
    requests_refuse(0, REFUSE_FROM, 0);
    take_objects(&mp, objects + count, 100);
    give_objects(&mp, objects, count);
    for (size_t i = 0; i < 100; i++) {
        cork_mempool_free(&mp, objects[count + i]);
    }
    cork_mempool_done(&mp);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    requests_stop();
    return was_refused;
}

TEST(a_pool_that_is_refused_everything_from_any_request_on_gives_null)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_GUARD};

    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        size_t number = 1;

        while (refuse_from(protections[i], number)) {
            number++;
        }
        /* Larger pages serve for longer. */
        CHECK(number > (page_size() > 4096 ? 2 : 5));
    }
}

/* What a region has room for comes in smaller parts then, not from another. */
TEST(a_pool_that_may_not_commit_much_commits_less)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, page_size() / 64);
    requests_start();
    requests_refuse(COMMITS, REFUSE_LARGER, 2 * page_size());
    take_objects(&mp, objects, 450);
    CHECK(requests.refused_count > 0);
    CHECK_EQUAL(stats_of(&mp).region_count, 2);
    give_objects(&mp, objects, 450);
    cork_mempool_done(&mp);
    requests_stop();
}

/* A huge page would bring back what has been given back, and may have what was never issued. */
TEST(trim_leaves_of_a_region_the_groups_in_use_and_no_huge_pages)
{
    const size_t group_size = (size_t)64 * 4096;
    struct cork_mempool mp;

    if (TEST_UNDER_ASAN) {
        test_skip("what is between objects must stay");
    }
    cork_mempool_init_size(&mp, 4096);
    requests_start();
    take_objects(&mp, objects, 1);
    cork_mempool_trim(&mp);
    CHECK_EQUAL(requests.small_size, 0); /* of the heap */
    cork_mempool_free(&mp, objects[0]);
    take_objects(&mp, objects, 600);
    const struct cork_mempool_region *const region = mp.newest;

    CHECK(region->carved_count < region->usable_count);
    for (size_t i = 0; i < 599; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    CHECK_EQUAL(requests.small_size, 0);
    CHECK_EQUAL(requests.discard_size, 0);
    cork_mempool_trim(&mp);
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    CHECK_EQUAL(requests.small_size, region->usable_count * 4096);
    CHECK_EQUAL(requests.discard_size, requests.small_size - group_size);
    CHECK_EQUAL(requests.stray_count, 0);
    CHECK(is_filled(objects[599], 4096, 599));
    cork_mempool_free(&mp, objects[599]);
    cork_mempool_done(&mp);
    requests_stop();
}

TEST(memory_is_gone_after_done)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, 1000);
    const char *const memory = mp.newest->memory;
    const char *const end = memory + mp.newest->memory_size;

    CHECK(mp.newest != &mp.nursery && usable_size(read_mappings(), memory, end) > 0);
    give_objects(&mp, objects, 1000);
    cork_mempool_done(&mp);
    CHECK_EQUAL(usable_size(read_mappings(), memory, end), 0);
}

/* Frees all objects but the first and each step-th from another on, and trims. */
static size_t trim_all_but(struct cork_mempool *mp, size_t count, size_t step, size_t from)
{
    size_t size;

    take_objects(mp, objects, count);
    for (size_t i = 1; i < count; i++) {
        if (i % step != from) {
            cork_mempool_free(mp, objects[i]);
        }
    }
    size = cork_mempool_trim(mp);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || i % step == from) {
            CHECK(is_filled(objects[i], stats_of(mp).element_size, i));
            cork_mempool_free(mp, objects[i]);
        }
    }
    return size;
}

TEST(trim_gives_whole_pages_back)
{
    struct cork_mempool mp;

    /* Groups without live objects stand alone, and are smaller than a page. */
    cork_mempool_init_size(&mp, 8);
    CHECK_EQUAL(trim_all_but(&mp, 5000, 100, 0), 0);
    cork_mempool_done(&mp);

    /* Behind the first objects, which are elsewhere, the first group is in use, and the 38th. */
    init(&mp, (struct cork_mempool_options){.element_size = 7, .alignment = 1});
    const size_t size = trim_all_but(&mp, 2500, 2400, 70);

    CHECK_EQUAL(stats_of(&mp).region_count, 2);
    if (TEST_UNDER_ASAN) {
        CHECK_EQUAL(size, 0); /* what is between objects must stay */
    } else {
        const size_t start = in_pages((size_t)64 * 7);
        const size_t end = in_pages((size_t)37 * 64 * 7 + 1) - page_size();

        CHECK_EQUAL(size, end > start ? end - start : 0);
        CHECK(size == 0 || *(char *)objects[64 + (start + 7) / 7] == 0);
    }
    cork_mempool_done(&mp);
}
