/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Protections in programs that do nothing wrong: nothing may differ, but for what each of them is
 * there to change. What they find in other programs is damage_test.c's.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/requests.h"

/* What check refuses where a byte has been changed; 0: nothing. */
static int kind_found(const struct cork_mempool *mp, char *byte)
{
    poke(byte, peek(byte) ^ 0xffu);
    RUN_UNTIL_REFUSED(CHECK(cork_mempool_check(mp)));
    poke(byte, peek(byte) ^ 0xffu);
    return (int)seen.violation.kind;
}

TEST(a_pool_does_what_its_protections_say_and_nothing_else)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        const bool verifies_contents = (set & (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) != 0;
        struct cork_mempool mp;
        void *objects[64];

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48, .block_size = 8192,
                                                  .max_objects = 64, .protections = set)));
        take_objects(&mp, objects, 64);
        char *const object = mp.newest->base;
        CHECK_EQUAL(mp.geometry.block_pitch != 0, (set & CORK_MEMPOOL_GUARD) != 0);

        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object + 1));
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_INTERIOR_POINTER);
        CHECK_EQUAL(seen.violation.protections, set);
        CHECK_EQUAL(seen.violation.new_site != NULL, (set & CORK_MEMPOOL_CALLSITES) != 0);

        CHECK_EQUAL(kind_found(&mp, object + 48),
                    (set & CORK_MEMPOOL_CANARY) != 0 ? CORK_MEMPOOL_CANARY_DAMAGED : 0);
        cork_mempool_free(&mp, object);
        CHECK_EQUAL(kind_found(&mp, object + 9),
                    verifies_contents ? CORK_MEMPOOL_WRITE_AFTER_FREE : 0);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* A legal program, drawn at random. */

#define STEP_COUNT 1500
#define LIMIT      200

static struct {
    struct cork_mempool mp;
    size_t element_size;
    void *objects[LIMIT];
    size_t numbers[LIMIT]; /* what they are filled with */
    size_t count;
} run;

static void run_new(size_t step)
{
    void *const object = cork_mempool_new(&run.mp);

    CHECK((object == NULL) == (run.count == LIMIT));
    if (object != NULL) {
        CHECK(cork_mempool_owns(&run.mp, object));
        CHECK_EQUAL((uintptr_t)object % alignment_needed(run.element_size), 0);
        fill(object, run.element_size, step);
        run.objects[run.count] = object;
        run.numbers[run.count++] = step;
    }
}

static void run_free(size_t which)
{
    CHECK(is_filled(run.objects[which], run.element_size, run.numbers[which]));
    cork_mempool_free(&run.mp, run.objects[which]);
    run.count--;
    run.objects[which] = run.objects[run.count];
    run.numbers[which] = run.numbers[run.count];
}

static void count_visit(void *user_data, void *object)
{
    CHECK(object != NULL);
    ++*(size_t *)user_data;
}

static void run_step(size_t step, uint64_t random)
{
    const size_t choice = random % 64;
    size_t visited = 0;

    if (choice < 33) {
        run_new(step);
    } else if (choice < 58 && run.count > 0) {
        run_free((size_t)(random >> 32) % run.count);
    } else if (choice < 60) {
        CHECK(cork_mempool_check(&run.mp));
    } else if (choice < 62) {
        cork_mempool_foreach(&run.mp, count_visit, &visited);
        CHECK_EQUAL(visited, run.count);
    } else if (choice < 63) {
        cork_mempool_trim(&run.mp);
    } else if (random >> 32 & 1) {
        cork_mempool_clear(&run.mp);
        run.count = 0;
    }
    CHECK_EQUAL(stats_of(&run.mp).live_count, run.count);
}

static void run_program(unsigned set, size_t element_size)
{
    uint64_t random = test_seed() + element_size;

    CHECK(cork_mempool_init_with(&run.mp, OPTIONS(.element_size = element_size, .block_size = 600,
                                                  .protections = set, .max_objects = LIMIT)));
    run.element_size = element_size;
    for (size_t step = 0; step < STEP_COUNT; step++) {
        run_step(step, test_random(&random));
    }
    while (run.count > 0) {
        run_free(0);
    }
    cork_mempool_done(&run.mp);
}

TEST(a_legal_program_runs_alike_with_every_set_of_protections)
{
    static const size_t sizes[] = {1, 7, 24, 100};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        /* Guards of large pages are very many small slots, all of which check looks at. */
        for (unsigned set = 0; set < SETS_COUNT && page_size() / sizes[i] <= 4096; set++) {
            run_program(set, sizes[i]);
        }
    }
}

