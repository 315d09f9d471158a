/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Protections in programs that do nothing wrong: nothing may be different, but for what each of
 * them is there to change. What they find in other programs is damage_test.c's.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/requests.h"

#define OPTIONS(...) (&(const struct cork_mempool_options){__VA_ARGS__})

/* A legal program, drawn at random, and what a user can see of its run. */

#define STEP_COUNT 1500
#define LIMIT      200

struct run {
    struct cork_mempool mp;
    size_t element_size;
    void *objects[LIMIT];
    size_t numbers[LIMIT]; /* what they are filled with */
    size_t count;
    size_t log[STEP_COUNT];
};

static void run_new(struct run *run, size_t step)
{
    void *const object = cork_mempool_new(&run->mp);

    CHECK((object == NULL) == (run->count == LIMIT));
    if (object != NULL) {
        CHECK(cork_mempool_owns(&run->mp, object));
        CHECK_EQUAL((uintptr_t)object % alignment_needed(run->element_size), 0);
        fill(object, run->element_size, step);
        run->objects[run->count] = object;
        run->numbers[run->count] = step;
        run->count++;
    }
}

static void run_free(struct run *run, size_t which)
{
    if (run->count > 0) {
        which %= run->count;
        CHECK(is_filled(run->objects[which], run->element_size, run->numbers[which]));
        cork_mempool_free(&run->mp, run->objects[which]);
        run->count--;
        run->objects[which] = run->objects[run->count];
        run->numbers[which] = run->numbers[run->count];
    }
}

static void count_visit(void *user_data, void *object)
{
    CHECK(object != NULL);
    ++*(size_t *)user_data;
}

static void run_step(struct run *run, size_t step, uint64_t random)
{
    const size_t choice = random % 64;
    size_t visited = 0;

    if (choice < 33) {
        run_new(run, step);
    } else if (choice < 58) {
        run_free(run, (size_t)(random >> 32));
    } else if (choice < 60) {
        CHECK(cork_mempool_check(&run->mp));
    } else if (choice < 62) {
        cork_mempool_foreach(&run->mp, count_visit, &visited);
        CHECK_EQUAL(visited, run->count);
    } else if (choice < 63) {
        cork_mempool_trim(&run->mp);
    } else if (random >> 32 & 1) {
        cork_mempool_clear(&run->mp);
        run->count = 0;
    }
    run->log[step] = stats_of(&run->mp).live_count;
}

static void run_program(struct run *run, unsigned set, size_t element_size)
{
    uint64_t random = test_seed() + element_size;

    CHECK(cork_mempool_init_with(&run->mp, OPTIONS(.element_size = element_size, .block_size = 600,
                                                   .protections = set, .max_objects = LIMIT)));
    run->element_size = element_size;
    run->count = 0;
    for (size_t step = 0; step < STEP_COUNT; step++) {
        run_step(run, step, test_random(&random));
    }
    for (size_t i = 0; i < run->count; i++) {
        CHECK(is_filled(run->objects[i], element_size, run->numbers[i]));
    }
    while (run->count > 0) {
        run_free(run, 0);
    }
    cork_mempool_done(&run->mp);
}

TEST(a_legal_program_runs_alike_with_every_set_of_protections)
{
    static const size_t sizes[] = {1, 7, 24, 100};
    static struct run plain;
    static struct run run;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        /* Guards of large pages are very many small slots, all of which check looks at. */
        if (page_size() / sizes[i] > 4096) {
            continue;
        }
        run_program(&plain, 0, sizes[i]);
        for (unsigned set = 1; set < SETS_COUNT; set++) {
            run_program(&run, set, sizes[i]);
            CHECK_EQUAL(memcmp(plain.log, run.log, sizeof(run.log)), 0);
        }
    }
}

