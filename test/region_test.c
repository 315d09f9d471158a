/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Regions, and what a pool's memory consists of to the page: how much is reserved, how much of that
 * may be touched, and what becomes of it.
 */

#define _DEFAULT_SOURCE /* read */

#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

static void *objects[20000];

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

static size_t in_units(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* The tables of so many slots, each in whole units; no pool has one that it does not use. */
static size_t tables_size(const struct cork_mempool_region *region, size_t slot_count, size_t unit)
{
    const size_t group_count = (slot_count + 63) / 64;
    const size_t groups_size = sizeof(*region) + group_count * sizeof(*region->groups);
    const size_t words_size = in_units(group_count * sizeof(uint64_t), unit);
    size_t size = in_units(groups_size, unit);

    size += region->held != NULL ? words_size : 0;
    size += region->fresh != NULL ? words_size : 0;
    size += region->checksums != NULL ? in_units(slot_count * sizeof(uint64_t), unit) : 0;
    size += region->ring != NULL ? in_units(256 * sizeof(void *), unit) : 0;
    size += region->sites != NULL ? in_units(slot_count * sizeof(*region->sites), unit) : 0;
    return size;
}

static bool is_reserved(const struct cork_mempool_region *region)
{
    return (const char *)region == (const char *)region->memory + page_size();
}

/* Says how much of a region from the operating system may be touched, which is its tables,
 * all of them where they are small, and behind a guard its slots: without guards between them,
 * whole pages, as full as they can be. */
static size_t measure(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const char *const mappings = read_mappings();
    const char *const end = (char *)region->memory + region->memory_size;
    const char *const lead = region->base - geometry->redzone_size;
    const char *const slots = lead - (uintptr_t)lead % page_size();
    const size_t tables = usable_size(mappings, region->memory, slots);
    const size_t whole = tables_size(region, region->reserved_count, _Alignof(max_align_t));
    const size_t used = usable_size(mappings, slots, end);

    CHECK_EQUAL(tables, whole <= 65536 ? in_pages(whole)
                                       : tables_size(region, region->committed_count, page_size()));
    CHECK_EQUAL(usable_size(mappings, slots - page_size(), slots), 0);
    CHECK_EQUAL(usable_size(mappings, region->memory, (char *)region->memory + page_size()), 0);
    CHECK_EQUAL(usable_size(mappings, end - page_size(), end), 0);
    if (geometry->block_pitch == 0) {
        const size_t needed =
            (size_t)(region->base - slots) + region->committed_count * geometry->stride;

        CHECK_EQUAL(used, in_pages(needed));
        CHECK(region->committed_count == region->reserved_count ||
              used - needed < geometry->stride);
    }
    return tables + used;
}

/* Says how large the pieces of the heap are that a region consists of. */
static size_t measure_heap(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const char *const start = region->memory;
    const bool is_first = region == &mp->first_region;
    const size_t tables =
        is_first ? 0 : tables_size(region, region->reserved_count, _Alignof(max_align_t));

    CHECK_EQUAL(region->committed_count, region->reserved_count);
    CHECK(region->base >= start + geometry->redzone_size + 16);
    CHECK(region->base + region->reserved_count * geometry->stride <= start + region->memory_size);
    CHECK(malloc_usable_size(region->memory) >= region->memory_size);
    CHECK(is_first || malloc_usable_size((void *)(uintptr_t)region) >= tables);
    return region->memory_size + tables;
}

/* What a pool is refused, from the first piece of the heap or the first guard on. */
enum lack { NO_LACK, NO_HEAP, NO_GUARDS, LACK_COUNT };

/* Takes objects, and says how many regions they are in. */
static size_t compare_memory(size_t element_size, unsigned protection, size_t count, enum lack lack)
{
    struct cork_mempool mp;
    size_t memory_size = 0;
    size_t reserved_size = 0;
    size_t region_count = 0;
    size_t trimmed_size;

    init(&mp,
         (struct cork_mempool_options){.element_size = element_size, .protections = protection});
    requests_start();
    if (lack == NO_HEAP) {
        requests_refuse(HEAP, REFUSE_FROM, 1);
    } else if (lack == NO_GUARDS) {
        requests_refuse_guards();
    }
    take_objects(&mp, objects, count);
    CHECK(lack == NO_HEAP || requests.refused_count == 0);
    CHECK_EQUAL(requests.stray_count, 0);
    for (const struct cork_mempool_region *region = mp.newest; region != NULL;
         region = region->older) {
        const size_t size = is_reserved(region) ? measure(&mp, region) : measure_heap(&mp, region);

        CHECK(is_reserved(region) || (lack != NO_HEAP && (protection & CORK_MEMPOOL_GUARD) == 0));
        memory_size += size;
        reserved_size += is_reserved(region) ? region->memory_size : size;
        region_count++;
    }
    CHECK_EQUAL(stats_of(&mp).memory_size, memory_size - requests.guard_size);
    CHECK_EQUAL(stats_of(&mp).reserved_size, reserved_size);
    CHECK_EQUAL(stats_of(&mp).region_count, region_count);
    give_objects(&mp, objects, count);
    trimmed_size = cork_mempool_trim(&mp);
    CHECK(trimmed_size <= memory_size - requests.guard_size);
    CHECK(trimmed_size >= count * element_size);
    CHECK_EQUAL(stats_of(&mp).reserved_size, 0);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    cork_mempool_done(&mp);
    requests_stop();
    return region_count;
}

static void compare_memory_of_all(void)
{
    static const struct {
        size_t element_size, count;
    } cases[] = {{1, 4200}, {16, 300}, {100, 300}, {5000, 10}};

    if (TEST_UNDER_QEMU) {
        test_skip("the emulator tells of mappings otherwise");
    }
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        for (size_t j = 0; j < COUNT_OF(cases); j++) {
            for (enum lack lack = 0; lack < LACK_COUNT; lack++) {
                compare_memory(cases[j].element_size, all_protections[i], cases[j].count, lack);
            }
        }
    }
}

