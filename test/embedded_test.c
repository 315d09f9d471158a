/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The library without an operating system, CORK_MEMPOOL_NO_OS_MEMORY: pools have the memory that
 * their options give them, and reports go to the program.
 */

#define _XOPEN_SOURCE 600 /* setenv */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

static _Alignas(64) char memory[20000];
static void *objects[100];

/* What the board has instead of standard error. */
void cork_mempool_write_report(const char *text, size_t size)
{
    static const char before[] = "board: ";

    CHECK(write(STDERR_FILENO, before, sizeof(before) - 1) > 0);
    CHECK(write(STDERR_FILENO, text, size) == (ssize_t)size);
}

/* Fills a pool, empties it and ends it; without memory it gives NULL. Nobody is asked for any. */
static void use(struct cork_mempool *mp, bool has_memory)
{
    requests_start();
    if (has_memory) {
        take_objects(mp, objects, COUNT_OF(objects));
        give_objects(mp, objects, COUNT_OF(objects));
        cork_mempool_trim(mp);
    } else {
        expect_null(mp);
    }
    cork_mempool_done(mp);
    CHECK_EQUAL(requests.count, 0);
    requests_stop();
}

TEST(all_protections_but_guards_serve_pools_with_a_buffer_and_no_others_get_memory)
{
    struct cork_mempool other;
    uint64_t seed = 0;

    cork_mempool_init(&other, struct cork_mempool);
    use(&other, false);
    cork_mempool_init_size_ex(&other, 1, 1);
    use(&other, false);
    for (unsigned i = 0; i < 2 * SETS_COUNT; i++) {
        const unsigned set = set_of(i / 2);
        const bool has_buffer = i % 2 != 0;
        struct cork_mempool mp;

        test_row("protections %#x, %s buffer", set, has_buffer ? "a" : "no");
        errno = 0;
        if (cork_mempool_init_with(&mp, OPTIONS(.element_size = 24, .protections = set,
                                                .buffer = has_buffer ? memory : NULL,
                                                .buffer_size = has_buffer ? sizeof(memory) : 0))) {
            CHECK((set & CORK_MEMPOOL_GUARD) == 0);
            CHECK(set == 0 || mp.seed != seed); /* another for each pool */
            seed = mp.seed;
            use(&mp, has_buffer);
        } else {
            CHECK((set & CORK_MEMPOOL_GUARD) != 0); /* which needs an operating system */
            CHECK_EQUAL(errno, EINVAL);
        }
    }
}

TEST(a_source_of_the_callers_serves)
{
    struct cork_mempool mp;

    requests_start();
    INIT(&mp, .element_size = 64, .block_size = 1024, .source = &plain_source);
    exercise(&mp, 1000);
    CHECK_EQUAL(requests.system_count, 0);
    CHECK_EQUAL(requests.heap_count, 0);
    requests_stop();
}

TEST(the_environment_is_not_read)
{
    struct cork_mempool mp;

    CHECK_EQUAL(setenv("CORK_MEMPOOL_OPTIONS", "canary=1:nonsense=1", 1), 0);
    CHECK_PASSES({
        cork_mempool_init_size(&mp, 32);
        CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(32)); /* a canary would need more */
        use(&mp, false);
    });
}

TEST(a_report_goes_to_the_program_and_is_followed_by_abort)
{
    struct cork_mempool mp = {.state = 0};
    char report[200];

    snprintf(report, sizeof(report), "board: %s",
             pool_report(CORK_MEMPOOL_USE_BEFORE_INIT, &mp, NO_NAME));
    CHECK_ABORTS(report, cork_mempool_done(&mp));
    CHECK_KIND(cork_mempool_done(&mp), CORK_MEMPOOL_USE_BEFORE_INIT); /* a handler comes first */
}
