/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Memory that cannot be had, at every place where the pool asks for it, and memory that is given
 * back.
 */

#define _DEFAULT_SOURCE 1 /* getpagesize */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test/support/harness.h"
#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif
#include "test/support/pools.h"
#include "test/support/requests.h"

/* The pools below grow through pieces of the heap, and all but the first to reservations. */
static const struct scenario {
    size_t element_size, block_size, count;
    unsigned protections;
} scenarios[] = {
    {1, 4096, 10000, 0}, {16, 4096, 119000, 0}, {1000, 1, 4000, 0},     {1000, 65536, 4000, 0},
    {5000, 0, 1000, 0},  {100000, 0, 50, 0},    {1 << 20, 4096, 12, 0}, {48, 1 << 17, 50000, 0},
};

static void *objects[120000];

/*
 * One call of cork_mempool_new, which must leave everything as it was where it gives NULL.
 * Only then is anything compared, for this is called often.
 */
static void *try_new(struct cork_mempool *mp)
{
    const struct requests before = requests;
    void *object;

    errno = ODD_ERRNO;
    object = cork_mempool_new(mp);
    if (object != NULL) {
        CHECK_EQUAL(errno, ODD_ERRNO);
        return object;
    }
    CHECK_EQUAL(errno, ENOMEM);
    CHECK(requests.refused_count > before.refused_count);
    CHECK_EQUAL(requests.mapped_size, before.mapped_size);
    CHECK_EQUAL(requests.heap_count, before.heap_count);
    CHECK(cork_mempool_check(mp));
    return NULL;
}

/* The contents that tell objects apart without touching all of a large one. */
static void mark(size_t number, size_t size)
{
    fill(objects[number], size < 64 ? size : 64, number);
    ((char *)objects[number])[size - 1] = (char)number;
}

static bool is_marked(size_t number, size_t size)
{
    const char last = ((char *)objects[number])[size - 1];

    return (size <= 64 || is_filled(objects[number], 64, number)) && last == (char)number;
}

/* Gives everything back, and with it all memory. */
static void finish(struct cork_mempool *mp, size_t count)
{
    const size_t size = stats_of(mp).element_size;
    const size_t asked_for = requests.count;

    CHECK_EQUAL(stats_of(mp).live_count, count);
    CHECK(stats_of(mp).memory_size >= count * size);
    CHECK(stats_of(mp).reserved_size >= stats_of(mp).memory_size);
    CHECK(stats_of(mp).reserved_size >= requests.mapped_size);
    for (size_t i = 0; i < count; i++) {
        CHECK(is_marked(i, size));
        cork_mempool_free(mp, objects[i]);
    }
    CHECK(cork_mempool_check(mp));
    CHECK_EQUAL(stats_of(mp).live_count, 0);
    cork_mempool_done(mp);
    CHECK_EQUAL(requests.count, asked_for);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    CHECK_EQUAL(requests.stray_count, 0);
    requests_stop();
}

static void init(struct cork_mempool *mp, const struct scenario *scenario)
{
    const struct cork_mempool_options options = {
        .element_size = scenario->element_size,
        .block_size = scenario->block_size,
        .protections = scenario->protections,
    };

    CHECK(cork_mempool_init_with(mp, &options));
}

/* Refuses one request of a scenario, and says whether there were so many. */
static bool refuse_once(const struct scenario *scenario, bool has_mappings, size_t number)
{
    struct cork_mempool mp;
    size_t null_count = 0;
    bool was_refused;

    init(&mp, scenario);
    requests_start();
    if (!has_mappings) {
        requests_refuse_mappings();
    }
    requests_refuse(has_mappings ? EVERYTHING : HEAP, REFUSE_NUMBER, number);
    for (size_t i = 0; i < scenario->count; i++) {
        while ((objects[i] = try_new(&mp)) == NULL) {
            null_count++;
        }
        mark(i, scenario->element_size);
    }
    CHECK(null_count <= 1);
    was_refused = requests_reached();
    finish(&mp, scenario->count);
    return was_refused;
}

TEST(each_request_may_be_refused_once)
{
    make_regions_small();
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        for (int has_mappings = 0; has_mappings <= 1; has_mappings++) {
            size_t number = 1;

            while (refuse_once(&scenarios[i], has_mappings, number)) {
                number++;
                CHECK(number < 200);
            }
            CHECK(number > 3);
        }
    }
}