/* All slots of a pool are issued, so that each object of the second round was one of the first. */
TEST(contents_are_kept_from_free_to_new_or_cleared_with_wipe)
{
    static const size_t sizes[] = {1, 7, 8, 9, 24, 40, 100, 1000};

    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            static char zeros[1000];
            char *objects[LIMIT];
            struct cork_mempool mp;

            CHECK(cork_mempool_init_with(
                &mp, OPTIONS(.element_size = sizes[i], .protections = set, .max_objects = LIMIT)));
            take_objects(&mp, (void **)objects, LIMIT);
            for (size_t j = 0; j < LIMIT; j++) {
                fill(objects[j], sizes[i], (uintptr_t)objects[j]);
                cork_mempool_free(&mp, objects[j]);
            }
            for (size_t j = 0; j < LIMIT; j++) {
                objects[j] = cork_mempool_new(&mp);
                if ((set & CORK_MEMPOOL_WIPE) != 0) {
                    CHECK_EQUAL(memcmp(objects[j], zeros, sizes[i]), 0);
                } else {
                    CHECK(is_filled(objects[j], sizes[i], (uintptr_t)objects[j]));
                }
            }
            cork_mempool_clear(&mp);
            cork_mempool_done(&mp);
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

/* The order in which slots are issued, as offsets into a buffer, with some freed on the way. */

#define ORDER_COUNT 300

static void order_of(unsigned set, uint64_t seed, ptrdiff_t *order)
{
    static _Alignas(64) char buffer[40000];
    struct cork_mempool mp;
    char *objects[ORDER_COUNT];

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 32, .protections = set, .seed = seed,
                                              .buffer = buffer, .buffer_size = sizeof(buffer))));
    for (size_t i = 0; i < ORDER_COUNT; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
        memset(objects[i], 1, 32);
        order[i] = objects[i] - buffer;
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
            ptrdiff_t first[ORDER_COUNT];
            ptrdiff_t again[ORDER_COUNT];
            ptrdiff_t other[ORDER_COUNT];

            order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed, first);
            order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed, again);
            order_of(CORK_MEMPOOL_SHUFFLE | with[i], seed + 1, other);
            CHECK_EQUAL(memcmp(first, again, sizeof(first)), 0);
            CHECK(memcmp(first, other, sizeof(first)) != 0);
        }
    }
}

TEST(a_shuffled_pool_issues_any_of_its_slots_first_and_others_do_not)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        ptrdiff_t order[ORDER_COUNT];
        bool is_seen[64] = {false};
        size_t seen_count = 0;
        ptrdiff_t lowest = PTRDIFF_MAX;

        if ((set & CORK_MEMPOOL_GUARD) != 0) {
            continue;
        }
        for (uint64_t seed = 1; seed <= 200; seed++) {
            order_of(set, seed, order);
            lowest = order[0] < lowest ? order[0] : lowest;
        }
        for (uint64_t seed = 1; seed <= 200; seed++) {
            order_of(set, seed, order);
            CHECK(order[0] - lowest < 64 * 64);
            seen_count += !is_seen[(order[0] - lowest) / 64];
            is_seen[(order[0] - lowest) / 64] = true;
        }
        CHECK((set & CORK_MEMPOOL_SHUFFLE) != 0 ? seen_count > 30 : seen_count == 1);
    }
}

TEST(every_slot_of_a_group_may_be_issued_first)
{
    bool is_seen[64] = {false};
    size_t seen_count = 0;

    if (TEST_UNDER_ASAN) {
        test_skip("the first group has fewer slots");
    }
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct cork_mempool mp;
        size_t slot;

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .alignment = 1, .seed = seed,
                                                  .max_objects = 64,
                                                  .protections = CORK_MEMPOOL_SHUFFLE)));
        char *const object = cork_mempool_new(&mp);
        slot = (size_t)(object - mp.newest->base) / stats_of(&mp).slot_size;
        CHECK(slot < 64);
        seen_count += !is_seen[slot];
        is_seen[slot] = true;
        cork_mempool_free(&mp, object);
        cork_mempool_done(&mp);
    }
    CHECK_EQUAL(seen_count, 64);
}

/* Quarantine: the number of frees, at the free of each address. */

#define QUARANTINE_COUNT 256

struct frees {
    void *slots[4000];
    size_t freed_at[4000]; /* the number of frees after that one; 0: live */
    size_t slot_count;
    size_t free_count;
};

