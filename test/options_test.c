/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_init_with: what each option does, what stands for nothing, and what is refused.
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

#define OPTIONS(...) (&(const struct cork_mempool_options){__VA_ARGS__})

static const struct cork_mempool_options nothing;

static void *no_memory(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    (void)size;
    (void)alignment;
    return NULL;
}

static void never_released(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)memory;
    (void)size;
    test_fails(__FILE__, __LINE__, "nothing was acquired");
}

static const struct cork_mempool_source empty_source = {no_memory, never_released};

static int construct(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    return 0;
}

TEST(an_element_size_is_a_complete_set_of_options)
{
    static const size_t sizes[] = {1, 2, 3, 8, 24, 33, 64, 100, 1000, 4096, 5000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cork_mempool plain;
        struct cork_mempool mp;
        struct cork_mempool_stats expected;
        struct cork_mempool_stats stats;

        cork_mempool_init_size(&plain, sizes[i]);
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = sizes[i])));
        expected = stats_of(&plain);
        stats = stats_of(&mp);
        CHECK(same_stats(&stats, &expected));
        CHECK_EQUAL(stats.element_size, sizes[i]);
        exercise(&mp, 1000);
        cork_mempool_done(&plain);
    }
}

TEST(options_of_zero_stand_for_their_defaults)
{
    struct cork_mempool mp;
    struct cork_mempool_stats stats;

    CHECK(cork_mempool_init_with(&mp, &nothing));
    stats = stats_of(&mp);
    CHECK_EQUAL(stats.element_size, 1);
    CHECK_EQUAL(stats.live_count, 0);
    CHECK_EQUAL(stats.free_count, 0);
    CHECK_EQUAL(stats.memory_size, 0);
    CHECK(stats.block_size <= CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
    CHECK(stats.block_size > CORK_MEMPOOL_DEFAULT_BLOCK_SIZE - stats.slot_size);
    exercise(&mp, 10000);
}

TEST(initializing_takes_no_memory_whatever_the_protections)
{
    requests_start();
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;

        errno = ODD_ERRNO;
        CHECK(cork_mempool_init_with(
            &mp,
            OPTIONS(.element_size = 48, .protections = all_protections[i], .max_objects = 1000)));
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).reserved_size, 0);
        cork_mempool_done(&mp);
        CHECK_EQUAL(errno, ODD_ERRNO);
    }
    requests_stop();
    CHECK_EQUAL(requests.count, 0);
}

TEST(elements_of_every_size_work_with_every_protection)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t size = 1; size <= 130; size += size < 34 ? 1 : 32) {
            struct cork_mempool mp;

            CHECK(cork_mempool_init_with(
                &mp, OPTIONS(.element_size = size, .protections = all_protections[i])));
            CHECK_EQUAL(stats_of(&mp).element_size, size);
            CHECK(stats_of(&mp).alignment >= alignment_needed(size));
            exercise(&mp, 300);
        }
    }
}

TEST(what_options_stand_in_may_be_gone_after_init)
{
    struct cork_mempool_options options = {.element_size = 40, .max_objects = 7, .alignment = 128};
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp, &options));
    memset(&options, 0xff, sizeof(options));
    CHECK_EQUAL(stats_of(&mp).alignment, 128);
    exercise(&mp, 7);
}

TEST(block_sizes_are_those_of_the_short_forms)
{
    static const size_t block_sizes[] = {1, 63, 64, 65, 100, 4096, 65536, 1000000, SIZE_MAX};

    for (size_t i = 0; i < COUNT_OF(block_sizes); i++) {
        struct cork_mempool plain;
        struct cork_mempool mp;
        struct cork_mempool_stats expected;
        struct cork_mempool_stats stats;

        cork_mempool_init_size_ex(&plain, 20, block_sizes[i]);
        CHECK(
            cork_mempool_init_with(&mp, OPTIONS(.element_size = 20, .block_size = block_sizes[i])));
        expected = stats_of(&plain);
        stats = stats_of(&mp);
        CHECK(same_stats(&stats, &expected));
        CHECK(stats.block_size >= stats.slot_size);
        if (block_sizes[i] != SIZE_MAX) {
            exercise(&mp, 3000);
        }
    }
}

