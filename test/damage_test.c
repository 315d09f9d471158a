/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Damage that protections find: a canary that is not what it was, contents that have changed since
 * they were freed. Each byte, at each call that verifies, each time mended and gone on from.
 */

#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

#define CANARY_SIZE  8
#define SHOWN_MAX    16
#define OBJECT_COUNT 32 /* as many as the pool may have */

static struct cork_mempool mp;
static void *objects[192]; /* in the order in which they were issued */

/* Frees the objects from first up to end, which must be as they were taken. */
static void give(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        CHECK(is_filled(objects[i], mp.geometry.element_size, i));
        cork_mempool_free(&mp, objects[i]);
    }
}

/* Makes a pool and takes all objects that it may have. Blocks are small, so that there are regions
 * where free does not look first, and guards behind single slots. */
static void begin(unsigned protections, size_t size)
{
    INIT(&mp, .element_size = size, .block_size = 1, .max_objects = OBJECT_COUNT,
         .protections = protections, .seed = test_seed());
    take_objects(&mp, objects, OBJECT_COUNT);
}

/* Demands that a call is refused for the damage of an object, which is shown from start on. */
static void is_found(enum call call, enum cork_mempool_violation_kind kind, char *object,
                     const char *start, size_t size, const unsigned char *expected)
{
    unsigned char found[SHOWN_MAX];

    for (size_t i = 0; i < size; i++) {
        found[i] = peek(start + i);
    }
    CHECK_REFUSED(&mp, make_call(call, &mp, object), .kind = kind, .pointer = object,
                  .slot = slot_number_at(&mp, object), .damaged = start, .damaged_size = size,
                  .found = found, .expected = expected);
}

static void canary_is_verified(enum call call, char *object, char *canary)
{
    unsigned char expected[CANARY_SIZE];

    for (size_t i = 0; i < CANARY_SIZE; i++) {
        expected[i] = peek(canary + i);
    }
    for (size_t i = 0; i < CANARY_SIZE; i++) {
        CHECK_FORBIDDEN(canary + i);
        poke(canary + i, i % 2 == 0 ? 0 : expected[i] ^ 0x80u);
        is_found(call, CORK_MEMPOOL_CANARY_DAMAGED, object, canary, CANARY_SIZE, expected);
        poke(canary + i, expected[i]);
    }
}

/* An object's canaries: before it, right behind it, and at the end of its slot. */
static char *canary_of(char *object, size_t number)
{
    char *const canaries[] = {object - CANARY_SIZE, object + mp.geometry.element_size,
                              object + mp.geometry.stride - CANARY_SIZE};

    return canaries[number];
}

/* If there are any. */
static void canaries_are_verified(enum call call, char *object)
{
    for (size_t i = 0; i < 3 && (mp.protections & CORK_MEMPOOL_CANARY) != 0; i++) {
        canary_is_verified(call, object, canary_of(object, i));
    }
}

/* Writes into each byte of an object that is free, if that can be found. Shown are those from the
 * first that should be zero and is not; or of contents that need not be zero, the first, zero or
 * not. */
static void writes_are_found(enum call call, char *object)
{
    static const unsigned char zeros[SHOWN_MAX];
    const bool is_wiped = (mp.protections & CORK_MEMPOOL_WIPE) != 0;
    const bool is_sealed = (mp.protections & CORK_MEMPOOL_SEAL) != 0;

    for (size_t i = 0; i < mp.geometry.element_size && (is_wiped || is_sealed); i++) {
        const unsigned char before = peek(object + i);
        const size_t first = is_wiped ? i : 0;
        const size_t rest = mp.geometry.element_size - first;

        CHECK_FORBIDDEN(object + i);
        poke(object + i, before ^ 1u << i % 8);
        is_found(call, CORK_MEMPOOL_WRITE_AFTER_FREE, object, object + first,
                 rest < SHOWN_MAX ? rest : SHOWN_MAX, is_wiped ? zeros : NULL);
        poke(object + i, before);
    }
}

