/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Where a pool's memory comes from, if not from the operating system, and what becomes of the
 * objects that are constructed in it.
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

/* What combines with memory of the caller's. */
static const unsigned combining[] = {
    0,
    CORK_MEMPOOL_CANARY,
    CORK_MEMPOOL_SEAL,
    CORK_MEMPOOL_WIPE,
    CORK_MEMPOOL_SHUFFLE,
    CORK_MEMPOOL_QUARANTINE,
    CORK_MEMPOOL_CALLSITES,
    CORK_MEMPOOL_PARANOID & ~CORK_MEMPOOL_GUARD,
    CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_QUARANTINE,
};

static void *objects[20000];

static void init(struct cork_mempool *mp, struct cork_mempool_options options)
{
    CHECK(cork_mempool_init_with(mp, &options));
}

static void *try_new(struct cork_mempool *mp)
{
    void *object;

    errno = ODD_ERRNO;
    object = cork_mempool_new(mp);
    CHECK_EQUAL(errno, object == NULL ? ENOMEM : ODD_ERRNO);
    return object;
}

/* Fixed memory: the buffer, with bytes on both sides that must stay as they are. */

#define MARGIN 256
#define UNUSED 0xa5

static _Alignas(4096) char arena[MARGIN + 65536 + MARGIN];

/* Takes and frees all that a buffer has room for, three times; says how much that is. */
static size_t use_up(struct cork_mempool *mp, const char *buffer, size_t buffer_size)
{
    const size_t size = stats_of(mp).element_size;
    size_t first_count = 0;

    for (size_t round = 0; round < 3; round++) {
        size_t count = 0;

        while ((objects[count] = try_new(mp)) != NULL) {
            CHECK((uintptr_t)objects[count] >= (uintptr_t)buffer);
            CHECK((uintptr_t)objects[count] - (uintptr_t)buffer <= buffer_size - size);
            CHECK_EQUAL((uintptr_t)objects[count] % stats_of(mp).alignment, 0);
            fill(objects[count], size, count);
            count++;
        }
        CHECK_POINTER(try_new(mp), NULL);
        CHECK(round == 0 || count == first_count);
        CHECK_EQUAL(stats_of(mp).free_count, 0);
        CHECK_EQUAL(stats_of(mp).region_count, 1);
        CHECK(stats_of(mp).memory_size <= buffer_size);
        first_count = count;
        give_objects(mp, objects, count);
    }
    return first_count;
}

/* The capacity of a buffer, which is 0 where init refuses it. */
static size_t capacity_of(struct cork_mempool_options options, size_t offset)
{
    char *const buffer = arena + MARGIN + offset;
    struct cork_mempool mp;
    size_t capacity = 0;

    options.buffer = buffer;
    CHECK(options.buffer_size <= sizeof(arena) - MARGIN - MARGIN - offset);
    memset(arena, UNUSED, sizeof(arena));
    requests_start();
    if (cork_mempool_init_with(&mp, &options)) {
        capacity = use_up(&mp, buffer, options.buffer_size);
        CHECK(capacity > 0);
        cork_mempool_done(&mp);
    }
    requests_stop();
    CHECK_EQUAL(requests.count, 0);
    for (const char *byte = arena; byte < arena + sizeof(arena); byte++) {
        if (byte == buffer && capacity > 0) {
            byte += options.buffer_size;
        }
        CHECK_EQUAL((unsigned char)*byte, UNUSED);
    }
    return capacity;
}

/* From the sum of both: what a buffer holds besides its slots. */
#define OVERHEAD_MAX 512

TEST(each_byte_more_of_a_buffer_is_good_for_at_most_one_object_more)
{
    static const struct {
        size_t element_size, alignment, step;
    } cases[] = {{1, 0, 7}, {8, 0, 1}, {24, 0, 1}, {24, 8, 5}, {100, 4, 3}, {64, 64, 1}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t before = 0;
        size_t last_size = 0;
        size_t slot_size;
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = cases[i].element_size,
                                                .alignment = cases[i].alignment});
        slot_size = stats_of(&mp).slot_size;
        cork_mempool_done(&mp);

        for (size_t size = 1; size < 1500; size += cases[i].step) {
            const size_t capacity =
                capacity_of((struct cork_mempool_options){.element_size = cases[i].element_size,
                                                          .alignment = cases[i].alignment,
                                                          .buffer_size = size},
                            0);

            CHECK(capacity >= before);
            CHECK(cases[i].step > cases[i].element_size || capacity <= before + 1);
            if (capacity > before && cases[i].element_size >= 64) {
                CHECK(before == 0 || size - last_size < 2 * slot_size);
                last_size = size;
            }
            before = capacity;
        }
        CHECK(before > 0);
    }
}

