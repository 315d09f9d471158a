/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Element and block sizes at their edges. Every size there is, where words have 16 bits, is in
 * geometry16_test.c.
 */

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>

#include "test/support/memory.h"

static void *objects[120000];

/* Checks what a pool of these sizes is made of, and uses so many of its objects. */
static void expect_sizes(size_t element_size, size_t block_size, size_t count)
{
    const size_t size = element_size == 0 ? 1 : element_size;
    const size_t alignment = alignment_needed(size);
    const size_t slot_size = slot_needed(size);
    const size_t block_slots = block_size < slot_size ? 1 : block_size / slot_size;
    struct cork_mempool mp;

    cork_mempool_init_size_ex(&mp, element_size, block_size);
    CHECK_EQUAL(stats_of(&mp).element_size, size);
    CHECK_EQUAL(stats_of(&mp).alignment, TEST_UNDER_ASAN && alignment < 8 ? 8 : alignment);
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_size);
    CHECK_EQUAL(stats_of(&mp).block_size, block_slots * slot_size);
    take_objects(&mp, objects, count);
    /* The first region has a block, or as much of it as is 64 objects and 64 KiB. */
    CHECK(block_slots == 1 || 2 * slot_size > 65536 ||
          (uintptr_t)objects[1] - (uintptr_t)objects[0] == slot_size);
    finish(&mp, objects, count);
}

static void expect_sizes_in_blocks(size_t element_size, size_t count)
{
    static const size_t block_sizes[] = {0, 64, 4096, 65536, 1 << 20};
    const size_t slot_size = slot_needed(element_size == 0 ? 1 : element_size);

    for (size_t i = 0; i < COUNT_OF(block_sizes); i++) {
        expect_sizes(element_size, block_sizes[i], count);
    }
    for (size_t slots = 1; slots <= 4; slots += 3) {
        expect_sizes(element_size, slots * slot_size - 1, count);
        expect_sizes(element_size, slots * slot_size, count);
    }
}

TEST(elements_are_aligned_as_malloc_would_and_blocks_hold_as_many_as_fit_but_one_at_least)
{
    static const size_t larger[] = {4095,  4096,  4097,  5000,  8191,   8192,    8193,    12288,
                                    16384, 65535, 65536, 65537, 131072, 1048575, 1048576, 1048577};

    for (size_t size = 0; size <= 300; size++) {
        expect_sizes_in_blocks(size, size == 0 ? 20000 : 200);
    }
    for (size_t i = 0; i < COUNT_OF(larger); i++) {
        expect_sizes_in_blocks(larger[i], larger[i] > 100000 ? 5 : 80);
    }
}

TEST(slots_are_no_larger_than_elements_and_their_alignment_need)
{
    static const size_t sizes[][2] = {{1, 1},   {16, 16}, {20, 32},     {24, 32},
                                      {33, 48}, {64, 64}, {4096, 4096}, {4097, 4112}};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cork_mempool mp;

        cork_mempool_init_size(&mp, sizes[i][0]);
        CHECK(TEST_UNDER_ASAN || alignof(max_align_t) != 16 ||
              stats_of(&mp).slot_size == sizes[i][1]);
    }
}

/* Sizes that no memory can hold; none of them may wrap into one that memory can. They are a little
 * less than SIZE_MAX, about a half of it, and parts that narrow words have no room to multiply. */
#define WIDE(size) (SIZE_MAX > UINT32_MAX ? (size) : SIZE_MAX)
#define HUGE_COUNT 30

static size_t huge_size(size_t number)
{
    static const size_t below[] = {0, 1, 7, 15, 16, 62, 63, 64, 4094, 4095, 4096, 8191, 20000};
    static const size_t below_half[] = {0, 15, 16, 17, 18, 31, 32, 16400};
    static const size_t parts[] = {
        SIZE_MAX / 4 * 3,    SIZE_MAX / 8 * 3,     SIZE_MAX / 3,
        SIZE_MAX / 4 + 8192, WIDE(SIZE_MAX / 4),   WIDE(SIZE_MAX / 4 - 16383),
        WIDE(SIZE_MAX / 8),  WIDE(SIZE_MAX >> 10), WIDE(SIZE_MAX >> 16)};
    const size_t halves = number - COUNT_OF(below);

    return number < COUNT_OF(below)        ? SIZE_MAX - below[number]
           : halves < COUNT_OF(below_half) ? SIZE_MAX / 2 + 17 - below_half[halves]
                                           : parts[halves - COUNT_OF(below_half)];
}

static void expect_no_object(size_t element_size, size_t block_size)
{
    struct cork_mempool mp;

    cork_mempool_init_size_ex(&mp, element_size, block_size);
    CHECK_EQUAL(stats_of(&mp).element_size, element_size);
    expect_null(&mp);
    CHECK_EQUAL(stats_of(&mp).region_count, 0);
    if (element_size > SIZE_MAX / 2) {
        CHECK_EQUAL(stats_of(&mp).slot_size, 0);
        CHECK_EQUAL(stats_of(&mp).block_size, 0);
    }
    cork_mempool_free(&mp, NULL);
    cork_mempool_done(&mp);
    cork_mempool_init_size(&mp, 16);
    exercise(&mp, 500);
}

TEST(element_sizes_that_no_memory_can_hold_give_null)
{
    for (size_t i = 0; i < HUGE_COUNT; i++) {
        expect_no_object(huge_size(i), 0);
        expect_no_object(huge_size(i), CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
        for (size_t j = 0; j < HUGE_COUNT; j++) {
            expect_no_object(huge_size(i), huge_size(j));
        }
    }
    /* Three of these and their alignment together are exactly as much as wraps to nothing. */
    expect_no_object(SIZE_MAX / 4 + 1, SIZE_MAX);
    expect_no_object(SIZE_MAX / 4 + 1, SIZE_MAX / 4 * 3 + 3);
}

/* A block that cannot be had is no reason to refuse objects that the heap has room for: some more
 * than a MiB of them, or none that is larger than all of the first piece. */
TEST(block_sizes_that_no_memory_can_hold_give_null_where_a_block_is_needed)
{
    static const size_t element_sizes[] = {0, 1, 3, 16, 48, 4096, 5000, 100000};

    for (size_t i = 0; i < COUNT_OF(element_sizes) * HUGE_COUNT; i++) {
        const size_t element_size = element_sizes[i / HUGE_COUNT];
        const size_t block_size = huge_size(i % HUGE_COUNT);
        struct cork_mempool mp;

        cork_mempool_init_size_ex(&mp, element_size, block_size);
        CHECK(stats_of(&mp).block_size <= block_size);
        CHECK(stats_of(&mp).block_size > block_size - stats_of(&mp).slot_size);
        if (element_size >= 16) {
            const size_t count = take_until_null(&mp, objects, 0, COUNT_OF(objects));

            CHECK(element_size > 65536 ? count == 0 : count > 1);
            give_objects(&mp, objects, count);
            CHECK_EQUAL(take_until_null(&mp, objects, 0, COUNT_OF(objects)), count);
            give_objects(&mp, objects, count);
        }
        cork_mempool_done(&mp);
    }
}