/* All slots of a pool are issued, so that each object of the second round was one of the first. */
static void contents_are_kept(size_t size, unsigned set)
{
    static const char zeros[1000];
    void *objects[LIMIT];
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(
        &mp, OPTIONS(.element_size = size, .protections = set, .max_objects = LIMIT)));
    take_objects(&mp, objects, LIMIT);
    for (size_t i = 0; i < LIMIT; i++) {
        fill(objects[i], size, (uintptr_t)objects[i]);
        cork_mempool_free(&mp, objects[i]);
    }
    for (size_t i = 0; i < LIMIT; i++) {
        void *const object = cork_mempool_new(&mp);

        CHECK((set & CORK_MEMPOOL_WIPE) != 0 ? memcmp(object, zeros, size) == 0
                                             : is_filled(object, size, (uintptr_t)object));
    }
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

TEST(contents_are_kept_from_free_to_new_or_cleared_with_wipe)
{
    static const size_t sizes[] = {1, 7, 8, 9, 24, 40, 100, 1000};

    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            contents_are_kept(sizes[i], set);
        }
    }
}

/* A request that is refused on the way leaves another errno, which is not the caller's concern. */
static void errno_is_kept(unsigned set, int kinds, size_t number)
{
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 4096, .protections = set)));
    requests_start();
    requests_refuse(kinds, REFUSE_NUMBER, number);
    for (size_t i = 0; i < 400; i++) {
        errno = ODD_ERRNO;
        CHECK(cork_mempool_new(&mp) != NULL);
        CHECK_EQUAL(errno, ODD_ERRNO);
    }
    CHECK(requests_reached());
    requests_stop();
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

TEST(a_new_that_succeeds_leaves_errno_as_it_was)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        const unsigned set = all_protections[i];

        errno_is_kept(set, MAPPINGS, 1);
        errno_is_kept(set, COMMITS, 1);
        /* The heap's first piece may be the quarantine, which there is no other memory for. */
        if ((set & CORK_MEMPOOL_GUARD) == 0) {
            errno_is_kept(set, HEAP, 2);
        }
    }
}

/* The order in which a pool of 64 slots, all in one group, issues some, with others freed. */

#define ORDER_COUNT 90

static void order_of(unsigned set, uint64_t seed, size_t *order, size_t count)
{
    char *objects[ORDER_COUNT];
    struct cork_mempool mp;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .block_size = 8192, .seed = seed,
                                              .max_objects = 64, .protections = set)));
    for (size_t i = 0; i < count; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
        memset(objects[i], 1, 64);
        order[i] = (size_t)(objects[i] - mp.newest->base) / mp.geometry.stride;
        CHECK(order[i] < 64);
        if (i % 3 == 2) {
            cork_mempool_free(&mp, objects[i - 1]);
        }
    }
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

TEST(the_order_of_a_shuffled_pool_follows_from_its_seed)
{
    static const unsigned with[] = {0, CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL,
                                    CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_WIPE};

    for (size_t i = 0; i < COUNT_OF(with); i++) {
        for (uint64_t seed = 1; seed < 50; seed++) {
            size_t first[ORDER_COUNT], again[ORDER_COUNT], other[ORDER_COUNT];

            order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed, first, ORDER_COUNT);
            order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed, again, ORDER_COUNT);
            order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed + 1, other, ORDER_COUNT);
            CHECK_EQUAL(memcmp(first, again, sizeof(first)), 0);
            CHECK(memcmp(first, other, sizeof(first)) != 0);
        }
    }
}

TEST(a_shuffled_pool_issues_any_slot_of_a_group_first_and_others_do_not)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        const bool is_shuffled = (set & CORK_MEMPOOL_SHUFFLE) != 0;
        uint64_t first_slots = 0;

        for (uint64_t seed = 1; seed <= (is_shuffled ? 500 : 20); seed++) {
            size_t slot;

            order_of(set, seed, &slot, 1);
            first_slots |= UINT64_C(1) << slot;
        }
        CHECK_EQUAL(first_slots, is_shuffled ? UINT64_MAX : 1);
    }
}

#define QUARANTINE_COUNT 256

/* How many others were freed after an object, whose last free is looked for in a list of all frees;
 * SIZE_MAX: it is new. */
static size_t frees_since(void *const *freed, size_t count, const void *object)
{
    for (size_t others = 0; others < count; others++) {
        if (freed[count - 1 - others] == object) {
            return others;
        }
    }
    return SIZE_MAX;
}