/* Blocks of a page, so that a pool of few objects has several. */
TEST(objects_have_the_alignment_that_was_asked_for)
{
    static const size_t sizes[] = {1, 3, 8, 24, 64, 100, 5000};

    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            for (size_t j = 0; j < COUNT_OF(all_protections); j++) {
                struct cork_mempool mp;

                CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = sizes[i],
                                                          .alignment = alignment,
                                                          .protections = all_protections[j])));
                if (!TEST_UNDER_ASAN || alignment >= 8) {
                    CHECK_EQUAL(stats_of(&mp).alignment, alignment);
                }
                CHECK_EQUAL(stats_of(&mp).slot_size % alignment, 0);
                CHECK(stats_of(&mp).slot_size >= sizes[i]);
                exercise(&mp, alignment > 4096 ? 20 : 100);
            }
        }
    }
}

TEST(an_alignment_smaller_than_natural_packs_objects)
{
    static const struct {
        size_t element_size, alignment, slot_size;
    } cases[] = {{24, 1, 24}, {24, 8, 24}, {20, 4, 20}, {20, 1, 20}, {33, 1, 33}, {33, 2, 34}};

    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between objects");
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cork_mempool mp;
        char *objects[100];

        CHECK(cork_mempool_init_with(
            &mp, OPTIONS(.element_size = cases[i].element_size, .alignment = cases[i].alignment)));
        CHECK_EQUAL(stats_of(&mp).alignment, cases[i].alignment);
        CHECK_EQUAL(stats_of(&mp).slot_size, cases[i].slot_size);
        take_objects(&mp, (void **)objects, 2);
        CHECK_EQUAL(objects[1] - objects[0], cases[i].slot_size);
        give_objects(&mp, (void **)objects, 2);
        exercise(&mp, 100);
    }
}

/* The report of a pointer to no pool's memory; a name of NULL is none. */
static const char *foreign_report(const struct cork_mempool *mp, const char *name,
                                  const void *pointer, const char *end)
{
    static char text[512];

    snprintf(text, sizeof(text),
             "cork_mempool: free of a foreign pointer: pool 0x%" PRIxPTR "%s%s%s, "
             "pointer 0x%" PRIxPTR ", element size 48%s\n",
             (uintptr_t)mp, name != NULL ? " \"" : "", name != NULL ? name : "",
             name != NULL ? "\"" : "", (uintptr_t)pointer, end);
    return text;
}

TEST(reports_give_the_name_and_the_seed_as_they_were_given)
{
    static const char name[] = "orders of the day: 100%";
    struct cork_mempool mp;
    int local;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48, .name = name)));
    CHECK_ABORTS(foreign_report(&mp, name, &local, ""), cork_mempool_free(&mp, &local));
    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48)));
    CHECK_ABORTS(foreign_report(&mp, NULL, &local, ""), cork_mempool_free(&mp, &local));
    for (size_t i = 1; i < COUNT_OF(all_protections); i++) {
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48, .name = name, .seed = 0xabc,
                                                  .protections = all_protections[i])));
        CHECK_ABORTS(foreign_report(&mp, name, &local, ", seed 0xabc"),
                     cork_mempool_free(&mp, &local));
    }
}

/* Names are the pool's own, up to 39 bytes; of a longer one there are 36 and dots. */
TEST(a_name_is_copied_as_far_as_there_is_room)
{
    static const char digits[] = "012345678901234567890123456789012345678901234567";

    for (size_t length = 0; length <= 45; length++) {
        char name[50], expected[50];
        struct cork_mempool mp;
        int local;

        snprintf(name, sizeof(name), "%.*s", (int)length, digits);
        snprintf(expected, sizeof(expected), length > 39 ? "%.36s..." : "%s", name);
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48, .name = name)));
        memset(name, 'x', sizeof(name));
        CHECK_ABORTS(foreign_report(&mp, expected, &local, ""), cork_mempool_free(&mp, &local));
    }
}

static jmp_buf refused;
static struct cork_mempool_violation seen;

static void leave(const struct cork_mempool_violation *violation)
{
    seen = *violation;
    longjmp(refused, 1);
}

/* The seed that a pool works with. */
static uint64_t seed_of(struct cork_mempool *mp)
{
    cork_mempool_violation_handler *const before = cork_mempool_on_violation(leave);

    if (setjmp(refused) == 0) {
        cork_mempool_free(mp, &refused);
        test_fails(__FILE__, __LINE__, "a foreign pointer was taken");
    }
    cork_mempool_on_violation(before);
    CHECK(seen.is_seeded);
    return seen.seed;
}

TEST(a_pool_without_a_seed_gets_one_of_its_own)
{
    struct cork_mempool pools[50];
    uint64_t seeds[COUNT_OF(pools)];

    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        CHECK(cork_mempool_init_with(&pools[i], OPTIONS(.protections = CORK_MEMPOOL_SHUFFLE)));
        seeds[i] = seed_of(&pools[i]);
        CHECK(seeds[i] != 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(seeds[j] != seeds[i]);
        }
    }
}

