/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Regions, and what a pool's memory consists of to the page: how much is reserved, how much of that
 * may be touched, and what becomes of it; and guards between blocks, whatever the sizes and the
 * alignment. What a program sees of these is hooks_test.c's.
 */

#define _DEFAULT_SOURCE /* close, madvise, syscall */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"

static void *objects[200000]; /* six blocks of a page of 64 KiB, of the smallest objects, fit in */

/* Says how much of a reserved region may be touched, which is its tables, if these are not of the
 * heap, and behind a guard its slots: without guards between them, whole pages, as full as they can
 * be. */
static size_t measure_reserved(const struct cork_mempool_geometry *geometry,
                               const struct cork_mempool_region *region)
{
    const size_t page = page_size();
    const char *const start = region->memory;
    const char *const end = start + region->memory_size;
    const char *const first =
        region->base - (geometry->redzone_size < 16 ? geometry->redzone_size : 16);
    const char *const slots = first - (uintptr_t)first % page;

    CHECK_EQUAL(usable_size(start, start + page), 0);
    CHECK_EQUAL(usable_size(slots - page, slots), 0);
    CHECK_EQUAL(usable_size(end - page, end), 0);
    if (geometry->block_pitch == 0) {
        const size_t used = usable_size(slots, end);
        const size_t needed =
            (size_t)(region->base - slots) + region->committed_count * geometry->stride;

        CHECK_EQUAL(used, (needed + page - 1) / page * page);
        CHECK(region->committed_count == region->reserved_count ||
              used - needed < geometry->stride);
    }
    return usable_size(start, end);
}

/* Takes objects, and says how many regions they are in. No access may be outside of its region. */
static size_t compare_memory(struct cork_mempool_options options, size_t count, int lacks)
{
    size_t mapped_size = 0, region_count = 0;
    struct cork_mempool mp;

    test_row("element size %zu, alignment %zu, block size %zu, protections %#x, without %d",
             options.element_size, options.alignment, options.block_size, options.protections,
             lacks);
    CHECK(cork_mempool_init_with(&mp, &options));
    requests_start_lacking(lacks);
    take_objects(&mp, objects, count);
    CHECK(lacks == NO_HEAP || requests.refused_count == 0);
    CHECK_EQUAL(requests.stray_count, 0);
    const struct cork_mempool_stats stats = stats_of(&mp);
    /* An emulator tells of mappings otherwise. */
    if (TEST_UNDER_QEMU) {
        finish(&mp, objects, count);
        return stats.region_count;
    }
    for (const struct cork_mempool_region *region = mp.oldest; region != NULL;
         region = region->newer) {
        if (is_reserved(region)) {
            mapped_size += measure_reserved(&mp.geometry, region);
        } else {
            const char *const start = region->memory;

            CHECK(lacks != NO_HEAP && mp.geometry.block_pitch == 0);
            CHECK_EQUAL(region->committed_count, region->reserved_count);
            CHECK(region->base >= start + mp.geometry.redzone_size + 16);
            CHECK(region->base + region->reserved_count * mp.geometry.stride <=
                  start + region->memory_size);
        }
        region_count++;
    }
    CHECK_EQUAL(stats.memory_size, requests.heap_size + mapped_size - requests.guard_size);
    CHECK_EQUAL(stats.reserved_size, requests.heap_size + requests.mapped_size);
    CHECK_EQUAL(stats.region_count, region_count);
    give_objects(&mp, objects, count);

    const size_t trimmed_size = cork_mempool_trim(&mp);

    CHECK(trimmed_size <= stats.memory_size && trimmed_size >= count * options.element_size);
    CHECK_EQUAL(stats_of(&mp).reserved_size, 0);
    requests_finish();
    cork_mempool_done(&mp);
    return region_count;
}

