/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Regions of memory that is not reserved: of a buffer, and of a source that is asked for pieces.
 * And what AddressSanitizer is told of regions of every kind.
 */

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/support/harness.h"
#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif
#include "test/support/pools.h"
#include "test/support/requests.h"

static void *objects[1000];

static void init(struct cork_mempool *mp, struct cork_mempool_options options)
{
    CHECK(cork_mempool_init_with(mp, &options));
}

/* What the C library says of it is its own affair. */
static void free_by_the_heap(void *memory)
{
    close(STDERR_FILENO);
    free(memory);
}

/* The C library would look for its own mark before the object, so there must be none. */
TEST(a_piece_of_the_heap_does_not_begin_with_an_object_that_the_heap_could_free)
{
    static const size_t firsts[] = {0, 64, 192};
    static const size_t alignments[] = {16, 64, 1024};
    static const unsigned protections[] = {0, CORK_MEMPOOL_SEAL, CORK_MEMPOOL_CALLSITES};

#if !defined(__GLIBC__)
    test_skip("this C library may look for its marks elsewhere");
#endif
    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN) {
        test_skip("this sanitizer has a heap of its own");
    }
    for (size_t i = 0; i < 9; i++) {
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = 16,
                                                .alignment = alignments[i % 3],
                                                .block_size = 64 * alignments[i % 3],
                                                .protections = protections[i / 3]});
        take_objects(&mp, objects, 193);
        for (size_t j = 0; j < 3; j++) {
            CHECK_ABORTS("", free_by_the_heap(objects[firsts[j]]));
        }
        give_objects(&mp, objects, 193);
        cork_mempool_done(&mp);
    }
}

/* Memory of the caller's is not the pool's to give away. */
TEST(trim_leaves_pages_of_a_buffer_alone)
{
    static _Alignas(4096) char buffer[1 << 16];
    struct cork_mempool mp;

    init(&mp, (struct cork_mempool_options){
                  .element_size = 24, .buffer = buffer, .buffer_size = sizeof(buffer)});
    take_objects(&mp, objects, 1000);
    for (size_t i = 1; i < 1000; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    give_objects(&mp, objects, 1);
    cork_mempool_done(&mp);
}

/* On a page for itself, with what is not the pool's before and behind. */
static struct {
    _Alignas(4096) char before[512];
    char buffer[2048];
    char behind[1536];
} arena;

TEST(a_buffer_is_used_to_its_last_byte)
{
    for (size_t size = 1;; size++) {
        const struct cork_mempool_options options = {
            .element_size = 1, .alignment = 1, .buffer = arena.buffer, .buffer_size = size};
        struct cork_mempool mp;

        CHECK(size < sizeof(arena.buffer));
        if (cork_mempool_init_with(&mp, &options)) {
            char *const object = cork_mempool_new(&mp);

            CHECK_POINTER(object + stats_of(&mp).slot_size, arena.buffer + size);
            cork_mempool_free(&mp, object);
            cork_mempool_done(&mp);
            break;
        }
    }
}

TEST(a_buffer_of_large_objects_holds_all_that_fits)
{
    static char buffer[4 << 20];
    struct cork_mempool mp;

    init(&mp, (struct cork_mempool_options){.element_size = 1 << 20,
                                            .alignment = 16,
                                            .buffer = buffer,
                                            .buffer_size = sizeof(buffer)});
    take_objects(&mp, objects, 3);
    CHECK_POINTER(cork_mempool_new(&mp), NULL);
    give_objects(&mp, objects, 3);
    cork_mempool_done(&mp);
}

/* A source that writes down what it was asked for, and has no more than a size at once. */

static size_t asked_sizes[64];
static size_t asked_count;

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    const size_t *most = source_data;

    CHECK(asked_count < COUNT_OF(asked_sizes));
    asked_sizes[asked_count++] = size;
    return most != NULL && size > *most ? NULL : aligned_alloc(alignment, size);
}

static void release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

static const struct cork_mempool_source source = {acquire, release};

TEST(a_source_is_asked_for_a_block_and_then_for_twice_as_much_each_time)
{
    struct cork_mempool mp;
    size_t slot_size;

    init(&mp,
         (struct cork_mempool_options){.element_size = 1000, .block_size = 1, .source = &source});
    slot_size = stats_of(&mp).slot_size;
    take_objects(&mp, objects, 127);
    /* First the slots, with a redzone before them, and then the tables. */
    CHECK_EQUAL(asked_count, 14);
    for (size_t i = 0; i < 7; i++) {
        CHECK_EQUAL(asked_sizes[2 * i] / slot_size, (size_t)1 << i);
    }
    give_objects(&mp, objects, 127);
    cork_mempool_done(&mp);
}

