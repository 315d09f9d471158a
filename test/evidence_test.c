/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a refusal says, with every set of protections: each kind of violation, left by longjmp; the
 * call sites; and each line of the reports.
 */

#define _GNU_SOURCE /* dladdr */

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"

#define CALLSITES CORK_MEMPOOL_CALLSITES

static void nothing_more_is_said(void)
{
    CHECK_POINTER(seen.violation.damaged, NULL);
    CHECK_EQUAL(seen.violation.damaged_size, 0);
    CHECK_POINTER(seen.violation.found, NULL);
    CHECK_POINTER(seen.violation.expected, NULL);
    CHECK_EQUAL(seen.violation.live_count, 0);
    CHECK_EQUAL(seen.violation.listed_count, 0);
    CHECK_POINTER(seen.violation.listed, NULL);
}

TEST(a_double_free_is_refused_with_every_set_of_protections)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        subject_begin(set, 24);
        for (size_t i = 0; i < 9; i++) {
            subject_give(i, i + 1);
            for (size_t j = 0; j <= i; j++) {
                char *const object = subject.objects[j];

                refuse(FREE, object, CORK_MEMPOOL_DOUBLE_FREE, subject_slot(object), true);
                nothing_more_is_said();
            }
        }
        subject_end(9);
    }
}

TEST(an_interior_pointer_is_refused_with_every_set_of_protections)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        subject_begin(set, 24);
        for (size_t i = 0; i < SUBJECT_COUNT; i += 5) {
            char *const object = subject.objects[i];

            for (size_t offset = 1; offset < subject.slot_size; offset++) {
                refuse(FREE, object + offset, CORK_MEMPOOL_INTERIOR_POINTER, subject_slot(object),
                       false);
                nothing_more_is_said();
            }
        }
        subject_end(0);
    }
}

TEST(a_foreign_pointer_is_refused_with_every_set_of_protections)
{
    static char elsewhere;

    for (unsigned set = 0; set < SETS_COUNT; set++) {
        subject_begin(set, 24);
        refuse(FREE, &elsewhere, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT, false);
        nothing_more_is_said();
        refuse(FREE, &subject, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT, false);
        subject_end(0);
    }
}

/* One object is issued, and none of its neighbours; from this seed, it is not a region's last. */
TEST(a_slot_never_issued_is_refused_with_every_set_of_protections)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        struct cork_mempool *const mp = &subject.mp;
        char *object;

        CHECK(cork_mempool_init_with(
            mp, &(const struct cork_mempool_options){
                    .element_size = 24, .protections = set, .seed = SUBJECT_SEED}));
        object = site_of_new(mp);
        CHECK(is_refused(FREE, object + stats_of(mp).slot_size));
        CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_NEVER_ISSUED);
        CHECK_POINTER(seen.violation.pointer, object + stats_of(mp).slot_size);
        CHECK_POINTER(seen.violation.new_site, NULL);
        CHECK_POINTER(seen.violation.free_site, NULL);
        CHECK((set & CORK_MEMPOOL_SHUFFLE) != 0 || seen.violation.slot == 1);
        nothing_more_is_said();
        CHECK_EQUAL(stats_of(mp).live_count, 1);
        site_of_free(mp, object);
        exercise(mp, 300);
    }
}

/* Whether or not the memory goes on there; the region is the one where the pool looks first. */
TEST(the_slot_behind_the_last_is_refused_with_every_set_of_protections)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        char *end;

        subject_begin(set, 24);
        subject_give(0, 1);
        CHECK_POINTER(site_of_new(&subject.mp), subject.objects[0]);
        fill(subject.objects[0], 24, 0);
        for (size_t i = 0; i < SUBJECT_COUNT; i++) {
            end = subject.objects[i] + subject.slot_size;
            if (!cork_mempool_owns(&subject.mp, end)) {
                CHECK(is_refused(FREE, end));
                CHECK(seen.violation.kind == CORK_MEMPOOL_NEVER_ISSUED ||
                      seen.violation.kind == CORK_MEMPOOL_FOREIGN_POINTER);
                CHECK_POINTER(seen.violation.pointer, end);
                CHECK_POINTER(seen.violation.new_site, NULL);
                CHECK_POINTER(seen.violation.free_site, NULL);
                CHECK_EQUAL(stats_of(&subject.mp).live_count, SUBJECT_COUNT);
            }
        }
        subject_end(0);
    }
}

