/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Trim and clear: which of the memory that no live object needs is given back, to the byte; that
 * the figure is right; and that the pool works on.
 */

#include <errno.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

#define MILLION ((size_t)1000000)
#if defined(__aarch64__)
#define HEAP_HAS_TAGS true /* so trim leaves its pages alone */
#else
#define HEAP_HAS_TAGS false
#endif

static struct cork_mempool mp;
static void *objects[MILLION];

/* Begins a pool, and takes objects where the system lacks something. */
static void begin(size_t count, int lacks, const struct cork_mempool_options *options)
{
    CHECK(cork_mempool_init_with(&mp, options));
    requests_start_lacking(lacks);
    take_objects(&mp, objects, count);
}

/* Frees objects but those whose numbers are kept, in rising order. */
static void free_all_but(size_t count, const size_t *kept, size_t kept_count)
{
    for (size_t i = 0, next = 0; i < count; i++) {
        if (next < kept_count && i == kept[next]) {
            next++;
        } else {
            cork_mempool_free(&mp, objects[i]);
        }
    }
}

static void free_kept(const size_t *kept, size_t kept_count)
{
    const struct cork_mempool_stats stats = stats_of(&mp);

    CHECK_EQUAL(stats.live_count, kept_count);
    for (size_t i = 0; i < kept_count; i++) {
        CHECK(cork_mempool_owns(&mp, objects[kept[i]]));
        CHECK(is_filled(objects[kept[i]], stats.element_size, kept[i]));
        cork_mempool_free(&mp, objects[kept[i]]);
    }
}

/* Trims a pool of one region. Slots that were never issued have no pages to give back; and huge
 * pages would bring back those that have been given back. */
static void expect_trimmed(size_t count, const size_t *kept, size_t kept_count, size_t size,
                           const struct cork_mempool_options *options)
{
    begin(count, NO_HEAP, options);

    const size_t used = mp.newest->committed_count * mp.geometry.stride, page = page_size();

    CHECK(mp.newest->extended_count < mp.newest->committed_count);
    free_all_but(count, kept, kept_count);
    CHECK_EQUAL(requests.discard_size + requests.small_size, 0);
    CHECK_EQUAL(cork_mempool_trim(&mp), size);
    CHECK_EQUAL(requests.discard_size, size);
    CHECK_EQUAL(requests.small_size, size == 0 ? 0 : (used + page - 1) / page * page);
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    CHECK(cork_mempool_check(&mp));
    free_kept(kept, kept_count);
    finish(&mp, NULL, 0);
}

TEST(trim_gives_back_each_used_page_without_live_objects_and_forbids_huge_pages)
{
    static const size_t across_pages[] = {0, 70, 2470};
    const size_t page = page_size(), group_count = 7;
    const size_t start = (71 * 7 + page - 1) / page * page;
    const size_t end = 2470 * 7 / page * page;

    if (TEST_UNDER_ASAN) {
        test_skip("there are redzones between objects");
    }
    /* Of one group's objects, which are a page, one is live or none. */
    for (unsigned live = 1; live < 1u << group_count; live++) {
        size_t kept[7], kept_count = 0;

        for (size_t group = 0; group < group_count; group++) {
            if ((live >> group & 1) != 0) {
                kept[kept_count++] = group * 64 + 20 + group;
            }
        }
        expect_trimmed(group_count * 64, kept, kept_count, (group_count - kept_count) * page,
                       OPTIONS(.element_size = page / 64, .block_size = page));
    }
    expect_trimmed(2500, across_pages, 3, end > start ? end - start : 0,
                   OPTIONS(.element_size = 7, .alignment = 1));
}

/* Frees some objects again that are free, if they are in a slot. Returns: how many. */
static size_t free_again(size_t count)
{
    size_t freed_count = 0;

    for (size_t i = 0; i < count; i += 31) {
        if (!cork_mempool_owns(&mp, objects[i]) && !is_foreign(&mp, objects[i])) {
            RUN_UNTIL_REFUSED(cork_mempool_free(&mp, objects[i]));
            CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_DOUBLE_FREE);
            freed_count++;
        }
    }
    return freed_count;
}

/* Trims while every step-th object is live, or of 0 none. Pools lose something with each page: it
 * is made anew where it is issued again, and all else is found as it was: also that a slot was ever
 * issued. */
