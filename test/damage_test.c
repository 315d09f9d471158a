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

#define CANARY_SIZE 8
#define SHOWN_MAX   16

static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 24, 33, 100};

/* The canaries of an object: before it, right behind it, and at the end of its slot. */
static char *canary_of(char *object, size_t which)
{
    switch (which) {
    case 0:
        return object - CANARY_SIZE;
    case 1:
        return object + subject.element_size;
    default:
        return object + subject.slot_size - CANARY_SIZE;
    }
}

static void damage_of_canary_is_found(enum call call, char *object, bool is_freed, char *canary)
{
    unsigned char expected[CANARY_SIZE];

    for (size_t i = 0; i < CANARY_SIZE; i++) {
        expected[i] = peek(canary + i);
        /* A string that is one byte too long must be seen. */
        CHECK(expected[i] != 0);
    }
    for (size_t i = 0; i < CANARY_SIZE; i++) {
        poke(canary + i, i % 2 == 0 ? 0 : expected[i] ^ 0x80u);
        refuse(call, object, CORK_MEMPOOL_CANARY_DAMAGED, subject_slot(object), is_freed);
        CHECK_POINTER(seen.violation.damaged, canary);
        CHECK_FORBIDDEN(canary + i);
        CHECK_EQUAL(seen.violation.damaged_size, CANARY_SIZE);
        CHECK_EQUAL(memcmp(seen.violation.expected, expected, CANARY_SIZE), 0);
        for (size_t j = 0; j < CANARY_SIZE; j++) {
            CHECK_EQUAL(seen.found[j], peek(canary + j));
        }
        poke(canary + i, expected[i]);
    }
}

static void canaries_are_verified(enum call call, char *object, bool is_freed)
{
    for (size_t which = 0; which < 3; which++) {
        damage_of_canary_is_found(call, object, is_freed, canary_of(object, which));
    }
}

TEST(a_damaged_canary_is_found_when_its_object_is_freed)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes) && (set & CORK_MEMPOOL_CANARY) != 0; i++) {
            subject_begin(set, sizes[i]);
            canaries_are_verified(FREE, subject.objects[0], false);
            canaries_are_verified(FREE, subject.objects[5], false);
            canaries_are_verified(FREE, subject.objects[SUBJECT_COUNT - 1], false);
            subject_give(0, 6);
            canaries_are_verified(FREE, subject.objects[6], false);
            subject_end(6);
        }
    }
}

/* A canary between two objects is charged to the first of them, so this looks at the first. */
TEST(a_damaged_canary_is_found_by_check_clear_trim_and_done)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes) && (set & CORK_MEMPOOL_CANARY) != 0; i++) {
            subject_begin(set, sizes[i]);
            canaries_are_verified(VERIFY, subject.lowest, false);
            canaries_are_verified(CLEAR, subject.lowest, false);
            canaries_are_verified(TRIM, subject.lowest, false);
            subject_give(0, SUBJECT_COUNT);
            canaries_are_verified(VERIFY, subject.lowest, true);
            canaries_are_verified(CLEAR, subject.lowest, true);
            canaries_are_verified(TRIM, subject.lowest, true);
            canaries_are_verified(DONE, subject.lowest, true);
            subject_end(SUBJECT_COUNT);
        }
    }
}

TEST(every_canary_of_a_pool_is_verified_by_check)
{
    subject_begin(CORK_MEMPOOL_CANARY, 24);
    damage_of_canary_is_found(VERIFY, subject.lowest, false, canary_of(subject.lowest, 0));
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        char *const object = subject.objects[i];

        damage_of_canary_is_found(VERIFY, object, false, canary_of(object, 1));
        damage_of_canary_is_found(VERIFY, object, false, canary_of(object, 2));
    }
    subject_end(0);
}

/* A pool that is the subject but for its number of objects. */
static void begin_large(unsigned set, size_t element_size, void **objects, size_t count)
{
    const struct cork_mempool_options options = {.element_size = element_size, .protections = set};

    CHECK(cork_mempool_init_with(&subject.mp, &options));
    take_objects(&subject.mp, objects, count);
}

/* The slot behind it begins a group, all of whose slots are prepared when the first is issued. */
TEST(a_damaged_canary_is_not_mended_when_the_slot_behind_it_is_issued)
{
    char *objects[128];
    char *end;

    begin_large(CORK_MEMPOOL_CANARY, 24, (void **)objects, COUNT_OF(objects));
    end = objects[127] + stats_of(&subject.mp).slot_size;
    poke(end - 1, peek(end - 1) ^ 1u);
    CHECK_POINTER(cork_mempool_new(&subject.mp), end);
    CHECK(is_refused(FREE, objects[127]));
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_CANARY_DAMAGED);
    CHECK_POINTER(seen.violation.pointer, objects[127]);
}

