/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Damage that protections find: a canary that is not what it was, contents that have changed since
 * they were freed. Each byte, at each call that verifies, each time mended and gone on from.
 */

#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/requests.h"

/* Where there is a tool that can say so, nobody may touch a byte. */
#if TEST_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#define CHECK_FORBIDDEN(address) CHECK(__asan_address_is_poisoned(address) != 0)
#else
#define CHECK_FORBIDDEN(address) ((void)(address))
#endif

#define CANARY_SIZE  8
#define SHOWN_MAX    16
#define OBJECT_COUNT 32 /* as many as the pool may have */

static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 24, 33, 100};

/* Each set of protections goes with every size; under AddressSanitizer, which takes its time, with
 * every third. */
#define SIZE_STEP (TEST_UNDER_ASAN ? 3 : 1)

static struct cork_mempool mp;
static char *objects[448]; /* in the order in which they were issued */
static char *lowest;       /* the object of slot 0 */
static size_t object_size;

static void take(size_t count)
{
    take_objects(&mp, (void **)objects, count);
    lowest = objects[0];
    for (size_t i = 1; i < count; i++) {
        lowest = (uintptr_t)objects[i] < (uintptr_t)lowest ? objects[i] : lowest;
    }
}

/* Frees the objects from first up to end, which must be as they were taken. */
static void give(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        CHECK(is_filled(objects[i], object_size, i));
        cork_mempool_free(&mp, objects[i]);
    }
}

static void init(struct cork_mempool_options options)
{
    object_size = options.element_size;
    CHECK(cork_mempool_init_with(&mp, &options));
}

/* Makes a pool and takes all objects that it may have. */
static void begin(unsigned protections, size_t element_size)
{
    init((struct cork_mempool_options){.element_size = element_size,
                                       .max_objects = OBJECT_COUNT,
                                       .protections = protections,
                                       .seed = test_seed()});
    take(OBJECT_COUNT);
}

/* Frees the objects from first on, which are all that are live; uses all slots anew; ends. */
static void end(size_t first)
{
    CHECK(cork_mempool_check(&mp));
    give(first, OBJECT_COUNT);
    CHECK_EQUAL(stats_of(&mp).live_count, 0);
    take(OBJECT_COUNT);
    give(0, OBJECT_COUNT);
    cork_mempool_done(&mp);
}

enum call { FREE, NEW, VERIFY, CLEAR, TRIM, DONE };

static void make(enum call call, void *object)
{
    switch (call) {
    case FREE:
        cork_mempool_free(&mp, object);
        break;
    case NEW:
        (void)!cork_mempool_new(&mp);
        break;
    case VERIFY:
        (void)!cork_mempool_check(&mp);
        break;
    case CLEAR:
        cork_mempool_clear(&mp);
        break;
    case TRIM:
        cork_mempool_trim(&mp);
        break;
    case DONE:
        cork_mempool_done(&mp);
        break;
    }
}

/* Demands that a call is refused for the damage of an object, which is shown from start on. */
static void is_found(enum call call, enum cork_mempool_violation_kind kind, char *object,
                     const char *start, size_t size, const void *expected)
{
    CHECK_REFUSED(&mp, kind, object, (size_t)(object - lowest) / stats_of(&mp).slot_size,
                  make(call, object));
    CHECK_POINTER(seen.violation.damaged, start);
    CHECK_EQUAL(seen.violation.damaged_size, size);
    for (size_t i = 0; i < size; i++) {
        CHECK_EQUAL(seen.found[i], peek(start + i));
    }
    CHECK_EQUAL(seen.violation.expected != NULL, expected != NULL);
    CHECK(expected == NULL || memcmp(seen.expected, expected, size) == 0);
}

static void canary_is_verified(enum call call, char *object, char *canary)
{
    unsigned char expected[CANARY_SIZE];

    for (size_t i = 0; i < CANARY_SIZE; i++) {
        expected[i] = peek(canary + i);
        /* A string that is one byte too long must be seen. */
        CHECK(expected[i] != 0);
    }
    for (size_t i = 0; i < CANARY_SIZE; i++) {
        CHECK_FORBIDDEN(canary + i);
        poke(canary + i, i % 2 == 0 ? 0 : expected[i] ^ 0x80u);
        is_found(call, CORK_MEMPOOL_CANARY_DAMAGED, object, canary, CANARY_SIZE, expected);
        poke(canary + i, expected[i]);
    }
}