TEST(stats_count_exactly_what_may_be_read_and_written_also_where_address_space_is_scarce)
{
    static const size_t cases[][2] = {{1, 4200}, {16, 300}, {100, 300}, {5000, 10}};
    static const int lacks[] = {0, NO_HEAP, NO_GUARDS};

    for (size_t scarce = 0; scarce < 2; scarce++) {
        for (size_t i = 0; i < PROTECTIONS_COUNT * COUNT_OF(cases) * 3; i++) {
            const size_t *const numbers = cases[i / 3 % COUNT_OF(cases)];

            compare_memory(*OPTIONS(.element_size = numbers[0],
                                    .protections = all_protections[i / 3 / COUNT_OF(cases)]),
                           numbers[1], lacks[i % 3]);
        }
        CHECK(compare_memory(*OPTIONS(.element_size = 100), 20000, 0) > 4);
        make_regions_small();
    }
    CHECK(compare_memory(*OPTIONS(.element_size = 1000), 20000, NO_HEAP) > 2);
    /* What is left at the end of a region is no block with its guard, and is left over. */
    CHECK(compare_memory(*OPTIONS(.element_size = 350, .protections = CORK_MEMPOOL_GUARD), 30000,
                         0) > 2);
    for (size_t alignment = 4096; alignment <= 65536; alignment *= 2) {
        for (unsigned set = 0; set <= CORK_MEMPOOL_CANARY; set++) {
            compare_memory(*OPTIONS(.element_size = 40, .alignment = alignment, .protections = set),
                           30, NO_HEAP);
        }
    }
    /* Some of these end a few bytes behind a page, and all are more than a small region is. */
    for (size_t slot_count = 64; slot_count < 128; slot_count++) {
        compare_memory(
            *OPTIONS(.element_size = 1041, .alignment = 1, .block_size = slot_count * (1041 + 23)),
            2 * slot_count, NO_HEAP);
    }
}

/* There the C library looks for its mark of a piece, so that its free() refuses a pool's object;
 * what it says then is its own affair. Others may look elsewhere. */
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
            take_objects(&mp, objects, 400);
            CHECK(stats_of(&mp).region_count > 2);
            for (struct cork_mempool_region *region = mp.oldest; region != NULL;
                 region = region->newer) {
                char *dirty = malloc(region->memory_size);

                for (size_t j = 1; j <= 16; j++) {
                    CHECK_EQUAL(peek(region->base - j), 0);
                }
#if defined(__GLIBC__)
                if (!UNDER_SANITIZER) {
                    CHECK_ABORTS("", (close(STDERR_FILENO), free(region->base)));
                }
#endif
                memset(dirty, 0xff, region->memory_size);
                free(dirty);
            }
            give_objects(&mp, objects, 400);
            cork_mempool_trim(&mp);
        }
        cork_mempool_done(&mp);
    }
}

/* Asks the kernel, which no tool hears. */
static bool is_accessible(const char *address)
{
    static int pipes[2];

    if (pipes[1] == 0) {
        CHECK_EQUAL(pipe(pipes), 0);
    }
    if (syscall(SYS_write, pipes[1], address, 1) == 1) {
        return read(pipes[0], &(char){0}, 1) == 1;
    }
    CHECK_EQUAL(errno, EFAULT);
    return false;
}

/* From where a block ends, behind its last slot, to where the next one begins: a guard of at least
 * a page and the alignment, up to the page that has the first bytes that the next block needs. */
static void look_between(const struct cork_mempool *mp, const char *end, const char *next)
{
    const size_t alignment = mp->geometry.alignment;
    const size_t redzone_size = mp->geometry.redzone_size < 16 ? mp->geometry.redzone_size : 16;
    const char *const needed = next - redzone_size;
    const char *const guard_end = needed - (uintptr_t)needed % page_size();

    CHECK(guard_end >= end + page_size() && next >= end + alignment);
    CHECK_EQUAL((uintptr_t)end % page_size(), 0);
    CHECK(is_accessible(end - 1));
    for (const char *address = end; address < next; address += page_size()) {
        CHECK_EQUAL(is_accessible(address), address >= guard_end);
    }
    CHECK_EQUAL(is_accessible(next - 1), next > guard_end);
    CHECK(is_accessible(next));
}

/* Looks at the guards between objects that were issued in order, and counts them; regions may lie
 * side by side too, but not just so far apart. */
static size_t count_guards(const struct cork_mempool *mp, size_t count)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t gap = (geometry->block_pitch - geometry->block_slots) * geometry->stride;
    size_t guard_count = 0;

    for (size_t i = 1; i < count; i++) {
        const char *const end = (char *)objects[i - 1] + geometry->stride;

        if ((uintptr_t)objects[i] - (uintptr_t)end == gap) {
            look_between(mp, end, objects[i]);
            guard_count++;
        }
    }
    return guard_count;
}