/* new is refused before it has taken anything out of a quarantine. A canary between two objects is
 * charged to the first of them, so calls that verify all look at slot 0. */
static void damage_is_found_by_every_call(void)
{
    canaries_are_verified(FREE, objects[0]);
    canaries_are_verified(FREE, objects[5]);
    canaries_are_verified(FREE, objects[OBJECT_COUNT - 1]);
    for (enum call call = VERIFY; call < DONE; call++) {
        canaries_are_verified(call, mp.oldest->base);
    }
    give(0, 1);
    writes_are_found(NEW, objects[0]);
    CHECK_EQUAL(mp.quarantine.count, (mp.protections & CORK_MEMPOOL_QUARANTINE) != 0);
    give(1, 6);
    canaries_are_verified(FREE, objects[6]);
    writes_are_found(VERIFY, objects[1]);
    writes_are_found(CLEAR, objects[0]);
    writes_are_found(TRIM, objects[2]);
    give(6, OBJECT_COUNT);
    for (enum call call = VERIFY; call <= DONE; call++) {
        canaries_are_verified(call, mp.oldest->base);
    }
    writes_are_found(VERIFY, objects[OBJECT_COUNT - 1]);
    writes_are_found(DONE, objects[7]);
}

TEST(damage_is_found_by_every_call_that_verifies_with_every_set_of_protections)
{
    static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 24, 33, 100};
    /* Each set goes with every size; under AddressSanitizer, which takes its time, every third. */
    const size_t step = TEST_UNDER_ASAN ? 3 : 1;

    for (unsigned number = 0; number < SETS_COUNT; number++) {
        const unsigned set = set_of(number);
        for (size_t i = number % step; i < COUNT_OF(sizes); i += step) {
            test_row("protections %#x, size %zu", set, sizes[i]);
            begin(set, sizes[i]);
            damage_is_found_by_every_call();
            exercise(&mp, OBJECT_COUNT);
        }
    }
}

/* Changes a byte, or changes it back. */
static void flip(char *address)
{
    poke(address, peek(address) ^ 1u);
}

/* Damages a canary of each object, when those behind it have not been issued yet, or when all are
 * free; then has all others issued. */
static void damage_is_not_mended(unsigned set, bool are_free)
{
    const size_t count = 70; /* of two groups */

    for (size_t i = 0; i < 3 * count; i++) {
        INIT(&mp, .element_size = 24, .max_objects = count, .protections = set, .seed = i + 1);
        take_objects(&mp, objects, are_free ? count : i / 3 + 1);
        give(0, are_free ? count : 0);
        char *const object = objects[i / 3];
        char *const canary = canary_of(object, i % 3);

        flip(canary + 7);
        while (cork_mempool_new(&mp) != NULL) {
        }
        is_found(FREE, CORK_MEMPOOL_CANARY_DAMAGED, object, canary, CANARY_SIZE,
                 (const unsigned char *)&mp.key);
        flip(canary + 7);
        clear_and_end(&mp);
    }
}

/* Neither its slot, nor that before or behind it. */
TEST(a_damaged_canary_is_not_mended_when_slots_are_issued)
{
    damage_is_not_mended(CORK_MEMPOOL_CANARY, false);
    damage_is_not_mended(CORK_MEMPOOL_CANARY, true);
    damage_is_not_mended(CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SHUFFLE, false);
    damage_is_not_mended(CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SHUFFLE, true);
}

/* A zero is what a string that is one byte too long ends in. The number that SplitMix64 makes of a
 * seed, or its state, would tell the seed. */
TEST(no_byte_of_a_canary_is_0_and_it_does_not_tell_the_seed)
{
    const uint64_t number = UINT64_C(6457827717110365317), ones = UINT64_C(0x0101010101010101);

    INIT(&mp, .protections = CORK_MEMPOOL_CANARY, .seed = 1234567);
    CHECK(mp.key != (number | ones) && mp.key != (mp.random | ones));
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        INIT(&mp, .element_size = 8, .protections = CORK_MEMPOOL_CANARY, .seed = seed);
        take_objects(&mp, objects, 1);
        for (size_t i = 0; i < CANARY_SIZE; i++) {
            CHECK(peek(canary_of(objects[0], 1) + i) != 0);
        }
        clear_and_end(&mp);
    }
}