TEST(a_damaged_canary_is_not_mended_when_its_slot_is_issued_again)
{
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        char *canary;
        unsigned char before;

        subject_begin(CORK_MEMPOOL_CANARY, 24);
        subject_give(0, SUBJECT_COUNT);
        canary = subject.objects[i] + 24;
        before = peek(canary);
        poke(canary, before ^ 1u);
        for (size_t j = 0; j < SUBJECT_COUNT; j++) {
            CHECK(site_of_new(&subject.mp) != NULL);
        }
        refuse(FREE, subject.objects[i], CORK_MEMPOOL_CANARY_DAMAGED, i, false);
        poke(canary, before);
        cork_mempool_clear(&subject.mp);
        cork_mempool_done(&subject.mp);
    }
}

/* Behind a guard of a single slot too, the first object has a canary before it. */
TEST(canaries_of_guarded_blocks_are_complete_whatever_the_size_of_objects)
{
    static const size_t large[] = {24, 1000, 4000, 5000, 13000, 20000, 100000};

    for (size_t i = 0; i < COUNT_OF(large); i++) {
        char *objects[5];
        const struct cork_mempool_options options = {
            .element_size = large[i],
            .block_size = 1,
            .protections = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_GUARD,
        };

        CHECK(cork_mempool_init_with(&subject.mp, &options));
        take_objects(&subject.mp, (void **)objects, COUNT_OF(objects));
        give_objects(&subject.mp, (void **)objects, COUNT_OF(objects));
        cork_mempool_done(&subject.mp);
    }
}

/* A zero is what a string that is one byte too long ends in. */
TEST(no_byte_of_a_canary_is_0_whatever_the_seed)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        const struct cork_mempool_options options = {
            .element_size = 8, .protections = CORK_MEMPOOL_CANARY, .seed = seed};
        const char *object;

        CHECK(cork_mempool_init_with(&subject.mp, &options));
        object = cork_mempool_new(&subject.mp);
        for (size_t i = 0; i < CANARY_SIZE; i++) {
            CHECK(peek(object + 8 + i) != 0);
        }
        cork_mempool_clear(&subject.mp);
        cork_mempool_done(&subject.mp);
    }
}

/* In a region in which a pool does not look first. */
TEST(a_refused_free_of_a_damaged_object_far_away_changes_nothing)
{
    char *objects[128];
    struct cork_mempool_stats before;
    struct cork_mempool_stats after;

    begin_large(CORK_MEMPOOL_CANARY, 24, (void **)objects, COUNT_OF(objects));
    CHECK(stats_of(&subject.mp).region_count > 1);
    cork_mempool_free(&subject.mp, objects[127]);
    poke(objects[0] + 24, peek(objects[0] + 24) ^ 1u);
    before = stats_of(&subject.mp);
    CHECK(is_refused(FREE, objects[0]));
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_CANARY_DAMAGED);
    after = stats_of(&subject.mp);
    CHECK(same_stats(&before, &after));
    poke(objects[0] + 24, peek(objects[0] + 24) ^ 1u);
    CHECK(cork_mempool_check(&subject.mp));
    CHECK_POINTER(cork_mempool_new(&subject.mp), objects[127]);
    fill(objects[127], 24, 127);
    give_objects(&subject.mp, (void **)objects, COUNT_OF(objects));
    cork_mempool_done(&subject.mp);
}

/* The slot behind has been issued, and is what shows the damage. */
TEST(a_damaged_canary_is_not_mended_when_the_slot_before_it_is_issued)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        const struct cork_mempool_options options = {
            .element_size = 24,
            .protections = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SHUFFLE,
            .seed = seed,
            .max_objects = 64,
        };
        char *first;
        char *next;

        CHECK(cork_mempool_init_with(&subject.mp, &options));
        first = cork_mempool_new(&subject.mp);
        poke(first - 1, peek(first - 1) ^ 1u);
        do {
            next = cork_mempool_new(&subject.mp);
        } while (next != NULL && next + stats_of(&subject.mp).slot_size != first);
        CHECK(is_refused(FREE, first));
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_CANARY_DAMAGED);
        CHECK_POINTER(seen.violation.damaged, first - CANARY_SIZE);
        poke(first - 1, peek(first - 1) ^ 1u);
        cork_mempool_clear(&subject.mp);
        cork_mempool_done(&subject.mp);
    }
}

