/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Trim, to the byte: which of the memory that no live object needs is given back, and that the
 * figure is right. What trim leaves is whole_test.c's.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

#define GROUP_SLOTS 64
#define GROUP_COUNT 6

static void *objects[33 * 1024];

static void init(struct cork_mempool *mp, size_t element_size, size_t max_objects, unsigned set)
{
    const struct cork_mempool_options options = {.element_size = element_size,
                                                 .block_size = page_size(),
                                                 .max_objects = max_objects,
                                                 .protections = set};

    CHECK(cork_mempool_init_with(mp, &options));
}

static void free_some(struct cork_mempool *mp, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        cork_mempool_free(mp, objects[i]);
    }
}

/* Takes objects, the first 64 from the heap and all others from one region of the system's. Returns
 * how much memory the former are in. */
static size_t take_all(struct cork_mempool *mp, size_t count)
{
    size_t heap_size;

    requests_start();
    take_objects(mp, objects, 1);
    heap_size = stats_of(mp).memory_size;
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(mp, objects + 1, count - 1);
    requests_stop();
    return heap_size;
}

/* 64 objects of the second region are a page. */
TEST(trim_gives_back_each_page_without_live_objects)
{
    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between objects");
    }
    for (unsigned live = 1; live < 1u << GROUP_COUNT; live++) {
        struct cork_mempool mp;
        size_t freed_count = 0;
        size_t heap_size;

        init(&mp, page_size() / GROUP_SLOTS, 0, 0);
        heap_size = take_all(&mp, (1 + GROUP_COUNT) * GROUP_SLOTS);
        free_some(&mp, 0, GROUP_SLOTS);
        for (size_t group = 0; group < GROUP_COUNT; group++) {
            const size_t first = (1 + group) * GROUP_SLOTS;
            const bool is_live = (live >> group & 1) != 0;

            free_some(&mp, first, first + 20 + group);
            free_some(&mp, first + 20 + group + is_live, first + GROUP_SLOTS);
            freed_count += !is_live;
        }
        CHECK_EQUAL(cork_mempool_trim(&mp), heap_size + freed_count * page_size());
        CHECK(cork_mempool_check(&mp));
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Behind the last object there is memory that was never used, and so cannot be given back. */
TEST(trim_gives_back_no_more_than_was_used)
{
    const size_t count = 4 + GROUP_SLOTS + 8;
    size_t heap_size;
    struct cork_mempool mp;

    if (regions_are_small()) {
        test_skip("regions are small");
    }
    init(&mp, page_size() / 4, count, 0);
    heap_size = take_all(&mp, count);
    free_some(&mp, 0, 20);
    free_some(&mp, 21, count);
    CHECK_EQUAL(cork_mempool_trim(&mp), heap_size + (count / 4 - 2) * page_size());
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    cork_mempool_free(&mp, objects[20]);
    exercise(&mp, count);
}

/* Of a piece with a live object, whole pages inside are given back, as far as there are any. */
TEST(trim_gives_back_the_pieces_of_the_heap_without_live_objects)
{
    static const size_t counts[] = {64, 128, 2048, 100};

    if (TEST_UNDER_ASAN) {
        test_skip("pieces have fewer slots");
    }
    for (size_t kept = 0; kept < COUNT_OF(counts); kept++) {
        struct cork_mempool mp;
        size_t sizes[COUNT_OF(counts)];
        size_t count = 0, kept_object = 0, memory_size = 0, used_size = 0, trimmed_size;

        init(&mp, 16, 0, 0);
        for (size_t piece = 0; piece < COUNT_OF(counts); piece++) {
            take_objects(&mp, objects + count, counts[piece]);
            CHECK_EQUAL(stats_of(&mp).region_count, piece + 1);
            sizes[piece] = stats_of(&mp).memory_size - memory_size;
            memory_size += sizes[piece];
            used_size += piece == kept ? 0 : counts[piece] * 16;
            kept_object = piece == kept ? count + 7 : kept_object;
            count += counts[piece];
        }
        free_some(&mp, 0, kept_object);
        free_some(&mp, kept_object + 1, count);
        trimmed_size = cork_mempool_trim(&mp);
        CHECK(trimmed_size >= used_size && trimmed_size < memory_size);
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).memory_size, sizes[kept]);
        CHECK(is_filled(objects[kept_object], 16, 7));
        cork_mempool_free(&mp, objects[kept_object]);
        exercise(&mp, count);
    }
}

/* Objects of every size, of which some stay live, in pools that lose something with each page: that
 * is made anew where it is issued again, and all else is found as it was. */
