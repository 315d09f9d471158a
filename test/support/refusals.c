/* SPDX-License-Identifier: BSD-3-Clause */
#include "refusals.h"

#include <setjmp.h>
#include <string.h>

#include "harness.h"
#include "pools.h"

struct subject subject;
struct seen seen;

static jmp_buf refused;

/* The linker's, for sections whose names are identifiers. */
extern const char __start_issuing[], __stop_issuing[], __start_freeing[], __stop_freeing[],
    __start_calling[], __stop_calling[];

__attribute__((noinline, section("issuing"))) void *site_of_new(struct cork_mempool *mp)
{
    /* The call is not the last thing here: that could be a jump, which returns elsewhere. */
    void *const object = cork_mempool_new(mp);

    __asm__ volatile("");
    return object;
}

__attribute__((noinline, section("freeing"))) void site_of_free(struct cork_mempool *mp,
                                                                void *object)
{
    cork_mempool_free(mp, object);
    __asm__ volatile("");
}

__attribute__((noinline, no_sanitize("address"))) unsigned char peek(const void *address)
{
    return *(const volatile unsigned char *)address;
}

__attribute__((noinline, no_sanitize("address"))) void poke(void *address, unsigned value)
{
    *(volatile unsigned char *)address = (unsigned char)value;
}

__attribute__((noinline, section("freeing"))) static void site_of_clear(struct cork_mempool *mp)
{
    cork_mempool_clear(mp);
    __asm__ volatile("");
}

static void take_all(void)
{
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        subject.objects[i] = site_of_new(&subject.mp);
        CHECK(subject.objects[i] != NULL);
        fill(subject.objects[i], subject.element_size, i);
        if (i == 0 || (uintptr_t)subject.objects[i] < (uintptr_t)subject.lowest) {
            subject.lowest = subject.objects[i];
        }
    }
    CHECK_POINTER(site_of_new(&subject.mp), NULL);
    CHECK(cork_mempool_check(&subject.mp));
}

void subject_begin(unsigned protections, size_t element_size)
{
    const struct cork_mempool_options options = {
        .name = SUBJECT_NAME,
        .element_size = element_size,
        .max_objects = SUBJECT_COUNT,
        .protections = protections,
        .seed = SUBJECT_SEED,
    };

    CHECK(cork_mempool_init_with(&subject.mp, &options));
    subject.protections = protections;
    subject.element_size = element_size;
    subject.slot_size = stats_of(&subject.mp).slot_size;
    take_all();
}

void subject_give(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        CHECK(is_filled(subject.objects[i], subject.element_size, i));
        site_of_free(&subject.mp, subject.objects[i]);
    }
}

void subject_end(size_t first)
{
    CHECK(cork_mempool_check(&subject.mp));
    subject_give(first, SUBJECT_COUNT);
    CHECK_EQUAL(stats_of(&subject.mp).live_count, 0);
    take_all();
    subject_give(0, SUBJECT_COUNT);
    cork_mempool_done(&subject.mp);
}

size_t subject_slot(const char *object)
{
    return (size_t)(object - subject.lowest) / subject.slot_size;
}

static void leave(const struct cork_mempool_violation *violation)
{
    seen.violation = *violation;
    CHECK(violation->damaged_size <= sizeof(seen.found));
    CHECK(violation->listed_count <= COUNT_OF(seen.listed));
    if (violation->found != NULL) {
        memcpy(seen.found, violation->found, violation->damaged_size);
        seen.violation.found = seen.found;
    }
    if (violation->expected != NULL) {
        memcpy(seen.expected, violation->expected, violation->damaged_size);
        seen.violation.expected = seen.expected;
    }
    for (size_t i = 0; i < violation->listed_count; i++) {
        seen.listed[i] = violation->listed[i];
    }
    longjmp(refused, 1);
}

__attribute__((noinline, section("calling"))) void make(enum call call, void *pointer)
{
    switch (call) {
    case FREE:
        site_of_free(&subject.mp, pointer);
        break;
    case NEW:
        site_of_new(&subject.mp);
        break;
    case VERIFY:
        (void)!cork_mempool_check(&subject.mp);
        break;
    case CLEAR:
        site_of_clear(&subject.mp);
        break;
    case TRIM:
        cork_mempool_trim(&subject.mp);
        break;
    case DONE:
        cork_mempool_done(&subject.mp);
        break;
    }
    __asm__ volatile("");
}

bool is_refused(enum call call, void *pointer)
{
    volatile bool has_returned = false;

    memset(&seen, 0, sizeof(seen));
    cork_mempool_on_violation(leave);
    if (setjmp(refused) == 0) {
        make(call, pointer);
        has_returned = true;
    }
    cork_mempool_on_violation(NULL);
    return !has_returned;
}

static bool is_between(const void *site, const char *start, const char *stop)
{
    return (uintptr_t)site > (uintptr_t)start && (uintptr_t)site <= (uintptr_t)stop;
}

bool is_site_of_new(const void *site)
{
    return is_between(site, __start_issuing, __stop_issuing);
}

/* Whether a call was made where it says. */
static bool is_site_of(enum call call, const void *site)
{
    switch (call) {
    case NEW:
        return is_site_of_new(site);
    case FREE:
    case CLEAR:
        return is_between(site, __start_freeing, __stop_freeing);
    default:
        return is_between(site, __start_calling, __stop_calling);
    }
}

void refuse(enum call call, void *pointer, enum cork_mempool_violation_kind kind, size_t slot,
            bool is_freed)
{
    const struct cork_mempool_violation *violation = &seen.violation;
    const bool has_sites =
        (subject.protections & CORK_MEMPOOL_CALLSITES) != 0 && slot != CORK_MEMPOOL_NO_SLOT;
    const struct cork_mempool_stats before = stats_of(&subject.mp);
    struct cork_mempool_stats after;

    CHECK(is_refused(call, pointer));
    after = stats_of(&subject.mp);
    CHECK_EQUAL(after.live_count, before.live_count);
    CHECK_EQUAL(after.free_count, before.free_count);
    CHECK(same_stats(&before, &after));
    CHECK_EQUAL(violation->kind, kind);
    CHECK_STRING(violation->message, cork_mempool_violation_message(kind));
    CHECK_POINTER(violation->pool, &subject.mp);
    CHECK(is_site_of(call, violation->call_site));
    CHECK_POINTER(violation->moved_from, NULL);
    CHECK_EQUAL(violation->protections, subject.protections);
    CHECK_STRING(violation->pool_name, SUBJECT_NAME);
    CHECK_EQUAL(violation->element_size, subject.element_size);
    CHECK_POINTER(violation->pointer, pointer);
    CHECK_EQUAL(violation->slot, slot);
    CHECK_EQUAL(violation->is_seeded, subject.protections != 0);
    CHECK(subject.protections == 0 || violation->seed == SUBJECT_SEED);
    CHECK(has_sites ? is_site_of_new(violation->new_site) : violation->new_site == NULL);
    CHECK(has_sites && is_freed ? is_between(violation->free_site, __start_freeing, __stop_freeing)
                                : violation->free_site == NULL);
}