/* As long as memory is out, there are exactly as many objects as stats say, and reuse works. */
static size_t use_up(struct cork_mempool *mp, size_t count, size_t size)
{
    const size_t free_count = stats_of(mp).free_count;
    struct cork_mempool_stats before;
    struct cork_mempool_stats after;

    for (size_t i = 0; i < free_count; i++) {
        CHECK(count < COUNT_OF(objects));
        objects[count] = try_new(mp);
        CHECK(objects[count] != NULL);
        mark(count++, size);
    }
    before = stats_of(mp);
    for (size_t i = 0; i < 3; i++) {
        CHECK_POINTER(try_new(mp), NULL);
    }
    after = stats_of(mp);
    CHECK(same_stats(&before, &after));
    if (count > 0) {
        cork_mempool_free(mp, objects[count / 2]);
        CHECK_POINTER(try_new(mp), objects[count / 2]);
        mark(count / 2, size);
        CHECK_POINTER(try_new(mp), NULL);
    }
    return count;
}

/* Refuses all requests of some kinds from one on, and says whether the scenario has so many. */
static bool run_out(const struct scenario *scenario, int kinds, size_t number)
{
    const size_t size = scenario->element_size;
    struct cork_mempool mp;
    size_t count = 0;
    bool is_out;

    init(&mp, scenario);
    requests_start();
    requests_refuse(kinds, REFUSE_FROM, number);
    while (count < scenario->count && (objects[count] = try_new(&mp)) != NULL) {
        mark(count++, size);
    }
    is_out = count < scenario->count;
    if (is_out) {
        count = use_up(&mp, count, size);
        requests_refuse(0, REFUSE_FROM, 0);
        objects[count] = try_new(&mp);
        CHECK(objects[count] != NULL);
        mark(count++, size);
    }
    finish(&mp, count);
    return is_out;
}

TEST(all_requests_from_any_on_may_be_refused)
{
    make_regions_small();
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        size_t number = 1;

        while (run_out(&scenarios[i], EVERYTHING, number)) {
            number++;
        }
        CHECK(number > 4);
    }
}

/* Tables are refused too. */
TEST(each_request_of_a_protected_pool_may_be_refused)
{
    static const unsigned protections[] = {CORK_MEMPOOL_SEAL, CORK_MEMPOOL_QUARANTINE,
                                           CORK_MEMPOOL_GUARD, CORK_MEMPOOL_PARANOID};

    make_regions_small();
    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        const struct scenario scenario = {48, 4096, 30000, protections[i]};
        size_t number = 1;

        while (refuse_once(&scenario, true, number)) {
            number++;
        }
        CHECK(number > 8);
        for (number = 1; run_out(&scenario, EVERYTHING, number); number++) {
        }
        CHECK(number > 8);
    }
}

TEST(a_pool_does_without_mappings)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        for (size_t number = 1; number < 10; number += 2) {
            CHECK(!run_out(&scenarios[i], MAPPINGS, number));
            CHECK(!run_out(&scenarios[i], COMMITS, number));
        }
    }
}

TEST(a_pool_does_without_the_heap)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        CHECK(!run_out(&scenarios[i], HEAP, 1));
        CHECK(!run_out(&scenarios[i], HEAP, 2));
    }
}

/* A block and its alignment, each in pages; descriptors; three guards. */
static size_t least_request(const struct scenario *scenario)
{
    const size_t page = page_size();
    const size_t slot = slot_needed(scenario->element_size);
    const size_t block = scenario->block_size > slot ? scenario->block_size : slot;

    return (block + page - 1) / page * page * 2 + 4 * page;
}

/*
 * Refuses what is large, and says how many objects there are then, up to those of the scenario.
 * Where it is the heap that refuses, there is nothing but the heap.
 */
static size_t take_small(const struct scenario *scenario, int kinds, size_t most)
{
    struct cork_mempool mp;
    size_t count = 0;

    init(&mp, scenario);
    requests_start();
    if (kinds == HEAP) {
        requests_refuse_mappings();
    }
    requests_refuse(kinds, REFUSE_LARGER, most);
    while (count < scenario->count && (objects[count] = try_new(&mp)) != NULL) {
        mark(count++, scenario->element_size);
    }
    CHECK((kinds & MAPPINGS) == 0 || scenario == scenarios || requests.mapped_size > 0);
    CHECK(requests.refused_count > 0 || scenario->count * scenario->element_size < 4 * most);
    finish(&mp, count);
    return count;
}

