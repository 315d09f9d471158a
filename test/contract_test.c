/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The sentences of the public headers, one by one. Sizes at their edges are in geometry_test.c,
 * what is refused in refusal_test.c, memory that cannot be had in grow_refusal_test.c.
 */

#define _DEFAULT_SOURCE 1 /* setenv */

/* The umbrella header comes first, and alone: it must be enough. */
#include <libcork/core.h>

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

struct node {
    struct node *next;
    char payload[20];
};

struct words {
    uint64_t words[8];
};

struct cache_line {
    alignas(64) char bytes[64];
};

struct page {
    alignas(4096) char bytes[3 * 4096];
};

typedef void callback(int);

/* The figures of a pool that has just been initialized and has no memory yet; finalizes it. */
static void has_sizes(struct cork_mempool *mp, size_t element_size, size_t alignment,
                      size_t slot_size, size_t block_size)
{
    const struct cork_mempool_stats expected = {
        .element_size = element_size,
        /* AddressSanitizer marks eight bytes at a time. */
        .alignment = TEST_UNDER_ASAN && alignment < 8 ? 8 : alignment,
        .slot_size = slot_size,
        .block_size = block_size < slot_size ? slot_size : block_size / slot_size * slot_size,
    };
    const struct cork_mempool_stats stats = stats_of(mp);

    CHECK(same_stats(&stats, &expected));
    CHECK(cork_mempool_check(mp));
    exercise(mp, 200);
}

static void has_needed_sizes(struct cork_mempool *mp, size_t element_size, size_t block_size)
{
    has_sizes(mp, element_size, alignment_needed(element_size), slot_needed(element_size),
              block_size);
}

TEST(a_pool_of_a_size_has_default_blocks_or_those_that_were_asked_for)
{
    struct cork_mempool mp;

    CHECK_EQUAL(CORK_MEMPOOL_DEFAULT_BLOCK_SIZE, 4096);
    cork_mempool_init_size(&mp, 48);
    has_needed_sizes(&mp, 48, 4096);
    cork_mempool_init_size_ex(&mp, 12, 1000);
    has_needed_sizes(&mp, 12, 1000);
}

TEST(a_pool_is_initialized_a_thousand_times_with_other_sizes_whatever_was_there)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;

    for (size_t i = 0; i < 1000; i++) {
        const size_t element_size = (size_t)(test_random(&random) % 600);
        const size_t block_size = (size_t)(test_random(&random) % 10000);

        /* A finalized pool, or bytes. */
        if (i % 2 == 0) {
            memset(&mp, (int)(i / 2 % 2 * 0xff), sizeof(mp));
        }
        cork_mempool_init_size_ex(&mp, element_size, block_size);
        has_needed_sizes(&mp, element_size == 0 ? 1 : element_size, block_size);
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
    CHECK_TYPE(const int);
    CHECK_TYPE(unsigned long long);
    CHECK_TYPE(long double);
    CHECK_TYPE(max_align_t);
    CHECK_TYPE(void *);
    CHECK_TYPE(const char *const *);
    CHECK_TYPE(callback *);
    CHECK_TYPE(void (*)(int));
    CHECK_TYPE(char[3]);
    CHECK_TYPE(char[5]);
    CHECK_TYPE(int[3]);
    CHECK_TYPE(struct node[7]);
    CHECK_TYPE(struct node);
    CHECK_TYPE(struct words);
    CHECK_TYPE(struct cache_line);
    CHECK_TYPE(struct cache_line[3]);
    CHECK_TYPE(struct page);
    CHECK_TYPE(struct cork_mempool);
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

/* It is asked for what its type needs, not for the 64 that its size could mean. */
TEST(a_type_of_64_bytes_that_needs_8_takes_80_with_canaries)
{
    struct cork_mempool mp;

    CHECK_EQUAL(setenv("CORK_MEMPOOL_OPTIONS", "canary=1", 1), 0);
    cork_mempool_init(&mp, struct words);
    CHECK_EQUAL(stats_of(&mp).slot_size, 80);
    exercise(&mp, 200);
}

TEST(stats_agree_with_what_was_done_and_no_call_that_succeeds_changes_errno)
{
    struct cork_mempool mp;
    void *objects[5000];

    /* Enough for the heap's memory and the system's, of which more is committed then. */
    errno = ODD_ERRNO;
    cork_mempool_init_size(&mp, 1000);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK_EQUAL(errno, ODD_ERRNO);
        const struct cork_mempool_stats stats = stats_of(&mp);
        CHECK_EQUAL(stats.live_count, i + 1);
        CHECK(stats.region_count >= 1);
        CHECK(stats.memory_size >= (stats.live_count + stats.free_count) * 1000);
        CHECK(stats.reserved_size >= stats.memory_size);
    }
    CHECK(cork_mempool_check(&mp));
    const size_t peak = COUNT_OF(objects) + stats_of(&mp).free_count;
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        cork_mempool_free(&mp, objects[i]);
        CHECK_EQUAL(stats_of(&mp).live_count, COUNT_OF(objects) - i - 1);
        CHECK_EQUAL(stats_of(&mp).free_count, peak - stats_of(&mp).live_count);
    }
    cork_mempool_free(&mp, NULL);
    cork_mempool_done(&mp);
    CHECK_EQUAL(errno, ODD_ERRNO);
}