/* The bytes that are kept of a slot, and of the first 256 in quarantine. */
static size_t table_size(unsigned protections)
{
    const bool has_checksum = (protections & CORK_MEMPOOL_SEAL) != 0;
    const bool is_named = (protections & CORK_MEMPOOL_CALLSITES) != 0;
    const bool is_held = (protections & CORK_MEMPOOL_QUARANTINE) != 0;

    return has_checksum * sizeof(uint64_t) + is_named * 2 * sizeof(void *) +
           is_held * sizeof(void *);
}

TEST(a_buffer_of_any_size_at_any_address_holds_all_that_fits)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        size_t slot_size;
        struct cork_mempool mp;

        init(&mp, (struct cork_mempool_options){.element_size = 24, .protections = combining[i]});
        slot_size = stats_of(&mp).slot_size + table_size(combining[i]);
        cork_mempool_done(&mp);
        for (size_t offset = 0; offset < 20; offset += offset < 10 ? 1 : 3) {
            for (size_t size = 1; size < 20000; size += size < 600 ? 97 : 5501) {
                const size_t capacity = capacity_of(
                    (struct cork_mempool_options){
                        .element_size = 24, .protections = combining[i], .buffer_size = size},
                    offset);

                CHECK(size < OVERHEAD_MAX || capacity >= (size - OVERHEAD_MAX) / slot_size);
            }
        }
    }
}

TEST(objects_in_a_buffer_are_aligned_as_asked)
{
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (size_t offset = 0; offset < 9; offset++) {
            for (size_t i = 0; i < COUNT_OF(combining); i++) {
                const size_t capacity =
                    capacity_of((struct cork_mempool_options){.element_size = 40,
                                                              .alignment = alignment,
                                                              .protections = combining[i],
                                                              .buffer_size = 6 * 4096},
                                offset);

                CHECK(capacity >= 3);
            }
        }
    }
}

/* Aligned elements take part in no rounding but their own: one that fits is not given up. */
TEST(a_buffer_that_grows_never_holds_less)
{
    static const size_t alignments[] = {64, 256, 1024};

    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        struct cork_mempool_options options = {
            .element_size = alignments[i], .alignment = alignments[i], .buffer = arena + 8};
        size_t before = 0;

        for (options.buffer_size = 16; options.buffer_size < 40000; options.buffer_size += 8) {
            struct cork_mempool mp;
            size_t count = 0;

            if (!cork_mempool_init_with(&mp, &options)) {
                CHECK_EQUAL(before, 0);
                continue;
            }
            objects[0] = cork_mempool_new(&mp);
            count = stats_of(&mp).live_count + stats_of(&mp).free_count;
            CHECK(count == before || count == before + 1);
            before = count;
            cork_mempool_free(&mp, objects[0]);
            cork_mempool_done(&mp);
        }
    }
}

TEST(a_buffer_may_be_used_for_anything_once_its_pool_is_done)
{
    static const size_t sizes[] = {16, 100, 1, 3000, 16};

    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            CHECK(capacity_of((struct cork_mempool_options){.element_size = sizes[j],
                                                            .protections = combining[i],
                                                            .buffer_size = 20000},
                              0) >= 5);
            memset(arena, (int)j, sizeof(arena));
        }
    }
}

