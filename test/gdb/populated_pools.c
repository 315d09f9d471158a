/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools in every state, and what gdb must say of them: expect.py compares at stop().
 */
#include <libcork/core.h>
#include <stddef.h>
#include <stdlib.h>

#define OBJECT_COUNT 450
#define ELEMENT_SIZE 32

/* What gdb must say, among other things, of an address; NULL: that no pool owns it. */
static struct {
    const void *address;
    const struct cork_mempool *pool;
    const char *text;
} expected[64];
static size_t expected_count;

/* How many objects of each pool are live. */
static struct {
    const struct cork_mempool *pool;
    size_t live_count;
} counts[8];
static size_t pool_count;

/* Pools where gdb must look for them: in static storage, in arrays of structs, behind pointers. */
static struct cork_mempool plain;
static struct {
    int number;
    struct cork_mempool pools[1];
} nested;
static struct cork_mempool finalized;
static struct cork_mempool zeroed;
static max_align_t buffer[256];

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

void stop(void);
__attribute__((noinline)) void stop(void)
{
    __asm__ volatile("" ::: "memory");
}

static void expect(const struct cork_mempool *pool, const void *address, const char *text)
{
    require(expected_count < sizeof(expected) / sizeof(*expected));
    expected[expected_count].address = address;
    expected[expected_count].pool = pool;
    expected[expected_count++].text = text;
}

static void count(const struct cork_mempool *pool)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(pool, &stats);
    counts[pool_count].pool = pool;
    counts[pool_count++].live_count = stats.live_count;
}

static void init(struct cork_mempool *pool, unsigned protections)
{
    const struct cork_mempool_options options = {
        .element_size = ELEMENT_SIZE, .protections = protections, .seed = 1};

    require(cork_mempool_init_with(pool, &options));
}

/* Frees every third of many objects, which lie in three regions: the first one freed is kept aside,
 * and so many are that some are on the stack, and some in groups on free lists. */
static void populate(struct cork_mempool *pool, unsigned protections, char *objects[OBJECT_COUNT])
{
    init(pool, protections);
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        objects[i] = cork_mempool_new(pool);
        require(objects[i] != NULL);
    }
    for (size_t i = 0; i < OBJECT_COUNT; i += 3) {
        cork_mempool_free(pool, objects[i]);
    }
    count(pool);
}

static void make_plain(struct cork_mempool *pool)
{
    char *objects[OBJECT_COUNT];

    populate(pool, 0, objects);
    expect(pool, objects[0], "slot 0, free, object");
    expect(pool, objects[1], "slot 1, live, object");
    expect(pool, objects[63] + 5, "slot 63, free, object");
    expect(pool, objects[64], "slot 64, live, object");
    expect(pool, objects[64] + 5, "5 bytes into it");
    expect(pool, objects[OBJECT_COUNT - 1], "slot 449, live, object");
    expect(pool, objects[OBJECT_COUNT - 1] + ELEMENT_SIZE, "slot 450, never issued, object");
    expect(pool, objects[OBJECT_COUNT - 1] + 1000 * ELEMENT_SIZE, "never issued, object");
}

static void make_paranoid(struct cork_mempool *pool)
{
    struct cork_mempool_stats stats;
    char *objects[OBJECT_COUNT];
    char *first;

    populate(pool, CORK_MEMPOOL_PARANOID, objects);
    first = objects[0];
    expect(pool, objects[1], "live, object");
    expect(pool, objects[1], "issued at");
    expect(pool, objects[1], "(populate, ");
    expect(pool, objects[1] + ELEMENT_SIZE + 2, "2 bytes behind its end");
    expect(pool, objects[3], "in quarantine, object");
    expect(pool, objects[3], "freed at");
    /* Slots are issued in any order, but all of the first ones have been. */
    for (size_t i = 1; i < OBJECT_COUNT; i++) {
        first = objects[i] < first ? objects[i] : first;
    }
    cork_mempool_stats(pool, &stats);
    expect(pool, first + stats.block_size, "guard, object");
}

static void make_buffered(struct cork_mempool *pool)
{
    const struct cork_mempool_options options = {
        .name = "buffered", .element_size = 16, .buffer = buffer, .buffer_size = sizeof(buffer)};
    char *object;

    require(cork_mempool_init_with(pool, &options));
    object = cork_mempool_new(pool);
    expect(pool, object, "\"buffered\"");
    expect(pool, object, "slot 0, live, object");
    expect(pool, object + 16, "slot 1, never issued, object");
    expect(pool, buffer, "bookkeeping");
    count(pool);
}

/* Of two objects one has been freed, and the slot behind them is fresh. */
static void make_sealed(struct cork_mempool *pool)
{
    char *object;

    init(pool, CORK_MEMPOOL_SEAL);
    object = cork_mempool_new(pool);
    expect(pool, object, "slot 0, free, object");
    expect(pool, cork_mempool_new(pool), "slot 1, live, object");
    expect(pool, object + 2 * ELEMENT_SIZE, "slot 2, never issued, object");
    cork_mempool_free(pool, object);
    count(pool);
}

static void visit(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    stop();
}

int main(void)
{
    struct cork_mempool local;
    struct cork_mempool *pointer = malloc(sizeof(*pointer));

    require(pointer != NULL);
    make_plain(&plain);
    make_paranoid(&nested.pools[0]);
    make_buffered(&local);
    make_sealed(pointer);
    init(&finalized, 0);
    cork_mempool_done(&finalized);
    expect(&finalized, &finalized, NULL);
    expect(&zeroed, &local, NULL);
    expect(&zeroed, NULL, NULL);
    cork_mempool_foreach(&local, visit, NULL);
    return pointer == NULL;
}