TEST(a_pool_that_is_refused_much_asks_for_less)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        const struct scenario *scenario = &scenarios[i];
        const size_t least = least_request(scenario);

        CHECK_EQUAL(take_small(scenario, HEAP, least), scenario->count);
        CHECK_EQUAL(take_small(scenario, COMMITS | HEAP, least), scenario->count);
        CHECK_EQUAL(take_small(scenario, EVERYTHING, least), scenario->count);
        CHECK_EQUAL(take_small(scenario, MAPPINGS | COMMITS, least), scenario->count);
    }
}

TEST(init_free_check_and_stats_ask_for_nothing)
{
    struct cork_mempool mp;
    size_t asked_for;

    requests_start();
    requests_refuse(EVERYTHING, REFUSE_FROM, 1);
    init(&mp, &scenarios[1]);
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    cork_mempool_free(&mp, NULL);
    CHECK_EQUAL(requests.count, 0);
    requests_refuse(0, REFUSE_FROM, 0);
    for (size_t i = 0; i < 10000; i++) {
        objects[i] = cork_mempool_new(&mp);
    }
    asked_for = requests.count;
    CHECK(asked_for > 0);
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, 10000);
    for (size_t i = 0; i < 10000; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_done(&mp);
    CHECK_EQUAL(requests.count, asked_for);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
    requests_stop();
}

/* The bytes of address space that this process uses. */
static size_t address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t page_count = 0;

    CHECK(file != NULL && fscanf(file, "%zu", &page_count) == 1);
    fclose(file);
    /* Never of simulated pages. */
    return page_count * (size_t)getpagesize();
}

static void limit_address_space(size_t more)
{
    struct rlimit limit;

    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN) {
        test_skip("this sanitizer needs more address space than a limit would leave");
    }
    if (TEST_UNDER_QEMU) {
        test_skip("the emulator would be limited, not the program, so it does not obey");
    }
    CHECK_EQUAL(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = address_space() + more;
    CHECK_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
}

/* Objects in a list, because there is no memory for anything else. */
struct link {
    struct link *next;
    size_t number;
    char payload[48];
};

static struct link *take_links(struct cork_mempool *mp, struct link *list)
{
    struct link *link;

    errno = ODD_ERRNO;
    while ((link = cork_mempool_new(mp)) != NULL) {
        link->number = list == NULL ? 0 : list->number + 1;
        link->next = list;
        fill(link->payload, sizeof(link->payload), link->number);
        list = link;
    }
    CHECK_EQUAL(errno, ENOMEM);
    CHECK(cork_mempool_check(mp));
    CHECK_EQUAL(stats_of(mp).live_count, list == NULL ? 0 : list->number + 1);
    return list;
}

static struct link *give_links(struct cork_mempool *mp, struct link *list, size_t count)
{
    while (list != NULL && list->number >= count) {
        struct link *next = list->next;

        CHECK(is_filled(list->payload, sizeof(list->payload), list->number));
        CHECK(next == NULL || next->number + 1 == list->number);
        cork_mempool_free(mp, list);
        list = next;
    }
    return list;
}

/* Doubled regions would leave much unused if they were not halved again where memory is short. */
TEST(a_limit_of_the_address_space_gives_null_and_a_valid_pool)
{
    const size_t limit = (size_t)64 << 20;
    size_t counts[3];

    limit_address_space(limit);
    for (size_t round = 0; round < 3; round++) {
        struct cork_mempool mp;
        struct link *list;
        size_t count;

        cork_mempool_init(&mp, struct link);
        list = take_links(&mp, NULL);
        CHECK(list != NULL && list->number > limit / 4 * 3 / sizeof(struct link));
        count = list->number + 1;
        list = give_links(&mp, list, count / 2);
        list = take_links(&mp, list);
        CHECK(list->number + 1 >= count);
        CHECK_POINTER(give_links(&mp, list, 0), NULL);
        cork_mempool_done(&mp);
        counts[round] = count;
    }
    /* What the heap keeps for itself may be in the way, and a region of large pages. */
    counts[2] += 16 * (page_size() - 4096) / sizeof(struct link);
    CHECK(counts[2] > counts[0] / 100 * 99);
}

TEST(a_small_pool_leaves_a_small_address_space_to_others)
{
    const size_t limit = (size_t)16 << 20;
    struct cork_mempool mp;
    void *quarter;

    limit_address_space(limit);
    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, 1000);
    quarter = malloc(limit / 4);
    CHECK(quarter != NULL);
    fill(quarter, limit / 4, 1);
    CHECK(is_filled(quarter, limit / 4, 1));
    free(quarter);
    give_objects(&mp, objects, 1000);
    cork_mempool_done(&mp);
}