static size_t slot_in(struct frees *frees, void *object)
{
    size_t slot = 0;

    while (slot < frees->slot_count && frees->slots[slot] != object) {
        slot++;
    }
    if (slot == frees->slot_count) {
        CHECK(frees->slot_count < COUNT_OF(frees->slots));
        frees->slots[frees->slot_count++] = object;
        frees->freed_at[slot] = 0;
    }
    return slot;
}

static void free_noted(struct cork_mempool *mp, struct frees *frees, void *object)
{
    cork_mempool_free(mp, object);
    frees->freed_at[slot_in(frees, object)] = ++frees->free_count;
}

/* Says how many others have been freed since the object was, or SIZE_MAX if it is new. */
static size_t new_noted(struct cork_mempool *mp, struct frees *frees, void **object)
{
    size_t slot;
    size_t freed_at;

    *object = cork_mempool_new(mp);
    CHECK(*object != NULL);
    slot = slot_in(frees, *object);
    freed_at = frees->freed_at[slot];
    frees->freed_at[slot] = 0;
    return freed_at == 0 ? SIZE_MAX : frees->free_count - freed_at;
}

TEST(a_freed_slot_rests_until_256_others_have_been_freed)
{
    static struct frees frees;

    for (unsigned set = 0; set < SETS_COUNT; set++) {
        struct cork_mempool mp;
        size_t least = SIZE_MAX;
        void *object;

        if ((set & CORK_MEMPOOL_QUARANTINE) == 0) {
            continue;
        }
        frees.slot_count = frees.free_count = 0;
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 24, .protections = set)));
        for (size_t i = 0; i < 3000; i++) {
            const size_t others = new_noted(&mp, &frees, &object);

            CHECK(others >= QUARANTINE_COUNT);
            least = others < least ? others : least;
            memset(object, 1, 24);
            CHECK_EQUAL(stats_of(&mp).live_count, 1);
            free_noted(&mp, &frees, object);
        }
        CHECK(cork_mempool_check(&mp));
        /* It is a delay, not a leak. */
        CHECK(least < QUARANTINE_COUNT + 2 * 128);
        CHECK(frees.slot_count <= QUARANTINE_COUNT + 2 * 128);
        cork_mempool_done(&mp);
    }
}

TEST(slots_rest_as_well_where_many_objects_come_and_go)
{
    static struct frees frees;
    uint64_t random = test_seed();
    struct cork_mempool mp;
    void *objects[500];
    size_t count = 0;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.protections = CORK_MEMPOOL_QUARANTINE)));
    for (size_t i = 0; i < 20000; i++) {
        if (count == COUNT_OF(objects) || (count > 0 && test_random(&random) % 2 == 0)) {
            const size_t which = (size_t)(test_random(&random) % count);

            free_noted(&mp, &frees, objects[which]);
            objects[which] = objects[--count];
        } else {
            CHECK(new_noted(&mp, &frees, &objects[count]) >= QUARANTINE_COUNT);
            count++;
        }
    }
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, count);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

/* Blocks are smaller than groups, so that a group has slots that rest when others are added. */
TEST(slots_rest_where_more_are_added_to_their_group)
{
    for (size_t size = 100; size <= 3200; size *= 2) {
        struct cork_mempool mp;

        CHECK(cork_mempool_init_with(
            &mp, OPTIONS(.element_size = size, .protections = CORK_MEMPOOL_QUARANTINE)));
        for (size_t i = 0; i < 200; i++) {
            void *const object = cork_mempool_new(&mp);

            CHECK(object != NULL);
            cork_mempool_free(&mp, object);
            CHECK_EQUAL(stats_of(&mp).live_count, 0);
        }
        CHECK(cork_mempool_check(&mp));
        cork_mempool_done(&mp);
    }
}

/* Guards. */

__attribute__((no_sanitize("address"), noinline)) static void touch(const void *pointer)
{
    (void)*(volatile const char *)pointer;
}

/* Of objects in the order of their addresses, those after which a block ends. */
static bool is_last_of_block(char *const *objects, size_t i, size_t slot_size)
{
    return (size_t)(objects[i + 1] - objects[i]) > slot_size;
}

