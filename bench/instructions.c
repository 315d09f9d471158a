/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * new|free PATH COUNT: calls one function COUNT times on a path, for Callgrind, which counts what
 * is executed in it. Runs that differ in COUNT alone differ by that many calls. The paths are:
 *
 *     kept      the object that was freed last is kept aside, and issued next
 *     older     the same, with an object that lies in neither of the two newest regions
 *     default   a freed slot goes onto the stack, and is taken from there
 *     group     new: a slot of the active group; free: the stack is full, and the group is linked
 *     link      free: the stack is full, and the group is linked now
 *     paranoid  with PARANOID; the quarantine is full, and nothing is issued for the first time
 */

#include <libcork/core.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE        64
#define STACK_SLOTS 64
#define GROUP_SLOTS 64

/* The first objects are in pieces of the heap with 128, 256 and 1117 slots; all others in one. */
#define FIRST     (128 + 256 + 1117)
#define OLD_COUNT (FIRST + 100 * GROUP_SLOTS)
#define COUNT_MAX (OLD_COUNT / 2)

static void *old[OLD_COUNT];
static void *objects[COUNT_MAX];
static struct cork_mempool pool;

static void take(void **taken, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        taken[i] = cork_mempool_new(&pool);
    }
}

static void give(void **given, size_t count, size_t step)
{
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&pool, given[i * step]);
    }
}

/* Makes count calls of both functions. */
static void use_kept(void **object, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cork_mempool_free(&pool, *object);
        *object = cork_mempool_new(&pool);
    }
}

/* Behind the object that is kept aside. */
static void use_stack(bool is_new, size_t count)
{
    give(old + FIRST, is_new ? 1 + STACK_SLOTS : 1 + count, 1);
    if (is_new) {
        take(objects, 1 + count);
    }
}

/* The groups up to OLD_COUNT have no free slot. */
static void use_group(bool is_new, size_t count, size_t step)
{
    if (is_new) {
        take(objects, count);
    } else {
        give(old + FIRST, 1 + STACK_SLOTS, 1);
        give(old + FIRST + 2 * GROUP_SLOTS, count, step);
    }
}

static void use_paranoid(bool is_new, size_t count)
{
    give(old, OLD_COUNT, 1);
    if (is_new) {
        take(objects, count);
    } else {
        take(old, OLD_COUNT);
        give(old + OLD_COUNT / 2, count, 1);
    }
}

int main(int argc, char **argv)
{
    const size_t count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    const char *const path = count > 0 && count <= COUNT_MAX ? argv[2] : "none";
    const bool is_new = argc == 4 && strcmp(argv[1], "new") == 0;
    const bool is_paranoid = strcmp(path, "paranoid") == 0;
    const struct cork_mempool_options options = {
        .element_size = SIZE,
        .protections = is_paranoid ? CORK_MEMPOOL_PARANOID : 0,
        .seed = 1,
    };

    if (!cork_mempool_init_with(&pool, &options)) {
        return 1;
    }
    take(old, OLD_COUNT);
    if (strcmp(path, "kept") == 0) {
        use_kept(old + FIRST, count);
    } else if (strcmp(path, "older") == 0) {
        use_kept(old, count);
    } else if (strcmp(path, "default") == 0) {
        use_stack(is_new, count);
    } else if (strcmp(path, "group") == 0) {
        use_group(is_new, count, 1);
    } else if (strcmp(path, "link") == 0) {
        use_group(is_new, count, GROUP_SLOTS);
    } else if (is_paranoid) {
        use_paranoid(is_new, count);
    } else {
        fprintf(stderr, "usage: %s new|free default|kept|older|group|link|paranoid COUNT\n",
                argv[0]);
        return 2;
    }
    return 0;
}