TEST(many_small_pools_leave_a_small_address_space_to_others)
{
    const size_t limit = page_size() * 16384;
    static struct cork_mempool pools[300];
    void *quarter;

    limit_address_space(limit);
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        cork_mempool_init_size(&pools[i], 64);
        take_objects(&pools[i], objects + 100 * i, 100);
    }
    quarter = malloc(limit / 4);
    CHECK(quarter != NULL);
    free(quarter);
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        give_objects(&pools[i], objects + 100 * i, 100);
        cork_mempool_done(&pools[i]);
    }
}

/* Whoever may not lock much more memory does not get much for the asking. */
static void check_locked_pool(void)
{
    const size_t count = 25000;
    struct rlimit limit;
    struct cork_mempool mp;
    struct cork_mempool_stats stats;

    CHECK_EQUAL(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur == RLIM_INFINITY) {
        limit.rlim_cur = (size_t)1 << 30;
        CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    }
    if (mlockall(MCL_FUTURE) != 0) {
        test_skip("memory cannot be locked here");
    }
    cork_mempool_init_size(&mp, 64);
    errno = ODD_ERRNO;
    take_objects(&mp, objects, count);
    CHECK_EQUAL(errno, ODD_ERRNO);
    stats = stats_of(&mp);
    CHECK(stats.region_count > 4);
    CHECK(stats.reserved_size < 4 * count * 64);
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}

TEST(a_pool_reserves_little_where_memory_is_locked_and_what_can_be_is_limited)
{
    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN) {
        test_skip("this sanitizer lets nothing be locked");
    }
    if (TEST_UNDER_QEMU) {
        test_skip("the emulator locks its own memory");
    }
    check_locked_pool();
}

TEST(a_pool_reserves_much_where_all_memory_may_be_locked)
{
    const size_t count = 25000;
    struct rlimit space;
    struct cork_mempool mp;

    CHECK_EQUAL(getrlimit(RLIMIT_AS, &space), 0);
    if (TEST_UNDER_ASAN || SIZE_MAX <= UINT32_MAX || space.rlim_cur != RLIM_INFINITY) {
        test_skip("address space is scarce");
    }
    cork_mempool_init_size(&mp, 64);
    requests_start();
    requests_let_all_be_locked();
    take_objects(&mp, objects, count);
    requests_stop();
    CHECK(stats_of(&mp).reserved_size > 8 * count * 64);
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}

/* Of objects of this size, no piece of the heap has one. */
#define LARGER_THAN_HEAP ((size_t)1100000)

TEST(what_is_reserved_and_not_committed_is_kept_out_of_core_dumps)
{
    struct cork_mempool mp;
    size_t most = 0;

    requests_start();
    cork_mempool_init_size(&mp, LARGER_THAN_HEAP);
    for (size_t i = 0; i < 200; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
        CHECK_EQUAL(stats_of(&mp).reserved_size, requests.mapped_size);
        CHECK_EQUAL(stats_of(&mp).reserved_size - stats_of(&mp).memory_size,
                    requests.undumped_size);
        most = requests.undumped_size > most ? requests.undumped_size : most;
    }
    requests_stop();
    CHECK(regions_are_small() || most > 10 * LARGER_THAN_HEAP);
    for (size_t i = 0; i < 200; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_done(&mp);
}

/* The bytes of memory that this process alone has, to the page. */
static size_t resident_size(void)
{
    static char text[4096];
    const int file = open("/proc/self/smaps_rollup", O_RDONLY);
    const ssize_t length = read(file, text, sizeof(text) - 1);
    const char *line;

    close(file);
    text[length < 0 ? 0 : length] = '\0';
    line = strstr(text, "\nAnonymous:");
    if (line == NULL) {
        test_skip("this system does not tell how much memory is resident");
    }
    return strtoull(line + strlen("\nAnonymous:"), NULL, 10) * 1024;
}

static void check_resident_size(size_t count)
{
    const size_t before = resident_size();
    const size_t used = count * 64;
    struct cork_mempool mp;

    cork_mempool_init_size(&mp, 64);
    take_objects(&mp, objects, count);
    CHECK(resident_size() <= before + used + used / 10 + 8 * page_size());
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
}

/* What memory_size counts of a piece of the heap costs nothing until objects are issued there. */
TEST(a_pool_has_little_more_resident_memory_than_its_objects_take)
{
    static const size_t counts[] = {1, 65, 100, 200, 1000, 2300, 5000, 20000};

    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN || TEST_UNDER_QEMU) {
        test_skip("not only the program's memory is resident here");
    }
    memset(objects, 1, sizeof(objects));
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        CHECK_PASSES(check_resident_size(counts[i]));
    }
}