TEST(stats_count_exactly_what_may_be_read_and_written)
{
    compare_memory_of_all();
    CHECK(compare_memory(100, 0, 20000, NO_LACK) > 4);
}

TEST(stats_count_exactly_what_may_be_read_and_written_where_address_space_is_scarce)
{
    make_regions_small();
    compare_memory_of_all();
    CHECK(compare_memory(100, 0, 20000, NO_LACK) > 4);
    CHECK(compare_memory(1000, 0, 20000, NO_HEAP) > 2);
}

/* The heap aligns as malloc does; the pool, as was asked for. */
TEST(objects_on_the_heap_are_aligned_wherever_its_pieces_begin)
{
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (unsigned protection = 0; protection <= CORK_MEMPOOL_CANARY; protection++) {
            void *pieces[20];

            for (size_t i = 0; i < COUNT_OF(pieces); i++) {
                struct cork_mempool mp;

                init(&mp, (struct cork_mempool_options){.element_size = 3,
                                                        .alignment = alignment,
                                                        .protections = protection});
                requests_start();
                take_objects(&mp, objects, 10);
                CHECK_EQUAL(requests.system_count, 0);
                give_objects(&mp, objects, 10);
                cork_mempool_done(&mp);
                requests_stop();
                pieces[i] = malloc(16 * (i % 3 + 1)); /* moves the next one */
            }
            for (size_t i = 0; i < COUNT_OF(pieces); i++) {
                free(pieces[i]);
            }
        }
    }
}

/* AddressSanitizer knows that nobody may read them. */
__attribute__((no_sanitize("address"))) static bool are_zero(const char *bytes, size_t size)
{
    bool are_zero = true;

    for (size_t i = 0; i < size; i++) {
        are_zero = are_zero && ((const volatile char *)bytes)[i] == 0;
    }
    return are_zero;
}

/* There the C library looks for what it knows of a piece. */
TEST(free_of_the_c_library_finds_zeros_before_the_first_slot_of_a_piece)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    for (size_t round = 0; round < 2; round++) {
        take_objects(&mp, objects, 2000);
        CHECK(stats_of(&mp).region_count > 2);
        for (struct cork_mempool_region *region = mp.oldest; region != NULL;
             region = region->newer) {
            char *dirty = malloc(region->memory_size);

            CHECK(are_zero(region->base - 16, 16));
            memset(dirty, 0xff, region->memory_size);
            free(dirty);
        }
        give_objects(&mp, objects, 2000);
        cork_mempool_trim(&mp);
    }
    cork_mempool_done(&mp);
}