/* Memory that no object has been issued in is not touched, so that it costs nothing. */
TEST(canaries_are_written_when_an_object_of_a_slot_is_issued_and_not_before)
{
    static _Alignas(64) unsigned char buffer[8192];
    const struct cork_mempool_options options = {.element_size = 24,
                                                 .protections = CORK_MEMPOOL_CANARY,
                                                 .buffer = buffer,
                                                 .buffer_size = sizeof(buffer)};

    memset(buffer, 0xa5, sizeof(buffer));
    CHECK(cork_mempool_init_with(&subject.mp, &options));
    for (size_t i = 0; i < 100; i++) {
        const char *const object = cork_mempool_new(&subject.mp);
        const char *const end = object + stats_of(&subject.mp).slot_size;

        for (const char *byte = end; byte < (char *)&buffer[sizeof(buffer)]; byte++) {
            CHECK_EQUAL(peek(byte), 0xa5);
        }
        CHECK(peek(object + 24) != 0xa5 || peek(object + 25) != 0xa5);
    }
    cork_mempool_clear(&subject.mp);
    cork_mempool_done(&subject.mp);
}

/* Writes into each byte of an object that is free, and calls. */
static void writes_are_found(enum call call, char *object)
{
    static const unsigned char zeros[SHOWN_MAX];
    const bool is_wiped = (subject.protections & CORK_MEMPOOL_WIPE) != 0;

    for (size_t i = 0; i < subject.element_size; i++) {
        const unsigned char before = peek(object + i);
        const size_t first = is_wiped ? i : 0;
        const size_t rest = subject.element_size - first;

        poke(object + i, before ^ 1u << i % 8);
        refuse(call, object, CORK_MEMPOOL_WRITE_AFTER_FREE, subject_slot(object), true);
        CHECK_POINTER(seen.violation.damaged, object + first);
        CHECK_FORBIDDEN(object + i);
        CHECK_EQUAL(seen.violation.damaged_size, rest < SHOWN_MAX ? rest : SHOWN_MAX);
        for (size_t j = 0; j < seen.violation.damaged_size; j++) {
            CHECK_EQUAL(seen.found[j], peek(object + first + j));
        }
        CHECK((seen.violation.expected != NULL) == is_wiped);
        CHECK_EQUAL(memcmp(seen.expected, zeros, sizeof(zeros)), 0);
        poke(object + i, before);
    }
}

TEST(no_byte_of_freed_contents_may_be_written)
{
    for (size_t size = 1; size <= 70; size++) {
        subject_begin(CORK_MEMPOOL_SEAL, size);
        subject_give(0, SUBJECT_COUNT);
        CHECK_FORBIDDEN(subject.objects[0]);
        writes_are_found(VERIFY, subject.objects[size % SUBJECT_COUNT]);
        subject_end(SUBJECT_COUNT);
        subject_begin(CORK_MEMPOOL_WIPE, size);
        subject_give(0, SUBJECT_COUNT);
        writes_are_found(VERIFY, subject.objects[size % SUBJECT_COUNT]);
        subject_end(SUBJECT_COUNT);
    }
}

/* Of contents that need not be zero the first are shown, zero or not. */
TEST(a_write_into_zeros_is_shown_from_their_start)
{
    subject_begin(CORK_MEMPOOL_SEAL, 24);
    memset(subject.objects[0], 0, 24);
    site_of_free(&subject.mp, subject.objects[0]);
    writes_are_found(VERIFY, subject.objects[0]);
    subject_end(1);
}

static bool verifies_contents(unsigned set)
{
    return (set & (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) != 0;
}

TEST(a_write_after_free_is_found_when_the_slot_is_issued_again)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes) && verifies_contents(set); i++) {
            if ((set & CORK_MEMPOOL_QUARANTINE) == 0) {
                subject_begin(set, sizes[i]);
                subject_give(0, 1);
                writes_are_found(NEW, subject.objects[0]);
                subject_end(1);
            }
        }
    }
}

/* The call is refused before it has taken anything out of quarantine. */
TEST(a_write_after_free_is_found_when_a_resting_slot_must_be_issued_again)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes) && verifies_contents(set); i++) {
            if ((set & CORK_MEMPOOL_QUARANTINE) != 0) {
                subject_begin(set, sizes[i]);
                subject_give(0, 1);
                writes_are_found(NEW, subject.objects[0]);
                subject_end(1);
            }
        }
    }
}

TEST(a_write_after_free_is_found_by_check_clear_trim_and_done)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        for (size_t i = 0; i < COUNT_OF(sizes) && verifies_contents(set); i++) {
            subject_begin(set, sizes[i]);
            subject_give(0, 3);
            writes_are_found(VERIFY, subject.objects[1]);
            writes_are_found(CLEAR, subject.objects[0]);
            writes_are_found(TRIM, subject.objects[2]);
            subject_give(3, SUBJECT_COUNT);
            writes_are_found(VERIFY, subject.objects[SUBJECT_COUNT - 1]);
            writes_are_found(DONE, subject.objects[7]);
            subject_end(SUBJECT_COUNT);
        }
    }
}

