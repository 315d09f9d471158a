/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Memory from a caller's source: how much it is asked for, that there is no other, and what becomes
 * of a source that refuses or breaks its contract.
 */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"

#define UNUSED    0xa5
#define PIECE_MAX 64

static void *objects[20000];

/* What a source is asked for, and what it has given. */
struct account {
    struct {
        unsigned char *memory;
        unsigned char *start; /* with a margin of bytes on both sides that only this side writes */
        size_t size, margin;
    } pieces[PIECE_MAX];
    size_t piece_count;   /* given, and not taken back */
    size_t given_count;   /* given at all */
    size_t request_count; /* asked for */
    size_t last_size;     /* of the last request */
    size_t refused_from;  /* the requests from this on are refused, counted from 1; */
    size_t refused_to;    /* and this is the first that is not */
    size_t most;          /* larger requests are refused; 0: none is */
    size_t misaligned;    /* the request that gets memory of half the alignment; 0: none */
};

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    struct account *account = source_data;
    const size_t margin = alignment < 64 ? 64 : alignment;
    const size_t number = ++account->request_count;
    unsigned char *start, *memory;

    CHECK(size > 0);
    CHECK(alignment > 0 && (alignment & (alignment - 1)) == 0);
    CHECK_EQUAL(size % alignment, 0);
    account->last_size = size;
    if ((number >= account->refused_from && number < account->refused_to) ||
        (account->most != 0 && size > account->most)) {
        errno = EAGAIN;
        return NULL;
    }
    CHECK(account->piece_count < PIECE_MAX);
    start = aligned_alloc(margin, (3 * margin + size + margin - 1) / margin * margin);
    CHECK(start != NULL);
    memory = start + margin + (number == account->misaligned ? alignment / 2 : 0);
    memset(memory - margin, UNUSED, margin + size + margin);
    account->pieces[account->piece_count].memory = memory;
    account->pieces[account->piece_count].start = start;
    account->pieces[account->piece_count].size = size;
    account->pieces[account->piece_count].margin = margin;
    account->piece_count++;
    account->given_count++;
    return memory;
}

static void release(void *source_data, void *memory, size_t size)
{
    struct account *account = source_data;
    unsigned char *const bytes = memory;
    size_t i = 0;

    while (i < account->piece_count && account->pieces[i].memory != memory) {
        i++;
    }
    CHECK(i < account->piece_count);
    CHECK_EQUAL(size, account->pieces[i].size);
    for (size_t j = 1; j <= account->pieces[i].margin; j++) {
        CHECK_EQUAL(bytes[-(ptrdiff_t)j], UNUSED);
        CHECK_EQUAL(bytes[size + j - 1], UNUSED);
    }
    /* The pool has nothing more to do with it: all of it can be written. */
    memset(memory, 0, size);
    free(account->pieces[i].start);
    account->pieces[i] = account->pieces[--account->piece_count];
}

static const struct cork_mempool_source source = {acquire, release};

/* Takes objects of two pools, with one source and data of their own: all memory is the source's,
 * all of that is told, and it goes back at trim, and at done. */
static void use_source(size_t element_size, size_t alignment, unsigned protections, size_t count)
{
    struct account accounts[2] = {{.piece_count = 0}, {.piece_count = 0}};
    struct cork_mempool pools[2];

    requests_start();
    for (size_t i = 0; i < 2; i++) {
        const struct account *const account = &accounts[i];
        size_t size = 0;

        INIT(&pools[i], .element_size = element_size, .alignment = alignment,
             .protections = protections, .source = &source, .source_data = &accounts[i]);
        CHECK_EQUAL(account->request_count, 0);
        take_objects(&pools[i], objects + i * count, count);
        CHECK(account->given_count > 0);
        CHECK_EQUAL(account->piece_count, 2 * stats_of(&pools[i]).region_count);
        for (size_t j = 0; j < account->piece_count; j++) {
            size += account->pieces[j].size;
        }
        CHECK_EQUAL(stats_of(&pools[i]).memory_size, size);
        CHECK_EQUAL(stats_of(&pools[i]).reserved_size, size);
    }
    for (size_t i = 0; i < 2; i++) {
        const size_t size = stats_of(&pools[i]).memory_size;

        give_objects(&pools[i], objects + i * count, count);
        CHECK(i == 1 || cork_mempool_trim(&pools[i]) == size);
        CHECK_EQUAL(stats_of(&pools[i]).memory_size, i == 1 ? size : 0);
        take_objects(&pools[i], objects, 20);
        give_objects(&pools[i], objects, 20);
        cork_mempool_done(&pools[i]);
        CHECK_EQUAL(accounts[i].piece_count, 0);
    }
    CHECK_EQUAL(requests.count, accounts[0].given_count + accounts[1].given_count);
    requests_finish();
}

