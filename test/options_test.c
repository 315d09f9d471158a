/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_init_with: what each option does, what stands for nothing, and what is refused. The
 * environment's options are in options_environment_test.c.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/requests.h"

TEST(sizes_are_those_of_the_short_forms)
{
    static const size_t sizes[] = {0, 1, 2, 3, 8, 20, 24, 33, 64, 100, 1000, 4096, 5000};
    static const size_t block_sizes[] = {0, 1, 63, 64, 65, 100, 4096, 65536, 1000000, SIZE_MAX};

    for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(block_sizes); i++) {
        const size_t size = sizes[i % COUNT_OF(sizes)];
        const size_t block_size = block_sizes[i / COUNT_OF(sizes)];
        struct cork_mempool plain;
        struct cork_mempool mp;

        cork_mempool_init_size_ex(&plain, size, block_size != 0 ? block_size : 4096);
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = size, .block_size = block_size)));
        const struct cork_mempool_stats expected = stats_of(&plain);
        const struct cork_mempool_stats stats = stats_of(&mp);
        CHECK(same_stats(&stats, &expected));
        CHECK_EQUAL(stats.element_size, size != 0 ? size : 1);
        cork_mempool_done(&plain);
        exercise(&mp, block_size == SIZE_MAX ? 1 : 1000);
    }
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

/* An alignment of 0 stands for that of cork_mempool_init_size. Protections may need more bytes. */
static void work_with(size_t size, size_t alignment, unsigned protections)
{
    const size_t needed = alignment != 0 ? alignment : alignment_needed(size);
    const size_t slot_size = type_slot_needed(size, needed);
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(
        &mp, OPTIONS(.element_size = size, .alignment = alignment, .protections = protections)));
    const struct cork_mempool_stats stats = stats_of(&mp);
    CHECK_EQUAL(stats.element_size, size);
    CHECK_EQUAL(stats.alignment, TEST_UNDER_ASAN && needed < 8 ? 8 : needed);
    CHECK_EQUAL(stats.slot_size % needed, 0);
    CHECK(protections == 0 ? stats.slot_size == slot_size : stats.slot_size >= slot_size);
    exercise(&mp, needed > 4096 ? 20 : 300);
}

TEST(objects_have_the_size_and_the_alignment_that_were_asked_for)
{
    static const size_t sizes[] = {1, 3, 8, 20, 24, 33, 64, 100, 5000};

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
            for (size_t j = 0; j < COUNT_OF(sizes); j++) {
                work_with(sizes[j], alignment, all_protections[i]);
            }
        }
        for (size_t size = 1; size <= 130; size += size < 34 ? 1 : 32) {
            work_with(size, 0, all_protections[i]);
        }
    }
}

/* Names are the pool's own, up to 39 bytes; of a longer one there are 36 and dots. */
TEST(what_options_stand_in_and_their_name_may_be_gone_after_init)
{
    for (size_t length = 0; length <= 45; length++) {
        char name[50], expected[50];
        struct cork_mempool_options options = {
            .name = name, .element_size = 40, .max_objects = 7, .alignment = 128};
        struct cork_mempool mp;

        snprintf(name, sizeof(name), "%.*s", (int)length,
                 "012345678901234567890123456789012345678901234567");
        snprintf(expected, sizeof(expected), length > 39 ? "%.36s..." : "%s", name);
        CHECK(cork_mempool_init_with(&mp, &options));
        memset(name, 'x', sizeof(name));
        memset(&options, 0xff, sizeof(options));
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, name));
        CHECK_STRING(seen.violation.pool_name, expected);
        CHECK_EQUAL(stats_of(&mp).alignment, 128);
        exercise(&mp, 7);
    }
}

