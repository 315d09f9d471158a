/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "fixture.h"
#include "test/support/harness.h"
#include "test/support/refusals.h"
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

/* Demands those sites that must be known, and no others. */
static void check_sites(const struct cork_mempool_violation *violation)
{
    const bool has_sites = (violation->protections & CORK_MEMPOOL_CALLSITES) != 0;
    const size_t slot = violation->slot;
    bool was_issued = slot != CORK_MEMPOOL_NO_SLOT;
    bool was_freed = was_issued;

    if (expected.pool == &pool) {
        was_issued = slot < fixture.slot_count && fixture.objects[slot].start != NULL;
        was_freed = was_issued && !fixture.objects[slot].is_live;
    }
    for (size_t i = 0; i < violation->listed_count; i++) {
        const void *const site = violation->listed[i].new_site;

        CHECK(has_sites ? is_issue(site) : site == NULL);
    }
    CHECK(has_sites && was_issued ? is_issue(violation->new_site) : violation->new_site == NULL);
    CHECK(has_sites && was_freed ? is_free(violation->free_site) : violation->free_site == NULL);
    CHECK(violation->kind <= CORK_MEMPOOL_NEVER_ISSUED ? is_free(violation->call_site)
                                                       : violation->call_site != NULL);
}

/* The slot of a pointer; of the pool, only objects of the reserved region are misused. */
static size_t slot_of(const char *pointer)
{
    return expected.pool == &other_pool
               ? (size_t)(pointer - other_pool.oldest->base) / slot_size
               : fixture.heap_count + (size_t)(pointer - first_object) / slot_size;
}

static char found[16];

static void expect_damage(struct cork_mempool_violation *violation, const char *owner,
                          const char *start, size_t size, const void *must_be)
{
    violation->pointer = owner;
    violation->slot = slot_of(owner);
    violation->damaged = start;
    violation->damaged_size = size;
    violation->found = found;
    violation->expected = must_be;
    for (size_t i = 0; i < size; i++) {
        found[i] = (char)peek(start + i);
    }
}

/* Of a checksum it is only known that it differs, not where; of zeros, which is the first. */
static void expect_write(struct cork_mempool_violation *violation)
{
    static const char zeros[sizeof(found)];
    const char *start = expected.written;
    const char *const end = start + object_size;

    while (has(CORK_MEMPOOL_WIPE) && start < end && peek(start) == 0) {
        start++;
    }
    expect_damage(violation, expected.written, start,
                  end - start < 16 ? (size_t)(end - start) : sizeof(found),
                  has(CORK_MEMPOOL_WIPE) ? zeros : NULL);
}

static void expect_leak(struct cork_mempool_violation *violation)
{
    static struct cork_mempool_object listed[16];

    violation->pointer = NULL;
    violation->listed = listed;
    for (size_t i = 0; i < fixture.slot_count; i++) {
        if (fixture.objects[i].is_live && violation->live_count++ < 16) {
            listed[violation->listed_count++] =
                (struct cork_mempool_object){.pointer = fixture.objects[i].start, .slot = i};
        }
    }
}

static struct cork_mempool_violation violation_of(enum cork_mempool_violation_kind kind)
{
    const bool is_of_other = expected.pool == &other_pool;
    const bool is_live = kind < CORK_MEMPOOL_USE_AFTER_DONE || kind > CORK_MEMPOOL_NOT_A_POOL;
    struct cork_mempool_violation violation = {
        .kind = kind,
        .pool = expected.pool,
        .pool_name = is_live || kind == CORK_MEMPOOL_USE_AFTER_DONE ? FIXTURE_NAME : NULL,
        .pointer = kind < CORK_MEMPOOL_BUSY ? expected.pointer : NULL,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .seed = test_seed(),
        .moved_from = expected.moved_from,
    };

    if (is_live) {
        violation.element_size = object_size;
        violation.protections = is_of_other ? fixture.other_protections : fixture.protections;
        violation.is_seeded = violation.protections != 0;
    }
    if (kind == CORK_MEMPOOL_CANARY_DAMAGED) {
        expect_damage(&violation, expected.canary_owner, expected.canary, sizeof(fixture.canary),
                      fixture.canary);
    } else if (kind == CORK_MEMPOOL_WRITE_AFTER_FREE) {
        expect_write(&violation);
    } else if (kind == CORK_MEMPOOL_LEAK) {
        expect_leak(&violation);
    } else if (kind <= CORK_MEMPOOL_NEVER_ISSUED && kind != CORK_MEMPOOL_FOREIGN_POINTER) {
        violation.slot = slot_of(expected.pointer);
    }
    return violation;
}

/* Says whether a free, or a call on a pool that is not live, has left the pool as it was. Where a
 * visit was in progress, it has ended. */
static bool is_as_before(const struct cork_mempool_violation *violation)
{
    const bool is_other_call =
        violation->kind > CORK_MEMPOOL_NEVER_ISSUED && violation->element_size != 0;

    /* The struct has padding, of which MemorySanitizer knows that nobody has written it. */
    return is_other_call || fixture.is_visited || TEST_UNDER_MSAN ||
           memcmp(&fixture.called, expected.pool, sizeof(fixture.called)) == 0;
}

void fixture_check_violation(const struct cork_mempool_violation *violation)
{
    const struct cork_mempool_violation must_be = violation_of(violation->kind);

    CHECK(fixture_is_intact());
    check_sites(violation);
    CHECK(is_as_before(violation));
    CHECK_STRING(violation_difference(violation, &must_be), NULL);
}
