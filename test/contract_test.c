/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The sentences of the public headers, one by one. What is refused is in refusal_test.c, memory
 * that cannot be had in grow_refusal_test.c.
 */

/* The umbrella header comes first, and alone: it must be enough. */
#include <libcork/core.h>

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "test/support/memory.h"

struct node {
    struct node *next;
    char payload[20];
};

struct cache_line {
    alignas(64) char bytes[64];
};

static void *objects[120000];

/* The figures of a pool that has just been initialized and has no memory yet; moves it, which may
 * be done until the first new, and finalizes it. */
static void has_sizes(struct cork_mempool *initialized, size_t element_size, size_t alignment,
                      size_t slot_size, size_t block_size)
{
    const struct cork_mempool_stats expected = {
        .element_size = element_size,
        /* AddressSanitizer marks eight bytes at a time. */
        .alignment = TEST_UNDER_ASAN && alignment < 8 ? 8 : alignment,
        .slot_size = slot_size,
        .block_size = block_size < slot_size ? slot_size : block_size / slot_size * slot_size,
    };
    const struct cork_mempool_stats stats = stats_of(initialized);
    struct cork_mempool moved = *initialized;
    const size_t count = element_size == 1 ? 2000 : element_size > 100000 ? 5 : 80;

    CHECK(same_stats(&stats, &expected));
    CHECK(cork_mempool_check(initialized));
    memset(initialized, 0xff, sizeof(*initialized));
    take_objects(&moved, objects, count);
    /* The first region has a block, or as much of it as is 64 objects and 64 KiB. */
    CHECK(block_size < 2 * slot_size || 2 * slot_size > 65536 ||
          (uintptr_t)objects[1] - (uintptr_t)objects[0] == slot_size);
    finish(&moved, objects, count);
}

/* In pools that are initialized where there are any bytes, or a finalized pool. */
static void expect_sizes(size_t element_size, size_t block_size)
{
    static struct cork_mempool mp;
    const size_t size = element_size == 0 ? 1 : element_size;
    const size_t alignment = alignment_needed(size);

    test_row("element size %zu, block size %zu", element_size, block_size);
    memset(&mp, (int)(element_size % 2 * 0xff), sizeof(mp));
    if (block_size == CORK_MEMPOOL_DEFAULT_BLOCK_SIZE) {
        cork_mempool_init_size(&mp, element_size);
    } else {
        cork_mempool_init_size_ex(&mp, element_size, block_size);
    }
    has_sizes(&mp, size, alignment, slot_needed(size), block_size);
    INIT(&mp, .element_size = element_size, .block_size = block_size);
    has_sizes(&mp, size, alignment, slot_needed(size), block_size == 0 ? 4096 : block_size);
}

TEST(elements_are_aligned_as_malloc_would_and_blocks_hold_as_many_as_fit_but_one_at_least)
{
    static const size_t larger[] = {599,   1000,  4095,   4096,    4097,    5000,
                                    8191,  8192,  8193,   12288,   16384,   65535,
                                    65536, 65537, 131072, 1048575, 1048576, 1048577};

    CHECK_EQUAL(CORK_MEMPOOL_DEFAULT_BLOCK_SIZE, 4096);
    for (size_t i = 0; i <= 300 + COUNT_OF(larger); i++) {
        const size_t size = i <= 300 ? i : larger[i - 301];
        const size_t slot = slot_needed(size == 0 ? 1 : size);
        const size_t block_sizes[] = {0,        1000, 4096,         65536,   1 << 20,
                                      slot - 1, slot, 4 * slot - 1, 4 * slot};

        for (size_t j = 0; j < COUNT_OF(block_sizes); j++) {
            expect_sizes(size, block_sizes[j]);
        }
    }
}

/* Sizes that no memory can hold; none of them may wrap into one that memory can. They are a little
 * less than SIZE_MAX, about a half of it, and parts that narrow words have no room to multiply. */
#define WIDE(size) (SIZE_MAX > UINT32_MAX ? (size) : SIZE_MAX)

static const size_t huge[] = {
    SIZE_MAX,           SIZE_MAX - 1,         SIZE_MAX - 15,       SIZE_MAX - 63,
    SIZE_MAX - 4095,    SIZE_MAX - 20000,     SIZE_MAX / 2 + 17,   SIZE_MAX / 2 + 1,
    SIZE_MAX / 2,       SIZE_MAX / 2 - 15,    SIZE_MAX / 4 * 3,    SIZE_MAX / 8 * 3,
    SIZE_MAX / 3,       SIZE_MAX / 4 + 8192,  WIDE(SIZE_MAX / 4),  WIDE(SIZE_MAX / 4 - 16383),
    WIDE(SIZE_MAX / 8), WIDE(SIZE_MAX >> 10), WIDE(SIZE_MAX >> 16)};

static void expect_no_object(size_t element_size, size_t block_size)
{
    struct cork_mempool mp;

    test_row("element size %zu, block size %zu", element_size, block_size);
    cork_mempool_init_size_ex(&mp, element_size, block_size);
    CHECK_EQUAL(stats_of(&mp).element_size, element_size);
    expect_null(&mp);
    CHECK_EQUAL(stats_of(&mp).region_count, 0);
    if (element_size > SIZE_MAX / 2) {
        CHECK_EQUAL(stats_of(&mp).slot_size, 0);
        CHECK_EQUAL(stats_of(&mp).block_size, 0);
    }
    cork_mempool_done(&mp);
}