/* Takes objects until most of a region's slots have no memory. Returns: the last object. */
static char *take_until_memory_is_reserved(struct cork_mempool *mp)
{
    char *object;

    do {
        object = cork_mempool_new(mp);
        CHECK(object != NULL);
    } while (stats_of(mp).reserved_size < 2 * stats_of(mp).memory_size);
    return object;
}

/* What protections write down about a slot, they have no memory for where there is none for it. */
TEST(a_slot_without_memory_is_refused_as_never_issued)
{
    if (regions_are_small()) {
        test_skip("regions are small");
    }
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        const struct cork_mempool_options options = {.element_size = 1000,
                                                     .protections = all_protections[i]};

        if ((all_protections[i] & CORK_MEMPOOL_SHUFFLE) != 0) {
            continue;
        }
        CHECK(cork_mempool_init_with(&subject.mp, &options));

        const char *last = take_until_memory_is_reserved(&subject.mp);
        const struct cork_mempool_stats stats = stats_of(&subject.mp);
        const size_t count = (stats.reserved_size - stats.memory_size) / stats.slot_size / 2;
        for (size_t far = 1; far < count; far *= 3) {
            CHECK(is_refused(FREE, (char *)(uintptr_t)last + far * stats.slot_size));
            CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_NEVER_ISSUED);
            CHECK_POINTER(seen.violation.new_site, NULL);
            CHECK_POINTER(seen.violation.free_site, NULL);
        }
        CHECK(count > 30);
        cork_mempool_clear(&subject.mp);
        cork_mempool_done(&subject.mp);
    }
}

TEST(null_may_be_freed_with_every_set_of_protections)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        subject_begin(set, 24);
        CHECK(!is_refused(FREE, NULL));
        CHECK_EQUAL(stats_of(&subject.mp).live_count, SUBJECT_COUNT);
        subject_end(0);
    }
}

static void leak_is_listed(size_t live_count)
{
    const size_t listed_count = live_count < 16 ? live_count : 16;

    CHECK_EQUAL(seen.violation.live_count, live_count);
    CHECK_EQUAL(seen.violation.listed_count, listed_count);
    for (size_t i = 0; i < listed_count; i++) {
        const struct cork_mempool_object *const listed = &seen.listed[i];

        CHECK(cork_mempool_owns(&subject.mp, listed->pointer));
        CHECK(i == 0 || listed->slot > listed[-1].slot);
        CHECK_EQUAL(listed->slot, subject_slot(listed->pointer));
        CHECK((subject.protections & CALLSITES) != 0 ? is_site_of_new(listed->new_site)
                                                     : listed->new_site == NULL);
    }
}

TEST(a_leak_is_refused_with_every_set_of_protections)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        subject_begin(set, 24);
        for (size_t i = 0; i < SUBJECT_COUNT; i++) {
            refuse(DONE, NULL, CORK_MEMPOOL_LEAK, CORK_MEMPOOL_NO_SLOT, false);
            leak_is_listed(SUBJECT_COUNT - i);
            subject_give(i, i + 1);
        }
        subject_end(SUBJECT_COUNT);
    }
}

TEST(without_protections_no_seed_and_no_site_is_known)
{
    subject_begin(0, 24);
    subject_give(0, 1);
    refuse(FREE, subject.objects[0], CORK_MEMPOOL_DOUBLE_FREE, 0, true);
    CHECK(!seen.violation.is_seeded);
    CHECK_POINTER(seen.violation.new_site, NULL);
    CHECK_POINTER(seen.violation.free_site, NULL);
    subject_end(1);
    /* Nor is one made where none is given. */
    cork_mempool_init_size(&subject.mp, 24);
    CHECK(is_refused(FREE, &subject));
    CHECK(!seen.violation.is_seeded);
    CHECK_EQUAL(seen.violation.seed, 0);
}

/* Who has freed the object is who has called clear. */
TEST(the_site_of_a_clear_is_that_of_a_free)
{
    subject_begin(CALLSITES, 24);
    subject_give(0, 3);
    CHECK(!is_refused(CLEAR, NULL));
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        refuse(FREE, subject.objects[i], CORK_MEMPOOL_DOUBLE_FREE, i, true);
    }
    subject_end(SUBJECT_COUNT);
}