TEST(reports_give_the_name_and_the_seed_as_they_were_given)
{
    for (size_t i = 0; i < 2 * COUNT_OF(all_protections); i++) {
        const unsigned protections = all_protections[i / 2];
        const char *const name = i % 2 == 0 ? NULL : "orders of the day: 100%";
        struct cork_mempool mp;
        char report[512];

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48, .name = name, .seed = 0xabc,
                                                  .protections = protections)));
        snprintf(report, sizeof(report),
                 "cork_mempool: free of a foreign pointer: pool 0x%" PRIxPTR "%s, "
                 "pointer 0x%" PRIxPTR ", element size 48%s\n",
                 (uintptr_t)&mp, name != NULL ? " \"orders of the day: 100%\"" : "",
                 (uintptr_t)report, protections != 0 ? ", seed 0xabc" : "");
        CHECK_ABORTS(report, cork_mempool_free(&mp, report));
    }
}

TEST(a_pool_without_a_seed_gets_one_of_its_own_wherever_it_stands)
{
    static struct cork_mempool pools[25];
    uint64_t seeds[2 * COUNT_OF(pools)];

    for (size_t i = 0; i < COUNT_OF(seeds); i++) {
        struct cork_mempool *const mp = &pools[i % COUNT_OF(pools)];

        CHECK(cork_mempool_init_with(mp, OPTIONS(.protections = CORK_MEMPOOL_SHUFFLE)));
        RUN_UNTIL_REFUSED(cork_mempool_free(mp, seeds));
        cork_mempool_done(mp);
        CHECK(seen.violation.is_seeded);
        CHECK(seen.violation.seed != 0);
        seeds[i] = seen.violation.seed;
        for (size_t j = 0; j < i; j++) {
            CHECK(seeds[j] != seeds[i]);
        }
    }
}

/* A refused init leaves the struct byte for byte as it was, be it garbage or a live pool. */
static void init_is_refused(int line, const struct cork_mempool_options *options)
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

static void init_accepts(int line, bool are_accepted, const struct cork_mempool_options *options)
{
    struct cork_mempool mp;

    if (!are_accepted) {
        init_is_refused(line, options);
        return;
    }
    errno = ODD_ERRNO;
    if (!cork_mempool_init_with(&mp, options)) {
        test_fails(__FILE__, line, "the options are refused");
    }
    CHECK_EQUAL(errno, ODD_ERRNO);
    cork_mempool_done(&mp);
}

#define ACCEPTED_IF(condition, ...) init_accepts(__LINE__, (condition), OPTIONS(__VA_ARGS__))
#define ACCEPTED(...)               ACCEPTED_IF(true, __VA_ARGS__)
#define REFUSED(...)                ACCEPTED_IF(false, __VA_ARGS__)

TEST(sizes_that_no_memory_could_hold_are_refused)
{
    REFUSED(.element_size = SIZE_MAX);
    REFUSED(.element_size = SIZE_MAX - 7);
    REFUSED(.element_size = SIZE_MAX - 4095);
    REFUSED(.element_size = SIZE_MAX / 2 + 1);
    REFUSED(.element_size = SIZE_MAX / 2 + 1, .alignment = 1);
    REFUSED(.element_size = 1, .alignment = SIZE_MAX / 2 + 1);
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        REFUSED(.element_size = SIZE_MAX, .protections = all_protections[i]);
        REFUSED(.element_size = SIZE_MAX - 15, .protections = all_protections[i]);
        ACCEPTED(.element_size = 1 << 20, .protections = all_protections[i]);
    }
    /* No address could be behind the guard. */
    REFUSED(.element_size = 1, .alignment = 1, .block_size = SIZE_MAX,
            .protections = CORK_MEMPOOL_GUARD);
    ACCEPTED(.element_size = 1, .alignment = 1, .block_size = SIZE_MAX);
}

TEST(an_alignment_that_is_not_a_power_of_two_is_refused)
{
    for (size_t alignment = 1; alignment < 5000; alignment++) {
        ACCEPTED_IF((alignment & (alignment - 1)) == 0, .element_size = 64, .alignment = alignment);
    }
    REFUSED(.alignment = SIZE_MAX);
    REFUSED(.alignment = SIZE_MAX / 2);
    REFUSED(.alignment = SIZE_MAX / 2 + 2);
}