TEST(a_buffer_that_is_trimmed_serves_again)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct cork_mempool mp;
        size_t capacity;

        init(&mp, (struct cork_mempool_options){.element_size = 24,
                                                .buffer = arena,
                                                .protections = combining[i],
                                                .buffer_size = 8000});
        requests_start();
        capacity = use_up(&mp, arena, 8000);
        cork_mempool_trim(&mp);
        CHECK_EQUAL(use_up(&mp, arena, 8000), capacity);
        objects[0] = cork_mempool_new(&mp);
        fill(objects[0], 24, 0);
        cork_mempool_trim(&mp);
        CHECK(cork_mempool_check(&mp));
        CHECK(is_filled(objects[0], 24, 0));
        for (size_t count = 1; count < capacity; count++) {
            objects[count] = cork_mempool_new(&mp);
            fill(objects[count], 24, count);
        }
        CHECK_POINTER(try_new(&mp), NULL);
        give_objects(&mp, objects, capacity);
        cork_mempool_done(&mp);
        requests_stop();
        CHECK_EQUAL(requests.count, 0);
    }
}

static jmp_buf refused;
static struct cork_mempool_violation seen;

static void leave(const struct cork_mempool_violation *violation)
{
    seen = *violation;
    longjmp(refused, 1);
}

/* Nothing that is in the buffer when the pool gets it means anything. */
TEST(a_dirty_buffer_is_no_source_of_call_sites)
{
    struct cork_mempool mp;

    memset(arena, UNUSED, sizeof(arena));
    init(&mp, (struct cork_mempool_options){.element_size = 24,
                                            .buffer = arena,
                                            .protections = CORK_MEMPOOL_CALLSITES,
                                            .buffer_size = 8000});
    objects[0] = cork_mempool_new(&mp);
    cork_mempool_on_violation(leave);
    if (setjmp(refused) == 0) {
        cork_mempool_free(&mp, (char *)objects[0] + stats_of(&mp).slot_size);
    }
    cork_mempool_on_violation(NULL);
    CHECK_EQUAL(seen.kind, CORK_MEMPOOL_NEVER_ISSUED);
    CHECK_POINTER(seen.new_site, NULL);
    CHECK_POINTER(seen.free_site, NULL);
    cork_mempool_free(&mp, objects[0]);
    cork_mempool_done(&mp);
}

/* A caller's source, which writes down what it gives. */

#define PIECE_MAX 64

struct ledger {
    struct {
        char *memory;
        size_t size;
        size_t margin;
        char *start;
    } pieces[PIECE_MAX];
    size_t piece_count;   /* given, and not taken back */
    size_t given_count;   /* given at all */
    size_t request_count; /* asked for */
    size_t refused_from;  /* the requests from this on are refused, counted from 1; */
    size_t refused_to;    /* and this is the first that is not */
    size_t misaligned;    /* the request that gets memory of half the alignment; 0: none */
};

/* With a margin of bytes on both sides that only this side writes. */
static void *acquire(void *source_data, size_t size, size_t alignment)
{
    struct ledger *ledger = source_data;
    const size_t margin = alignment < 64 ? 64 : alignment;
    char *start, *memory;

    CHECK(size > 0);
    CHECK(alignment > 0 && (alignment & (alignment - 1)) == 0);
    CHECK_EQUAL(size % alignment, 0);
    ledger->request_count++;
    if (ledger->request_count >= ledger->refused_from &&
        ledger->request_count < ledger->refused_to) {
        errno = EAGAIN;
        return NULL;
    }
    CHECK(ledger->piece_count < PIECE_MAX);
    start = aligned_alloc(margin, (3 * margin + size + margin - 1) / margin * margin);
    CHECK(start != NULL);
    memory = start + margin + (ledger->request_count == ledger->misaligned ? alignment / 2 : 0);
    memset(memory - margin, UNUSED, margin + size + margin);
    ledger->pieces[ledger->piece_count].memory = memory;
    ledger->pieces[ledger->piece_count].size = size;
    ledger->pieces[ledger->piece_count].margin = margin;
    ledger->pieces[ledger->piece_count].start = start;
    ledger->piece_count++;
    ledger->given_count++;
    return memory;
}

static void release(void *source_data, void *memory, size_t size)
{
    struct ledger *ledger = source_data;
    size_t i = 0;

    while (i < ledger->piece_count && ledger->pieces[i].memory != memory) {
        i++;
    }
    CHECK(i < ledger->piece_count);
    CHECK_EQUAL(size, ledger->pieces[i].size);
    for (size_t j = 1; j <= ledger->pieces[i].margin; j++) {
        CHECK_EQUAL(((unsigned char *)memory)[-(ptrdiff_t)j], UNUSED);
        CHECK_EQUAL(((unsigned char *)memory)[size + j - 1], UNUSED);
    }
    /* The pool has nothing more to do with it: all of it can be written. */
    memset(memory, 0, size);
    free(ledger->pieces[i].start);
    ledger->pieces[i] = ledger->pieces[--ledger->piece_count];
}