/* The canaries of an object: before it, right behind it, and at the end of its slot. */
static void canaries_are_verified(enum call call, char *object)
{
    canary_is_verified(call, object, object - CANARY_SIZE);
    canary_is_verified(call, object, object + object_size);
    canary_is_verified(call, object, object + stats_of(&mp).slot_size - CANARY_SIZE);
}

TEST(a_damaged_canary_is_found_when_its_object_is_freed)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = set % SIZE_STEP; i < COUNT_OF(sizes) && (set & CORK_MEMPOOL_CANARY) != 0;
             i += SIZE_STEP) {
            begin(set, sizes[i]);
            canaries_are_verified(FREE, objects[0]);
            canaries_are_verified(FREE, objects[5]);
            canaries_are_verified(FREE, objects[OBJECT_COUNT - 1]);
            give(0, 6);
            canaries_are_verified(FREE, objects[6]);
            end(6);
        }
    }
}

/* A canary between two objects is charged to the first of them, so this looks at the first. */
TEST(a_damaged_canary_is_found_by_check_clear_trim_and_done)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = set % SIZE_STEP; i < COUNT_OF(sizes) && (set & CORK_MEMPOOL_CANARY) != 0;
             i += SIZE_STEP) {
            begin(set, sizes[i]);
            for (enum call call = VERIFY; call < DONE; call++) {
                canaries_are_verified(call, lowest);
            }
            give(0, OBJECT_COUNT);
            for (enum call call = VERIFY; call <= DONE; call++) {
                canaries_are_verified(call, lowest);
            }
            end(OBJECT_COUNT);
        }
    }
}

TEST(every_canary_of_a_pool_is_verified_by_check)
{
    begin(CORK_MEMPOOL_CANARY, 24);
    canary_is_verified(VERIFY, lowest, lowest - CANARY_SIZE);
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        canary_is_verified(VERIFY, objects[i], objects[i] + 24);
        canary_is_verified(VERIFY, objects[i], objects[i] + stats_of(&mp).slot_size - CANARY_SIZE);
    }
    end(0);
}

/* Changes a byte, or changes it back. */
static void flip(char *address)
{
    poke(address, peek(address) ^ 1u);
}

static void damage_is_found(enum call call, enum cork_mempool_violation_kind kind, char *object)
{
    RUN_UNTIL_REFUSED(make(call, object));
    CHECK_EQUAL(seen.violation.kind, kind);
    CHECK_POINTER(seen.violation.pointer, object);
}

/* The slot behind it begins a group, all of whose slots are prepared when the first is issued. */
TEST(a_damaged_canary_is_not_mended_when_the_slot_behind_it_is_issued)
{
    char *behind;

    init((struct cork_mempool_options){.element_size = 24, .protections = CORK_MEMPOOL_CANARY});
    take(64);
    behind = objects[63] + stats_of(&mp).slot_size;
    flip(behind - 1);
    CHECK_POINTER(cork_mempool_new(&mp), behind);
    damage_is_found(FREE, CORK_MEMPOOL_CANARY_DAMAGED, objects[63]);
}

TEST(a_damaged_canary_is_not_mended_when_its_slot_is_issued_again)
{
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        begin(CORK_MEMPOOL_CANARY, 24);
        give(0, OBJECT_COUNT);
        flip(objects[i] + 24);
        for (size_t j = 0; j < OBJECT_COUNT; j++) {
            CHECK(cork_mempool_new(&mp) != NULL);
        }
        damage_is_found(FREE, CORK_MEMPOOL_CANARY_DAMAGED, objects[i]);
        flip(objects[i] + 24);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* The slot behind has been issued, and is what shows the damage. */
TEST(a_damaged_canary_is_not_mended_when_the_slot_before_it_is_issued)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        char *first;
        char *next;

        init((struct cork_mempool_options){
            .element_size = 24,
            .protections = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SHUFFLE,
            .seed = seed,
            .max_objects = 64,
        });
        first = cork_mempool_new(&mp);
        flip(first - 1);
        do {
            next = cork_mempool_new(&mp);
        } while (next != NULL && next + stats_of(&mp).slot_size != first);
        damage_is_found(FREE, CORK_MEMPOOL_CANARY_DAMAGED, first);
        CHECK_POINTER(seen.violation.damaged, first - CANARY_SIZE);
        flip(first - 1);
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* Behind a guard of a single slot too, the first object has a canary before it. */
TEST(canaries_of_guarded_blocks_are_complete_whatever_the_size_of_objects)
{
    static const size_t large[] = {24, 1000, 4000, 5000, 13000, 20000, 100000};

    for (size_t i = 0; i < COUNT_OF(large); i++) {
        init((struct cork_mempool_options){
            .element_size = large[i],
            .block_size = 1,
            .protections = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_GUARD,
        });
        exercise(&mp, 5);
    }
}

/* A zero is what a string that is one byte too long ends in. */
TEST(no_byte_of_a_canary_is_0_whatever_the_seed)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        const char *object;

        init((struct cork_mempool_options){
            .element_size = 8, .protections = CORK_MEMPOOL_CANARY, .seed = seed});
        object = cork_mempool_new(&mp);
        for (size_t i = 0; i < CANARY_SIZE; i++) {
            CHECK(peek(object + 8 + i) != 0);
        }
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
}

