/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Element and block sizes at their edges.
 */

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

/* Where slots are not as large as they are with malloc's usual alignment. */
#define HAS_OTHER_SIZES (TEST_UNDER_ASAN || alignof(max_align_t) != 16)

/* Sizes that no memory can hold; none of them may wrap into one that memory can. */
static const size_t huge_sizes[] = {
    SIZE_MAX,
    SIZE_MAX - 1,
    SIZE_MAX - 7,
    SIZE_MAX - 15,
    SIZE_MAX - 16,
    SIZE_MAX - 62,
    SIZE_MAX - 63,
    SIZE_MAX - 64,
    SIZE_MAX - 4094,
    SIZE_MAX - 4095,
    SIZE_MAX - 4096,
    SIZE_MAX - 8191,
    SIZE_MAX - 20000,
    SIZE_MAX / 4 * 3,
    SIZE_MAX / 2 + 17,
    SIZE_MAX / 2 + 2,
    SIZE_MAX / 2 + 1,
    SIZE_MAX / 2,
    SIZE_MAX / 2 - 1,
    SIZE_MAX / 2 - 14,
    SIZE_MAX / 2 - 15,
    SIZE_MAX / 2 - 16383,
    SIZE_MAX / 8 * 3,
    SIZE_MAX / 3,
    SIZE_MAX / 4 + 8192,
#if SIZE_MAX > UINT32_MAX
    SIZE_MAX / 4,
    SIZE_MAX / 4 - 16383,
    SIZE_MAX / 8,
    SIZE_MAX >> 10,
    SIZE_MAX >> 16,
#endif
};

TEST(an_element_of_size_0_acts_as_one_of_size_1)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 0);
    CHECK_EQUAL(stats_of(&mp).element_size, 1);
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(1));
    exercise(&mp, 20000);
    cork_mempool_init_size_ex(&mp, 0, 0);
    CHECK_EQUAL(stats_of(&mp).block_size, slot_needed(1));
    exercise(&mp, 20000);
}

TEST(a_block_holds_as_many_whole_objects_as_fit)
{
    static const struct {
        size_t element_size, slot_size, block_slots, rest;
    } cases[] = {{16, 16, 4, 0},     {16, 16, 3, 15},    {16, 16, 4, 1},
                 {24, 32, 128, 0},   {20, 32, 3, 4},     {1, 1, 4096, 0},
                 {4096, 4096, 2, 0}, {4097, 4112, 2, 0}, {64, 64, 16384, 0}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cork_mempool mp;

        const size_t slot_size = slot_needed(cases[i].element_size);
        const size_t block_size = cases[i].block_slots * slot_size;

        cork_mempool_init_size_ex(&mp, cases[i].element_size, block_size + cases[i].rest);
        CHECK(HAS_OTHER_SIZES || slot_size == cases[i].slot_size);
        CHECK_EQUAL(stats_of(&mp).slot_size, slot_size);
        CHECK_EQUAL(stats_of(&mp).block_size, block_size);
        exercise(&mp, 500);
    }
}

TEST(a_block_smaller_than_an_element_is_rounded_up)
{
    static const size_t block_sizes[] = {0, 1, 15, 99, 100, 101, 111, 112};

    for (size_t i = 0; i < COUNT_OF(block_sizes); i++) {
        struct cork_mempool mp;

        cork_mempool_init_size_ex(&mp, 100, block_sizes[i]);
        CHECK_EQUAL(stats_of(&mp).block_size, slot_needed(100));
        exercise(&mp, 300);
    }
}

TEST(an_element_larger_than_the_default_block_works)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 5000);
    CHECK_EQUAL(stats_of(&mp).block_size, stats_of(&mp).slot_size);
    exercise(&mp, 200);
}

TEST(elements_of_1_to_300_bytes_are_aligned_as_malloc_would)
{
    static const size_t block_sizes[] = {1, 64, 4096, 65536};

    for (size_t size = 1; size <= 300; size++) {
        for (size_t i = 0; i < COUNT_OF(block_sizes); i++) {
            struct cork_mempool mp;

            cork_mempool_init_size_ex(&mp, size, block_sizes[i]);
            CHECK_EQUAL(stats_of(&mp).alignment % alignment_needed(size), 0);
            CHECK(TEST_UNDER_ASAN || stats_of(&mp).alignment == alignment_needed(size));
            CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(size));
            exercise(&mp, 200);
        }
    }
}

TEST(elements_around_page_sizes_are_aligned)
{
    static const size_t sizes[] = {4095,  4096,  4097,  8191,   8192,    8193,    12288,  16384,
                                   65535, 65536, 65537, 131072, 1048575, 1048576, 1048577};
    static const size_t block_sizes[] = {1, 4096, 4097, 65536, 1048576};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(block_sizes); j++) {
            struct cork_mempool mp;

            cork_mempool_init_size_ex(&mp, sizes[i], block_sizes[j]);
            CHECK_EQUAL(stats_of(&mp).alignment, alignment_needed(sizes[i]));
            exercise(&mp, sizes[i] > 100000 ? 5 : 80);
        }
    }
}