/* A word that is the key of checksums would hide the one beside it. */
TEST(a_canary_that_was_copied_to_an_object_hides_no_write_after_its_free)
{
    begin(CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL, 72);
    for (size_t i = 0; i < 9; i++) {
        const uint64_t word = mp.key + i / 4 * UINT64_C(0x9e3779b97f4a7c15);

        memcpy((char *)objects[0] + 8 * i, &word, 8);
    }
    cork_mempool_free(&mp, objects[0]);
    writes_are_found(VERIFY, objects[0]);
    clear_and_end(&mp);
}

/* Memory that no object has been issued in is not touched, so that it costs nothing. */
TEST(canaries_are_written_when_an_object_of_a_slot_is_issued_and_not_before)
{
    static _Alignas(64) unsigned char buffer[8192];

    memset(buffer, 0xa5, sizeof(buffer));
    INIT(&mp, .element_size = 24, .protections = CORK_MEMPOOL_CANARY, .buffer = buffer,
         .buffer_size = sizeof(buffer));
    for (size_t i = 0; i < 100; i++) {
        take_objects(&mp, objects, 1);
        for (const char *byte = (char *)objects[0] + mp.geometry.stride;
             byte < (char *)&buffer[8192]; byte++) {
            CHECK_EQUAL(peek(byte), 0xa5);
        }
        CHECK(peek(canary_of(objects[0], 1)) != 0xa5 || peek(canary_of(objects[0], 1) + 1) != 0xa5);
    }
    clear_and_end(&mp);
}

/* Of zeros, too, all are shown. */
TEST(no_byte_of_freed_contents_may_be_written)
{
    static const unsigned sets[] = {CORK_MEMPOOL_SEAL, CORK_MEMPOOL_WIPE};

    for (size_t size = 1; size <= 70; size++) {
        for (size_t i = 0; i < COUNT_OF(sets); i++) {
            test_row("protections %#x, size %zu", sets[i], size);
            begin(sets[i], size);
            memset(objects[0], 0, size);
            cork_mempool_free(&mp, objects[0]);
            give(1, OBJECT_COUNT);
            writes_are_found(VERIFY, objects[0]);
            writes_are_found(VERIFY, objects[size % OBJECT_COUNT]);
            exercise(&mp, OBJECT_COUNT);
        }
    }
}

static void exchange(unsigned char *one, unsigned char *other, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char before = peek(one + i);

        poke(one + i, peek(other + i));
        poke(other + i, before);
    }
}

/* Two words of zeros may not become pointers to the object, either. */
TEST(words_of_a_freed_object_may_neither_change_places_nor_point_to_it)
{
    for (size_t size = 16; size <= 130; size++) {
        begin(CORK_MEMPOOL_SEAL, size);
        unsigned char *const object = objects[0];
        void *links[16 / sizeof(void *)] = {object, object};

        for (size_t i = 0; i < size; i++) {
            object[i] = (unsigned char)(i < 16 ? 0 : i);
        }
        cork_mempool_free(&mp, object);
        exchange(object, (unsigned char *)links, sizeof(links));
        CHECK_KIND((void)!cork_mempool_check(&mp), CORK_MEMPOOL_WRITE_AFTER_FREE);
        exchange(object, (unsigned char *)links, sizeof(links));
        /* A word, and then two. */
        for (size_t i = 0; i < 2 * size; i += 8) {
            const size_t part = 8 + i / size * 8, first = i % size / 8 * 8;

            for (size_t j = first == 0 ? 16 : first + part; j + part <= size; j += 8) {
                exchange(object + first, object + j, part);
                CHECK_KIND((void)!cork_mempool_check(&mp), CORK_MEMPOOL_WRITE_AFTER_FREE);
                exchange(object + first, object + j, part);
            }
        }
        clear_and_end(&mp);
    }
}

