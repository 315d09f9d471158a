/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * libcork 1.0's names: what examples/libcork_1_0.c, which libcork itself must run too, cannot ask.
 */

#include <libcork/compat/mempool_1_0.h>
#include <libcork/core.h> /* as a file that is migrated may still have it */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

struct node {
    struct node *next;
    int value[4]; /* 24 bytes on 64-bit machines: no more than a type of that size may be issued */
};

static int init_count;
static int done_count;
static int free_count;

static void count_init(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &init_count);
    (void)object;
    init_count++;
}

static void count_done(void *user_data, void *object)
{
    CHECK_POINTER(user_data, &init_count);
    (void)object;
    done_count++;
}

static void count_free(void *user_data)
{
    CHECK_POINTER(user_data, &init_count);
    free_count++;
}

TEST(a_pool_of_a_type_has_its_size_and_refuses_misuse_by_its_name)
{
    struct cork_mempool *pool = cork_mempool_new(struct node);
    void *node = cork_mempool_new_object(pool);
    const struct cork_mempool_stats stats = stats_of(pool);

    CHECK_EQUAL(stats.element_size, sizeof(struct node));
    CHECK_EQUAL(stats.alignment, _Alignof(struct node));
    CHECK_ABORTS(leak_report(pool, "struct node", 1, &node, 0, 1), cork_mempool_free(pool));
    cork_mempool_free_object(pool, NULL);
    cork_mempool_free_object(pool, node);
    CHECK_ABORTS(slot_report("double free", pool, "struct node", node, 0),
                 cork_mempool_free_object(pool, node));
    cork_mempool_free(pool);
}

TEST(sizes_are_those_that_were_asked_for)
{
    struct cork_mempool *pool = cork_mempool_new_size(24);
    CHECK_EQUAL(stats_of(pool).element_size, 24);
    CHECK_EQUAL(stats_of(pool).alignment, alignment_needed(24));
    cork_mempool_free(pool);

    pool = cork_mempool_new_size_ex(100, 100000);
    CHECK_EQUAL(stats_of(pool).element_size, 100);
    CHECK(stats_of(pool).block_size > 90000 && stats_of(pool).block_size <= 100000);
    cork_mempool_free(pool);

    pool = cork_mempool_new_ex(struct node, 50000);
    for (size_t i = 0; i < 2; i++) {
        CHECK(stats_of(pool).block_size > 40000 && stats_of(pool).block_size <= 50000);
        cork_mempool_set_init_object(pool, NULL);
    }
    cork_mempool_free(pool);
}

TEST(functions_are_called_once_for_each_slot_that_is_used_and_all_memory_goes_back)
{
    requests_start();
    struct cork_mempool *pool = cork_mempool_new(struct node);

    cork_mempool_set_callbacks(pool, &init_count, count_free, count_init, count_done);
    for (int i = 0; i < 10; i++) {
        cork_mempool_free_object(pool, cork_mempool_new_object(pool));
    }
    CHECK(init_count >= 1);
    CHECK_EQUAL(done_count, 0);
    CHECK_EQUAL(free_count, 0);
    cork_mempool_set_user_data(pool, &init_count, count_free);
    CHECK_EQUAL(free_count, 1);
    cork_mempool_free(pool);
    CHECK_EQUAL(done_count, init_count);
    CHECK_EQUAL(free_count, 2);
    requests_stop();
    CHECK(requests.count != 0);
    CHECK_EQUAL(requests.heap_count, 0);
}

TEST(functions_may_be_taken_away_again)
{
    struct cork_mempool *pool = cork_mempool_new(struct node);

    cork_mempool_set_callbacks(pool, &init_count, NULL, count_init, count_done);
    cork_mempool_set_init_object(pool, NULL);
    cork_mempool_set_done_object(pool, NULL);
    cork_mempool_free_object(pool, cork_mempool_new_object(pool));
    cork_mempool_free(pool);
    CHECK_EQUAL(init_count + done_count, 0);
}

static void functions_are_refused(struct cork_mempool *pool, const char *report)
{
    CHECK_ABORTS(report, cork_mempool_set_init_object(pool, count_init));
    CHECK_ABORTS(report, cork_mempool_set_done_object(pool, count_done));
}

TEST(functions_come_before_objects)
{
    struct cork_mempool *pool = cork_mempool_new(struct node);
    void *node = cork_mempool_new_object(pool);

    functions_are_refused(pool, leak_report(pool, "struct node", 1, &node, 0, 1));
    cork_mempool_set_user_data(pool, &init_count, NULL);
    cork_mempool_free_object(pool, node);
    cork_mempool_set_init_object(pool, count_init);
    cork_mempool_free_object(pool, cork_mempool_new_object(pool));
    CHECK(init_count >= 1);
    cork_mempool_free(pool);
}

TEST(pools_that_were_not_made_here_or_were_finalized_are_not_changed_or_freed)
{
    struct cork_mempool *finalized = cork_mempool_new(struct node);
    struct cork_mempool other;

    cork_mempool_done(finalized);
    cork_mempool_init(&other, struct node);
    for (size_t i = 0; i < 2; i++) {
        struct cork_mempool *const pool = i == 0 ? finalized : &other;
        const char *const report =
            i == 0 ? pool_report("use after done", pool, "struct node")
                   : "cork_mempool: not a pool that cork_mempool_new has made\n";

        CHECK_ABORTS(report, cork_mempool_free(pool));
        CHECK_ABORTS(report, cork_mempool_set_user_data(pool, NULL, NULL));
        functions_are_refused(pool, report);
    }
    cork_mempool_free_object(&other, cork_mempool_new_object(&other));
    cork_mempool_done(&other);
    free(finalized);
}

/* Issues an object of a pool, or makes one if there is none, where there is no memory. */
static void go_without_memory(struct cork_mempool *pool)
{
    requests_start();
    requests_refuse(EVERYTHING, REFUSE_FROM, 1);
    if (pool == NULL) {
        cork_mempool_new_size(8);
    } else {
        cork_mempool_new_object(pool);
    }
}

TEST(out_of_memory_aborts)
{
    const char *report = "cork_mempool: out of memory\n";
    struct cork_mempool *pool = cork_mempool_new(struct node);

    CHECK_ABORTS(report, cork_mempool_new_size(SIZE_MAX));
    CHECK_ABORTS(report, go_without_memory(NULL));
    CHECK_ABORTS(report, go_without_memory(pool));
    cork_mempool_free(pool);
}
