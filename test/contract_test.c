/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The sentences of the public headers, one by one. Sizes at their edges are in sizes_test.c, what
 * is refused in refusal_test.c, memory that cannot be had in memory_test.c.
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

#define TYPE_SLOT(type) type_slot_needed(sizeof(type), _Alignof(type))

TEST(init_takes_the_size_of_a_type_and_default_blocks)
{
    struct cork_mempool mp;

    CHECK_EQUAL(CORK_MEMPOOL_DEFAULT_BLOCK_SIZE, 4096);
    cork_mempool_init(&mp, struct node);
    CHECK_EQUAL(stats_of(&mp).element_size, sizeof(struct node));
    CHECK_EQUAL(stats_of(&mp).slot_size, TYPE_SLOT(struct node));
    CHECK_EQUAL(stats_of(&mp).block_size, 4096 / stats_of(&mp).slot_size * stats_of(&mp).slot_size);
    exercise(&mp, 500);
}

TEST(init_size_takes_a_size_and_default_blocks)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 48);
    CHECK_EQUAL(stats_of(&mp).element_size, 48);
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(48));
    CHECK_EQUAL(stats_of(&mp).block_size, 4096 / slot_needed(48) * slot_needed(48));
    exercise(&mp, 500);
}

TEST(init_ex_takes_the_size_of_a_type_and_a_block_size)
{
    struct cork_mempool mp;

    cork_mempool_init_ex(&mp, uint64_t, 1024);
    CHECK_EQUAL(stats_of(&mp).element_size, 8);
    CHECK_EQUAL(stats_of(&mp).block_size, 1024 / TYPE_SLOT(uint64_t) * TYPE_SLOT(uint64_t));
    exercise(&mp, 500);
}

TEST(init_size_ex_takes_a_size_and_a_block_size)
{
    struct cork_mempool mp;

    cork_mempool_init_size_ex(&mp, 12, 1000);
    CHECK_EQUAL(stats_of(&mp).element_size, 12);
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(12));
    CHECK_EQUAL(stats_of(&mp).block_size, 1000 / slot_needed(12) * slot_needed(12));
    exercise(&mp, 500);
}

TEST(init_may_find_anything_in_the_struct)
{
    struct cork_mempool mp;

    memset(&mp, 0xff, sizeof(mp));
    cork_mempool_init_size(&mp, 16);
    exercise(&mp, 500);
    memset(&mp, 0, sizeof(mp));
    cork_mempool_init(&mp, int);
    exercise(&mp, 500);
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
    CHECK_EQUAL(stats_of(pools).block_size, 100 / TYPE_SLOT(short) * TYPE_SLOT(short));
    if (block_size == 101)
        cork_mempool_init(mp == pools ? NULL : mp, short);
    else
        CHECK(false);
    exercise(pools, 500);
    exercise(mp, 500);
}

/* AddressSanitizer marks eight bytes at a time. */
#define TYPE_ALIGNMENT(type) (TEST_UNDER_ASAN && _Alignof(type) < 8 ? (size_t)8 : _Alignof(type))

#define CHECK_TYPE(type)                                                                           \
    do {                                                                                           \
        struct cork_mempool typed;                                                                 \
        cork_mempool_init(&typed, type);                                                           \
        CHECK_EQUAL(stats_of(&typed).element_size, sizeof(type));                                  \
        CHECK_EQUAL(stats_of(&typed).slot_size, TYPE_SLOT(type));                                  \
        CHECK_EQUAL(stats_of(&typed).alignment, TYPE_ALIGNMENT(type));                             \
        exercise(&typed, 200);                                                                     \
        cork_mempool_init_ex(&typed, type, 10 * TYPE_SLOT(type));                                  \
        CHECK_EQUAL(stats_of(&typed).element_size, sizeof(type));                                  \
        CHECK_EQUAL(stats_of(&typed).alignment, TYPE_ALIGNMENT(type));                             \
        CHECK_EQUAL(stats_of(&typed).block_size, 10 * TYPE_SLOT(type));                            \
        exercise(&typed, 200);                                                                     \
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

TEST(a_type_without_a_name_has_its_size)
{
    struct cork_mempool mp;

    cork_mempool_init(&mp, struct { char bytes[24]; });
    CHECK_EQUAL(stats_of(&mp).element_size, 24);
    exercise(&mp, 200);
}

TEST(a_new_pool_has_no_memory)
{
    struct cork_mempool mp;
    struct cork_mempool_stats stats;

    cork_mempool_init_size(&mp, 64);
    CHECK(cork_mempool_check(&mp));
    stats = stats_of(&mp);
    CHECK_EQUAL(stats.live_count, 0);
    CHECK_EQUAL(stats.free_count, 0);
    CHECK_EQUAL(stats.region_count, 0);
    CHECK_EQUAL(stats.memory_size, 0);
    CHECK_EQUAL(stats.reserved_size, 0);
    cork_mempool_done(&mp);
}

TEST(stats_agree_with_what_was_done)
{
    struct cork_mempool mp;
    void *objects[5000];
    size_t peak;

    cork_mempool_init_size(&mp, 64);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        struct cork_mempool_stats stats;

        objects[i] = cork_mempool_new(&mp);
        stats = stats_of(&mp);
        CHECK_EQUAL(stats.live_count, i + 1);
        CHECK(stats.region_count >= 1);
        CHECK(stats.memory_size >= (stats.live_count + stats.free_count) * 64);
        CHECK(stats.reserved_size >= stats.memory_size);
    }
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(64));
    CHECK_EQUAL(stats_of(&mp).alignment, 64);
    peak = COUNT_OF(objects) + stats_of(&mp).free_count;
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        cork_mempool_free(&mp, objects[i]);
        CHECK_EQUAL(stats_of(&mp).live_count, COUNT_OF(objects) - i - 1);
        CHECK_EQUAL(stats_of(&mp).free_count, peak - stats_of(&mp).live_count);
    }
    cork_mempool_done(&mp);
}