static const struct cork_mempool_source source = {acquire, release};

TEST(all_memory_comes_from_the_source_and_goes_back_at_done)
{
    static const size_t sizes[] = {1, 8, 24, 100, 5000};

    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            struct ledger ledger = {.piece_count = 0};
            struct cork_mempool mp;

            init(&mp, (struct cork_mempool_options){.element_size = sizes[j],
                                                    .protections = combining[i],
                                                    .source = &source,
                                                    .source_data = &ledger});
            CHECK_EQUAL(ledger.request_count, 0);
            requests_start();
            take_objects(&mp, objects, 2000);
            CHECK_EQUAL(requests.count, ledger.given_count);
            CHECK(ledger.given_count > 0);
            CHECK_EQUAL(ledger.piece_count, 2 * stats_of(&mp).region_count);
            give_objects(&mp, objects, 2000);
            cork_mempool_done(&mp);
            requests_stop();
            CHECK_EQUAL(requests.count, ledger.given_count);
            CHECK_EQUAL(requests.heap_count, 0);
            CHECK_EQUAL(ledger.piece_count, 0);
        }
    }
}

TEST(stats_count_what_a_source_has_given)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        struct ledger ledger = {.piece_count = 0};
        struct cork_mempool mp;
        size_t size = 0;

        init(&mp, (struct cork_mempool_options){.element_size = 24,
                                                .protections = combining[i],
                                                .source = &source,
                                                .source_data = &ledger});
        take_objects(&mp, objects, 3000);
        for (size_t j = 0; j < ledger.piece_count; j++) {
            size += ledger.pieces[j].size;
        }
        CHECK_EQUAL(stats_of(&mp).memory_size, size);
        CHECK_EQUAL(stats_of(&mp).reserved_size, size);
        give_objects(&mp, objects, 3000);
        CHECK_EQUAL(cork_mempool_trim(&mp), size);
        CHECK_EQUAL(stats_of(&mp).memory_size, 0);
        CHECK_EQUAL(ledger.piece_count, 0);
        exercise(&mp, 100);
        CHECK_EQUAL(ledger.piece_count, 0);
    }
}

TEST(a_source_is_asked_seldom)
{
    struct ledger ledger = {.piece_count = 0};
    struct cork_mempool mp;

    init(&mp, (struct cork_mempool_options){
                  .element_size = 24, .block_size = 24, .source = &source, .source_data = &ledger});
    take_objects(&mp, objects, COUNT_OF(objects));
    CHECK(ledger.request_count <= 2 * 16);
    give_objects(&mp, objects, COUNT_OF(objects));
    cork_mempool_done(&mp);
}

TEST(objects_from_a_source_are_aligned_as_asked)
{
    for (size_t alignment = 1; alignment <= 8192; alignment *= 2) {
        for (size_t i = 0; i < COUNT_OF(combining); i++) {
            struct ledger ledger = {.piece_count = 0};
            struct cork_mempool mp;

            init(&mp, (struct cork_mempool_options){.element_size = 7,
                                                    .alignment = alignment,
                                                    .protections = combining[i],
                                                    .source = &source,
                                                    .source_data = &ledger});
            exercise(&mp, 100);
            CHECK_EQUAL(ledger.piece_count, 0);
        }
    }
}

TEST(pools_with_one_source_and_data_of_their_own_do_not_mix)
{
    struct ledger ledgers[2] = {{.piece_count = 0}, {.piece_count = 0}};
    struct cork_mempool pools[2];

    for (size_t i = 0; i < 2; i++) {
        init(&pools[i], (struct cork_mempool_options){
                            .element_size = 24, .source = &source, .source_data = &ledgers[i]});
        take_objects(&pools[i], objects + 1000 * i, 1000 * i + 1);
    }
    CHECK(ledgers[1].piece_count > ledgers[0].piece_count);
    for (size_t i = 0; i < 2; i++) {
        give_objects(&pools[i], objects + 1000 * i, 1000 * i + 1);
        cork_mempool_done(&pools[i]);
        CHECK_EQUAL(ledgers[i].piece_count, 0);
    }
}

