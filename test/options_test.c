/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_init_with: what each option does, what stands for nothing, and what is refused. The
 * environment's options are in options_environment_test.c.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

static struct cork_mempool mp;

TEST(objects_have_the_size_and_the_alignment_that_were_asked_for)
{
    static const size_t sizes[] = {1,  2,  3,  4,  6,  8,  12, 16,  20,  24,
                                   31, 32, 33, 48, 64, 96, 98, 100, 130, 5000};

    for (size_t i = 0; i < COUNT_OF(sizes) * PROTECTIONS_COUNT; i++) {
        const size_t size = sizes[i / PROTECTIONS_COUNT];
        const unsigned protections = all_protections[i % PROTECTIONS_COUNT];

        for (size_t alignment = 0; alignment <= 65536;
             alignment += alignment == 0 ? 1 : alignment) {
            const size_t needed = alignment != 0 ? alignment : alignment_needed(size);
            const size_t slot_size = type_slot_needed(size, needed);

            test_row("size %zu, alignment %zu, protections %#x", size, alignment, protections);
            CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = size, .alignment = alignment,
                                                      .protections = protections)));
            const struct cork_mempool_stats stats = stats_of(&mp);
            CHECK_EQUAL(stats.element_size, size);
            CHECK_EQUAL(stats.alignment, TEST_UNDER_ASAN && needed < 8 ? 8 : needed);
            CHECK_EQUAL(stats.slot_size % needed, 0);
            /* Protections may need more bytes. */
            CHECK(stats.slot_size == slot_size ||
                  (protections != 0 && stats.slot_size > slot_size));
            exercise(&mp, needed > 4096 ? 20 : 300);
        }
    }
}

/* Names are the pool's own, up to 39 bytes; of a longer one there are 36 and dots. */
TEST(what_options_stand_in_and_their_name_may_be_gone_after_init)
{
    for (size_t length = 0; length <= 45; length++) {
        const unsigned protections = all_protections[length % PROTECTIONS_COUNT];
        char name[50], expected[50];
        struct cork_mempool_options options = {.name = name,
                                               .element_size = 40,
                                               .alignment = 128,
                                               .max_objects = 7,
                                               .protections = protections,
                                               .seed = 0xabc};

        snprintf(name, sizeof(name), "%.*s", (int)length,
                 "orders of the day: 100% of all 0123456789 0123456789");
        snprintf(expected, sizeof(expected), length > 39 ? "%.36s..." : "%s", name);
        CHECK(cork_mempool_init_with(&mp, &options));
        memset(name, 'x', sizeof(name));
        memset(&options, 0xff, sizeof(options));
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, name));
        CHECK_STRING(seen.violation.pool_name, expected);
        CHECK_EQUAL(seen.violation.is_seeded, protections != 0);
        CHECK_EQUAL(seen.violation.seed, protections != 0 ? 0xabc : 0);
        seen.violation.call_site = NULL;
        CHECK_ABORTS(report_of(&seen.violation), cork_mempool_free(&mp, name));
        CHECK_EQUAL(stats_of(&mp).alignment, 128);
        exercise(&mp, 7);
    }
}

/* An accepted init takes no memory; a refused one leaves the struct byte for byte as it was. */
static void init_answers(bool is_accepted, const struct cork_mempool_options *options)
{
    static struct cork_mempool before;

    memset(&mp, 0xa5, sizeof(mp));
    before = mp;
    requests_start();
    errno = ODD_ERRNO;
    CHECK_EQUAL(cork_mempool_init_with(&mp, options), is_accepted);
    if (is_accepted) {
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).reserved_size, 0);
        cork_mempool_done(&mp);
    } else {
        CHECK_EQUAL(memcmp(&before, &mp, sizeof(mp)), 0);
    }
    CHECK_EQUAL(errno, is_accepted ? ODD_ERRNO : EINVAL);
    requests_stop();
    CHECK_EQUAL(requests.count, 0);
}

#define ACCEPTED_IF(condition, ...)                                                                \
    (test_row("%s", #__VA_ARGS__), init_answers((condition), OPTIONS(__VA_ARGS__)))
#define ACCEPTED(...) ACCEPTED_IF(true, __VA_ARGS__)
#define REFUSED(...)  ACCEPTED_IF(false, __VA_ARGS__)

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

    for (size_t i = 0; i < PROTECTIONS_COUNT * COUNT_OF(sizes); i++) {
        struct cork_mempool_options options = {.element_size = sizes[i % COUNT_OF(sizes)],
                                               .protections = all_protections[i / COUNT_OF(sizes)] &
                                                              ~CORK_MEMPOOL_GUARD,
                                               .buffer = room};
        size_t least = sizeof(room);

        while (++options.buffer_size < sizeof(room)) {
            if (least == sizeof(room) && cork_mempool_init_with(&mp, &options)) {
                least = options.buffer_size;
            }
            init_answers(options.buffer_size >= least, &options);
        }
        CHECK(least > options.element_size && least < sizeof(room));
    }
    REFUSED(.element_size = sizeof(room), .buffer = room, .buffer_size = sizeof(room));
    REFUSED(.element_size = 8, .alignment = 2 * sizeof(room), .buffer = room, .buffer_size = 64);
}

TEST(protections_combine_but_no_guard_in_memory_of_the_callers_nor_wipe_of_constructed_objects)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        const bool has_guards = (set & CORK_MEMPOOL_GUARD) != 0;
        const bool has_wipe = (set & CORK_MEMPOOL_WIPE) != 0;

        ACCEPTED(.protections = set, .user_data = room);
        ACCEPTED_IF(!has_guards, .protections = set, .buffer = room, .buffer_size = sizeof(room));
        ACCEPTED_IF(!has_guards, .protections = set, .source = &plain_source);
        ACCEPTED_IF(!has_wipe, .protections = set, .init_object = construct_nothing);
        ACCEPTED_IF(!has_wipe, .protections = set, .done_object = destruct_nothing);
        ACCEPTED_IF(!has_wipe, .protections = set, .init_object = construct_nothing,
                    .done_object = destruct_nothing);
    }
    for (unsigned bit = 7; bit < 32; bit++) {
        REFUSED(.protections = 1u << bit);
        REFUSED(.protections = 1u << bit | CORK_MEMPOOL_CANARY);
    }
    REFUSED(.protections = ~0u);
}

TEST(no_options_at_all_are_refused_and_a_live_pool_lives_on)
{
    void *object;

    init_answers(false, NULL);
    cork_mempool_init_size(&mp, 48);
    take_objects(&mp, &object, 1);
    CHECK(!cork_mempool_init_with(&mp, NULL));
    CHECK(!cork_mempool_init_with(&mp, OPTIONS(.alignment = 3)));
    give_objects(&mp, &object, 1);
    cork_mempool_done(&mp);
}
