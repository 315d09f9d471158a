/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * tools_reports_program USE: a use of a pool of which tools_reports_test.py knows what is reported.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libcork/core.h>

static struct cork_mempool pool;

/* Blocks of the heap to which an object of the pool led. */
static void lose_blocks(void)
{
    char **object;

    cork_mempool_init(&pool, char *);
    object = cork_mempool_new(&pool);
    for (int i = 0; i < 50; i++) {
        *object = malloc(32);
    }
}

/* Objects of which each has its own pages, half a GiB in all. */
static void use_half_a_gigabyte(void)
{
    const size_t count = (size_t)512 << 20 >> 16;

    cork_mempool_init_size(&pool, 1 << 16);
    for (size_t i = 0; i < count; i++) {
        *(int *)cork_mempool_new(&pool) = 1;
    }
    cork_mempool_clear(&pool);
    cork_mempool_done(&pool);
}

static void free_twice(void)
{
    void *object;

    cork_mempool_init_size(&pool, 64);
    object = cork_mempool_new(&pool);
    cork_mempool_free(&pool, object);
    cork_mempool_free(&pool, object); /* the second free */
}

static int read_freed(void)
{
    int *volatile object;

    cork_mempool_init(&pool, int);
    object = cork_mempool_new(&pool);
    *object = 1;
    cork_mempool_free(&pool, object);
    return *object;
}

int main(int argc, char **argv)
{
    const char *use = argc == 2 ? argv[1] : "";

    if (strcmp(use, "lose_blocks") == 0) {
        lose_blocks();
    } else if (strcmp(use, "use_half_a_gigabyte") == 0) {
        use_half_a_gigabyte();
    } else if (strcmp(use, "free_twice") == 0) {
        free_twice();
    } else if (strcmp(use, "read_freed") == 0) {
        return read_freed() != 1; /* a pool does not write to what is freed */
    } else {
        fprintf(stderr, "usage: tools_reports_program USE\n");
        return 2;
    }
    return 0;
}