/* Takes so many objects from pools whose regions are small: none may be outside of its region. */
static void fill_small_regions(struct cork_mempool_options options, size_t count)
{
    struct cork_mempool mp;

    init(&mp, options);
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, count);
    CHECK(requests.mapped_size > 0);
    CHECK_EQUAL(requests.stray_count, 0);
    CHECK_EQUAL(requests.heap_count, 0);
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
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

/* Some of these end a few bytes behind a page, and all are more than a small region is. */
TEST(a_block_that_needs_a_page_for_its_last_object_stays_inside_its_region)
{
    const size_t size = 1041;

    make_regions_small();
    for (size_t slot_count = 64; slot_count < 128; slot_count++) {
        fill_small_regions((struct cork_mempool_options){.element_size = size,
                                                         .alignment = 1,
                                                         .block_size = slot_count * (size + 23)},
                           2 * slot_count);
    }
}

/* A huge page would bring back what has been given back, and may have what was never issued. */
TEST(trim_leaves_of_a_region_the_pages_in_use_and_no_huge_pages)
{
    struct cork_mempool mp;

    if (TEST_UNDER_ASAN) {
        test_skip("what is between objects must stay");
    }
    cork_mempool_init_size(&mp, 4096);
    requests_start();
    take_objects(&mp, objects, 64);
    cork_mempool_trim(&mp);
    CHECK_EQUAL(requests.small_size, 0); /* of the heap */
    give_objects(&mp, objects, 64);
    cork_mempool_trim(&mp);
    const size_t discard_size = requests.discard_size;
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, 1500);
    const struct cork_mempool_region *const region = mp.newest;

    CHECK(region->extended_count < region->committed_count);
    for (size_t i = 0; i < 1499; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    CHECK_EQUAL(requests.small_size, 0);
    CHECK_EQUAL(requests.discard_size, discard_size);
    cork_mempool_trim(&mp);
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    CHECK_EQUAL(requests.small_size, region->committed_count * 4096);
    CHECK_EQUAL(requests.discard_size - discard_size,
                (size_t)((char *)objects[1499] - region->base) & ~(page_size() - 1));
    CHECK(is_filled(objects[1499], 4096, 1499));
    cork_mempool_free(&mp, objects[1499]);
    cork_mempool_done(&mp);
    requests_stop();
}

TEST(memory_is_gone_after_done)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, 20000);
    CHECK(is_reserved(mp.newest));
    const char *const memory = mp.newest->memory;
    const char *const end = memory + mp.newest->memory_size;

    CHECK(usable_size(read_mappings(), memory, end) > 0);
    give_objects(&mp, objects, 20000);
    cork_mempool_done(&mp);
    CHECK_EQUAL(usable_size(read_mappings(), memory, end), 0);
}

/* Takes objects in reserved regions, frees all but the first and each step-th from another on, and
 * trims. */
static size_t trim_all_but(struct cork_mempool *mp, size_t count, size_t step, size_t from)
{
    size_t size;

    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(mp, objects, count);
    CHECK_EQUAL(requests.heap_count, 0);
    requests_stop();
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

    /* Each page has a live object. */
    cork_mempool_init_size(&mp, 8);
    CHECK_EQUAL(trim_all_but(&mp, 5000, page_size() / 64, 0), 0);
    cork_mempool_done(&mp);

    /* All but a few at the start and the end are free. */
    init(&mp, (struct cork_mempool_options){.element_size = 7, .alignment = 1});
    const size_t size = trim_all_but(&mp, 2500, 2400, 70);

    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    if (!TEST_UNDER_ASAN) {
        const size_t start = in_pages((size_t)71 * 7);
        const size_t end = in_pages((size_t)2470 * 7 + 1) - page_size();

        CHECK_EQUAL(size, end > start ? end - start : 0);
        CHECK(size == 0 || *(char *)objects[(start + 6) / 7] == 0);
    }
    cork_mempool_done(&mp);
}