TEST(done_of_a_pool_without_objects_says_nothing)
{
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    CHECK_PASSES(cork_mempool_done(&mp));
    cork_mempool_free(&mp, cork_mempool_new(&mp));
    CHECK_PASSES(cork_mempool_done(&mp));
    cork_mempool_done(&mp);
}

TEST(free_of_null_does_nothing)
{
    struct cork_mempool mp;
    struct cork_mempool_stats before;
    struct cork_mempool_stats after;
    void *object;

    cork_mempool_init_size(&mp, 32);
    CHECK_PASSES(cork_mempool_free(&mp, NULL));
    object = cork_mempool_new(&mp);
    before = stats_of(&mp);
    CHECK_PASSES(cork_mempool_free(&mp, NULL));
    cork_mempool_free(&mp, NULL);
    after = stats_of(&mp);
    CHECK(same_stats(&before, &after));
    CHECK(cork_mempool_check(&mp));
    cork_mempool_free(&mp, object);
    cork_mempool_free(&mp, NULL);
    cork_mempool_done(&mp);
}

/* Takes at least 1000 objects, and as many more as there are before memory must be asked for. */
static size_t take_all(struct cork_mempool *mp, void **objects, size_t most)
{
    size_t count = 1000;

    take_objects(mp, objects, count);
    while (stats_of(mp).free_count != 0) {
        CHECK(count < most);
        objects[count] = cork_mempool_new(mp);
        fill(objects[count], stats_of(mp).element_size, count);
        count++;
    }
    return count;
}

TEST(contents_are_kept_through_free_and_reuse)
{
    struct cork_mempool mp;
    void *objects[10000];
    size_t count;

    cork_mempool_init_size(&mp, 32);
    count = take_all(&mp, objects, COUNT_OF(objects));
    for (size_t i = 0; i < count; i++) {
        memcpy(objects[i], &i, sizeof(i));
    }
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&mp, objects[(i + 1) % count]);
    }
    for (size_t i = 0; i < count; i++) {
        char *object = cork_mempool_new(&mp);
        size_t number;

        memcpy(&number, object, sizeof(number));
        CHECK(number < count);
        CHECK_POINTER(object, objects[number]);
        CHECK(is_filled(object + sizeof(number), 32 - sizeof(number), number));
        fill(object, 32, number);
    }
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}

TEST(freed_objects_are_issued_again_before_memory_is_asked_for)
{
    struct cork_mempool mp;
    struct cork_mempool_stats before;
    struct cork_mempool_stats after;
    void *objects[10000];
    size_t count;

    cork_mempool_init_size(&mp, 16);
    count = take_all(&mp, objects, COUNT_OF(objects));
    before = stats_of(&mp);
    for (size_t round = 1; round <= 10; round++) {
        for (size_t i = 0; i < count; i += round) {
            cork_mempool_free(&mp, objects[i]);
        }
        for (size_t i = 0; i < count; i += round) {
            objects[i] = cork_mempool_new(&mp);
            fill(objects[i], 16, i);
        }
        after = stats_of(&mp);
        CHECK(same_stats(&before, &after));
    }
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}

TEST(one_object_at_a_time_needs_the_memory_of_one)
{
    struct cork_mempool mp;
    struct cork_mempool_stats first;
    struct cork_mempool_stats last;

    cork_mempool_init_size(&mp, 16);
    cork_mempool_free(&mp, cork_mempool_new(&mp));
    first = stats_of(&mp);
    for (size_t i = 0; i < 100000; i++) {
        cork_mempool_free(&mp, cork_mempool_new(&mp));
    }
    last = stats_of(&mp);
    CHECK(same_stats(&first, &last));
    cork_mempool_done(&mp);
}