/* An object that is issued again has another life, of which no free is known. */
TEST(a_call_site_is_that_of_the_last_call)
{
    void *objects[SUBJECT_COUNT];

    subject_begin(CALLSITES, 24);
    subject_give(0, SUBJECT_COUNT);
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        objects[i] = cork_mempool_new(&subject.mp);
    }
    CHECK(is_refused(FREE, (char *)objects[3] + 1));
    CHECK(seen.violation.new_site != NULL);
    CHECK(!is_site_of_new(seen.violation.new_site));
    CHECK_POINTER(seen.violation.free_site, NULL);
    cork_mempool_clear(&subject.mp);
    cork_mempool_done(&subject.mp);
}

/* Reports, line by line, from the violation that the same call was refused for. */

static char report[8192];

static char *report_end(void)
{
    return report + strlen(report);
}

static size_t report_room(void)
{
    return (size_t)(report + sizeof(report) - report_end());
}

#define ADD(...) (void)snprintf(report_end(), report_room(), __VA_ARGS__)

static void add_site(const char *before, const void *site)
{
    Dl_info info;

    ADD("%s0x%" PRIxPTR, before, (uintptr_t)site - 1);
    if (dladdr((const char *)site - 1, &info) != 0) {
        const void *const start = info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase;

        ADD(" (%s+0x%" PRIxPTR ")", info.dli_sname != NULL ? info.dli_sname : info.dli_fname,
            (uintptr_t)site - 1 - (uintptr_t)start);
    }
}

/* Ends a line that begins at start. A report's line has 511 bytes at most, for the names of files
 * may be long. */
static void end_line(char *start)
{
    if (strlen(start) > 511) {
        start[511] = '\0';
    }
    ADD("\n");
}

static void add_bytes(const char *before, const unsigned char *bytes, size_t size)
{
    ADD("cork_mempool: %s", before);
    for (size_t i = 0; i < size; i++) {
        ADD(" %02x", bytes[i]);
    }
    ADD("\n");
}

static void add_what(const struct cork_mempool_violation *violation)
{
    ADD("cork_mempool: %s: pool 0x%" PRIxPTR " \"%s\"", violation->message,
        (uintptr_t)violation->pool, SUBJECT_NAME);
    if (violation->pointer != NULL) {
        ADD(", pointer 0x%" PRIxPTR, (uintptr_t)violation->pointer);
    }
    if (violation->slot != CORK_MEMPOOL_NO_SLOT) {
        ADD(", slot %zu", violation->slot);
    }
    if (violation->live_count != 0) {
        ADD(", %zu live objects", violation->live_count);
    }
    ADD(", element size %zu", subject.element_size);
    if (subject.protections != 0) {
        ADD(", seed 0x%" PRIx64, SUBJECT_SEED);
    }
    ADD("\n");
}

/* The report of what was seen last, less its second line. */
static const char *expected_report(void)
{
    const struct cork_mempool_violation *const violation = &seen.violation;

    report[0] = '\0';
    add_what(violation);
    if (violation->new_site != NULL) {
        char *const start = report_end();

        add_site("cork_mempool: issued at ", violation->new_site);
        if (violation->free_site != NULL) {
            add_site(", freed at ", violation->free_site);
        }
        end_line(start);
    }
    if (violation->damaged != NULL) {
        ADD("cork_mempool: damage at 0x%" PRIxPTR "\n", (uintptr_t)violation->damaged);
        add_bytes("found   ", seen.found, violation->damaged_size);
    }
    if (violation->expected != NULL) {
        add_bytes("expected", seen.expected, violation->damaged_size);
    }
    for (size_t i = 0; i < violation->listed_count; i++) {
        char *const start = report_end();

        ADD("cork_mempool: live object 0x%" PRIxPTR ", slot %zu", (uintptr_t)seen.listed[i].pointer,
            seen.listed[i].slot);
        if (seen.listed[i].new_site != NULL) {
            add_site(", issued at ", seen.listed[i].new_site);
        }
        end_line(start);
    }
    if ((subject.protections & CALLSITES) == 0) {
        ADD("cork_mempool: CORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, tells where "
            "objects are issued and freed\n");
    }
    return report;
}

/* The sets of protections that reports differ between. */
static const unsigned reported[] = {
    0,
    CORK_MEMPOOL_CANARY,
    CORK_MEMPOOL_SEAL,
    CORK_MEMPOOL_WIPE,
    CALLSITES,
    CORK_MEMPOOL_CANARY | CALLSITES,
    CORK_MEMPOOL_SEAL | CALLSITES,
    CORK_MEMPOOL_WIPE | CALLSITES,
    CORK_MEMPOOL_PARANOID,
};

