/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Memory from a caller's source: how much it is asked for, that there is no other, and what becomes
 * of a source that breaks its contract. One that refuses is grow_refusal_test.c's.
 */

#include <stdlib.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"

/* On both sides of a piece is what only this side writes; it begins with the piece's size. */
#define UNUSED 0 /* what fill fills it with */
#define MARGIN ((size_t)8192)

static void *objects[20000];

/* What a source has given. */
struct account {
    size_t count, size;         /* of pieces that were not taken back */
    size_t given_count;         /* of all pieces */
    size_t misaligned;          /* the number of the one that has half the alignment; 0: none has */
    struct cork_mempool *other; /* a pool that the source uses, or NULL */
};

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    struct account *account = source_data;
    unsigned char *memory =
        aligned_alloc(MARGIN, (size + MARGIN - 1) / MARGIN * MARGIN + 3 * MARGIN);

    CHECK(memory != NULL);
    CHECK(size > 0 && size % alignment == 0);
    CHECK((alignment & (alignment - 1)) == 0 && alignment <= MARGIN);
    CHECK(account->other == NULL || !cork_mempool_owns(account->other, memory));
    /* Sometimes what is misaligned is slots, and there is nothing for their tables. */
    account->given_count++;
    if (account->given_count == account->misaligned + 1 && account->given_count % 4 == 2) {
        free(memory);
        return NULL;
    }
    memory += MARGIN + (account->given_count == account->misaligned ? alignment / 2 : 0);
    fill(memory - MARGIN, MARGIN + size + MARGIN, UNUSED);
    memcpy(memory - MARGIN, &size, sizeof(size));
    account->count++;
    account->size += size;
    return memory;
}

static void release(void *source_data, void *memory, size_t size)
{
    struct account *account = source_data;
    unsigned char *const margin = (unsigned char *)memory - MARGIN;

    CHECK(memcmp(margin, &size, sizeof(size)) == 0);
    CHECK(is_filled(margin + sizeof(size), MARGIN - sizeof(size), UNUSED));
    CHECK(is_filled(margin + MARGIN + size, MARGIN, UNUSED));
    /* The pool has nothing more to do with it: all of it can be written. */
    memset(memory, 0, size);
    free(margin - (uintptr_t)margin % MARGIN);
    account->count--;
    account->size -= size;
}

static const struct cork_mempool_source source = {acquire, release};

/* Takes objects of two pools, with one source and data of their own: all memory is the source's,
 * all of that is told, and it goes back at trim, and at done. */
static void use_source(size_t element_size, size_t alignment, unsigned protections, size_t count)
{
    struct account accounts[2] = {{.count = 0}, {.count = 0}};
    struct cork_mempool pools[2];

    test_row("size %zu, alignment %zu, protections %#x", element_size, alignment, protections);
    requests_start();
    for (size_t i = 0; i < 2; i++) {
        INIT(&pools[i], .element_size = element_size, .alignment = alignment,
             .protections = protections, .source = &source, .source_data = &accounts[i]);
        CHECK_EQUAL(accounts[i].given_count, 0);
        take_objects(&pools[i], objects + i * count, count);
        CHECK(accounts[i].count > 0);
        CHECK_EQUAL(accounts[i].count, 2 * stats_of(&pools[i]).region_count);
        CHECK_EQUAL(stats_of(&pools[i]).memory_size, accounts[i].size);
        CHECK_EQUAL(stats_of(&pools[i]).reserved_size, accounts[i].size);
    }
    for (size_t i = 0; i < 2; i++) {
        const size_t size = accounts[i].size;

        give_objects(&pools[i], objects + i * count, count);
        CHECK(i == 1 || cork_mempool_trim(&pools[i]) == size);
        CHECK_EQUAL(stats_of(&pools[i]).memory_size, i == 1 ? size : 0);
        CHECK_EQUAL(accounts[i].size, i == 1 ? size : 0);
        exercise(&pools[i], 20);
        CHECK_EQUAL(accounts[i].count + accounts[i].size, 0);
    }
    /* And two lists of what is exercised. */
    CHECK_EQUAL(requests.count, accounts[0].given_count + accounts[1].given_count + 2);
    requests_finish();
}