/* Says how many frees there are, at least, between a slot's free and its reuse. */
static size_t shortest_rest(unsigned set, size_t size)
{
    static void *freed[3000];
    struct cork_mempool mp;
    size_t shortest = SIZE_MAX;
    size_t slot_count = 0;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = size, .protections = set)));
    for (size_t i = 0; i < COUNT_OF(freed); i++) {
        void *const object = cork_mempool_new(&mp);
        const size_t others = frees_since(freed, i, object);

        CHECK(object != NULL);
        shortest = others < shortest ? others : shortest;
        slot_count += others == SIZE_MAX;
        memset(object, 1, size);
        CHECK_EQUAL(stats_of(&mp).live_count, 1);
        cork_mempool_free(&mp, object);
        freed[i] = object;
    }
    CHECK(cork_mempool_check(&mp));
    /* It is a delay, not a leak. */
    CHECK(slot_count <= QUARANTINE_COUNT + 2 * 128);
    cork_mempool_done(&mp);
    return shortest;
}

TEST(a_freed_slot_rests_until_256_others_have_been_freed_with_quarantine_alone)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        const size_t shortest = shortest_rest(set, 24);

        CHECK_EQUAL(shortest >= QUARANTINE_COUNT, (set & CORK_MEMPOOL_QUARANTINE) != 0);
        CHECK(shortest < QUARANTINE_COUNT + 2 * 128);
    }
    /* Blocks are smaller than groups, so that slots are added to groups with others that rest. */
    for (size_t size = 100; size <= 3200; size *= 2) {
        CHECK(shortest_rest(CORK_MEMPOOL_QUARANTINE, size) >= QUARANTINE_COUNT);
    }
}

TEST(slots_rest_as_well_where_many_objects_come_and_go)
{
    static void *freed[20000];
    uint64_t random = test_seed();
    struct cork_mempool mp;
    void *objects[500];
    size_t count = 0;
    size_t freed_count = 0;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.protections = CORK_MEMPOOL_QUARANTINE)));
    for (size_t i = 0; i < COUNT_OF(freed); i++) {
        if (count == COUNT_OF(objects) || (count > 0 && test_random(&random) % 2 == 0)) {
            const size_t which = (size_t)(test_random(&random) % count);

            cork_mempool_free(&mp, objects[which]);
            freed[freed_count++] = objects[which];
            objects[which] = objects[--count];
        } else {
            objects[count] = cork_mempool_new(&mp);
            CHECK(objects[count] != NULL);
            CHECK(frees_since(freed, freed_count, objects[count]) >= QUARANTINE_COUNT);
            count++;
        }
    }
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, count);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

/* A block ends where its guard begins, a page or more before the next one. No object is there. */
static void guard_is_between(struct cork_mempool *mp, char *end, const char *next)
{
    CHECK_EQUAL((uintptr_t)end % page_size(), 0);
    CHECK((size_t)(next - end) >= page_size());
    CHECK_FAULTS(peek(end));
    CHECK_FAULTS(peek(end + page_size() - 1));
    CHECK_FAULTS(peek(next - 1));
    RUN_UNTIL_REFUSED(cork_mempool_free(mp, end));
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_NEVER_ISSUED);
    CHECK(!cork_mempool_owns(mp, end));
}

static void blocks_are_guarded(size_t size, unsigned set)
{
    static char *objects[3 * 70000];
    struct cork_mempool mp;
    size_t block_count = 1;

    CHECK(cork_mempool_init_with(
        &mp, OPTIONS(.element_size = size, .block_size = 3000, .protections = set)));
    const struct cork_mempool_stats stats = stats_of(&mp);
    const size_t redzone_size = mp.geometry.redzone_size;
    const size_t count = 3 * stats.block_size / stats.slot_size;

    CHECK(stats.block_size >= 3000 || stats.block_size == stats.slot_size);
    CHECK(count <= COUNT_OF(objects));
    take_objects(&mp, (void **)objects, count);
    CHECK_FAULTS(peek(objects[0] - redzone_size - 1));
    for (size_t i = 1; i < count; i++) {
        if ((size_t)(objects[i] - objects[i - 1]) > stats.slot_size) {
            guard_is_between(&mp, objects[i - 1] + stats.slot_size, objects[i] - redzone_size);
            block_count++;
        }
    }
    CHECK_EQUAL(block_count, 3);
    CHECK_FAULTS(peek(objects[count - 1] + stats.slot_size));
    give_objects(&mp, (void **)objects, count);
    exercise(&mp, 10000);
}

TEST(memory_before_between_and_behind_guarded_blocks_faults_and_is_never_issued)
{
    static const size_t sizes[] = {1, 24, 64, 1000, 5000, 20000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        blocks_are_guarded(sizes[i], CORK_MEMPOOL_GUARD);
    }
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        blocks_are_guarded(48, (all_protections[i] | CORK_MEMPOOL_GUARD) & ~CORK_MEMPOOL_SHUFFLE);
    }
}