TEST(a_pool_that_stands_where_another_was_gets_another_seed)
{
    struct cork_mempool mp;
    uint64_t first;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.protections = CORK_MEMPOOL_SHUFFLE)));
    first = seed_of(&mp);
    cork_mempool_done(&mp);
    CHECK(cork_mempool_init_with(&mp, OPTIONS(.protections = CORK_MEMPOOL_SHUFFLE)));
    CHECK(seed_of(&mp) != first);
    cork_mempool_done(&mp);
}

static void new_gives_null(struct cork_mempool *mp)
{
    for (size_t i = 0; i < 3; i++) {
        errno = ODD_ERRNO;
        CHECK_POINTER(cork_mempool_new(mp), NULL);
        CHECK_EQUAL(errno, ENOMEM);
        CHECK(cork_mempool_check(mp));
    }
}

/* A refused init leaves what is there byte for byte, garbage or a pool that lives. */
static void is_refused(int line, const struct cork_mempool_options *options)
{
    static struct cork_mempool mp;
    static unsigned char before[sizeof(mp)];
    static const unsigned char garbage[] = {0x00, 0xa5, 0xff};
    void *object;

    for (size_t i = 0; i <= COUNT_OF(garbage); i++) {
        memset(&mp, garbage[i % COUNT_OF(garbage)], sizeof(mp));
        if (i == COUNT_OF(garbage)) {
            cork_mempool_init_size(&mp, 48);
            object = cork_mempool_new(&mp);
        }
        memcpy(before, &mp, sizeof(mp));
        errno = ODD_ERRNO;
        if (cork_mempool_init_with(&mp, options)) {
            test_fails(__FILE__, line, "the options are accepted");
        }
        CHECK_EQUAL(errno, EINVAL);
        CHECK_EQUAL(memcmp(before, &mp, sizeof(mp)), 0);
    }
    CHECK(cork_mempool_owns(&mp, object));
    cork_mempool_free(&mp, object);
    cork_mempool_done(&mp);
}

static void is_accepted(int line, const struct cork_mempool_options *options)
{
    struct cork_mempool mp;

    errno = ODD_ERRNO;
    if (!cork_mempool_init_with(&mp, options)) {
        test_fails(__FILE__, line, "the options are refused");
    }
    CHECK_EQUAL(errno, ODD_ERRNO);
    cork_mempool_done(&mp);
}

#define REFUSED(...)  is_refused(__LINE__, OPTIONS(__VA_ARGS__))
#define ACCEPTED(...) is_accepted(__LINE__, OPTIONS(__VA_ARGS__))

static char room[4096];

TEST(an_element_that_no_memory_could_hold_is_refused)
{
    REFUSED(.element_size = SIZE_MAX);
    REFUSED(.element_size = SIZE_MAX - 7);
    REFUSED(.element_size = SIZE_MAX - 4095);
    REFUSED(.element_size = SIZE_MAX / 2 + 1);
    REFUSED(.element_size = SIZE_MAX / 2 + 1, .alignment = 1);
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        REFUSED(.element_size = SIZE_MAX, .protections = all_protections[i]);
        REFUSED(.element_size = SIZE_MAX - 15, .protections = all_protections[i]);
        ACCEPTED(.element_size = 1 << 20, .protections = all_protections[i]);
    }
    REFUSED(.element_size = 1, .alignment = SIZE_MAX / 2 + 1);
}

TEST(an_alignment_that_is_not_a_power_of_two_is_refused)
{
    for (size_t alignment = 1; alignment < 5000; alignment++) {
        if ((alignment & (alignment - 1)) != 0) {
            REFUSED(.element_size = 64, .alignment = alignment);
        } else {
            ACCEPTED(.element_size = 64, .alignment = alignment);
        }
    }
    REFUSED(.alignment = SIZE_MAX);
    REFUSED(.alignment = SIZE_MAX / 2);
    REFUSED(.alignment = SIZE_MAX / 2 + 2);
}

TEST(a_protection_that_does_not_exist_is_refused)
{
    for (unsigned bit = 7; bit < 32; bit++) {
        REFUSED(.protections = 1u << bit);
        REFUSED(.protections = 1u << bit | CORK_MEMPOOL_CANARY);
    }
    REFUSED(.protections = ~0u);
}

TEST(all_protections_combine)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        ACCEPTED(.protections = set);
    }
}