TEST(contents_of_another_slot_are_no_substitute_for_those_that_were_freed)
{
    char *const one = (subject_begin(CORK_MEMPOOL_SEAL, 24), subject.objects[4]);
    char *const other = subject.objects[9];

    subject_give(0, SUBJECT_COUNT);
    for (size_t i = 0; i < 24; i++) {
        const unsigned char byte = peek(one + i);

        poke(one + i, peek(other + i));
        poke(other + i, byte);
    }
    refuse(VERIFY, one, CORK_MEMPOOL_WRITE_AFTER_FREE, 4, true);
}

/* A buffer has nothing to give back, so what is written to its free slots must still be found. */
TEST(a_write_after_free_is_found_after_a_trim_that_gave_nothing_back)
{
    static _Alignas(16) char buffer[20000];
    const struct cork_mempool_options options = {.element_size = 24,
                                                 .protections = CORK_MEMPOOL_SEAL,
                                                 .buffer = buffer,
                                                 .buffer_size = sizeof(buffer)};
    char *objects[100];

    CHECK(cork_mempool_init_with(&subject.mp, &options));
    take_objects(&subject.mp, (void **)objects, 100);
    give_objects(&subject.mp, (void **)objects, 64);
    CHECK_EQUAL(cork_mempool_trim(&subject.mp), 0);
    poke(objects[3], peek(objects[3]) ^ 1u);
    CHECK(is_refused(VERIFY, NULL));
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_WRITE_AFTER_FREE);
    CHECK_POINTER(seen.violation.pointer, objects[3]);
}

/* What trim gives back may be anything; what it leaves, next to it, is verified as before. */
TEST(a_write_after_free_is_found_beside_what_a_trim_gave_back)
{
    char *objects[192];

    /* 64 objects fill a page of the system's, for there is no heap. */
    requests_start();
    requests_refuse(HEAP, REFUSE_FROM, 1);
    begin_large(CORK_MEMPOOL_SEAL, page_size() / 64, (void **)objects, COUNT_OF(objects));
    requests_stop();
    CHECK_EQUAL(stats_of(&subject.mp).region_count, 1);
    give_objects(&subject.mp, (void **)objects, 65);
    CHECK(cork_mempool_trim(&subject.mp) > 0);
    poke(objects[64], peek(objects[64]) ^ 1u);
    CHECK(is_refused(VERIFY, NULL));
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_WRITE_AFTER_FREE);
    CHECK_POINTER(seen.violation.pointer, objects[64]);
}

/* A refused new leaves the order of a shuffled pool as it was, so that a run can be replayed. */
TEST(a_refused_new_does_not_change_which_slots_are_issued_next)
{
    ptrdiff_t order[2][SUBJECT_COUNT];

    for (size_t round = 0; round < 2; round++) {
        subject_begin(CORK_MEMPOOL_SEAL | CORK_MEMPOOL_SHUFFLE, 24);
        subject_give(0, SUBJECT_COUNT);
        for (size_t i = 0; i < SUBJECT_COUNT && round == 1; i++) {
            poke(subject.objects[i], peek(subject.objects[i]) ^ 1u);
        }
        CHECK_EQUAL(round, is_refused(round == 0 ? VERIFY : NEW, NULL));
        for (size_t i = 0; i < SUBJECT_COUNT && round == 1; i++) {
            poke(subject.objects[i], peek(subject.objects[i]) ^ 1u);
        }
        for (size_t i = 0; i < SUBJECT_COUNT; i++) {
            order[round][i] = (char *)site_of_new(&subject.mp) - subject.lowest;
        }
        cork_mempool_clear(&subject.mp);
        cork_mempool_done(&subject.mp);
    }
    CHECK_EQUAL(memcmp(order[0], order[1], sizeof(order[0])), 0);
}

/* 0 stands for contents that have no seal. Who knows the key can find some that would have that. */
TEST(a_write_is_found_after_a_free_of_contents_whose_seal_would_be_0)
{
    char *const object = (subject_begin(CORK_MEMPOOL_SEAL, 16), subject.objects[0]);
    const uint64_t key = subject.mp.key;
    const uint64_t other_key = key + 0x9e3779b97f4a7c15U;
    const uint64_t contents[2] = {other_key ^ key, other_key ^ 1};

    memcpy(object, contents, sizeof(contents));
    site_of_free(&subject.mp, object);
    CHECK(cork_mempool_check(&subject.mp));
    writes_are_found(NEW, object);
    subject_end(1);
}
