/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * libcork 1.0's names: what examples/libcork_1_0.c, which libcork itself must run too, cannot ask.
 */

#include <libcork/compat/mempool_1_0.h>
#include <libcork/core.h> /* as a file that is migrated may still have it */

#include "test/support/memory.h"
#include "test/support/reports.h"

struct node {
    struct node *next;
    int value[4]; /* 24 bytes on 64-bit machines: no more than a type of that size may be issued */
};

/* How often a pool has called its functions; its user_data. */
static struct tally {
    size_t init_count, done_count, free_count;
} tally;

static void count_init(void *user_data, void *object)
{
    (void)object;
    ((struct tally *)user_data)->init_count++;
}

static void count_done(void *user_data, void *object)
{
    (void)object;
    CHECK_EQUAL(((struct tally *)user_data)->free_count, 0);
    ((struct tally *)user_data)->done_count++;
}

static void count_free(void *user_data)
{
    ((struct tally *)user_data)->free_count++;
}

static void expect_sizes(struct cork_mempool *pool, size_t element_size, size_t alignment,
                         size_t block_size)
{
    const struct cork_mempool_stats stats = stats_of(pool);

    CHECK_EQUAL(stats.element_size, element_size);
    CHECK_EQUAL(stats.alignment, alignment);
    CHECK_EQUAL(stats.block_size, block_size / stats.slot_size * stats.slot_size);
    cork_mempool_free(pool);
}

TEST(sizes_are_those_that_were_asked_for)
{
    struct cork_mempool *pool = cork_mempool_new_ex(struct node, 50000);

    cork_mempool_set_init_object(pool, NULL);
    expect_sizes(pool, sizeof(struct node), _Alignof(struct node), 50000);
    expect_sizes(cork_mempool_new_ex(struct node, 50000), sizeof(struct node),
                 _Alignof(struct node), 50000);
    expect_sizes(cork_mempool_new(struct node), sizeof(struct node), _Alignof(struct node), 4096);
    expect_sizes(cork_mempool_new_size(24), 24, alignment_needed(24), 4096);
    expect_sizes(cork_mempool_new_size_ex(100, 100000), 100, alignment_needed(100), 100000);
    expect_sizes(cork_mempool_new_size_ex(16, 0), 16, alignment_needed(16), slot_needed(16));
}

TEST(functions_are_called_once_for_each_slot_that_is_used_and_all_memory_goes_back)
{
    struct tally other = {.init_count = 0};

    requests_start();
    struct cork_mempool *pool = cork_mempool_new(struct node);
    cork_mempool_set_callbacks(pool, &tally, count_free, count_init, count_done);
    for (int i = 0; i < 10; i++) {
        cork_mempool_free_object(pool, cork_mempool_new_object(pool));
    }
    CHECK(tally.init_count >= 1);
    CHECK_EQUAL(tally.done_count, 0);
    CHECK_EQUAL(tally.free_count, 0);
    cork_mempool_set_user_data(pool, &other, NULL);
    CHECK_EQUAL(tally.free_count, 1);
    cork_mempool_set_user_data(pool, &other, count_free);
    cork_mempool_free(pool);
    CHECK_EQUAL(other.done_count, tally.init_count);
    CHECK_EQUAL(other.free_count, 1);
    CHECK_EQUAL(tally.free_count, 1);
    CHECK(requests.count != 0);
    requests_finish();
}

static void changes_are_refused(struct cork_mempool *pool, const char *report)
{
    CHECK_ABORTS(report, cork_mempool_free(pool));
    CHECK_ABORTS(report, cork_mempool_set_init_object(pool, count_init));
    CHECK_ABORTS(report, cork_mempool_set_done_object(pool, count_done));
}

TEST(functions_come_before_objects_and_may_be_taken_away_again)
{
    struct cork_mempool *pool = cork_mempool_new(struct node);
    void *node = cork_mempool_new_object(pool);

    changes_are_refused(pool, leak_report(pool, "struct node", 1, &node, 0));
    cork_mempool_set_user_data(pool, &tally, NULL);
    cork_mempool_free_object(pool, NULL);
    cork_mempool_free_object(pool, node);
    cork_mempool_set_init_object(pool, count_init);
    cork_mempool_set_done_object(pool, count_done);
    node = cork_mempool_new_object(pool);
    CHECK_EQUAL(tally.init_count, 1);
    cork_mempool_set_init_object(pool, NULL);
    cork_mempool_set_done_object(pool, NULL);
    cork_mempool_set_done_object(pool, NULL); /* although an object is live */
    cork_mempool_free_object(pool, node);
    CHECK_ABORTS(slot_report(CORK_MEMPOOL_DOUBLE_FREE, pool, "struct node", node, 0),
                 cork_mempool_free_object(pool, node));
    cork_mempool_free(pool);
    CHECK_EQUAL(tally.init_count + tally.done_count, 1);
}

TEST(pools_that_were_not_made_here_or_were_finalized_are_not_changed_or_freed)
{
    const char *not_made_here = "cork_mempool: not a pool that cork_mempool_new has made\n";
    struct cork_mempool *finalized = cork_mempool_new(struct node);
    const char *use_after_done = pool_report(CORK_MEMPOOL_USE_AFTER_DONE, finalized, "struct node");
    struct cork_mempool other;

    cork_mempool_done(finalized);
    changes_are_refused(finalized, use_after_done);
    CHECK_ABORTS(use_after_done, cork_mempool_set_user_data(finalized, NULL, NULL));
    free(finalized);
    INIT(&other, .user_data = &other);
    changes_are_refused(&other, not_made_here);
    CHECK_ABORTS(not_made_here, cork_mempool_set_user_data(&other, NULL, NULL));
    cork_mempool_free_object(&other, cork_mempool_new_object(&other));
    cork_mempool_done(&other);
}

TEST(out_of_memory_aborts)
{
    const char *report = "cork_mempool: out of memory\n";
    const int lacks = NO_HEAP | NO_MAPPINGS;
    struct cork_mempool *pool = cork_mempool_new(struct node);

    CHECK_ABORTS(report, cork_mempool_new_size(SIZE_MAX));
    CHECK_ABORTS(report, requests_start_lacking(lacks); cork_mempool_new_size(8));
    CHECK_ABORTS(report, requests_start_lacking(lacks); cork_mempool_new_object(pool));
    cork_mempool_free(pool);
}