/* Takes objects; there is a guard between any two blocks that are not in different regions. */
static void take_guarded(struct cork_mempool *mp, size_t count)
{
    take_objects(mp, objects, count);
    CHECK(is_reserved(mp->oldest) && requests.heap_count <= stats_of(mp).region_count);

    const size_t guard_count = count_guards(mp, count);
    CHECK(guard_count > 0);
    CHECK(guard_count + stats_of(mp).region_count > (count - 1) / mp->geometry.block_slots);
}

/* Takes enough blocks for two of them to be committed at once, with a guard between them. lacks:
 * nothing, where the system makes guards; or what lets the pool make them by mappings. */
static void expect_guarded_blocks(size_t element_size, size_t alignment, size_t number, int lacks)
{
    struct cork_mempool mp;

    INIT(&mp, .element_size = element_size, .alignment = alignment,
         .protections = CORK_MEMPOOL_GUARD | (number % 2 == 0 ? 0 : CORK_MEMPOOL_CANARY));
    const size_t count = 6 * mp.geometry.block_slots + 1;
    CHECK(count <= COUNT_OF(objects));
    requests_start_lacking(lacks);
    take_guarded(&mp, count);
    CHECK_EQUAL(requests.stray_count, 0);
    finish(&mp, objects, count);
}

TEST(blocks_end_where_their_guards_begin_whatever_the_size_and_the_alignment)
{
    for (size_t size = 16; size <= 5000; size++) {
        expect_guarded_blocks(size, 0, size, 0);
    }
    for (size_t size = 1; size <= 5000; size += 7) {
        expect_guarded_blocks(size, 0, size, NO_GUARDS);
        expect_guarded_blocks(size, 1, size, NO_EFFECT);
        expect_guarded_blocks(size, 0, size, FEW_GUARDS);
    }
    for (size_t alignment = page_size() / 2; alignment <= 16 * page_size(); alignment *= 2) {
        for (size_t i = 0; i < 2; i++) {
            expect_guarded_blocks(64, alignment, i, 0);
            expect_guarded_blocks(alignment + 1, alignment, i, NO_GUARDS);
        }
    }
}

TEST(a_block_ends_where_its_guard_begins_also_if_the_pool_may_not_have_all_of_its_objects)
{
    static const size_t counts[] = {1, 3, 27}, alignments[] = {0, 64, 4096};

    for (size_t i = 0; i < 2 * COUNT_OF(counts) * COUNT_OF(alignments); i++) {
        const size_t count = counts[i / 2 % 3];
        struct cork_mempool mp;

        test_row("%zu objects, alignment %zu", count, alignments[i / 6]);
        INIT(&mp, .element_size = 64, .alignment = alignments[i / 6], .block_size = 1 << 20,
             .max_objects = count,
             .protections = i % 2 == 0 ? CORK_MEMPOOL_GUARD : CORK_MEMPOOL_PARANOID);
        requests_start();
        take_objects(&mp, objects, count);
        expect_null(&mp);
        CHECK_EQUAL(stats_of(&mp).block_size, count * mp.geometry.stride);
        CHECK(is_accessible(mp.oldest->base + count * mp.geometry.stride - 1));
        CHECK(!is_accessible(mp.oldest->base + count * mp.geometry.stride));
        CHECK_EQUAL(requests.stray_count, 0);
        finish(&mp, objects, count);
    }
}

TEST(guards_between_blocks_are_inaccessible_before_and_after_trim)
{
    static const int lacks[] = {0, NO_GUARDS, NO_EFFECT};
    static _Alignas(1 << 16) char page[1 << 16];
    /* Who looks for leaks would fault at them; and emulators only say that they make them. */
    const bool are_to_be_had =
        !TEST_UNDER_ASAN && madvise(page, page_size(), ADVICE_GUARD) == 0 && !is_accessible(page);

    for (size_t i = 0; i < 2 * COUNT_OF(lacks); i++) {
        struct cork_mempool mp;

        INIT(&mp, .element_size = page_size() / 64,
             .protections = CORK_MEMPOOL_GUARD | (i / 3 == 0 ? 0 : CORK_MEMPOOL_CANARY));
        requests_start_lacking(NO_MAPPINGS);
        expect_null(&mp); /* the heap has none */
        requests_start_lacking(lacks[i % 3]);
        take_guarded(&mp, 5000);
        CHECK_EQUAL(requests.stray_count, 0);
        /* A commit for each block, or for twice as many each time, with what was before it. */
        const size_t few = regions_are_small() || page_size() > 4096 ? 80 : 13;
        CHECK_EQUAL(requests.system_count < few, requests.guard_size > 0);
        CHECK_EQUAL(requests.guard_size > 0, requests.lacks == 0 && are_to_be_had);
        CHECK(requests.guard_size == 0 || requests.guard_size / page_size() >=
                                              mp.newest->committed_count / mp.geometry.block_pitch);
        free_objects(&mp, objects, 1, 4999);
        cork_mempool_trim(&mp);
        CHECK(count_guards(&mp, mp.geometry.block_slots + 1) <= 1);
        cork_mempool_free(&mp, objects[0]);
        cork_mempool_free(&mp, objects[4999]);
        cork_mempool_trim(&mp);
        CHECK_EQUAL(requests.mapped_size, 0);
        take_guarded(&mp, 5000);
        finish(&mp, objects, 5000);
    }
}

