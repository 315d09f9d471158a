/* SPDX-License-Identifier: BSD-3-Clause */
#include "refusals.h"

#include <string.h>

#include "pools.h"
#include "reports.h"

struct seen seen;
jmp_buf refusal_exit;

void (*refusal_inspects)(const struct cork_mempool_violation *violation);

static cork_mempool_violation_handler *handler_before;

/* What CHECK_REFUSED demands, and its pool before the call. */
static struct cork_mempool_violation expected;
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

static const void *copied(void *copy, const void *bytes, size_t size)
{
    return bytes == NULL ? NULL : memcpy(copy, bytes, size);
}

static void leave(const struct cork_mempool_violation *violation)
{
    const size_t size = violation->damaged_size;
    const size_t listed_size = violation->listed_count * sizeof(seen.listed[0]);

    CHECK(size <= sizeof(seen.found) && listed_size <= sizeof(seen.listed));
    seen.count++;
    seen.violation = *violation;
    seen.violation.found = copied(seen.found, violation->found, size);
    seen.violation.expected = copied(seen.expected, violation->expected, size);
    seen.violation.listed = copied(seen.listed, violation->listed, listed_size);
    seen.violation.pool_name = copied(seen.name, violation->pool_name, sizeof(seen.name));
    if (refusal_inspects != NULL) {
        refusal_inspects(violation);
    }
    longjmp(refusal_exit, 1);
}

void refusal_begins(void)
{
    memset(&seen, 0, sizeof(seen));
    handler_before = cork_mempool_on_violation(leave);
}

void refusal_ends(void)
{
    CHECK(cork_mempool_on_violation(handler_before) == leave);
}

void refusal_is_expected(const struct cork_mempool *mp, struct cork_mempool_violation violation)
{
    memcpy(&pool_before, mp, sizeof(pool_before));
    expected = violation;
    expected.pool = mp;
    expected.listed_count = expected.live_count < 16 ? expected.live_count : 16;
    if (expected.kind != CORK_MEMPOOL_NOT_A_POOL) {
        stats_before = stats_of(mp);
        expected.pool_name = mp->is_named ? mp->name : NULL;
        expected.element_size = stats_before.element_size;
        expected.protections = mp->protections;
        expected.is_seeded = mp->protections != 0;
        expected.seed = mp->seed;
    }
}

void refusal_is_checked(const char *file, int line, const char *statement)
{
    const struct cork_mempool *const mp = expected.pool;

    if (seen.count != 1 || violation_difference(&seen.violation, &expected) != NULL) {
        test_fails(file, line, "%s: %zu refusals, not one with\n%s", statement, seen.count,
                   report_of(&expected));
    }
    if (expected.kind != CORK_MEMPOOL_NOT_A_POOL) {
        const struct cork_mempool_stats after = stats_of(mp);

        CHECK(same_stats(&stats_before, &after));
    }
    /* So that a run with SHUFFLE can be replayed. */
    CHECK_EQUAL(mp->random, pool_before.random);
    if (expected.damaged == NULL) {
        CHECK(expected.kind == CORK_MEMPOOL_NOT_A_POOL || cork_mempool_check(mp));
        /* The struct has padding, of which MemorySanitizer knows that nobody has written it. */
        CHECK(TEST_UNDER_MSAN || memcmp(&pool_before, mp, sizeof(pool_before)) == 0);
    }
}
