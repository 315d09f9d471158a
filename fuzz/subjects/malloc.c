/* SPDX-License-Identifier: BSD-3-Clause */

/* malloc as a pool: nothing is promised of a freed object, all else is. */

#include <stdlib.h>

#include "other.h"

const struct other *other_open(void)
{
    static const struct other other = {.name = "malloc", .max_alignment = _Alignof(max_align_t)};
    return &other;
}

void *other_make(size_t element_size, size_t block_size)
{
    size_t *pool = malloc(sizeof(*pool));
    (void)block_size;
    if (pool != NULL) {
        *pool = element_size;
    }
    return pool;
}

void *other_new(void *pool)
{
    return malloc(*(const size_t *)pool);
}

void other_free(void *pool, void *object)
{
    (void)pool;
    free(object);
}

void other_done(void *pool)
{
    free(pool);
}