/* In a region in which a pool does not look first. */
TEST(a_refused_free_of_a_damaged_object_far_away_changes_nothing)
{
    init((struct cork_mempool_options){.element_size = 24, .protections = CORK_MEMPOOL_CANARY});
    take(448);
    CHECK(stats_of(&mp).region_count > 2);
    cork_mempool_free(&mp, objects[447]);
    flip(objects[0] + 24);
    CHECK_REFUSED(&mp, CORK_MEMPOOL_CANARY_DAMAGED, objects[0], 0, make(FREE, objects[0]));
    flip(objects[0] + 24);
    CHECK(cork_mempool_check(&mp));
    CHECK_POINTER(cork_mempool_new(&mp), objects[447]);
    fill(objects[447], 24, 447);
    give(0, 448);
    cork_mempool_done(&mp);
}

/* Memory that no object has been issued in is not touched, so that it costs nothing. */
TEST(canaries_are_written_when_an_object_of_a_slot_is_issued_and_not_before)
{
    static _Alignas(64) unsigned char buffer[8192];

    memset(buffer, 0xa5, sizeof(buffer));
    init((struct cork_mempool_options){.element_size = 24,
                                       .protections = CORK_MEMPOOL_CANARY,
                                       .buffer = buffer,
                                       .buffer_size = sizeof(buffer)});
    for (size_t i = 0; i < 100; i++) {
        const char *const object = cork_mempool_new(&mp);
        const char *byte = object + stats_of(&mp).slot_size;

        for (; byte < (char *)&buffer[sizeof(buffer)]; byte++) {
            CHECK_EQUAL(peek(byte), 0xa5);
        }
        CHECK(peek(object + 24) != 0xa5 || peek(object + 25) != 0xa5);
    }
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

/* Writes into each byte of an object that is free. Shown are those from the first that should be
 * zero and is not; or of contents that need not be zero, the first, zero or not. */
static void writes_are_found(enum call call, char *object)
{
    static const unsigned char zeros[SHOWN_MAX];
    const bool is_wiped = (mp.protections & CORK_MEMPOOL_WIPE) != 0;

    for (size_t i = 0; i < object_size; i++) {
        const unsigned char before = peek(object + i);
        const size_t first = is_wiped ? i : 0;
        const size_t rest = object_size - first;

        CHECK_FORBIDDEN(object + i);
        poke(object + i, before ^ 1u << i % 8);
        is_found(call, CORK_MEMPOOL_WRITE_AFTER_FREE, object, object + first,
                 rest < SHOWN_MAX ? rest : SHOWN_MAX, is_wiped ? zeros : NULL);
        poke(object + i, before);
    }
}

TEST(no_byte_of_freed_contents_may_be_written)
{
    static const unsigned sets[] = {CORK_MEMPOOL_SEAL, CORK_MEMPOOL_WIPE};

    for (size_t size = 1; size <= 70; size++) {
        for (size_t i = 0; i < COUNT_OF(sets); i++) {
            begin(sets[i], size);
            give(0, OBJECT_COUNT);
            writes_are_found(VERIFY, objects[size % OBJECT_COUNT]);
            end(OBJECT_COUNT);
        }
    }
}

TEST(a_write_into_zeros_is_shown_from_their_start)
{
    begin(CORK_MEMPOOL_SEAL, 24);
    memset(objects[0], 0, 24);
    cork_mempool_free(&mp, objects[0]);
    writes_are_found(VERIFY, objects[0]);
    end(1);
}

/* By new, from a quarantine too: the call is refused before it has taken anything out. */
TEST(a_write_after_free_is_found_by_every_call_that_verifies)
{
    static const unsigned verifying = CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE;

    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = set % SIZE_STEP; i < COUNT_OF(sizes) && (set & verifying) != 0;
             i += SIZE_STEP) {
            begin(set, sizes[i]);
            give(0, 1);
            writes_are_found(NEW, objects[0]);
            give(1, 3);
            writes_are_found(VERIFY, objects[1]);
            writes_are_found(CLEAR, objects[0]);
            writes_are_found(TRIM, objects[2]);
            give(3, OBJECT_COUNT);
            writes_are_found(VERIFY, objects[OBJECT_COUNT - 1]);
            writes_are_found(DONE, objects[7]);
            end(OBJECT_COUNT);
        }
    }
}