TEST(free_of_null_and_done_of_a_pool_without_objects_say_nothing)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 32);
    for (size_t i = 0; i < 2; i++) {
        CHECK_PASSES(cork_mempool_free(&mp, NULL));
        CHECK_PASSES(cork_mempool_done(&mp));
        void *const object = cork_mempool_new(&mp);
        const struct cork_mempool_stats before = stats_of(&mp);
        cork_mempool_free(&mp, NULL);
        const struct cork_mempool_stats after = stats_of(&mp);
        CHECK(same_stats(&before, &after));
        CHECK(cork_mempool_check(&mp));
        cork_mempool_free(&mp, object);
    }
    cork_mempool_done(&mp);
}

TEST(freed_objects_are_issued_again_with_their_contents_before_memory_is_asked_for)
{
    struct cork_mempool mp;
    void *objects[10000];
    size_t count = 1000;

    cork_mempool_init_size(&mp, 32);
    take_objects(&mp, objects, count);
    count += stats_of(&mp).free_count;
    CHECK(count <= COUNT_OF(objects));
    take_objects(&mp, objects + 1000, count - 1000);
    const struct cork_mempool_stats before = stats_of(&mp);
    for (size_t round = 1; round <= 10; round++) {
        for (size_t i = 0; i < count; i += round) {
            fill(objects[i], 32, i);
            memcpy(objects[i], &i, sizeof(i));
            cork_mempool_free(&mp, objects[i]);
        }
        for (size_t i = 0; i < count; i += round) {
            char *object = cork_mempool_new(&mp);
            size_t number;

            memcpy(&number, object, sizeof(number));
            CHECK(number < count && number % round == 0);
            CHECK_POINTER(object, objects[number]);
            CHECK(is_filled(object + sizeof(number), 32 - sizeof(number), number));
            fill(object, 32, number);
        }
        const struct cork_mempool_stats after = stats_of(&mp);
        CHECK(same_stats(&before, &after));
    }
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}

/* One pool's objects are no other's: they never overlap, and each pool counts its own. */
TEST(pools_side_by_side_anywhere_moved_before_their_first_new_do_not_meet)
{
    static struct cork_mempool in_static_storage;
    struct {
        char odd;
        struct cork_mempool pool;
        struct cork_mempool pools[3];
    } owner;
    struct cork_mempool *const pools[] = {&in_static_storage, &owner.pool,
                                          &owner.pools[0],    &owner.pools[1],
                                          &owner.pools[2],    malloc(sizeof(struct cork_mempool))};
    void *objects[COUNT_OF(pools)][400];

    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        struct cork_mempool first;

        cork_mempool_init_size_ex(&first, 8 + 8 * i, 512);
        CHECK(cork_mempool_check(&first));
        cork_mempool_free(&first, NULL);
        CHECK(pools[i] != NULL);
        *pools[i] = first;
        memset(&first, 0xff, sizeof(first));
    }
    for (size_t j = 0; j < 400; j += 50) {
        for (size_t i = 0; i < COUNT_OF(pools); i++) {
            take_objects(pools[i], objects[i] + j, 50);
        }
    }
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        CHECK_EQUAL(stats_of(pools[i]).live_count, 400);
        for (size_t j = 0; j < 400; j += 50) {
            give_objects(pools[i], objects[i] + j, 50);
        }
        cork_mempool_done(pools[i]);
    }
    free(pools[COUNT_OF(pools) - 1]);
}

TEST(messages_are_fixed)
{
    static const char *const messages[] = {
        [CORK_MEMPOOL_DOUBLE_FREE] = "double free",
        [CORK_MEMPOOL_INTERIOR_POINTER] = "free of an interior pointer",
        [CORK_MEMPOOL_FOREIGN_POINTER] = "free of a foreign pointer",
        [CORK_MEMPOOL_NEVER_ISSUED] = "free of a slot never issued",
        [CORK_MEMPOOL_LEAK] = "leak at done",
        [CORK_MEMPOOL_USE_AFTER_DONE] = "use after done",
        [CORK_MEMPOOL_USE_BEFORE_INIT] = "use before init",
        [CORK_MEMPOOL_NOT_A_POOL] = "not a pool",
        [CORK_MEMPOOL_CANARY_DAMAGED] = "canary damaged",
        [CORK_MEMPOOL_WRITE_AFTER_FREE] = "write after free",
        [CORK_MEMPOOL_BUSY] = "use during another call",
        [CORK_MEMPOOL_BAD_SOURCE] = "misaligned memory from a source",
        [13] = NULL,
    };

    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        CHECK_STRING(cork_mempool_violation_message((enum cork_mempool_violation_kind)i),
                     messages[i]);
    }
}
