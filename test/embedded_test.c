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

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

static _Alignas(64) char memory[20000];
static void *objects[100];

/* What the board has instead of standard error. */
void cork_mempool_write_report(const char *text, size_t size)
{
    static const char before[] = "board: ";

    CHECK(write(STDERR_FILENO, before, sizeof(before) - 1) > 0);
    CHECK(write(STDERR_FILENO, text, size) == (ssize_t)size);
}

static void new_gives_null(struct cork_mempool *mp)
{
    errno = 0;
    CHECK_POINTER(cork_mempool_new(mp), NULL);
    CHECK_EQUAL(errno, ENOMEM);
    CHECK(cork_mempool_check(mp));
    cork_mempool_done(mp);
}

TEST(a_pool_without_memory_of_its_own_gets_none)
{
    struct cork_mempool mp;

    requests_start();
    cork_mempool_init(&mp, struct cork_mempool);
    new_gives_null(&mp);
    cork_mempool_init_size_ex(&mp, 1, 1);
    new_gives_null(&mp);
    for (unsigned i = 0; i < PROTECTIONS_COUNT; i++) {
        if (cork_mempool_init_with(
                &mp, OPTIONS(.element_size = 100000, .protections = all_protections[i]))) {
            new_gives_null(&mp);
        }
    }
    CHECK_EQUAL(requests.count, 0);
    requests_stop();
}

TEST(protections_that_need_an_operating_system_are_refused)
{
    const unsigned needing[] = {CORK_MEMPOOL_GUARD, CORK_MEMPOOL_PARANOID};
    struct cork_mempool mp;

    for (size_t i = 0; i < 2 * COUNT_OF(needing); i++) {
        errno = 0;
        CHECK(
            !cork_mempool_init_with(&mp, OPTIONS(.element_size = 24, .protections = needing[i / 2],
                                                 .buffer = i % 2 != 0 ? memory : NULL,
                                                 .buffer_size = i % 2 != 0 ? sizeof(memory) : 0)));
        CHECK_EQUAL(errno, EINVAL);
    }
}

/* Fills a pool, empties it and ends it, without a request of anybody. */
static void use(struct cork_mempool *mp)
{
    requests_start();
    take_objects(mp, objects, COUNT_OF(objects));
    give_objects(mp, objects, COUNT_OF(objects));
    cork_mempool_trim(mp);
    cork_mempool_done(mp);
    CHECK_EQUAL(requests.count, 0);
    requests_stop();
}

TEST(all_other_protections_serve_a_buffer)
{
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        struct cork_mempool mp;

        if ((set & CORK_MEMPOOL_GUARD) == 0) {
            CHECK(cork_mempool_init_with(&mp,
                                         OPTIONS(.element_size = 24, .protections = set,
                                                 .buffer = memory, .buffer_size = sizeof(memory))));
            use(&mp);
        }
    }
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    size_t *used = source_data;
    char *piece = memory + (*used + alignment - 1) / alignment * alignment;

    if (size > (size_t)(memory + sizeof(memory) - piece)) {
        return NULL;
    }
    *used = (size_t)(piece - memory) + size;
    return piece;
}

static void release(void *source_data, void *piece, size_t size)
{
    (void)source_data;
    (void)piece;
    (void)size;
}

TEST(a_source_of_the_callers_serves)
{
    const struct cork_mempool_source source = {.acquire = acquire, .release = release};
    struct cork_mempool mp;
    size_t used = 0;

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .block_size = 1024,
                                              .source = &source, .source_data = &used)));
    use(&mp);
}

TEST(the_environment_is_not_read)
{
    struct cork_mempool mp;

    CHECK_EQUAL(setenv("CORK_MEMPOOL_OPTIONS", "canary=1:nonsense=1", 1), 0);
    CHECK_PASSES({
        CHECK(cork_mempool_init_with(
            &mp, OPTIONS(.element_size = 24, .buffer = memory, .buffer_size = sizeof(memory))));
        CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(24));
        use(&mp);
    });
}

TEST(a_report_goes_to_the_program_and_is_followed_by_abort)
{
    struct cork_mempool mp = {.state = 0};
    char report[200];

    snprintf(report, sizeof(report), "board: %s", pool_report("use before init", &mp, NO_NAME));
    CHECK_ABORTS(report, cork_mempool_done(&mp));
    RUN_UNTIL_REFUSED(cork_mempool_done(&mp)); /* a handler comes first */
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_USE_BEFORE_INIT);
}