TEST(reports_of_refused_frees_tell_where_objects_were_issued_and_freed)
{
    for (size_t i = 0; i < COUNT_OF(reported); i++) {
        char *object;

        subject_begin(reported[i], 24);
        object = subject.objects[1];
        refuse(FREE, object + 5, CORK_MEMPOOL_INTERIOR_POINTER, subject_slot(object), false);
        CHECK_ABORTS(expected_report(), make(FREE, object + 5));
        subject_give(0, 2);
        refuse(FREE, object, CORK_MEMPOOL_DOUBLE_FREE, subject_slot(object), true);
        CHECK_ABORTS(expected_report(), make(FREE, object));
        subject_end(2);
    }
}

/* The second line, which the other tests leave out. */
TEST(reports_tell_where_the_refused_call_was_made)
{
    char first[512];
    const char *rest;
    char *second;

    subject_begin(CALLSITES, 24);
    subject_give(0, 1);
    refuse(FREE, subject.objects[0], CORK_MEMPOOL_DOUBLE_FREE, 0, true);
    rest = strchr(expected_report(), '\n') + 1;
    snprintf(first, sizeof(first), "%s", rest);
    second = report + (rest - report);
    *second = '\0';
    add_site("cork_mempool: called at ", seen.violation.call_site);
    end_line(second);
    ADD("%s", first);
    CHECK_ABORTS(report, make(FREE, subject.objects[0]));
    subject_end(1);
}

TEST(reports_of_leaks_tell_where_objects_were_issued)
{
    for (size_t i = 0; i < COUNT_OF(reported); i++) {
        subject_begin(reported[i], 24);
        refuse(DONE, NULL, CORK_MEMPOOL_LEAK, CORK_MEMPOOL_NO_SLOT, false);
        CHECK_ABORTS(expected_report(), make(DONE, NULL));
        subject_give(0, SUBJECT_COUNT - 2);
        refuse(DONE, NULL, CORK_MEMPOOL_LEAK, CORK_MEMPOOL_NO_SLOT, false);
        CHECK_ABORTS(expected_report(), make(DONE, NULL));
        subject_end(SUBJECT_COUNT - 2);
    }
}

TEST(reports_of_damaged_canaries_show_them)
{
    for (size_t i = 0; i < COUNT_OF(reported); i++) {
        unsigned char mended[2];
        char *object;

        if ((reported[i] & CORK_MEMPOOL_CANARY) == 0) {
            continue;
        }
        subject_begin(reported[i], 21);
        object = subject.objects[1];
        mended[0] = peek(object + 21);
        mended[1] = peek(object + 23);
        poke(object + 21, 0);
        poke(object + 23, 7);
        refuse(FREE, object, CORK_MEMPOOL_CANARY_DAMAGED, subject_slot(object), false);
        CHECK_EQUAL(seen.found[0], 0);
        CHECK_EQUAL(seen.found[2], 7);
        CHECK_ABORTS(expected_report(), make(FREE, object));
        CHECK_ABORTS(expected_report(), make(VERIFY, NULL));
        poke(object + 21, mended[0]);
        poke(object + 23, mended[1]);
        subject_end(0);
    }
}

TEST(reports_of_writes_after_free_show_what_was_written)
{
    for (size_t i = 0; i < COUNT_OF(reported); i++) {
        unsigned char mended[2];
        char *object;

        if ((reported[i] & (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE)) == 0) {
            continue;
        }
        subject_begin(reported[i], 21);
        subject_give(0, 2);
        object = subject.objects[1];
        mended[0] = peek(object + 7);
        mended[1] = peek(object + 20);
        /* The largest number of one digit, and the smallest of two. */
        poke(object + 7, 0x0f);
        poke(object + 20, 0x10);
        refuse(VERIFY, object, CORK_MEMPOOL_WRITE_AFTER_FREE, subject_slot(object), true);
        CHECK_ABORTS(expected_report(), make(VERIFY, NULL));
        subject_give(2, SUBJECT_COUNT);
        CHECK_ABORTS(expected_report(), make(DONE, NULL));
        poke(object + 7, mended[0]);
        poke(object + 20, mended[1]);
        subject_end(SUBJECT_COUNT);
    }
}