/* Refuses requests from number first up to end; says whether there was a request number first. */
static bool work_with_refusals(unsigned protection, size_t first, size_t end)
{
    struct ledger ledger = {.refused_from = first, .refused_to = end};
    const size_t most = 1500;
    struct cork_mempool mp;
    size_t null_count = 0;

    init(&mp, (struct cork_mempool_options){.element_size = 40,
                                            .protections = protection,
                                            .source = &source,
                                            .source_data = &ledger});
    for (size_t i = 0; i < most; i++) {
        while ((objects[i] = try_new(&mp)) == NULL) {
            CHECK(cork_mempool_check(&mp));
            CHECK_EQUAL(stats_of(&mp).live_count, i);
            CHECK_EQUAL(stats_of(&mp).free_count, 0);
            CHECK_EQUAL(ledger.piece_count, 2 * stats_of(&mp).region_count);
            null_count++;
            if (null_count == 3) {
                ledger.refused_to = 0;
            }
        }
        fill(objects[i], 40, i);
    }
    CHECK(end == first + 1 ? null_count <= 1 : null_count == 3 || ledger.request_count < first);
    give_objects(&mp, objects, most);
    cork_mempool_done(&mp);
    CHECK_EQUAL(ledger.piece_count, 0);
    return ledger.request_count >= first;
}

TEST(each_request_to_a_source_may_be_refused)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        size_t number = 1;

        while (work_with_refusals(combining[i], number, number + 1)) {
            number++;
        }
        CHECK(number > 8);
        for (number = 1; work_with_refusals(combining[i], number, SIZE_MAX); number++) {
        }
        CHECK(number > 8);
    }
}

/* Takes objects while one request gets misaligned memory; says whether there were so many. */
static bool work_with_misaligned_memory(unsigned protection, size_t alignment, size_t number)
{
    static struct ledger ledger;
    static struct cork_mempool mp;
    static size_t count, refused_count;

    ledger = (struct ledger){.misaligned = number};
    init(&mp, (struct cork_mempool_options){.element_size = 40,
                                            .alignment = alignment,
                                            .protections = protection,
                                            .source = &source,
                                            .source_data = &ledger});
    refused_count = 0;
    cork_mempool_on_violation(leave);
    if (setjmp(refused) != 0) {
        CHECK_EQUAL(seen.kind, CORK_MEMPOOL_BAD_SOURCE);
        CHECK_POINTER(seen.pool, &mp);
        CHECK_POINTER(seen.pointer, NULL);
        CHECK_EQUAL(seen.slot, CORK_MEMPOOL_NO_SLOT);
        CHECK_EQUAL(ledger.piece_count, 2 * stats_of(&mp).region_count);
        CHECK_EQUAL(stats_of(&mp).live_count, count);
        CHECK(cork_mempool_check(&mp));
        refused_count++;
    }
    for (count = stats_of(&mp).live_count; count < 1500; count++) {
        objects[count] = try_new(&mp);
        fill(objects[count], 40, count);
    }
    cork_mempool_on_violation(NULL);
    CHECK_EQUAL(refused_count, ledger.request_count >= number);
    give_objects(&mp, objects, count);
    cork_mempool_done(&mp);
    CHECK_EQUAL(ledger.piece_count, 0);
    return ledger.request_count >= number;
}

TEST(misaligned_memory_is_refused_and_goes_back_and_the_pool_works_on)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (size_t alignment = 2; alignment <= 4096; alignment *= 8) {
            size_t number = 1;

            while (work_with_misaligned_memory(combining[i], alignment, number)) {
                number++;
            }
            CHECK(number > 8);
        }
    }
}

TEST(misaligned_memory_is_reported)
{
    struct ledger ledger = {.misaligned = 1};
    struct cork_mempool mp;
    char report[200];

    snprintf(report, sizeof(report),
             "cork_mempool: misaligned memory from a source: pool 0x%" PRIxPTR
             ", element size 24\n",
             (uintptr_t)&mp);
    init(&mp, (struct cork_mempool_options){
                  .element_size = 24, .source = &source, .source_data = &ledger});
    CHECK_ABORTS(report, (void)!cork_mempool_new(&mp));
    cork_mempool_done(&mp);
}
