/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Regions, and what a pool's memory consists of to the page: how much is reserved, how much of that
 * may be touched, and what becomes of it.
 */

#define _DEFAULT_SOURCE /* close */

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/support/memory.h"
#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

static void *objects[20000];

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

/* Says how much of a reserved region may be touched, which is its tables, if these are not of the
 * heap, and behind a guard its slots: without guards between them, whole pages, as full as they can
 * be. */
static size_t measure_reserved(const struct cork_mempool *mp,
                               const struct cork_mempool_region *region)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const char *const end = (char *)region->memory + region->memory_size;
    const char *const first = region->base - geometry->redzone_size;
    const char *const slots = first - (uintptr_t)first % page_size();
    const bool is_apart = has_heap_tables(region);
    const size_t tables = is_apart
                              ? tables_size(region, region->reserved_count, _Alignof(max_align_t))
                              : tables_size(region, region->committed_count, page_size());
    const size_t used = usable_size(slots, end);

    CHECK_EQUAL(usable_size(region->memory, slots), is_apart ? 0 : tables);
    CHECK(!is_apart || malloc_usable_size((void *)(uintptr_t)region) >= tables);
    CHECK_EQUAL(usable_size(slots - page_size(), slots), 0);
    CHECK_EQUAL(usable_size(region->memory, (char *)region->memory + page_size()), 0);
    CHECK_EQUAL(usable_size(end - page_size(), end), 0);
    if (geometry->block_pitch == 0) {
        const size_t needed =
            (size_t)(region->base - slots) + region->committed_count * geometry->stride;

        CHECK_EQUAL(used, in_units(needed, page_size()));
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

/* Takes objects, and says how many regions they are in. */
static size_t compare_memory(size_t element_size, unsigned protection, size_t count, int lacks)
{
    size_t memory_size = 0, reserved_size = 0, region_count = 0;
    struct cork_mempool mp;

    INIT(&mp, .element_size = element_size, .protections = protection);
    requests_start_lacking(lacks);
    take_objects(&mp, objects, count);
    CHECK(lacks == NO_HEAP || requests.refused_count == 0);
    CHECK_EQUAL(requests.stray_count, 0);
    for (const struct cork_mempool_region *region = mp.newest; region != NULL;
         region = region->older) {
        const bool is_heap = !is_reserved(region);
        const size_t size = is_heap ? measure_heap(&mp, region) : measure_reserved(&mp, region);

        CHECK(!is_heap || (lacks != NO_HEAP && (protection & CORK_MEMPOOL_GUARD) == 0));
        memory_size += size;
        reserved_size += is_heap ? size : region->memory_size;
        if (has_heap_tables(region)) {
            reserved_size += tables_size(region, region->reserved_count, _Alignof(max_align_t));
        }
        region_count++;
    }
    memory_size -= requests.guard_size;
    CHECK_EQUAL(stats_of(&mp).memory_size, memory_size);
    CHECK_EQUAL(stats_of(&mp).reserved_size, reserved_size);
    CHECK_EQUAL(stats_of(&mp).region_count, region_count);
    give_objects(&mp, objects, count);

    const size_t trimmed_size = cork_mempool_trim(&mp);

    CHECK(trimmed_size <= memory_size && trimmed_size >= count * element_size);
    CHECK_EQUAL(stats_of(&mp).reserved_size, 0);
    requests_finish();
    cork_mempool_done(&mp);
    return region_count;
}

TEST(stats_count_exactly_what_may_be_read_and_written_also_where_address_space_is_scarce)
{
    static const struct {
        size_t element_size, count;
    } cases[] = {{1, 4200}, {16, 300}, {100, 300}, {5000, 10}};
    static const int lacks[] = {0, NO_HEAP, NO_GUARDS};

    if (TEST_UNDER_QEMU) {
        test_skip("the emulator tells of mappings otherwise");
    }
    for (size_t scarce = 0; scarce < 2; scarce++) {
        if (scarce) {
            make_regions_small();
            CHECK(compare_memory(1000, 0, 20000, NO_HEAP) > 2);
        }
        for (size_t i = 0; i < PROTECTIONS_COUNT * COUNT_OF(cases) * 3; i++) {
            const size_t number = i / 3 % COUNT_OF(cases);

            compare_memory(cases[number].element_size, all_protections[i / 3 / COUNT_OF(cases)],
                           cases[number].count, lacks[i % 3]);
        }
        CHECK(compare_memory(100, 0, 20000, 0) > 4);
    }
}

/* The heap aligns as malloc does; the pool, as was asked for. */
TEST(objects_on_the_heap_are_aligned_wherever_its_pieces_begin)
{
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (unsigned protection = 0; protection <= CORK_MEMPOOL_CANARY; protection++) {
            void *pieces[20];

            for (size_t i = 0; i < COUNT_OF(pieces); i++) {
                struct cork_mempool mp;

                INIT(&mp, .element_size = 3, .alignment = alignment, .protections = protection);
                requests_start();
                exercise(&mp, 10);
                requests_finish();
                CHECK_EQUAL(requests.system_count, 0);
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

/* What the C library says of it is its own affair. */
static void free_by_the_heap(void *memory)
{
    close(STDERR_FILENO);
    free(memory);
}

/* There the C library looks for its mark of a piece, so that its free() refuses a pool's object. */
TEST(zeros_before_the_first_slot_of_a_piece_keep_free_of_the_c_library_from_taking_it)
{
    static const size_t alignments[] = {16, 64, 1024};
    static const unsigned protections[] = {0, CORK_MEMPOOL_SEAL, CORK_MEMPOOL_CALLSITES};

    for (size_t i = 0; i < 9; i++) {
        const size_t alignment = alignments[i % 3];
        struct cork_mempool mp;

        INIT(&mp, .element_size = 16, .alignment = alignment, .block_size = 64 * alignment,
             .protections = protections[i / 3]);
        for (size_t round = 0; round < 2; round++) {
            size_t first = 0;

            take_objects(&mp, objects, 400);
            CHECK(stats_of(&mp).region_count > 2);
            for (struct cork_mempool_region *region = mp.oldest; region != NULL;
                 region = region->newer) {
                char *dirty = malloc(region->memory_size);

                CHECK_POINTER(region->base, objects[first]);
                CHECK(are_zero(region->base - 16, 16));
#if defined(__GLIBC__)
                /* Others may look for their marks elsewhere. */
                if (!UNDER_SANITIZER) {
                    CHECK_ABORTS("", free_by_the_heap(objects[first]));
                }
#endif
                memset(dirty, 0xff, region->memory_size);
                free(dirty);
                first += region->reserved_count;
            }
            give_objects(&mp, objects, 400);
            cork_mempool_trim(&mp);
        }
        cork_mempool_done(&mp);
    }
}

/* Uses pools of reserved regions that are small: no access may be outside of its region. */
static void fill_small_regions(size_t element_size, size_t alignment, size_t block_size,
                               unsigned protections, size_t count)
{
    struct cork_mempool mp;

    INIT(&mp, .element_size = element_size, .alignment = alignment, .block_size = block_size,
         .protections = protections);
    requests_start_lacking(NO_HEAP);
    take_objects(&mp, objects, count);
    CHECK(requests.mapped_size > 0);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.stray_count, 0);
    finish(&mp, objects, count);
}

TEST(objects_stay_inside_small_regions_whatever_their_alignment_and_blocks)
{
    const size_t size = 1041;

    make_regions_small();
    for (size_t alignment = 4096; alignment <= 65536; alignment *= 2) {
        for (unsigned protection = 0; protection <= CORK_MEMPOOL_CANARY; protection++) {
            fill_small_regions(40, alignment, 0, protection, 30);
        }
    }
    /* Some of these end a few bytes behind a page, and all are more than a small region is. */
    for (size_t slot_count = 64; slot_count < 128; slot_count++) {
        fill_small_regions(size, 1, slot_count * (size + 23), 0, 2 * slot_count);
    }
}

#if TEST_UNDER_ASAN
/* What AddressSanitizer is told: that nothing may be touched but live objects. */
static void expect_marks(const struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;

    for (const struct cork_mempool_region *region = mp->newest; region != NULL;
         region = region->older) {
        for (size_t i = 1; i <= geometry->redzone_size; i++) {
            CHECK(__asan_address_is_poisoned(region->base - i));
        }
        for (size_t i = 0; i < region->committed_count; i++) {
            const char *const slot = region->base + i * geometry->stride;
            const size_t live_size = cork_mempool_owns(mp, slot) ? geometry->element_size : 0;

            for (size_t j = 0; j < geometry->stride; j += 8) {
                CHECK_EQUAL(__asan_address_is_poisoned(slot + j), j >= live_size);
            }
        }
    }
}

/* On a page for itself, with what is not the pool's before and behind. */
static struct {
    _Alignas(4096) char before[512];
    char buffer[2048];
    char behind[1536];
} arena;

enum kind { OF_HEAP, OF_SYSTEM, OF_SOURCE, OF_BUFFER, KIND_COUNT };

/* Of what is live while the memory grows, the marks stay. Behind the last slot of a reserved region
 * is the rest of its page; after done, the memory is anybody's. */
static void expect_marks_until_done(struct cork_mempool *mp, enum kind kind, size_t count)
{
    requests_start_lacking(kind == OF_SYSTEM ? NO_HEAP : 0);
    take_objects(mp, objects, 1);
    expect_marks(mp);
    take_objects(mp, objects + 1, count - 1);
    expect_marks(mp);
    CHECK_EQUAL(is_reserved(mp->newest), kind == OF_SYSTEM);
    char *const start = mp->newest->base - mp->geometry.redzone_size;
    char *const end = mp->newest->base + mp->newest->committed_count * mp->geometry.stride;
    const size_t rest = kind == OF_SYSTEM ? (~(uintptr_t)end + 1) & (page_size() - 1) : 0;

    CHECK(rest == 0 || __asan_region_is_poisoned(end, 1) != NULL);
    CHECK(rest == 0 || __asan_address_is_poisoned(end + rest - 1));
    give_objects(mp, objects, 1);
    give_objects(mp, objects + 1, count - 1);
    expect_marks(mp);
    cork_mempool_done(mp);
    requests_finish();
    /* The heap's memory is again not to be touched, but for what it gives to others. */
    if (kind == OF_SYSTEM || kind == OF_BUFFER) {
        CHECK_POINTER(__asan_region_is_poisoned(start, (size_t)(end - start) + rest), NULL);
    }
}

TEST(memory_of_every_kind_is_marked_until_it_is_given_back_and_nothing_else_is)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL};
    static const size_t sizes[][2] = {{16, 32}, {24, 8}, {1100008, 0}}; /* and alignments */

    ASAN_POISON_MEMORY_REGION(arena.before, sizeof(arena.before));
    ASAN_POISON_MEMORY_REGION(arena.behind, sizeof(arena.behind));
    for (size_t i = 0; i < COUNT_OF(sizes) * 3 * KIND_COUNT; i++) {
        const size_t *const size = sizes[i / 3 / KIND_COUNT];
        const enum kind kind = (enum kind)(i % KIND_COUNT);
        const bool is_large = size[0] > sizeof(arena.buffer);
        struct cork_mempool mp;

        /* Of objects this large, no piece of the heap has one. */
        if (is_large && kind != OF_SYSTEM) {
            continue;
        }
        INIT(&mp, .element_size = size[0], .alignment = size[1],
             .protections = protections[i / KIND_COUNT % 3],
             .source = kind == OF_SOURCE ? &plain_source : NULL,
             .buffer = kind == OF_BUFFER ? arena.buffer : NULL,
             .buffer_size = kind == OF_BUFFER ? sizeof(arena.buffer) : 0);
        expect_marks_until_done(&mp, kind, is_large || kind == OF_BUFFER ? 10 : 600);
        for (size_t j = 0; j < sizeof(arena.before); j++) {
            CHECK(__asan_address_is_poisoned(&arena.before[j]));
        }
        for (size_t j = 0; j < sizeof(arena.behind); j++) {
            CHECK(__asan_address_is_poisoned(&arena.behind[j]));
        }
    }
    ASAN_UNPOISON_MEMORY_REGION(&arena, sizeof(arena));
}
#endif