TEST(a_buffer_and_its_size_go_together)
{
    REFUSED(.element_size = 16, .buffer = room);
    REFUSED(.element_size = 16, .buffer_size = sizeof(room));
    REFUSED(.element_size = 16, .source = &empty_source, .buffer_size = 1);
    ACCEPTED(.element_size = 16, .buffer = room, .buffer_size = sizeof(room));
}

/* From some size on a buffer is accepted, and no larger one is refused. */
TEST(a_buffer_too_small_for_one_object_is_refused)
{
    static const size_t element_sizes[] = {1, 8, 24, 64, 500};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        if ((all_protections[i] & CORK_MEMPOOL_GUARD) != 0) {
            continue;
        }
        for (size_t j = 0; j < COUNT_OF(element_sizes); j++) {
            struct cork_mempool_options options = {.element_size = element_sizes[j],
                                                   .protections = all_protections[i],
                                                   .buffer = room,
                                                   .buffer_size = 1};
            struct cork_mempool mp;

            for (; !cork_mempool_init_with(&mp, &options); options.buffer_size++) {
                is_refused(__LINE__, &options);
            }
            CHECK(options.buffer_size > element_sizes[j]);
            for (; options.buffer_size < sizeof(room); options.buffer_size++) {
                is_accepted(__LINE__, &options);
            }
        }
    }
    REFUSED(.element_size = sizeof(room), .buffer = room, .buffer_size = sizeof(room));
    REFUSED(.element_size = 8, .alignment = 2 * sizeof(room), .buffer = room, .buffer_size = 64);
}

TEST(a_buffer_and_a_source_together_are_refused)
{
    REFUSED(.source = &empty_source, .buffer = room, .buffer_size = sizeof(room));
    ACCEPTED(.source = &empty_source);
    ACCEPTED(.source = &empty_source, .source_data = room);
}

TEST(a_guard_in_memory_of_the_callers_is_refused)
{
    for (unsigned set = 1; set < SETS_COUNT; set++) {
        if ((set & CORK_MEMPOOL_GUARD) != 0) {
            REFUSED(.protections = set, .buffer = room, .buffer_size = sizeof(room));
            REFUSED(.protections = set, .source = &empty_source);
        } else {
            ACCEPTED(.protections = set, .buffer = room, .buffer_size = sizeof(room));
            ACCEPTED(.protections = set, .source = &empty_source);
        }
    }
}

TEST(a_source_without_both_functions_is_refused)
{
    static const struct cork_mempool_source sources[] = {
        {NULL, NULL}, {no_memory, NULL}, {NULL, never_released}};

    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        REFUSED(.source = &sources[i]);
    }
}

static void destruct(void *user_data, void *object)
{
    construct(user_data, object);
}

TEST(a_wipe_of_constructed_objects_is_refused)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        if ((set & CORK_MEMPOOL_WIPE) != 0) {
            REFUSED(.protections = set, .init_object = construct);
            REFUSED(.protections = set, .done_object = destruct);
            REFUSED(.protections = set, .init_object = construct, .done_object = destruct);
            ACCEPTED(.protections = set, .user_data = room);
        } else {
            ACCEPTED(.protections = set, .init_object = construct, .done_object = destruct);
        }
    }
}

TEST(a_source_that_has_nothing_gives_null_and_a_pool_that_stays_valid)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;

        if ((all_protections[i] & CORK_MEMPOOL_GUARD) == 0) {
            CHECK(cork_mempool_init_with(
                &mp, OPTIONS(.source = &empty_source, .protections = all_protections[i])));
            new_gives_null(&mp);
            cork_mempool_done(&mp);
        }
    }
}

TEST(no_options_at_all_are_refused)
{
    is_refused(__LINE__, NULL);
}

TEST(a_buffer_larger_than_all_memory_is_refused)
{
    for (size_t i = 0; i < 3; i++) {
        REFUSED(.element_size = 1, .buffer = room, .buffer_size = SIZE_MAX >> i);
        REFUSED(.element_size = 16, .protections = CORK_MEMPOOL_SEAL, .buffer = room,
                .buffer_size = SIZE_MAX >> i);
    }
}

TEST(a_guarded_block_that_no_address_could_be_behind_is_refused)
{
    if (TEST_UNDER_ASAN) {
        test_skip("with gaps between objects there are too few of them");
    }
    REFUSED(.element_size = 1, .alignment = 1, .block_size = SIZE_MAX,
            .protections = CORK_MEMPOOL_GUARD);
    ACCEPTED(.element_size = 1, .alignment = 1, .block_size = SIZE_MAX);
}
