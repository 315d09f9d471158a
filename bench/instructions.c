/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * new|free default|paranoid COUNT: calls one function COUNT times on its usual path, for Callgrind,
 * which counts what is executed in it. Runs that differ in COUNT alone differ by that many calls.
 *
 * By default an object is taken from an open group of a regular region, and goes back to a group
 * that has free slots, in the region used last. With PARANOID the quarantine is full, and nothing
 * is issued for the first time.
 */

#include <libcork/core.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE        64
#define GROUP_SLOTS 64
#define OLD_COUNT   (64 * GROUP_SLOTS)
#define COUNT_MAX   (OLD_COUNT / 2)

static void *old[OLD_COUNT];
static void *objects[COUNT_MAX];

/* Takes so many objects that most are in a regular region, whole groups of them. */
static void age(struct cork_mempool *pool)
{
    for (size_t i = 0; i < OLD_COUNT; i++) {
        old[i] = cork_mempool_new(pool);
    }
}

int main(int argc, char **argv)
{
    const size_t count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (count == 0 || count > COUNT_MAX) {
        fprintf(stderr, "usage: %s new|free default|paranoid COUNT\n", argv[0]);
        return 2;
    }
    const int is_paranoid = strcmp(argv[2], "paranoid") == 0;
    const int is_new = strcmp(argv[1], "new") == 0;
    const struct cork_mempool_options options = {
        .element_size = SIZE,
        .protections = is_paranoid ? CORK_MEMPOOL_PARANOID : 0,
        .seed = 1,
    };
    struct cork_mempool pool;
    if (!cork_mempool_init_with(&pool, &options)) {
        return 1;
    }

    age(&pool);
    for (size_t i = 0; i < OLD_COUNT; i++) {
        cork_mempool_free(&pool, old[i]);
    }
    if (is_new) {
        for (size_t i = 0; i < count; i++) {
            objects[i] = cork_mempool_new(&pool);
        }
        return 0;
    }
    age(&pool);
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&pool, old[OLD_COUNT / 2 + i]);
    }
    return 0;
}
