/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Guards between blocks: that there are some, whatever the sizes and the alignment, and that nobody
 * can touch them. What a program sees of it is protect_test.c's.
 */

#define _DEFAULT_SOURCE /* madvise, syscall */

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "pools.h"
#include "requests.h"

static void *objects[20000];

static void init(struct cork_mempool *mp, struct cork_mempool_options options)
{
    CHECK(cork_mempool_init_with(mp, &options));
}

/* A region has room for one block and its guard alone then. */
TEST(guarded_blocks_larger_than_a_small_region_are_guarded)
{
    struct cork_mempool mp;

    make_regions_small();
    init(&mp, (struct cork_mempool_options){
                  .element_size = 30000, .block_size = 60032, .protections = CORK_MEMPOOL_GUARD});
    requests_start();
    take_objects(&mp, objects, 1);
    CHECK(requests.mapped_size > 0);
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(mp.newest->capacity, mp.geometry.period_slots);
    give_objects(&mp, objects, 1);
    cork_mempool_done(&mp);
    requests_stop();
}

/* Guards are rounded up to the alignment, and so is what stands before the first object. */
TEST(objects_aligned_to_more_than_guards_have_both)
{
    struct cork_mempool mp;

    init(&mp,
         (struct cork_mempool_options){.element_size = 64,
                                       .alignment = 16 * page_size(),
                                       .protections = CORK_MEMPOOL_GUARD | CORK_MEMPOOL_CANARY});
    CHECK(mp.geometry.lead_size > 3 * page_size());
    take_objects(&mp, objects, 100);
    CHECK(cork_mempool_check(&mp));
    give_objects(&mp, objects, 100);
    cork_mempool_done(&mp);
}

/* Blocks and guards of an odd number of odd objects. */
TEST(guarded_blocks_begin_at_any_address)
{
    struct cork_mempool mp;

    init(&mp, (struct cork_mempool_options){.element_size = 3,
                                            .alignment = 1,
                                            .block_size = 3 * 1366,
                                            .protections = CORK_MEMPOOL_GUARD});
    requests_start();
    take_objects(&mp, objects, 10 * 1366);
    CHECK(TEST_UNDER_ASAN || mp.geometry.period_slots * mp.geometry.stride % 2 != 0);
    CHECK_EQUAL(requests.refused_count, 0);
    CHECK_EQUAL(requests.heap_count, 0);
    give_objects(&mp, objects, 10 * 1366);
    cork_mempool_done(&mp);
    requests_stop();
}

/* Asks the kernel, which no tool hears. */
static bool is_accessible(const char *address)
{
    static int pipes[2];

    if (pipes[1] == 0) {
        CHECK_EQUAL(pipe(pipes), 0);
    }
    if (syscall(SYS_write, pipes[1], address, 1) != 1) {
        CHECK_EQUAL(errno, EFAULT);
        return false;
    }
    CHECK_EQUAL(read(pipes[0], &(char){0}, 1), 1);
    return true;
}

/* Says whether the operating system makes guards that are no mappings. */
static bool has_guards(void)
{
    void *page = mmap(NULL, page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(page != MAP_FAILED);
    madvise(page, page_size(), ADVICE_GUARD);
    const bool has_guards = !is_accessible(page);

    munmap(page, page_size());
    return has_guards;
}

/* Looks at what is between blocks. Regions may lie side by side too, but not just so far apart. */
static size_t count_guards(const struct cork_mempool *mp, size_t count)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t gap = (geometry->period_slots - geometry->block_slots) * geometry->stride;
    size_t guard_count = 0;

    for (size_t i = 1; i < count; i++) {
        const char *const end = (char *)objects[i - 1] + geometry->stride;
        const char *const next = objects[i];

        if ((uintptr_t)next - (uintptr_t)end == gap) {
            const char *guard = end + page_size() - 1;

            for (guard -= (uintptr_t)guard % page_size(); guard + page_size() <= next;
                 guard += page_size()) {
                CHECK(!is_accessible(guard));
                guard_count++;
            }
        }
        CHECK(is_accessible(next));
    }
    return guard_count;
}

/* With those of the operating system, where it has none, and where it only says that it has. */
TEST(guards_between_blocks_are_inaccessible_before_and_after_trim)
{
    const size_t block_count = 5000 / 64;
    const bool are_to_be_had = has_guards();

    for (size_t i = 0; i < 6; i++) {
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = 64,
                                                .protections = i < 3 ? CORK_MEMPOOL_GUARD
                                                                     : CORK_MEMPOOL_GUARD |
                                                                           CORK_MEMPOOL_CANARY});
        requests_start();
        if (i % 3 == 1) {
            requests_refuse_guards();
        } else if (i % 3 == 2) {
            requests_ignore_advice();
        }
        take_objects(&mp, objects, 5000);
        CHECK(count_guards(&mp, 5000) >= block_count - 1);
        /* A commit for each block, or for twice as many each time. */
        CHECK((requests.system_count < block_count) == (requests.guard_size > 0));
        CHECK_EQUAL(requests.guard_size > 0, i % 3 == 0 && are_to_be_had);
        give_objects(&mp, objects, 5000);
        cork_mempool_trim(&mp);
        take_objects(&mp, objects, 5000);
        CHECK(count_guards(&mp, 5000) >= block_count - 1);
        CHECK_EQUAL(requests.stray_count, 0);
        give_objects(&mp, objects, 5000);
        cork_mempool_done(&mp);
        requests_stop();
    }
}
