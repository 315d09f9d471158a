/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* clock_gettime */

/* This library's pool. Its variants: default, or one of the protections. */

#include <libcork/core.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define VARIANT(NAME, name) {#name, CORK_MEMPOOL_##NAME},

static const struct {
    const char *name;
    unsigned protections;
} variants[] = {
    {"default", 0}, {"paranoid", CORK_MEMPOOL_PARANOID}, CORK_MEMPOOL_PROTECTIONS_(VARIANT)};

static unsigned protections;

struct pool {
    struct cork_mempool cork;
};

static bool pool_open(const char *variant)
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (strcmp(variant, variants[i].name) == 0) {
            protections = variants[i].protections;
            return true;
        }
    }
    return false;
}

static inline void pool_init(struct pool *pool, size_t size)
{
    if (protections == 0) {
        cork_mempool_init_size(&pool->cork, size);
        return;
    }
    /* As malloc aligns; but with CANARY as any struct of numbers and pointers is. */
    const size_t alignment = protections == CORK_MEMPOOL_CANARY ? 8 : 16;
    const struct cork_mempool_options options = {
        .element_size = size, .alignment = alignment, .protections = protections};
    (void)cork_mempool_init_with(&pool->cork, &options);
}

static inline void *pool_new(struct pool *pool)
{
    return cork_mempool_new(&pool->cork);
}

static inline void pool_free(struct pool *pool, void *object)
{
    cork_mempool_free(&pool->cork, object);
}

static inline void pool_done(struct pool *pool)
{
    cork_mempool_done(&pool->cork);
}

#define POOL_HAS_TRIM
static inline void pool_trim(struct pool *pool)
{
    (void)cork_mempool_trim(&pool->cork);
}

#include "main.h"