TEST(all_protections_combine_and_one_that_does_not_exist_is_refused)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        ACCEPTED(.protections = set);
    }
    for (unsigned bit = 7; bit < 32; bit++) {
        REFUSED(.protections = 1u << bit);
        REFUSED(.protections = 1u << bit | CORK_MEMPOOL_CANARY);
    }
    REFUSED(.protections = ~0u);
}

static char room[4096];

TEST(memory_of_the_callers_that_is_incomplete_or_too_large_is_refused)
{
    const struct cork_mempool_source sources[] = {
        {NULL, NULL}, {plain_source.acquire, NULL}, {NULL, plain_source.release}};

    ACCEPTED(.element_size = 16, .buffer = room, .buffer_size = sizeof(room));
    REFUSED(.element_size = 16, .buffer = room);
    REFUSED(.element_size = 16, .buffer_size = sizeof(room));
    for (size_t i = 0; i < 3; i++) {
        REFUSED(.element_size = 1, .buffer = room, .buffer_size = SIZE_MAX >> i);
        REFUSED(.element_size = 16, .protections = CORK_MEMPOOL_SEAL, .buffer = room,
                .buffer_size = SIZE_MAX >> i);
    }
    ACCEPTED(.source = &plain_source);
    ACCEPTED(.source = &plain_source, .source_data = room);
    REFUSED(.source_data = room);
    REFUSED(.element_size = 16, .source = &plain_source, .buffer_size = 1);
    REFUSED(.source = &plain_source, .buffer = room, .buffer_size = sizeof(room));
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        REFUSED(.source = &sources[i]);
    }
}

/* From some size on a buffer is accepted, and no larger one is refused. */
TEST(a_buffer_too_small_for_one_object_is_refused)
{
    static const size_t sizes[] = {1, 8, 24, 64, 500};

    for (size_t i = 0; i < COUNT_OF(all_protections) * COUNT_OF(sizes); i++) {
        struct cork_mempool_options options = {.element_size = sizes[i % COUNT_OF(sizes)],
                                               .protections = all_protections[i / COUNT_OF(sizes)] &
                                                              ~CORK_MEMPOOL_GUARD,
                                               .buffer = room,
                                               .buffer_size = 1};
        struct cork_mempool mp;

        for (; !cork_mempool_init_with(&mp, &options); options.buffer_size++) {
            init_accepts(__LINE__, false, &options);
        }
        CHECK(options.buffer_size > options.element_size);
        for (; options.buffer_size < sizeof(room); options.buffer_size++) {
            init_accepts(__LINE__, true, &options);
        }
    }
    REFUSED(.element_size = sizeof(room), .buffer = room, .buffer_size = sizeof(room));
    REFUSED(.element_size = 8, .alignment = 2 * sizeof(room), .buffer = room, .buffer_size = 64);
}

TEST(a_guard_in_memory_of_the_callers_and_a_wipe_of_constructed_objects_are_refused)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        const bool has_guards = (set & CORK_MEMPOOL_GUARD) != 0;
        const bool has_wipe = (set & CORK_MEMPOOL_WIPE) != 0;

        ACCEPTED_IF(!has_guards, .protections = set, .buffer = room, .buffer_size = sizeof(room));
        ACCEPTED_IF(!has_guards, .protections = set, .source = &plain_source);
        ACCEPTED_IF(!has_wipe, .protections = set, .init_object = construct_nothing);
        ACCEPTED_IF(!has_wipe, .protections = set, .done_object = destruct_nothing);
        ACCEPTED_IF(!has_wipe, .protections = set, .init_object = construct_nothing,
                    .done_object = destruct_nothing);
        ACCEPTED(.protections = set, .user_data = room);
    }
}

TEST(no_options_at_all_are_refused)
{
    init_accepts(__LINE__, false, NULL);
}