TEST(contents_of_another_slot_are_no_substitute_for_those_that_were_freed)
{
    begin(CORK_MEMPOOL_SEAL, 24);
    give(0, OBJECT_COUNT);
    for (size_t i = 0; i < 24; i++) {
        const unsigned char byte = peek(objects[4] + i);

        poke(objects[4] + i, peek(objects[9] + i));
        poke(objects[9] + i, byte);
    }
    damage_is_found(VERIFY, CORK_MEMPOOL_WRITE_AFTER_FREE, objects[4]);
}

/* A buffer has nothing to give back, so what is written to its free slots must still be found. */
TEST(a_write_after_free_is_found_after_a_trim_that_gave_nothing_back)
{
    static _Alignas(16) char buffer[20000];

    init((struct cork_mempool_options){.element_size = 24,
                                       .protections = CORK_MEMPOOL_SEAL,
                                       .buffer = buffer,
                                       .buffer_size = sizeof(buffer)});
    take(100);
    give(0, 64);
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    flip(objects[3]);
    damage_is_found(VERIFY, CORK_MEMPOOL_WRITE_AFTER_FREE, objects[3]);
}

/* What trim gives back may be anything; what it leaves, next to it, is verified as before. */
TEST(a_write_after_free_is_found_beside_what_a_trim_gave_back)
{
    /* 64 objects fill a page of the system's, for there is no heap. */
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    init((struct cork_mempool_options){.element_size = page_size() / 64,
                                       .protections = CORK_MEMPOOL_SEAL});
    take(192);
    requests_stop();
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    give(0, 65);
    CHECK(cork_mempool_trim(&mp) > 0);
    flip(objects[64]);
    damage_is_found(VERIFY, CORK_MEMPOOL_WRITE_AFTER_FREE, objects[64]);
}

/* A refused new leaves the order of a shuffled pool as it was, so that a run can be replayed. */
TEST(a_refused_new_does_not_change_which_slots_are_issued_next)
{
    ptrdiff_t order[2][OBJECT_COUNT];

    for (size_t round = 0; round < 2; round++) {
        begin(CORK_MEMPOOL_SEAL | CORK_MEMPOOL_SHUFFLE, 24);
        give(0, OBJECT_COUNT);
        for (size_t i = 0; i < OBJECT_COUNT && round == 1; i++) {
            flip(objects[i]);
        }
        RUN_UNTIL_REFUSED(make(round == 0 ? VERIFY : NEW, NULL));
        CHECK_EQUAL(seen.count, round);
        for (size_t i = 0; i < OBJECT_COUNT && round == 1; i++) {
            flip(objects[i]);
        }
        for (size_t i = 0; i < OBJECT_COUNT; i++) {
            order[round][i] = (char *)cork_mempool_new(&mp) - lowest;
        }
        cork_mempool_clear(&mp);
        cork_mempool_done(&mp);
    }
    CHECK_EQUAL(memcmp(order[0], order[1], sizeof(order[0])), 0);
}

/* 0 stands for contents that have no seal. Who knows the key can find some that would have that. */
TEST(a_write_is_found_after_a_free_of_contents_whose_seal_would_be_0)
{
    uint64_t other_key;

    begin(CORK_MEMPOOL_SEAL, 16);
    other_key = mp.key + 0x9e3779b97f4a7c15U;
    memcpy(objects[0], (const uint64_t[]){other_key ^ mp.key, other_key ^ 1}, 16);
    cork_mempool_free(&mp, objects[0]);
    CHECK(cork_mempool_check(&mp));
    writes_are_found(NEW, objects[0]);
    end(1);
}