#if TEST_UNDER_ASAN
/* What AddressSanitizer is told: that nothing may be touched but live objects. */
static void expect_marks(const struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;

    for (const struct cork_mempool_region *region = mp->oldest; region != NULL;
         region = region->newer) {
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

/* On a page for itself a buffer, with what is not the pool's before and behind. */
#define BUFFER_SIZE 2048

static _Alignas(4096) char arena[4096];
static char *const buffer = arena + 512;

/* Of what is live while the memory grows, the marks stay. Behind the last slot of a reserved region
 * is the rest of its page; after done, the memory is anybody's. */
static void expect_marks_until_done(const struct cork_mempool_options *options, size_t count,
                                    int lacks)
{
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp, options));
    requests_start_lacking(lacks);
    take_objects(&mp, objects, 1);
    expect_marks(&mp);
    take_objects(&mp, objects + 1, count - 1);
    expect_marks(&mp);
    CHECK_EQUAL(is_reserved(mp.newest), lacks == NO_HEAP);
    char *const start = mp.newest->base - mp.geometry.redzone_size;
    char *const end = mp.newest->base + mp.newest->committed_count * mp.geometry.stride;
    const size_t rest = lacks == NO_HEAP ? (~(uintptr_t)end + 1) & (page_size() - 1) : 0;

    CHECK(rest == 0 || __asan_address_is_poisoned(end));
    CHECK(rest == 0 || __asan_address_is_poisoned(end + rest - 1));
    give_objects(&mp, objects, 1);
    give_objects(&mp, objects + 1, count - 1);
    expect_marks(&mp);
    cork_mempool_done(&mp);
    requests_finish();
    /* The heap's memory is again not to be touched, but for what it gives to others. */
    if (lacks == NO_HEAP || options->buffer != NULL) {
        CHECK_POINTER(__asan_region_is_poisoned(start, (size_t)(end - start) + rest), NULL);
    }
}

TEST(memory_of_every_kind_is_marked_until_it_is_given_back_and_nothing_else_is)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL};
    static const size_t sizes[][2] = {{16, 32}, {24, 8}}; /* and alignments */

    ASAN_POISON_MEMORY_REGION(arena, 512);
    ASAN_POISON_MEMORY_REGION(buffer + BUFFER_SIZE, sizeof(arena) - 512 - BUFFER_SIZE);
    for (size_t i = 0; i < 6; i++) {
        struct cork_mempool_options options = {.element_size = sizes[i % 2][0],
                                               .alignment = sizes[i % 2][1],
                                               .protections = protections[i / 2]};

        expect_marks_until_done(&options, 600, 0);
        expect_marks_until_done(&options, 600, NO_HEAP);
        options.source = &plain_source;
        expect_marks_until_done(&options, 600, 0);
        options.source = NULL;
        options.buffer = buffer;
        options.buffer_size = BUFFER_SIZE;
        expect_marks_until_done(&options, 10, 0);
        for (size_t j = 0; j < sizeof(arena); j += j == 511 ? BUFFER_SIZE + 1 : 1) {
            CHECK(__asan_address_is_poisoned(&arena[j]));
        }
        /* No piece of the heap has objects this large. */
        expect_marks_until_done(OPTIONS(.element_size = 1100008, .protections = protections[i / 2]),
                                10, NO_HEAP);
    }
}
#endif
