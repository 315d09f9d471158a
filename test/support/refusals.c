/* SPDX-License-Identifier: BSD-3-Clause */
#include "refusals.h"

#include <string.h>

#include "harness.h"
#include "pools.h"
#include "reports.h"

struct seen seen;
jmp_buf refusal_exit;

void (*refusal_inspects)(const struct cork_mempool_violation *violation);

static struct cork_mempool pool_before;
static struct cork_mempool_stats stats_before;

__attribute__((noinline, no_sanitize("address"))) unsigned char peek(const void *address)
{
    return *(const volatile unsigned char *)address;
}

__attribute__((noinline, no_sanitize("address"))) void poke(void *address, unsigned value)
{
    *(volatile unsigned char *)address = (unsigned char)value;
}

static void leave(const struct cork_mempool_violation *violation)
{
    const size_t size = violation->damaged_size;

    CHECK(size <= sizeof(seen.found) && violation->listed_count <= COUNT_OF(seen.listed));
    seen.violation = *violation;
    seen.count++;
    if (violation->found != NULL) {
        seen.violation.found = memcpy(seen.found, violation->found, size);
    }
    if (violation->expected != NULL) {
        seen.violation.expected = memcpy(seen.expected, violation->expected, size);
    }
    if (violation->pool_name != NULL) {
        seen.violation.pool_name = strcpy(seen.name, violation->pool_name);
    }
    if (violation->listed != NULL) {
        seen.violation.listed = memcpy(seen.listed, violation->listed,
                                       violation->listed_count * sizeof(seen.listed[0]));
    }
    if (refusal_inspects != NULL) {
        refusal_inspects(violation);
    }
    longjmp(refusal_exit, 1);
}

static cork_mempool_violation_handler *handler_before;

void refusal_begins(void)
{
    memset(&seen, 0, sizeof(seen));
    handler_before = cork_mempool_on_violation(leave);
}

void refusal_ends(void)
{
    CHECK(cork_mempool_on_violation(handler_before) == leave);
}

static bool is_of_live_pool(enum cork_mempool_violation_kind kind)
{
    return kind != CORK_MEMPOOL_USE_AFTER_DONE && kind != CORK_MEMPOOL_USE_BEFORE_INIT &&
           kind != CORK_MEMPOOL_NOT_A_POOL;
}

void refusal_notes(const struct cork_mempool *mp, enum cork_mempool_violation_kind kind)
{
    memcpy(&pool_before, mp, sizeof(pool_before));
    if (is_of_live_pool(kind)) {
        stats_before = stats_of(mp);
    }
}

void refusal_is_checked(const struct cork_mempool *mp, enum cork_mempool_violation_kind kind,
                        const void *pointer, size_t slot, const char *statement, int line)
{
    const bool is_live = is_of_live_pool(kind);
    const bool is_damage =
        kind == CORK_MEMPOOL_CANARY_DAMAGED || kind == CORK_MEMPOOL_WRITE_AFTER_FREE;
    struct cork_mempool_violation expected = seen.violation; /* damage and lists are the test's */

    expected.kind = kind;
    expected.pool = mp;
    expected.pointer = pointer;
    expected.slot = slot;
    expected.element_size = is_live ? stats_before.element_size : 0;
    expected.protections = is_live ? mp->protections : 0;
    expected.is_seeded = is_live && mp->protections != 0;
    expected.seed = mp->seed;
    expected.pool_name =
        kind != CORK_MEMPOOL_USE_BEFORE_INIT && kind != CORK_MEMPOOL_NOT_A_POOL && mp->is_named
            ? mp->name
            : NULL;
    expected.listed_count = expected.live_count < 16 ? expected.live_count : 16;

    const char *const difference =
        seen.count != 1 ? "no refusal" : violation_difference(&seen.violation, &expected);
    if (difference != NULL || (seen.violation.damaged != NULL) != is_damage ||
        (seen.violation.live_count != 0) != (kind == CORK_MEMPOOL_LEAK)) {
        test_fails(__FILE__, __LINE__, "line %d: %s: %s", line, statement,
                   difference != NULL ? difference : "damage or objects where there are none");
    }
    if (is_live) {
        const struct cork_mempool_stats after = stats_of(mp);

        CHECK(same_stats(&stats_before, &after));
        CHECK(is_damage || cork_mempool_check(mp));
    }
    /* The struct has padding, of which MemorySanitizer knows that nobody has written it. */
    CHECK(is_damage || TEST_UNDER_MSAN || memcmp(&pool_before, mp, sizeof(pool_before)) == 0);
}