TEST(objects_are_a_slot_apart_and_never_closer)
{
    struct cork_mempool mp;
    void *objects[1000];

    cork_mempool_init_size(&mp, 33);
    take_objects(&mp, objects, 1000);
    CHECK(HAS_OTHER_SIZES || slot_needed(33) == 48);
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(33));
    CHECK_EQUAL((uintptr_t)objects[1] - (uintptr_t)objects[0], slot_needed(33));
    CHECK_EQUAL((uintptr_t)objects[999] - (uintptr_t)objects[998], slot_needed(33));
    for (size_t i = 0; i < 1000; i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK((uintptr_t)objects[i] - (uintptr_t)objects[j] >= slot_needed(33));
            CHECK((uintptr_t)objects[j] - (uintptr_t)objects[i] >= slot_needed(33));
        }
    }
    give_objects(&mp, objects, 1000);
    cork_mempool_done(&mp);
}

static void sizes_give_null(size_t element_size, size_t block_size)
{
    struct cork_mempool mp;
    struct cork_mempool_stats before;
    struct cork_mempool_stats after;

    cork_mempool_init_size_ex(&mp, element_size, block_size);
    before = stats_of(&mp);
    CHECK_EQUAL(before.element_size, element_size);
    for (size_t i = 0; i < 3; i++) {
        errno = ODD_ERRNO;
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        CHECK_EQUAL(errno, ENOMEM);
        CHECK(cork_mempool_check(&mp));
    }
    after = stats_of(&mp);
    CHECK(same_stats(&before, &after));
    CHECK_EQUAL(after.region_count, 0);
    cork_mempool_free(&mp, NULL);
    cork_mempool_done(&mp);
    cork_mempool_init_size(&mp, 16);
    exercise(&mp, 500);
}

TEST(element_sizes_that_no_memory_can_hold_give_null)
{
    for (size_t i = 0; i < COUNT_OF(huge_sizes); i++) {
        sizes_give_null(huge_sizes[i], 0);
        sizes_give_null(huge_sizes[i], CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
        for (size_t j = 0; j < COUNT_OF(huge_sizes); j++) {
            sizes_give_null(huge_sizes[i], huge_sizes[j]);
        }
    }
}

/* Three of these and their alignment together are exactly as much as wraps to nothing. */
TEST(alignment_does_not_wrap_a_size_to_nothing)
{
    sizes_give_null(SIZE_MAX / 4 + 1, SIZE_MAX);
    sizes_give_null(SIZE_MAX / 4 + 1, SIZE_MAX / 4 * 3 + 3);
}

TEST(element_sizes_larger_than_half_of_all_memory_have_no_slot)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, SIZE_MAX / 2 + 1);
    CHECK_EQUAL(stats_of(&mp).slot_size, 0);
    CHECK_EQUAL(stats_of(&mp).block_size, 0);
    cork_mempool_done(&mp);
    cork_mempool_init_size(&mp, SIZE_MAX);
    CHECK_EQUAL(stats_of(&mp).slot_size, 0);
    cork_mempool_done(&mp);
}

/* Takes objects until there are no more, which must be soon; says how many there were. */
static size_t take_until_null(struct cork_mempool *mp, void **objects, size_t most)
{
    const size_t size = stats_of(mp).element_size;
    size_t count = 0;

    errno = ODD_ERRNO;
    while ((objects[count] = cork_mempool_new(mp)) != NULL) {
        CHECK_EQUAL(errno, ODD_ERRNO);
        fill(objects[count], size, count);
        count++;
        CHECK(count < most);
    }
    CHECK_EQUAL(errno, ENOMEM);
    CHECK(cork_mempool_check(mp));
    return count;
}

/* A block that cannot be had is no reason to refuse objects that the heap has room for: some more
 * than a MiB of them, or none that is larger than all of the first piece. */
TEST(block_sizes_that_no_memory_can_hold_give_null_where_a_block_is_needed)
{
    static const size_t element_sizes[] = {16, 48, 4096, 5000, 100000};
    static void *objects[120000];

    for (size_t i = 0; i < COUNT_OF(element_sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(huge_sizes); j++) {
            struct cork_mempool mp;
            size_t count;

            cork_mempool_init_size_ex(&mp, element_sizes[i], huge_sizes[j]);
            count = take_until_null(&mp, objects, COUNT_OF(objects));
            CHECK_EQUAL(take_until_null(&mp, objects + count, COUNT_OF(objects) - count), 0);
            CHECK(element_sizes[i] > 4096 * 16 ? count == 0 : count > 1);
            give_objects(&mp, objects, count);
            CHECK_EQUAL(take_until_null(&mp, objects, COUNT_OF(objects)), count);
            give_objects(&mp, objects, count);
            cork_mempool_done(&mp);
        }
    }
}

TEST(block_sizes_that_no_memory_can_hold_are_told_as_they_are)
{
    static const size_t element_sizes[] = {0, 1, 3, 16, 48, 4096, 5000};

    for (size_t i = 0; i < COUNT_OF(element_sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(huge_sizes); j++) {
            struct cork_mempool mp;

            cork_mempool_init_size_ex(&mp, element_sizes[i], huge_sizes[j]);
            CHECK(stats_of(&mp).block_size <= huge_sizes[j]);
            CHECK(stats_of(&mp).block_size > huge_sizes[j] - stats_of(&mp).slot_size);
            cork_mempool_done(&mp);
        }
    }
}