static void trim_some(size_t element_size, size_t count, unsigned set, size_t step)
{
    struct cork_mempool mp;
    size_t trimmed_size, live_size = 0;

    init(&mp, element_size, count, set);
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, count);
    for (size_t i = 0; i < count; i++) {
        if (i % step == 0) {
            live_size += element_size + 2 * page_size() + 64;
        } else {
            cork_mempool_free(&mp, objects[i]);
        }
    }
    trimmed_size = cork_mempool_trim(&mp);
    requests_stop();
    CHECK(trimmed_size + live_size >= count * element_size);
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    CHECK_EQUAL(stats_of(&mp).live_count, (count + step - 1) / step);
    for (size_t i = 0; i < count; i += step) {
        CHECK(is_filled(objects[i], element_size, i));
        cork_mempool_free(&mp, objects[i]);
    }
    CHECK(cork_mempool_check(&mp));
    exercise(&mp, count);
}

TEST(trim_gives_back_all_pages_but_those_of_live_objects_whatever_the_protection)
{
    static const struct {
        size_t element_size, count, step;
    } cases[] = {{64, 20000, 4000}, {40, 20000, 1},  {1000, 3000, 50},
                 {4096, 500, 7},    {6000, 300, 10}, {70000, 40, 13}};
    static const unsigned sets[] = {0,
                                    CORK_MEMPOOL_CANARY,
                                    CORK_MEMPOOL_SEAL,
                                    CORK_MEMPOOL_WIPE,
                                    CORK_MEMPOOL_GUARD,
                                    CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_SHUFFLE,
                                    CORK_MEMPOOL_PARANOID};

    if (regions_are_small()) {
        test_skip("regions are small");
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t j = 0; j < COUNT_OF(sets); j++) {
            trim_some(cases[i].element_size, cases[i].count, sets[j], cases[i].step);
        }
    }
}

static jmp_buf refused;
static enum cork_mempool_violation_kind refused_kind;

static void leave(const struct cork_mempool_violation *violation)
{
    refused_kind = violation->kind;
    longjmp(refused, 1);
}

/* What a free is refused for. */
static enum cork_mempool_violation_kind kind_of_free(struct cork_mempool *mp, void *pointer)
{
    refused_kind = (enum cork_mempool_violation_kind)0;
    cork_mempool_on_violation(leave);
    if (setjmp(refused) == 0) {
        cork_mempool_free(mp, pointer);
    }
    cork_mempool_on_violation(NULL);
    return refused_kind;
}

/* That a slot was issued is known though its page is gone. */
TEST(a_double_free_is_one_after_trim_too)
{
    static const unsigned sets[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_PARANOID};

    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct cork_mempool mp;
        size_t count = 0;

        init(&mp, page_size() / 2, 300, sets[i]);
        requests_start();
        requests_refuse(HEAP, REFUSE_FROM, 1);
        take_objects(&mp, objects, 300);
        requests_stop();
        free_some(&mp, 0, 299);
        cork_mempool_trim(&mp);
        for (size_t j = 0; j < 299; j++) {
            if (!is_foreign(&mp, objects[j])) {
                CHECK_EQUAL(kind_of_free(&mp, objects[j]), CORK_MEMPOOL_DOUBLE_FREE);
                count++;
            }
        }
        CHECK(count > 100);
        cork_mempool_free(&mp, objects[299]);
        cork_mempool_done(&mp);
    }
}

/* Where the system takes nothing back, or does not tell, none is said to be given back; and errno
 * is as it was. */
TEST(trim_says_nothing_of_what_the_system_refuses_to_take_or_to_tell)
{
    struct cork_mempool mp;

    init(&mp, page_size() / 4, 0, 0);
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, 4000);
    for (size_t i = 0; i < 4000; i += 50) {
        free_some(&mp, i + 1, i + 50);
    }
    requests_refuse_advice();
    errno = 77;
    const size_t trimmed_size = cork_mempool_trim(&mp);
    CHECK_EQUAL(errno, 77);
    requests_start();
    requests_hide_residency();
    const size_t unknown_size = cork_mempool_trim(&mp);
    CHECK_EQUAL(errno, 77);
    CHECK(requests.discard_size > 0);
    requests_stop();
    CHECK_EQUAL(trimmed_size, 0);
    CHECK_EQUAL(unknown_size, 0);
    CHECK(cork_mempool_check(&mp));
    cork_mempool_clear(&mp);
    requests_start();
    requests_hide_residency();
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    requests_stop();
    CHECK_EQUAL(stats_of(&mp).region_count, 0);
    exercise(&mp, 4000);
}

/* Without a heap, the second region has 32 times as many slots as
 * the first; where pages have 4096 bytes, the words for its groups fill whole pages. */
TEST(trim_and_clear_look_at_no_table_beyond_its_end)
{
    const size_t count = COUNT_OF(objects);
    struct cork_mempool mp;

    init(&mp, page_size() / GROUP_SLOTS, 0, CORK_MEMPOOL_QUARANTINE);
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    take_objects(&mp, objects, count);
    requests_stop();
    CHECK(TEST_UNDER_ASAN || page_size() != 4096 || mp.newest->extended_count == 512 * GROUP_SLOTS);
    free_some(&mp, 0, count - 1);
    CHECK(cork_mempool_trim(&mp) > 0);
    CHECK_EQUAL(stats_of(&mp).live_count, 1);
    cork_mempool_clear(&mp);
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    cork_mempool_done(&mp);
}