TEST(an_order_of_frees_does_not_matter)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;
    void *objects[3000];
    size_t order[3000];

    cork_mempool_init_size(&mp, 40);
    for (size_t round = 0; round < 5; round++) {
        take_objects(&mp, objects, COUNT_OF(objects));
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            const size_t j = (size_t)(test_random(&random) % (i + 1));

            order[i] = order[j];
            order[j] = i;
        }
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            CHECK(is_filled(objects[order[i]], 40, order[i]));
            cork_mempool_free(&mp, objects[order[i]]);
            CHECK(i % 100 != 0 || cork_mempool_check(&mp));
        }
        CHECK_EQUAL(stats_of(&mp).live_count, 0);
    }
    cork_mempool_done(&mp);
}

TEST(a_pool_is_initialized_again_a_thousand_times_with_other_sizes)
{
    uint64_t random = test_seed();
    struct cork_mempool mp;

    for (size_t i = 0; i < 1000; i++) {
        const size_t element_size = (size_t)(test_random(&random) % 600);
        const size_t block_size = (size_t)(test_random(&random) % 10000);

        cork_mempool_init_size_ex(&mp, element_size, block_size);
        CHECK_EQUAL(stats_of(&mp).element_size, element_size == 0 ? 1 : element_size);
        CHECK_EQUAL(stats_of(&mp).region_count, 0);
        exercise(&mp, (size_t)(test_random(&random) % 200) + 1);
    }
}

TEST(a_pool_in_static_storage_works)
{
    static struct cork_mempool mp;

    cork_mempool_init(&mp, struct node);
    exercise(&mp, 500);
    cork_mempool_init(&mp, struct page);
    exercise(&mp, 50);
}

TEST(pools_in_structs_work)
{
    struct {
        char odd;
        struct cork_mempool nodes;
        struct cork_mempool lines[3];
    } owner;
    void *nodes[300];
    void *lines[3][300];

    cork_mempool_init(&owner.nodes, struct node);
    take_objects(&owner.nodes, nodes, 300);
    for (size_t i = 0; i < 3; i++) {
        cork_mempool_init(&owner.lines[i], struct cache_line);
        take_objects(&owner.lines[i], lines[i], 300);
    }
    give_objects(&owner.nodes, nodes, 300);
    for (size_t i = 0; i < 3; i++) {
        give_objects(&owner.lines[i], lines[i], 300);
        cork_mempool_done(&owner.lines[i]);
    }
    cork_mempool_done(&owner.nodes);
}

TEST(a_pool_may_be_moved_until_its_first_new)
{
    struct cork_mempool *there = malloc(sizeof(*there));
    struct cork_mempool here;

    CHECK(there != NULL);
    cork_mempool_init_size(&here, 24);
    CHECK(cork_mempool_check(&here));
    cork_mempool_free(&here, NULL);
    *there = here;
    memset(&here, 0xff, sizeof(here));
    exercise(there, 500);
    free(there);
}

TEST(calls_that_succeed_leave_errno_alone)
{
    struct cork_mempool mp;
    void *objects[3000];

    /* Of the heap's memory and of the system's, of which more is committed. */
    errno = ODD_ERRNO;
    cork_mempool_init_size(&mp, 1000);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK_EQUAL(errno, ODD_ERRNO);
    }
    CHECK(cork_mempool_check(&mp));
    stats_of(&mp);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_free(&mp, NULL);
    cork_mempool_done(&mp);
    CHECK_EQUAL(errno, ODD_ERRNO);
}

/* One pool's objects are no other's: they never overlap, and each pool counts its own. */
TEST(pools_side_by_side_do_not_meet)
{
    struct cork_mempool pools[8];
    void *objects[8][400];

    for (size_t i = 0; i < 8; i++) {
        cork_mempool_init_size_ex(&pools[i], 8 + 8 * i, 512);
    }
    for (size_t j = 0; j < 400; j += 50) {
        for (size_t i = 0; i < 8; i++) {
            take_objects(&pools[i], objects[i] + j, 50);
        }
    }
    for (size_t i = 0; i < 8; i++) {
        CHECK_EQUAL(stats_of(&pools[i]).live_count, 400);
        for (size_t j = 0; j < 400; j += 50) {
            give_objects(&pools[i], objects[i] + j, 50);
        }
        cork_mempool_done(&pools[i]);
    }
}

TEST(messages_are_fixed)
{
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_DOUBLE_FREE), "double free");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_INTERIOR_POINTER),
                 "free of an interior pointer");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_FOREIGN_POINTER),
                 "free of a foreign pointer");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_NEVER_ISSUED),
                 "free of a slot never issued");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_LEAK), "leak at done");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_USE_AFTER_DONE), "use after done");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_USE_BEFORE_INIT), "use before init");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_NOT_A_POOL), "not a pool");
    CHECK_STRING(cork_mempool_violation_message((enum cork_mempool_violation_kind)0), NULL);
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_CANARY_DAMAGED), "canary damaged");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_WRITE_AFTER_FREE), "write after free");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_BUSY), "use during another call");
    CHECK_STRING(cork_mempool_violation_message(CORK_MEMPOOL_BAD_SOURCE),
                 "misaligned memory from a source");
    CHECK_STRING(cork_mempool_violation_message((enum cork_mempool_violation_kind)13), NULL);
}
