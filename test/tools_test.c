/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Legal uses of pools, of which no tool may say anything. They run under each sanitizer;
 * //fuzz:coverage and tools/mutate run them under Valgrind, and tools_reports_test.py under
 * LeakSanitizer and with other compilers too.
 */

#include <stdlib.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

#if TEST_UNDER_MSAN
#include <sanitizer/msan_interface.h>
#define FIRST_UNINITIALIZED(memory, size) __msan_test_shadow(memory, size)
#else
#define FIRST_UNINITIALIZED(memory, size) ((void)(memory), (void)(size), -1)
#endif

/* More than the heap's pieces hold. */
#define COUNT 6000

struct node {
    struct node *next;
    char *name, rest[200];
};

static struct cork_mempool mp;
static void *objects[COUNT];

static void init(struct cork_mempool *pool, unsigned protections)
{
    CHECK(cork_mempool_init_with(
        pool, OPTIONS(.element_size = sizeof(struct node), .protections = protections)));
}

/* Objects are new, freed, issued again, and left to clear, to trim and to done. */
static void use(size_t count)
{
    for (size_t round = 0; round < 2; round++) {
        take_objects(&mp, objects, count);
        give_objects(&mp, objects, count / 2);
        cork_mempool_trim(&mp);
        take_objects(&mp, objects, count / 2);
        cork_mempool_clear(&mp);
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_trim(&mp);
    take_objects(&mp, objects, 1);
    give_objects(&mp, objects, 1);
}

/* What nobody has written is sealed and verified as well, and that is no use of it. */
static void use_unwritten(void)
{
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < 10; i++) {
            objects[i] = cork_mempool_new(&mp);
            CHECK(objects[i] != NULL);
            CHECK(!TEST_UNDER_MSAN || round > 0 ||
                  FIRST_UNINITIALIZED(objects[i], sizeof(struct node)) == 0);
        }
        for (size_t i = 0; i < 10; i++) {
            cork_mempool_free(&mp, objects[i]);
        }
        CHECK(cork_mempool_check(&mp));
    }
    cork_mempool_done(&mp);
}

TEST(pools_with_each_protection_are_used)
{
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        test_row("protections %#x", all_protections[i]);
        init(&mp, all_protections[i]);
        use(COUNT);
        cork_mempool_done(&mp);
        init(&mp, all_protections[i]);
        use_unwritten();
    }
}

/* Nobody tells the tool of the end of a pool that is initialized again; it has given all back. */
TEST(a_pool_is_where_another_was_that_has_not_ended)
{
    for (size_t round = 0; round < 2; round++) {
        init(&mp, CORK_MEMPOOL_SEAL);
        use(200);
        cork_mempool_trim(&mp);
    }
    cork_mempool_done(&mp);
}

/* Objects that are live at exit lead to blocks of the heap, which are no leaks. */
TEST(objects_are_live_at_exit)
{
    static struct cork_mempool pools[PROTECTIONS_COUNT];
    static struct node *first;

    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        init(&pools[i], all_protections[i]);
        for (size_t j = 0; j < COUNT; j++) {
            struct node *node = cork_mempool_new(&pools[i]);

            CHECK(node != NULL);
            node->name = malloc(32);
            node->next = first;
            first = node;
        }
    }
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    void *memory = plain_source.acquire(source_data, size, alignment);

    return memory == NULL ? NULL : memset(memory, 0, size);
}

static void release(void *source_data, void *memory, size_t size)
{
    CHECK(FIRST_UNINITIALIZED(memory, size) < 0);
    plain_source.release(source_data, memory, size);
}

/* The caller's memory was initialized and accessible, and is so again when it is given back. */
TEST(callers_memory_is_given_back_as_it_was)
{
    static const struct cork_mempool_source source = {acquire, release};
    static _Alignas(16) char buffer[1 << 16];

    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        const unsigned protections = all_protections[i] & ~CORK_MEMPOOL_GUARD;
        unsigned sum = 0;

        test_row("protections %#x", protections);
        CHECK(cork_mempool_init_with(
            &mp, OPTIONS(.element_size = 64, .source = &source, .protections = protections)));
        use_unwritten();
        CHECK(cork_mempool_init_with(&mp, OPTIONS(.element_size = 64, .buffer = buffer,
                                                  .buffer_size = sizeof(buffer),
                                                  .protections = protections)));
        use_unwritten();
        CHECK(FIRST_UNINITIALIZED(buffer, sizeof(buffer)) < 0);
        for (size_t j = 0; j < sizeof(buffer); j++) {
            sum += (unsigned char)buffer[j];
        }
        CHECK(sum < 256 * sizeof(buffer)); /* where a tool sees what is uninitialized */
    }
}

/* A tool takes no room from a buffer; and what is issued again has the contents that it had. */
TEST(a_full_buffer_issues_a_freed_object_again)
{
    static _Alignas(16) char buffer[150 * 24];
    const size_t count = 1 + sizeof(buffer) / 4 * 3 / slot_needed(24);

    CHECK(cork_mempool_init_with(
        &mp, OPTIONS(.element_size = 24, .buffer = buffer, .buffer_size = sizeof(buffer))));
    CHECK_EQUAL(stats_of(&mp).slot_size, slot_needed(24));
    CHECK_EQUAL(mp.seed, 0); /* which a report would show */
    take_objects(&mp, objects, count);
    while (cork_mempool_new(&mp) != NULL) {
    }
    cork_mempool_free(&mp, objects[0]);
    CHECK_POINTER(cork_mempool_new(&mp), objects[0]);
    give_objects(&mp, objects, count);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}
