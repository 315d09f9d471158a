/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "fixture.h"
#include "test/support/harness.h"
#include "test/support/reports.h"

/*
 * What a violation must say: all of it follows from its kind, from what the misuse expects, and
 * from which objects are live.
 */

/* The linker's, for sections whose names are identifiers. */
extern const char __start_issuing[], __stop_issuing[], __start_freeing[], __stop_freeing[];

static bool is_issue(const void *site)
{
    return (const char *)site > __start_issuing && (const char *)site <= __stop_issuing;
}

static bool is_free(const void *site)
{
    return (const char *)site > __start_freeing && (const char *)site <= __stop_freeing;
}

/* Whether those sites are known that must be, and no others. */
static bool are_sites_right(const struct cork_mempool_violation *violation)
{
    const bool has_sites = (violation->protections & CORK_MEMPOOL_CALLSITES) != 0;
    bool was_issued = expected.pool == &other_pool && violation->slot != CORK_MEMPOOL_NO_SLOT;
    bool was_freed = was_issued;

    for (size_t i = 0; i < fixture.count && expected.pool == &pool; i++) {
        if (fixture.objects[i].slot == violation->slot) {
            was_issued = true;
            was_freed = !fixture.objects[i].is_live;
        }
    }
    for (size_t i = 0; i < violation->listed_count; i++) {
        if (has_sites != is_issue(violation->listed[i].new_site)) {
            return false;
        }
    }
    return is_issue(violation->new_site) == (has_sites && was_issued) &&
           is_free(violation->free_site) == (has_sites && was_freed) &&
           (is_issue(violation->new_site) || violation->new_site == NULL) &&
           (is_free(violation->free_site) || violation->free_site == NULL) &&
           (violation->kind <= CORK_MEMPOOL_NEVER_ISSUED ? is_free(violation->call_site)
                                                         : violation->call_site != NULL);
}

static char found[16];
static struct cork_mempool_object listed[16];

static void expect_damage(struct cork_mempool_violation *violation, const char *owner,
                          const char *start, size_t size, const void *must_be)
{
    violation->pointer = owner;
    violation->damaged = start;
    violation->damaged_size = size;
    violation->found = found;
    violation->expected = must_be;
    for (size_t i = 0; i < size; i++) {
        found[i] = spied_byte(start + i);
    }
}

/* Of a checksum it is only known that it differs, not where; of zeros, which is the first. */
static void expect_write(struct cork_mempool_violation *violation)
{
    static const char zeros[sizeof(found)];
    const char *start = expected.written;
    const char *const end = start + object_size;

    while (has(CORK_MEMPOOL_WIPE) && start < end && spied_byte(start) == 0) {
        start++;
    }
    expect_damage(violation, expected.written, start,
                  end - start < 16 ? (size_t)(end - start) : sizeof(found),
                  has(CORK_MEMPOOL_WIPE) ? zeros : NULL);
}

static void expect_leak(struct cork_mempool_violation *violation)
{
    violation->pointer = NULL;
    violation->listed = listed;
    for (size_t i = 0; i < fixture.count; i++) {
        if (fixture.objects[i].is_live && violation->live_count++ < 16) {
            listed[violation->listed_count++] = (struct cork_mempool_object){
                .pointer = fixture.objects[i].start, .slot = fixture.objects[i].slot};
        }
    }
}

/* The slot of a pointer; only objects of the reserved region are misused. */
static size_t slot_at(const void *pointer)
{
    return expected.pool == &other_pool
               ? expected.slot
               : fixture.heap_count + (size_t)((const char *)pointer - first_object) / slot_size;
}

static bool has_slot(enum cork_mempool_violation_kind kind)
{
    return kind == CORK_MEMPOOL_DOUBLE_FREE || kind == CORK_MEMPOOL_INTERIOR_POINTER ||
           kind == CORK_MEMPOOL_NEVER_ISSUED || kind == CORK_MEMPOOL_CANARY_DAMAGED ||
           kind == CORK_MEMPOOL_WRITE_AFTER_FREE;
}

static struct cork_mempool_violation violation_of(enum cork_mempool_violation_kind kind)
{
    struct cork_mempool_violation violation = {
        .kind = kind,
        .pool = expected.pool,
        .pool_name = FIXTURE_NAME,
        .element_size = object_size,
        .pointer = expected.pointer,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .seed = fixture.seed,
        .moved_from = expected.moved_from,
        .protections =
            expected.pool == &other_pool ? fixture.other_protections : fixture.protections,
    };

    switch (kind) {
    case CORK_MEMPOOL_USE_BEFORE_INIT:
    case CORK_MEMPOOL_NOT_A_POOL:
        violation.pool_name = NULL;
        __attribute__((fallthrough));
    case CORK_MEMPOOL_USE_AFTER_DONE:
        violation.element_size = 0;
        violation.protections = 0;
        break;
    case CORK_MEMPOOL_CANARY_DAMAGED:
        expect_damage(&violation, expected.canary_owner, expected.canary, sizeof(fixture.canary),
                      fixture.canary);
        break;
    case CORK_MEMPOOL_WRITE_AFTER_FREE:
        expect_write(&violation);
        break;
    case CORK_MEMPOOL_LEAK:
        expect_leak(&violation);
        break;
    case CORK_MEMPOOL_BUSY:
    case CORK_MEMPOOL_BAD_SOURCE:
        violation.pointer = NULL;
        break;
    default:
        break;
    }
    violation.is_seeded = violation.protections != 0;
    violation.slot = has_slot(kind) ? slot_at(violation.pointer) : CORK_MEMPOOL_NO_SLOT;
    return violation;
}

/* Says whether a free, or a call on a pool that is not live, has left the pool as it was. Where a
 * visit was in progress, it has ended. */
static bool is_as_before(const struct cork_mempool_violation *violation)
{
    const bool is_other_call =
        violation->kind > CORK_MEMPOOL_NEVER_ISSUED && violation->element_size != 0;

    /* The struct has padding, of which MemorySanitizer knows that nobody has written it. */
    return is_other_call || fixture.is_in_row || TEST_UNDER_MSAN ||
           memcmp(&fixture.called, expected.pool, sizeof(fixture.called)) == 0;
}

const char *fixture_complaint(const struct cork_mempool_violation *violation)
{
    const struct cork_mempool_violation must_be = violation_of(violation->kind);

    if (!fixture_is_intact()) {
        return "an object lost its contents";
    }
    if (!are_sites_right(violation)) {
        return "call sites are not where the calls are";
    }
    if (!is_as_before(violation)) {
        return "a refused call has changed the pool";
    }
    return violation_difference(violation, &must_be);
}