static void trim_all_but(size_t count, size_t step, size_t first)
{
    static size_t kept[20000];
    const size_t size = stats_of(&mp).element_size;
    const size_t record = (mp.geometry.tables >> 5 & 1) * 8 + (mp.geometry.tables >> 6 & 1) * 16;
    /* Live objects keep their pages and their records'; regions, what they share with others. */
    const size_t kept_size = size + (record == 0 ? 2 : 4) * page_size() + 64;
    const bool is_bounded =
        step == 0 ? !TEST_UNDER_QEMU
                  : (requests.lacks == NO_HEAP || !HEAP_HAS_TAGS) && !regions_are_small();
    size_t kept_count = 0, memory_size, trimmed_size;

    for (size_t i = first; step != 0 && i < count; i += step) {
        kept[kept_count++] = i;
    }
    take_objects(&mp, objects, count);
    free_all_but(count, kept, kept_count);
    memory_size = stats_of(&mp).memory_size;
    trimmed_size = cork_mempool_trim(&mp);
    CHECK(trimmed_size <= memory_size);
    CHECK(!is_bounded || trimmed_size + (kept_count + stats_of(&mp).region_count) * kept_size >=
                             count * (size + record));
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    CHECK(free_again(count) > 0 || step < 2 || size > page_size());
    if (kept_count == 0) {
        CHECK_EQUAL(stats_of(&mp).region_count + stats_of(&mp).free_count, 0);
        CHECK_EQUAL(stats_of(&mp).memory_size + stats_of(&mp).reserved_size, 0);
        CHECK_EQUAL(requests.mapped_size + requests.heap_count, 0);
    }
    take_objects(&mp, objects + count, count);
    give_objects(&mp, objects + count, count);
    free_kept(kept, kept_count);
}

static size_t mapping_count(void)
{
    size_t count = 0;

    for (const char *next = read_file("/proc/self/maps"); *next != '\0'; next++) {
        count += *next == '\n';
    }
    CHECK(count > 0);
    return count;
}

TEST(trim_gives_back_all_but_the_memory_of_live_objects_and_leaves_a_pool_that_stays_bounded)
{
    static const struct {
        size_t element_size, count, step;
        int lacks;
    } cases[] = {{64, 20000, 4000, NO_HEAP}, {40, 20000, 1, NO_HEAP},  {1000, 3000, 50, NO_HEAP},
                 {4096, 500, 7, NO_HEAP},    {16300, 300, 4, NO_HEAP}, {70000, 40, 13, NO_HEAP},
                 {64, 3000, 0, 0},           {64, 3000, 1, 0},         {64, 3000, 4, 0},
                 {64, 3000, 40, 0},          {64, 3000, 364, 0},       {64, 3000, 3000, 0}};

    for (size_t i = 0; i < COUNT_OF(cases) * PROTECTIONS_COUNT; i++) {
        const size_t number = i / PROTECTIONS_COUNT, step = cases[number].step;
        const unsigned protections = all_protections[i % PROTECTIONS_COUNT];
        struct cork_mempool_stats first = {.region_count = 0};
        size_t mappings = 0;

        test_row("case %zu, protections %#x", number, protections);
        begin(0, cases[number].lacks,
              OPTIONS(.element_size = cases[number].element_size, .block_size = page_size(),
                      .alignment = cases[number].element_size == 16300 ? 16384 : 0,
                      .max_objects = 2 * cases[number].count, .protections = protections));
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        /* With one object that stays for a while, it grows and shrinks as busy programs have it. */
        const size_t round_count = step == 3000 ? 16 : cases[number].lacks == 0 ? 3 : 1;

        for (size_t round = 0; round < round_count; round++) {
            trim_all_but(cases[number].count, step, step == 0 ? 0 : round % step);
            const struct cork_mempool_stats stats = stats_of(&mp);

            first = round == 0 ? stats : first;
            mappings = round == 0 ? mapping_count() : mappings;
            CHECK(stats.region_count <= first.region_count + 1);
            CHECK(stats.memory_size <= 2 * first.memory_size);
            CHECK(stats.reserved_size <= 2 * first.reserved_size);
            /* AddressSanitizer maps and unmaps shadow on its own account. */
            CHECK(TEST_UNDER_ASAN || mapping_count() <= mappings + 10);
        }
        finish(&mp, NULL, 0);
    }
}

/* The C library may keep the pages of the heap's pieces, which are 1.2 MiB in all. */
#define KEPT_SIZE ((size_t)5 << 18)