#if TEST_UNDER_ASAN
/* Objects of a size after which a pool must take more memory; at least so many. */
static size_t count_to_growth(size_t size, size_t least)
{
    struct cork_mempool mp;
    size_t count = 0, before;

    cork_mempool_init_size(&mp, size);
    do {
        before = stats_of(&mp).memory_size;
        CHECK((objects[count++] = cork_mempool_new(&mp)) != NULL);
    } while (count <= least || stats_of(&mp).memory_size == before);
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_done(&mp);
    return count - 1;
}

TEST(memory_that_is_given_back_may_be_touched_by_whoever_gets_it_next)
{
    /* The heap's memory, once it is given back, is not to be touched by anybody. */
    static const size_t sizes[] = {LARGER_THAN_HEAP, LARGER_THAN_HEAP + 1, 2 * LARGER_THAN_HEAP};
    const uintptr_t page = page_size();

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const size_t count = count_to_growth(sizes[i], 10);
        struct cork_mempool mp;

        cork_mempool_init_size(&mp, sizes[i]);
        take_objects(&mp, objects, count);
        /* From the last object to the end of its last page, which no slot fills. */
        char *start = objects[count - 1];
        const size_t size = (~((uintptr_t)start + sizes[i]) & (page - 1)) + 1 + sizes[i];
        CHECK(__asan_region_is_poisoned(start, size) != NULL);
        give_objects(&mp, objects, count);
        cork_mempool_done(&mp);
        CHECK(__asan_region_is_poisoned(start, size) == NULL);
    }
}
#endif

static size_t mapping_count(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    size_t count = 0;
    int character;

    CHECK(file != NULL);
    while ((character = getc(file)) != EOF) {
        count += character == '\n';
    }
    fclose(file);
    return count;
}

/* Mappings that the heap may come and go by at any time: glibc's does not. */
#if defined(__GLIBC__)
#define OF_HEAP ((size_t)0)
#else
#define OF_HEAP ((size_t)4)
#endif

TEST(mappings_are_as_many_after_done_as_before)
{
    size_t before = 0;

    if (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN) {
        test_skip("this sanitizer makes mappings of its own");
    }
    for (size_t round = 0; round < 200; round++) {
        for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
            struct cork_mempool mp;

            init(&mp, &scenarios[i]);
            exercise(&mp, scenarios[i].count / 10);
        }
        /* The heap may keep what it got in the first rounds. */
        if (round == 10) {
            before = mapping_count();
        }
    }
    CHECK(mapping_count() >= before && mapping_count() <= before + OF_HEAP);
}

/* What is left at the end of a region is no block with its guard, and is left over. */
TEST(guarded_blocks_fill_one_small_region_after_another)
{
    const struct cork_mempool_options options = {.element_size = 96,
                                                 .protections = CORK_MEMPOOL_GUARD};
    struct cork_mempool mp;

    make_regions_small();
    CHECK(cork_mempool_init_with(&mp, &options));
    take_objects(&mp, objects, 70000);
    CHECK(stats_of(&mp).region_count > 2);
    CHECK(cork_mempool_check(&mp));
    give_objects(&mp, objects, 70000);
    CHECK(cork_mempool_check(&mp));
    cork_mempool_done(&mp);
}

/* Small objects, with tables that are committed at once, or with call sites as they are needed. */
static bool refuse_once_between_guards(unsigned protections, size_t number)
{
    const struct cork_mempool_options options = {.element_size = 16, .protections = protections};
    const size_t count = 30000;
    struct cork_mempool mp;
    bool was_refused;

    CHECK(cork_mempool_init_with(&mp, &options));
    requests_start();
    requests_refuse(COMMITS, REFUSE_NUMBER, number);
    for (size_t i = 0; i < count; i++) {
        while ((objects[i] = try_new(&mp)) == NULL) {
        }
        mark(i, 16);
    }
    was_refused = requests_reached();
    finish(&mp, count);
    return was_refused;
}

TEST(each_commit_of_a_guarded_block_may_be_refused_once)
{
    size_t number = 1;

    while (refuse_once_between_guards(CORK_MEMPOOL_GUARD, number)) {
        number++;
    }
    CHECK(number > 5);
    for (number = 1;
         refuse_once_between_guards(CORK_MEMPOOL_GUARD | CORK_MEMPOOL_CALLSITES, number);
         number++) {
    }
    CHECK(number > 10);
}
