/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Guards between blocks: that there are some, whatever the sizes and the alignment, and that nobody
 * can touch them. What a program sees of it is hooks_test.c's.
 */

#define _DEFAULT_SOURCE /* madvise, syscall */

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test/support/memory.h"

static void *objects[200000]; /* six blocks of a page of 64 KiB, of the smallest objects, fit in */

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

/* From where a block ends, behind its last slot, to where the next one begins: first a guard, then
 * what the next block's pages have before its first slot. Says how many pages the guard has. */
static size_t look_between(const struct cork_mempool *mp, const char *last, const char *next)
{
    const size_t page = page_size();
    const size_t alignment = mp->geometry.alignment;
    const size_t guard_size = alignment > page ? alignment : page;
    const size_t redzone = (mp->protections & CORK_MEMPOOL_CANARY) != 0 ? 16 : GAP_SIZE;
    const char *const end = last + mp->geometry.stride;
    const size_t redzone_size = (size_t)(next - end) - guard_size;

    CHECK_EQUAL((uintptr_t)end % page, 0);
    CHECK(redzone_size >= redzone);
    CHECK(redzone_size < redzone + alignment + mp->geometry.stride); /* no room for a slot */
    CHECK(is_accessible(end - 1));
    for (const char *address = end; address < next; address += page) {
        CHECK_EQUAL(is_accessible(address), address >= end + guard_size);
    }
    CHECK_EQUAL(is_accessible(next - 1), redzone_size > 0);
    CHECK(is_accessible(next));
    return guard_size / page;
}

/* Looks at the guards between objects that were issued in order; regions may lie side by side too,
 * but not just so far apart. */
static size_t count_guards(const struct cork_mempool *mp, size_t count)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t gap = (geometry->block_pitch - geometry->block_slots + 1) * geometry->stride;
    size_t guard_count = 0;

    for (size_t i = 1; i < count; i++) {
        const char *const last = objects[i - 1];
        const char *const next = objects[i];

        if ((uintptr_t)next - (uintptr_t)last == gap) {
            guard_count += look_between(mp, last, next);
        }
    }
    return guard_count;
}

static unsigned with_canaries(size_t i)
{
    return i % 2 == 0 ? CORK_MEMPOOL_GUARD : CORK_MEMPOOL_GUARD | CORK_MEMPOOL_CANARY;
}

/* Enough blocks for two of them to be committed at once, with a guard between them. */
#define BLOCKS 6

/* lacks: nothing, where the system makes guards; or what lets the pool make them by mappings. */
static void expect_guarded_blocks(size_t element_size, size_t alignment, size_t number, int lacks)
{
    const unsigned protections = with_canaries(number);
    const size_t redzone = (protections & CORK_MEMPOOL_CANARY) != 0 ? 16 : GAP_SIZE;
    struct cork_mempool mp;

    INIT(&mp, .element_size = element_size, .alignment = alignment, .protections = protections);
    const struct cork_mempool_stats stats = stats_of(&mp);
    const size_t count = BLOCKS * (stats.block_size / stats.slot_size) + 1;
    const size_t needed = element_size + redzone + stats.alignment - 1;

    CHECK(stats.slot_size <= needed + needed / 8);
    CHECK(count <= COUNT_OF(objects));
    requests_start_lacking(lacks);
    take_objects(&mp, objects, count);
    CHECK(is_reserved(mp.oldest) && requests.heap_count <= stats_of(&mp).region_count);
    CHECK_EQUAL(requests.stray_count, 0);
    CHECK(count_guards(&mp, count) >= 1);
    finish(&mp, objects, count);
}

/* Guards are as large as the alignment where that is more than a page. */
TEST(blocks_end_where_their_guards_begin_whatever_the_size_and_the_alignment)
{
    for (size_t size = 16; size <= 5000; size++) {
        expect_guarded_blocks(size, 0, size, 0);
    }
    for (size_t size = 1; size <= 5000; size += 7) {
        expect_guarded_blocks(size, 0, size, NO_GUARDS);
        expect_guarded_blocks(size, 1, size, NO_EFFECT);
    }
    for (size_t alignment = page_size() / 2; alignment <= 16 * page_size(); alignment *= 2) {
        for (size_t i = 0; i < 2; i++) {
            expect_guarded_blocks(64, alignment, i, 0);
            expect_guarded_blocks(alignment + 1, alignment, i, NO_GUARDS);
        }
    }
}

/* A region has room for one block and its guard alone then. */
TEST(guarded_blocks_larger_than_a_small_region_are_guarded)
{
    const size_t scale = page_size() / 4096;
    struct cork_mempool mp;

    INIT(&mp, .element_size = 30000 * scale, .block_size = 120064 * scale,
         .protections = CORK_MEMPOOL_GUARD);
    requests_start();
    take_objects(&mp, objects, 1);
    CHECK(is_reserved(mp.newest));
    CHECK_EQUAL(mp.newest->reserved_count, mp.geometry.block_pitch);
    CHECK(stats_of(&mp).block_size > 120064 * scale - stats_of(&mp).slot_size);
    finish(&mp, objects, 1);
}

/* What is left at the end of a region is no block with its guard, and is left over. */
TEST(guarded_blocks_fill_one_small_region_after_another)
{
    struct cork_mempool mp;

    make_regions_small();
    INIT(&mp, .element_size = 96, .protections = CORK_MEMPOOL_GUARD);
    take_objects(&mp, objects, 70000);
    CHECK(stats_of(&mp).region_count > 2);
    finish(&mp, objects, 70000);
}

/* Takes objects, and looks for a guard between any two blocks that are not in different regions. */
static void take_guarded(struct cork_mempool *mp, size_t count)
{
    const size_t block_count = count / mp->geometry.block_slots;

    take_objects(mp, objects, count);
    CHECK(count_guards(mp, count) + stats_of(mp).region_count > block_count);
}

TEST(guards_between_blocks_are_inaccessible_before_and_after_trim)
{
    static const int lacks[] = {0, NO_GUARDS, NO_EFFECT};
    /* Who looks for leaks would fault at them. */
    const bool are_to_be_had = has_guards() && !TEST_UNDER_ASAN;

    for (size_t i = 0; i < 2 * COUNT_OF(lacks); i++) {
        struct cork_mempool mp;

        INIT(&mp, .element_size = page_size() / 64, .protections = with_canaries(i / 3));
        requests_start_lacking(lacks[i % 3]);
        take_guarded(&mp, 5000);
        /* A commit for each block, or for twice as many each time. */
        CHECK_EQUAL(requests.system_count < 5000 / mp.geometry.block_slots,
                    requests.guard_size > 0);
        CHECK_EQUAL(requests.guard_size > 0, requests.lacks == 0 && are_to_be_had);
        CHECK_EQUAL(requests.stray_count, 0);
        free_objects(&mp, objects, 1, 4999);
        cork_mempool_trim(&mp);
        CHECK(count_guards(&mp, mp.geometry.block_slots + 1) <= 1);
        cork_mempool_free(&mp, objects[0]);
        cork_mempool_free(&mp, objects[4999]);
        cork_mempool_trim(&mp);
        CHECK_EQUAL(requests.mapped_size, 0);
        take_guarded(&mp, 5000);
        finish(&mp, objects, 5000);
    }
}
