/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools in every state, and what gdb must say of them: expect.py compares at stop().
 */
#include <libcork/core.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT_COUNT 450
#define ELEMENT_SIZE 32

/* What gdb must say, among other things, of an address; NULL: that no pool owns it. And how many
 * objects of the pool are live. */
static struct expected {
    const void *address;
    const void *pool; /* of a type that gdb does not find pools by */
    const char *text;
    size_t live_count;
} expected[64];
static size_t expected_count;

/* Pools where gdb must look for them: in static storage, in arrays of structs, behind pointers. */
static struct {
    struct {
        struct cork_mempool pools[1];
    };
} nested;
static struct cork_mempool finalized;
static struct cork_mempool zeroed, overwritten;
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
    expected[expected_count++] = (struct expected){address, pool, text, 0};
}

static void init(struct cork_mempool *pool, unsigned protections)
{
    const struct cork_mempool_options options = {
        .element_size = ELEMENT_SIZE, .protections = protections, .seed = 1};

    require(cork_mempool_init_with(pool, &options));
}

static char *issue(struct cork_mempool *pool)
{
    void *object = cork_mempool_new(pool);

    require(object != NULL);
    return object;
}

/* Frees every third of many objects, which lie in three regions: the first one freed is kept aside,
 * and so many are that some are on the stack, and some in groups on free lists. */
static void populate(struct cork_mempool *pool, unsigned protections, char *objects[OBJECT_COUNT])
{
    init(pool, protections);
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        objects[i] = issue(pool);
    }
    for (size_t i = 0; i < OBJECT_COUNT; i += 3) {
        cork_mempool_free(pool, objects[i]);
    }
}

static void make_plain(struct cork_mempool *pool)
{
    char *objects[OBJECT_COUNT], *last;

    populate(pool, 0, objects);
    last = objects[OBJECT_COUNT - 1];
    expect(pool, objects[0], "slot 0, free, object");
    expect(pool, objects[1], "slot 1, live, object");
    expect(pool, objects[63] + 5, "slot 63, free, object");
    expect(pool, objects[64], "slot 64, live, object");
    expect(pool, objects[64] + 5, "5 bytes into it");
    expect(pool, last, "slot 449, live, object");
    expect(pool, last + ELEMENT_SIZE, "slot 450, never issued, object");
    expect(pool, last + 1000 * ELEMENT_SIZE, "never issued, object");
}

static void make_paranoid(struct cork_mempool *pool)
{
    struct cork_mempool_stats stats;
    char *objects[OBJECT_COUNT], *first;

    populate(pool, CORK_MEMPOOL_PARANOID, objects);
    expect(pool, objects[1], "live, object");
    expect(pool, objects[1], "issued at");
    expect(pool, objects[1], "(issue, ");
    expect(pool, objects[1] + ELEMENT_SIZE + 2, "2 bytes behind its end");
    expect(pool, objects[3], "in quarantine, object");
    expect(pool, objects[3], "freed at");
    /* Slots are issued in any order, but all of the first ones have been. */
    first = objects[0];
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
    object = issue(pool);
    expect(pool, object, "\"buffered\"");
    expect(pool, object, "slot 0, live, object");
    expect(pool, object + 16, "slot 1, never issued, object");
    expect(pool, buffer, "bookkeeping");
}

/* Of two objects one has been freed, and the slot behind them is fresh. */
static void make_sealed(struct cork_mempool *pool)
{
    char *object;

    init(pool, CORK_MEMPOOL_SEAL);
    object = issue(pool);
    expect(pool, object, "slot 0, free, object");
    expect(pool, issue(pool), "slot 1, live, object");
    expect(pool, object + 2 * ELEMENT_SIZE, "slot 2, never issued, object");
    cork_mempool_free(pool, object);
}

static void visit(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    stop();
}

int populate_all(void *inherited); /* main() of derived.cc calls this */
int populate_all(void *inherited)
{
    struct cork_mempool local;
    struct cork_mempool *pointer = malloc(sizeof(*pointer));

    require(pointer != NULL);
    make_plain(inherited);
    make_paranoid(&nested.pools[0]);
    make_buffered(&local);
    make_sealed(pointer);
    for (size_t i = 0; i < expected_count; i++) {
        struct cork_mempool_stats stats;

        cork_mempool_stats(expected[i].pool, &stats);
        expected[i].live_count = stats.live_count;
    }
    init(&finalized, 0);
    cork_mempool_done(&finalized);
    expect(&finalized, &finalized, NULL);
    expect(&zeroed, &local, NULL);
    expect(&zeroed, NULL, NULL);
    init(&overwritten, 0);
    memset(&overwritten.oldest, 'A', 2 * sizeof(void *));
    pointer->newest->newer = pointer->oldest; /* a cycle */
    cork_mempool_foreach(&local, visit, NULL);
    return pointer == NULL;
}