TEST(what_trim_gives_back_of_a_million_objects_is_gone_and_a_few_live_ones_keep_little)
{
    static const size_t kept[] = {0, 1, 70, 1000, 4095, 500000, 500001, 999999};
    const size_t size = MILLION * 64;
    size_t fresh;

    /* The list of objects is the test's own, and comes before all comparisons. */
    memset(objects, 1, sizeof(objects));
    fresh = resident_size();
    cork_mempool_init_size(&mp, 64);
    for (size_t round = 0; round < 4; round++) {
        const size_t kept_count = round == 0 ? 0 : COUNT_OF(kept);
        const size_t large_pages_size = kept_count * (page_size() - 4096);

        take_objects(&mp, objects, MILLION);
        CHECK(resident_size() > fresh + size);
        free_all_but(MILLION, kept, kept_count);
        CHECK(cork_mempool_trim(&mp) >= (round == 0 ? size : size - size / 50 - large_pages_size));
        CHECK(cork_mempool_check(&mp));
        CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
        free_kept(kept, kept_count);
    }
    exercise(&mp, MILLION);
    CHECK(resident_size() < fresh + KEPT_SIZE + size / 50);
}

/* Where the system takes nothing back, or does not tell, none is said to be given back; and errno
 * is as it was. */
TEST(trim_says_nothing_of_what_the_system_refuses_to_take_or_to_tell)
{
    static const int lacks[] = {NO_ADVICE, NO_RESIDENCY};

    begin(4000, NO_HEAP, OPTIONS(.element_size = page_size() / 4, .block_size = page_size()));
    for (size_t i = 0; i < 4000; i += 50) {
        free_objects(&mp, objects, i + 1, i + 50);
    }
    for (size_t i = 0; i < COUNT_OF(lacks); i++) {
        requests.lacks = lacks[i];
        errno = ODD_ERRNO;
        CHECK_EQUAL(cork_mempool_trim(&mp), 0);
        CHECK_EQUAL(errno, ODD_ERRNO);
        CHECK_EQUAL(requests.discard_size > 0, lacks[i] == NO_RESIDENCY);
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_clear(&mp);
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    CHECK_EQUAL(stats_of(&mp).region_count, 0);
    exercise(&mp, 4000);
    requests_finish();
}

/* Of a piece of the heap that is in memory as a whole. */
TEST(what_was_never_issued_is_not_given_back)
{
    begin(1, 0, OPTIONS(.element_size = 64));
    char *const memory = mp.oldest->memory;
    const size_t size = mp.oldest->memory_size, unused_count = mp.oldest->reserved_count - 64;

    for (size_t i = 0; i < size; i += 1024) {
        poke(memory + i, 0);
    }
    cork_mempool_clear(&mp);
    const size_t trimmed_size = cork_mempool_trim(&mp);
    CHECK(TEST_UNDER_QEMU || trimmed_size == size - unused_count * mp.geometry.stride);
    /* The C library may keep the piece. */
    CHECK(HEAP_HAS_TAGS || page_size() > 4096 || requests.discard_size > 0);
    finish(&mp, NULL, 0);
}

/* What trim has given back once is nothing to be given back when its region goes. */
TEST(no_byte_is_given_back_twice_and_none_of_a_buffer)
{
    static _Alignas(16) char buffer[4096];

    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        test_row("protections %#x", all_protections[i]);
        begin(10000, 0, OPTIONS(.element_size = 100, .protections = all_protections[i]));
        const size_t memory_size = stats_of(&mp).memory_size;

        free_objects(&mp, objects, 1, 10000);
        const size_t size = cork_mempool_trim(&mp);
        cork_mempool_clear(&mp);
        CHECK(size + cork_mempool_trim(&mp) <= memory_size);
        finish(&mp, NULL, 0);
    }
    begin(10, 0, OPTIONS(.element_size = 100, .buffer = buffer, .buffer_size = sizeof(buffer)));
    cork_mempool_clear(&mp);
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    finish(&mp, NULL, 0);
}

/* Without a heap, the second region has 32 times as many slots as the first; where pages have 4096
 * bytes, the words for its groups fill whole pages. */
TEST(trim_and_clear_look_at_no_table_beyond_its_end)
{
    const size_t count = 33 * 1024;

    begin(count, NO_HEAP,
          OPTIONS(.element_size = page_size() / 64, .block_size = page_size(),
                  .protections = CORK_MEMPOOL_QUARANTINE));
    CHECK(TEST_UNDER_ASAN || page_size() != 4096 || mp.newest->extended_count == 512 * 64);
    free_objects(&mp, objects, 0, count - 1);
    CHECK(cork_mempool_trim(&mp) > 0);
    CHECK_EQUAL(stats_of(&mp).live_count, 1);
    cork_mempool_clear(&mp);
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    finish(&mp, NULL, 0);
}