TEST(all_memory_comes_from_the_source_aligned_as_asked_and_goes_back_at_trim_and_done)
{
    static const size_t sizes[] = {1, 8, 24, 100, 5000};

    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            use_source(sizes[j], 0, without_guards(i), 2000);
        }
        for (size_t alignment = 1; alignment <= 8192; alignment *= 2) {
            use_source(7, alignment, without_guards(i), 100);
        }
    }
}

/* First the slots, with a redzone before them, and then the tables. */
TEST(a_source_is_asked_for_a_block_and_then_for_twice_as_much_each_time)
{
    const size_t count = ((size_t)1 << 14) - 1;
    struct account account = {.piece_count = 0};
    struct cork_mempool mp;

    INIT(&mp, .element_size = 24, .block_size = 1, .source = &source, .source_data = &account);
    take_objects(&mp, objects, count);
    CHECK_EQUAL(account.request_count, 2 * 14);
    for (size_t i = 0; i < 14; i++) {
        CHECK_EQUAL(account.pieces[2 * i].size / stats_of(&mp).slot_size, (size_t)1 << i);
    }
    finish(&mp, objects, count);
}

TEST(a_source_that_refuses_much_is_asked_for_less)
{
    struct account account = {.most = 5000};
    struct cork_mempool mp;

    INIT(&mp, .element_size = 1000, .block_size = 1, .source = &source, .source_data = &account);
    take_objects(&mp, objects, 40);
    CHECK_EQUAL(mp.newest->reserved_count, 4);
    finish(&mp, objects, 40);
}

TEST(a_source_is_asked_for_a_gibibyte_at_most)
{
    /* Where words have 32 bits, it is less. */
    const size_t most = (size_t)1 << 30 < SIZE_MAX / 8 ? (size_t)1 << 30 : SIZE_MAX / 8;

    for (unsigned bits = 28; bits < 32; bits++) {
        const size_t size = (size_t)1 << bits;
        struct account account = {.most = 1};
        struct cork_mempool mp;

        INIT(&mp, .element_size = 64 - GAP_SIZE, .alignment = 16, .block_size = size,
             .source = &source, .source_data = &account);
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        CHECK_EQUAL(account.request_count, size <= most ? 1 : 0);
        CHECK(account.request_count == 0 || account.last_size >= size);
        cork_mempool_done(&mp);
    }
}

static void *catch_new(struct cork_mempool *mp)
{
    void *volatile object = NULL;

    RUN_UNTIL_REFUSED(object = try_new(mp));
    return object;
}

/* Takes objects while a source refuses some requests, until it has refused three, or has given
 * misaligned memory for one. Says whether there were so many. */
static bool use_bad_source(struct account account, size_t alignment, unsigned protections)
{
    const size_t number = account.misaligned != 0 ? account.misaligned : account.refused_from;
    const size_t most = 1500;
    struct cork_mempool mp;
    size_t null_count = 0, refused_count = 0;

    INIT(&mp, .element_size = 40, .alignment = alignment, .protections = protections,
         .source = &source, .source_data = &account);
    for (size_t i = 0; i < most;) {
        objects[i] = catch_new(&mp);
        if (objects[i] != NULL) {
            fill(objects[i], 40, i);
            i++;
            continue;
        }
        if (seen.violation.kind != 0) {
            CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_BAD_SOURCE);
            CHECK_POINTER(seen.violation.pool, &mp);
            CHECK_POINTER(seen.violation.pointer, NULL);
            CHECK_EQUAL(seen.violation.slot, CORK_MEMPOOL_NO_SLOT);
            refused_count++;
        } else if (++null_count == 3) {
            account.refused_to = 0;
        }
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).live_count, i);
        CHECK_EQUAL(stats_of(&mp).free_count, 0);
        CHECK_EQUAL(account.piece_count, 2 * stats_of(&mp).region_count);
    }
    CHECK_EQUAL(refused_count, account.misaligned != 0 && account.request_count >= number);
    if (account.misaligned != 0) {
        CHECK_EQUAL(null_count, 0);
    } else if (account.refused_to == number + 1) {
        CHECK(null_count <= 1);
    } else {
        CHECK(null_count == 3 || account.request_count < number);
    }
    finish(&mp, objects, most);
    CHECK_EQUAL(account.piece_count, 0);
    return account.request_count >= number;
}

TEST(each_request_to_a_source_may_be_refused_once_and_all_from_any_on)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        for (size_t is_once = 0; is_once < 2; is_once++) {
            size_t number = 1;

            while (use_bad_source((struct account){.refused_from = number,
                                                   .refused_to = is_once ? number + 1 : SIZE_MAX},
                                  0, without_guards(i))) {
                number++;
            }
            CHECK(number > 8);
        }
    }
}

TEST(misaligned_memory_is_refused_and_goes_back_and_the_pool_works_on)
{
    for (size_t i = 0; i < PROTECTIONS_COUNT; i++) {
        for (size_t alignment = 2; alignment <= 4096; alignment *= 8) {
            size_t number = 1;

            while (use_bad_source((struct account){.misaligned = number}, alignment,
                                  without_guards(i))) {
                number++;
            }
            CHECK(number > 8);
        }
    }
}
