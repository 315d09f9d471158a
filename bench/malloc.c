/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* dladdr, clock_gettime */

/* malloc: the C library's, or that of a library which is preloaded. The variant is a part of the
 * name of the file that it must come from, so that a preload which had no effect is noticed. */

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool {
    size_t size;
};

static bool pool_open(const char *variant)
{
    Dl_info info;
    if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) == 0) {
        return false;
    }
    if (strstr(info.dli_fname, variant) == NULL) {
        fprintf(stderr, "bench: malloc is that of %s\n", info.dli_fname);
    }
    return strstr(info.dli_fname, variant) != NULL;
}

static inline void pool_init(struct pool *pool, size_t size)
{
    pool->size = size;
}

static inline void *pool_new(struct pool *pool)
{
    return malloc(pool->size);
}

static inline void pool_free(struct pool *pool, void *object)
{
    (void)pool;
    free(object);
}

static inline void pool_done(struct pool *pool)
{
    (void)pool;
}

#include "main.h"