TEST(all_memory_comes_from_the_source_aligned_as_asked_and_goes_back_at_trim_and_done)
{
    static const size_t sizes[] = {1, 8, 24, 100, 5000};

    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            use_source(sizes[j], 0, without_guards(i), 2000);
        }
        for (size_t alignment = 1; alignment <= MARGIN; alignment *= 2) {
            use_source(7, alignment, without_guards(i), 100);
        }
    }
}

TEST(a_source_is_asked_for_a_block_and_then_for_twice_as_much_each_time)
{
    const size_t count = ((size_t)1 << 14) - 1;
    struct cork_mempool mp;
    size_t slot_count = 0;

    INIT(&mp, .element_size = 24, .block_size = 1, .source = &plain_source);
    requests_start();
    take_objects(&mp, objects, count);
    CHECK_EQUAL(requests.count, 2 * 14);
    for (const struct cork_mempool_region *region = mp.oldest; region != NULL;
         region = region->newer) {
        CHECK_EQUAL(region->memory_size / stats_of(&mp).slot_size, slot_count + 1);
        slot_count += region->reserved_count;
    }
    CHECK_EQUAL(slot_count, count);
    finish(&mp, objects, count);
}

/* Where words have 32 bits, no block of half a GiB can be had. */
TEST(a_source_is_asked_for_less_where_it_refuses_much_and_for_blocks_of_gibibytes)
{
    struct cork_mempool mp;

    INIT(&mp, .element_size = 1000, .block_size = 1, .source = &plain_source);
    requests_start();
    requests_refuse(HEAP, REFUSE_LARGER, 5000);
    take_objects(&mp, objects, 40);
    /* One, two, and then always four. */
    CHECK_EQUAL(stats_of(&mp).region_count, 12);
    CHECK_EQUAL(mp.newest->reserved_count, 4);
    finish(&mp, objects, 40);
    for (size_t size = (size_t)1 << 28; size != 0 && size <= (size_t)1 << 31; size *= 2) {
        INIT(&mp, .element_size = 64 - GAP_SIZE, .alignment = 16, .block_size = size,
             .source = &plain_source);
        requests_start();
        requests_refuse(HEAP, REFUSE_LARGER, size - 1);
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        CHECK_EQUAL(requests.count, size <= SIZE_MAX / 8 ? 1 : 0);
        finish(&mp, NULL, 0);
    }
}

static void *catch_new(struct cork_mempool *mp)
{
    void *volatile object = NULL;

    RUN_UNTIL_REFUSED(object = try_new(mp));
    return object;
}

/* Takes objects, of which one is refused where a piece is misaligned. Says whether one was. */
static bool use_bad_source(size_t misaligned, size_t alignment, unsigned protections)
{
    static const void *site; /* of the first refused call, whose source uses no other pool */
    struct cork_mempool mp, other;
    struct account account = {.misaligned = misaligned, .other = site != NULL ? &other : NULL};
    size_t refused_count = 0;

    cork_mempool_init_size(&other, 8);
    INIT(&mp, .element_size = 40, .alignment = alignment, .protections = protections,
         .source = &source, .source_data = &account);
    for (size_t i = 0; i < 1500;) {
        objects[i] = catch_new(&mp);
        if (objects[i] != NULL) {
            fill(objects[i], 40, i);
            i++;
            continue;
        }
        refused_count++;
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_BAD_SOURCE);
        CHECK(seen.violation.pool == &mp && seen.violation.pointer == NULL);
        CHECK_EQUAL(seen.violation.slot, CORK_MEMPOOL_NO_SLOT);
        site = site == NULL ? seen.violation.call_site : site;
        CHECK_POINTER(seen.violation.call_site, site);
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).live_count, i);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        CHECK_EQUAL(account.count, 2 * stats_of(&mp).region_count);
    }
    CHECK_EQUAL(refused_count, account.given_count >= misaligned);
    finish(&mp, objects, 1500);
    CHECK_EQUAL(account.count, 0);
    return refused_count > 0;
}

TEST(misaligned_memory_is_refused_and_goes_back_and_the_pool_works_on)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        for (size_t alignment = 2; alignment <= 4096; alignment *= 8) {
            size_t number = 1;

            while (use_bad_source(number, alignment, without_guards(i))) {
                number++;
            }
            CHECK(number > 8);
        }
    }
}