/* MemorySanitizer knows that nobody has written the object, and must not mind that it is shown. */
TEST(a_write_after_free_is_reported_of_an_object_that_its_owner_left_uninitialized)
{
    static _Alignas(16) char buffer[4096];

    INIT(&mp, .element_size = 24, .protections = CORK_MEMPOOL_SEAL, .buffer = buffer,
         .buffer_size = sizeof(buffer));
    objects[0] = cork_mempool_new(&mp);
    cork_mempool_free(&mp, objects[0]);
    poke(objects[0], 2);
    RUN_UNTIL_REFUSED((void)!cork_mempool_check(&mp));
    seen.violation.call_site = NULL;
    CHECK_ABORTS(report_of(&seen.violation), (void)!cork_mempool_check(&mp));
    poke(objects[0], 0);
    cork_mempool_done(&mp);
}

/* So that a checksum fits no other slot's contents, nor those of another pool. */
TEST(equal_contents_have_other_checksums_in_other_slots_and_with_another_seed)
{
    static _Alignas(64) char buffer[33 << 16];
    uint64_t sums[2 * OBJECT_COUNT];
    size_t count = 0;

    for (uint64_t seed = 1; seed <= 2; seed++) {
        INIT(&mp, .element_size = 1 << 16, .alignment = 16, .protections = CORK_MEMPOOL_SEAL,
             .seed = seed, .buffer = buffer, .buffer_size = sizeof(buffer));
        take_objects(&mp, objects, OBJECT_COUNT);
        for (size_t i = 0; i < OBJECT_COUNT; i++) {
            memset(objects[i], 5, 1 << 16);
            cork_mempool_free(&mp, objects[i]);
            sums[count] = mp.oldest->checksums[i];
            for (size_t j = 0; j < count; j++) {
                CHECK(sums[j] != sums[count]);
            }
            count++;
        }
        exercise(&mp, OBJECT_COUNT);
    }
}

/* What trim gives back may be anything, but for WIPE at the next new; what it leaves is verified as
 * before: all of a buffer, and slots next to what it gave back. */
TEST(a_write_after_free_is_found_in_what_a_trim_did_not_give_back_and_with_wipe_in_all)
{
    static _Alignas(16) char buffer[20000];

    INIT(&mp, .element_size = 24, .protections = CORK_MEMPOOL_SEAL, .buffer = buffer,
         .buffer_size = sizeof(buffer));
    take_objects(&mp, objects, 100);
    give(0, 64);
    CHECK_EQUAL(cork_mempool_trim(&mp), 0);
    writes_are_found(VERIFY, objects[3]);
    clear_and_end(&mp);

    /* 64 objects fill a page of the system's, for there is no heap. */
    requests_start_lacking(NO_HEAP);
    INIT(&mp, .element_size = page_size() / 64, .protections = CORK_MEMPOOL_WIPE);
    take_objects(&mp, objects, 192);
    requests_stop();
    CHECK_EQUAL(stats_of(&mp).region_count, 1);
    give(0, 65);
    CHECK(cork_mempool_trim(&mp) > 0);
    writes_are_found(VERIFY, objects[64]);
    CHECK_POINTER(cork_mempool_new(&mp), objects[64]);
    writes_are_found(NEW, objects[0]);
    clear_and_end(&mp);
}

/* Of four that rest, new takes the first two out where memory is refused. */
TEST(what_leaves_the_quarantine_is_verified_before_any_of_it_does)
{
    INIT(&mp, .element_size = 48, .protections = CORK_MEMPOOL_WIPE | CORK_MEMPOOL_QUARANTINE);
    take_objects(&mp, objects, 1);
    take_objects(&mp, objects + 1, stats_of(&mp).free_count);
    for (size_t i = 4; i-- > 0;) {
        cork_mempool_free(&mp, objects[i]);
    }
    requests_start_lacking(NO_HEAP | NO_MAPPINGS);
    writes_are_found(NEW, objects[2]);
    requests_stop();
    clear_and_end(&mp);
}