/* A block ends where its guard begins, a page or more before the next one. */
static void memory_between_blocks_faults(const char *end, const char *next)
{
    CHECK_EQUAL((uintptr_t)end % page_size(), 0);
    CHECK((size_t)(next - end) >= page_size());
    CHECK_FAULTS(touch(end));
    CHECK_FAULTS(touch(end + page_size() - 1));
    CHECK_FAULTS(touch(next - 1));
}

TEST(memory_before_between_and_behind_guarded_blocks_faults)
{
    static const size_t sizes[] = {1, 24, 64, 1000, 5000, 20000};
    static char *objects[3 * 70000];

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct cork_mempool mp;
        size_t block_count = 1;

        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = sizes[i], .block_size = 3000,
                                                  .protections = CORK_MEMPOOL_GUARD)));

        const struct cork_mempool_stats stats = stats_of(&mp);
        const size_t count = 3 * stats.block_size / stats.slot_size;
        CHECK(stats.block_size >= 3000 || stats.block_size == stats.slot_size);
        CHECK(count <= COUNT_OF(objects));
        take_objects(&mp, (void **)objects, count);
        CHECK_FAULTS(touch(objects[0] - mp.geometry.redzone_size - 1));
        for (size_t j = 1; j < count; j++) {
            if (is_last_of_block(objects, j - 1, stats.slot_size)) {
                memory_between_blocks_faults(objects[j - 1] + stats.slot_size,
                                             objects[j] - mp.geometry.redzone_size);
                block_count++;
            }
        }
        CHECK_EQUAL(block_count, 3);
        CHECK_FAULTS(touch(objects[count - 1] + stats.slot_size));
        touch(objects[0]);
        give_objects(&mp, (void **)objects, count);
        exercise(&mp, 10000);
    }
}

static jmp_buf refused;
static struct cork_mempool_violation seen;

static void leave(const struct cork_mempool_violation *violation)
{
    seen = *violation;
    longjmp(refused, 1);
}

static bool free_is_refused(struct cork_mempool *mp, void *pointer)
{
    cork_mempool_on_violation(leave);
    if (setjmp(refused) == 0) {
        cork_mempool_free(mp, pointer);
        return false;
    }
    return true;
}

/* There is no object in a guard, so none that can be freed; wherever the pool looks first. */
TEST(a_pointer_between_guarded_blocks_is_refused_as_never_issued)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        struct cork_mempool mp;
        char *objects[128];

        if ((set & CORK_MEMPOOL_GUARD) == 0 || (set & CORK_MEMPOOL_SHUFFLE) != 0) {
            continue;
        }
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 48, .block_size = 4096,
                                                  .max_objects = 128, .protections = set)));
        take_objects(&mp, (void **)objects, 128);
        char *const guard = objects[0] + stats_of(&mp).block_size;
        for (size_t i = 0; i < 2; i++) {
            CHECK(free_is_refused(&mp, guard));
            CHECK_EQUAL(seen.kind, CORK_MEMPOOL_NEVER_ISSUED);
            CHECK(!cork_mempool_owns(&mp, guard));
            cork_mempool_free(&mp, objects[127]);
            objects[127] = cork_mempool_new(&mp);
            fill(objects[127], 48, 127);
        }
        give_objects(&mp, (void **)objects, 128);
        cork_mempool_done(&mp);
    }
}

/* Guards can neither be read nor written, so they are no part of a pool's memory. */
TEST(stats_count_no_guards_as_memory)
{
    const size_t page = page_size();
    struct cork_mempool mp;
    void *object;

    CHECK(cork_mempool_init_with(&mp,
                                 OPTIONS(.element_size = 64, .protections = CORK_MEMPOOL_GUARD)));
    object = cork_mempool_new(&mp);
    /* Two tables of a page each, and a block on two pages at most. */
    CHECK(stats_of(&mp).memory_size <= 2 * page + 2 * page);
    CHECK(stats_of(&mp).reserved_size > stats_of(&mp).memory_size);
    cork_mempool_free(&mp, object);
    cork_mempool_done(&mp);
}