TEST(element_sizes_that_no_memory_can_hold_give_null)
{
    for (size_t i = 0; i < COUNT_OF(huge); i++) {
        expect_no_object(huge[i], 0);
        expect_no_object(huge[i], CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
        for (size_t j = 0; j < COUNT_OF(huge); j++) {
            expect_no_object(huge[i], huge[j]);
        }
    }
    /* Three of these and their alignment together are exactly as much as wraps to nothing. */
    expect_no_object(SIZE_MAX / 4 + 1, SIZE_MAX);
    expect_no_object(SIZE_MAX / 4 + 1, SIZE_MAX / 4 * 3 + 3);
}

/* A block that cannot be had is no reason to refuse objects that the heap has room for: a MiB of
 * them and more, but none that is larger. */
TEST(block_sizes_that_no_memory_can_hold_give_null_where_a_block_is_needed)
{
    static const size_t element_sizes[] = {0, 1, 3, 16, 48, 4096, 5000, 100000, 1 << 21};

    for (size_t i = 0; i < COUNT_OF(element_sizes) * COUNT_OF(huge); i++) {
        const size_t element_size = element_sizes[i / COUNT_OF(huge)];
        const size_t block_size = huge[i % COUNT_OF(huge)];
        struct cork_mempool mp;

        test_row("element size %zu, block size %zu", element_size, block_size);
        cork_mempool_init_size_ex(&mp, element_size, block_size);
        CHECK(stats_of(&mp).block_size <= block_size);
        CHECK(stats_of(&mp).block_size > block_size - stats_of(&mp).slot_size);
        if (element_size >= 16) {
            const size_t count = take_until_null(&mp, objects, 0, COUNT_OF(objects));

            CHECK(element_size > 1 << 20 ? count == 0 : count > 1);
            give_objects(&mp, objects, count);
            CHECK_EQUAL(take_until_null(&mp, objects, 0, COUNT_OF(objects)), count);
            give_objects(&mp, objects, count);
        }
        cork_mempool_done(&mp);
    }
}

#define TYPE_SLOT(type) type_slot_needed(sizeof(type), _Alignof(type))

#define CHECK_TYPE(type)                                                                           \
    do {                                                                                           \
        struct cork_mempool typed;                                                                 \
        cork_mempool_init(&typed, type);                                                           \
        has_sizes(&typed, sizeof(type), _Alignof(type), TYPE_SLOT(type), 4096);                    \
        cork_mempool_init_ex(&typed, type, 10 * TYPE_SLOT(type));                                  \
        has_sizes(&typed, sizeof(type), _Alignof(type), TYPE_SLOT(type), 10 * TYPE_SLOT(type));    \
    } while (0)

TEST(types_of_all_kinds_need_no_more_than_their_size_and_alignment)
{
    CHECK_TYPE(char);
    CHECK_TYPE(long double);
    CHECK_TYPE(const char *const *);
    CHECK_TYPE(void (*)(int));
    CHECK_TYPE(char[3]);
    CHECK_TYPE(struct node[7]);
    CHECK_TYPE(struct cache_line);
    CHECK_TYPE(struct { char bytes[24]; });
}

/* The arguments of a macro are expressions like others, and are evaluated once. */
TEST(init_macros_take_any_expression)
{
    struct cork_mempool pools[2];
    struct cork_mempool *mp = pools;
    size_t block_size = 100;

    cork_mempool_init_ex(mp++, short, block_size++ & 0x7f);
    CHECK_POINTER(mp, &pools[1]);
    CHECK_EQUAL(block_size, 101);
    if (block_size == 101)
        cork_mempool_init(mp == pools ? pools : mp, short);
    else
        CHECK(false);
    has_sizes(pools, sizeof(short), _Alignof(short), TYPE_SLOT(short), 100);
    has_sizes(mp, sizeof(short), _Alignof(short), TYPE_SLOT(short), 4096);
}

TEST(stats_agree_with_what_was_done_and_calls_that_succeed_say_nothing_and_leave_errno)
{
    const size_t count = 5000;
    struct cork_mempool mp;

    /* Enough for the heap's memory and the system's, of which more is committed then. */
    cork_mempool_init_size(&mp, 1000);
    CHECK_PASSES((cork_mempool_free(&mp, NULL), cork_mempool_done(&mp)));
    for (size_t i = 0; i < count; i++) {
        objects[i] = try_new(&mp);
        const struct cork_mempool_stats stats = stats_of(&mp);
        CHECK_EQUAL(stats.live_count, i + 1);
        CHECK(stats.memory_size >= (stats.live_count + stats.free_count) * 1000);
        CHECK(stats.reserved_size >= stats.memory_size);
    }
    CHECK(cork_mempool_check(&mp));
    const size_t peak = count + stats_of(&mp).free_count;
    for (size_t i = 0; i < count; i++) {
        const struct cork_mempool_stats before = stats_of(&mp);
        cork_mempool_free(&mp, NULL);
        const struct cork_mempool_stats after = stats_of(&mp);
        CHECK(same_stats(&before, &after));
        cork_mempool_free(&mp, objects[i]);
        CHECK_EQUAL(stats_of(&mp).live_count, count - i - 1);
        CHECK_EQUAL(stats_of(&mp).free_count, peak - stats_of(&mp).live_count);
        CHECK_EQUAL(errno, ODD_ERRNO);
    }
    CHECK_PASSES((cork_mempool_free(&mp, NULL), cork_mempool_done(&mp)));
    errno = ODD_ERRNO;
    cork_mempool_done(&mp);
    CHECK_EQUAL(errno, ODD_ERRNO);
}

/* Those of the kinds are what test/misuse/ demands of each misuse, to the letter. */
TEST(what_is_no_kind_has_no_message)
{
    CHECK_STRING(cork_mempool_violation_message((enum cork_mempool_violation_kind)0), NULL);
    CHECK_STRING(cork_mempool_violation_message((enum cork_mempool_violation_kind)13), NULL);
}
