/* SPDX-License-Identifier: BSD-3-Clause */

/* malloc as a pool: nothing is promised of a freed object, all else is. */

#include <stdlib.h>

#include "other.h"

static void *make(size_t element_size, size_t block_size)
{
    size_t *pool = malloc(sizeof(*pool));
    (void)block_size;
    if (pool != NULL) {
        *pool = element_size;
    }
    return pool;
}

static void *take(void *pool)
{
    return malloc(*(const size_t *)pool);
}

static void give(void *pool, void *object)
{
    (void)pool;
    free(object);
}

const struct other *other_open(void)
{
    static const struct other other = {.name = "malloc",
                                       .max_alignment = _Alignof(max_align_t),
                                       .make = make,
                                       .take = take,
                                       .give = give,
                                       .unmake = free};
    return &other;
}