TEST(a_source_that_refuses_much_is_asked_for_less)
{
    size_t most = 5000;
    struct cork_mempool mp;

    init(&mp, (struct cork_mempool_options){
                  .element_size = 1000, .block_size = 1, .source = &source, .source_data = &most});
    take_objects(&mp, objects, 40);
    CHECK_EQUAL(mp.newest->reserved_count, 4);
    give_objects(&mp, objects, 40);
    cork_mempool_done(&mp);
}

TEST(a_source_is_asked_for_a_gibibyte_at_most)
{
    /* Where words have 32 bits, it is less. */
    const size_t most_thinkable = (size_t)1 << 30 < SIZE_MAX / 8 ? (size_t)1 << 30 : SIZE_MAX / 8;
    size_t most = 0;

    for (unsigned bits = 28; bits < 32; bits++) {
        const size_t size = (size_t)1 << bits;
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = 64 - GAP_SIZE,
                                                .alignment = 16,
                                                .block_size = size,
                                                .source = &source,
                                                .source_data = &most});
        asked_count = 0;
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        CHECK_EQUAL(asked_count, size <= most_thinkable ? 1 : 0);
        CHECK(asked_count == 0 || asked_sizes[0] >= size);
        cork_mempool_done(&mp);
    }
}

#if TEST_UNDER_ASAN
/* What AddressSanitizer is told: that nothing may be touched but live objects. */
static void check_marks(const struct cork_mempool *mp)
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

/* Lives of a pool; what is live while the memory grows stays so. */
static void live_marked(struct cork_mempool *mp, size_t count)
{
    take_objects(mp, objects, 1);
    check_marks(mp);
    take_objects(mp, objects + 1, count - 1);
    check_marks(mp);
    give_objects(mp, objects, 1);
    give_objects(mp, objects + 1, count - 1);
    check_marks(mp);
}

static struct cork_mempool_options marked(size_t number)
{
    static const unsigned protections[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL};

    return (struct cork_mempool_options){.element_size = 16 + number / 3 * 8,
                                         .alignment = number / 3 == 0 ? 32 : 8,
                                         .protections = protections[number % 3]};
}

TEST(memory_of_every_kind_is_marked_until_it_is_given_back)
{
    const size_t page = page_size();

    for (size_t i = 0; i < 6; i++) {
        struct cork_mempool_options options = marked(i);
        struct cork_mempool mp;

        init(&mp, options);
        live_marked(&mp, 600);
        cork_mempool_done(&mp);

        init(&mp, options);
        requests_start();
        requests_refuse(HEAP, REFUSE_FROM, 1);
        live_marked(&mp, 600);
        CHECK(requests.mapped_size > 0);
        const struct cork_mempool_region *const newest = mp.newest;
        char *const start = newest->base - mp.geometry.redzone_size;
        const uintptr_t end =
            (uintptr_t)newest->base + newest->committed_count * mp.geometry.stride;
        /* Up to the end of the last page. */
        const size_t size = (end + page - 1) / page * page - (uintptr_t)start;

        CHECK(__asan_region_is_poisoned(start, size) != NULL);
        cork_mempool_done(&mp);
        requests_stop();
        CHECK_POINTER(__asan_region_is_poisoned(start, size), NULL);

        asked_count = 0;
        options.source = &source;
        init(&mp, options);
        live_marked(&mp, 600);
        cork_mempool_done(&mp);
    }
}

TEST(a_buffer_is_marked_until_done_and_what_is_around_it_is_not_the_pools)
{
    ASAN_POISON_MEMORY_REGION(arena.before, sizeof(arena.before));
    ASAN_POISON_MEMORY_REGION(arena.behind, sizeof(arena.behind));
    for (size_t i = 0; i < 6; i++) {
        struct cork_mempool_options options = marked(i);
        struct cork_mempool mp;

        options.buffer = arena.buffer;
        options.buffer_size = sizeof(arena.buffer);
        init(&mp, options);
        live_marked(&mp, 10);
        cork_mempool_done(&mp);
        CHECK_POINTER(__asan_region_is_poisoned(arena.buffer, sizeof(arena.buffer)), NULL);
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
