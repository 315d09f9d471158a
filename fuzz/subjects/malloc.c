/* SPDX-License-Identifier: BSD-3-Clause */

/* malloc as a pool, which is its objects' size: nothing is promised of a freed object, all else is.
 */

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

static void *new_object(void *pool)
{
    return malloc(*(const size_t *)pool);
}

static void free_object(void *pool, void *object)
{
    (void)pool;
    free(object);
}

const struct other *other_open(void)
{
    static const struct other other = {"malloc",   _Alignof(max_align_t), false, make,
                                       new_object, free_object,           free};
    return &other;
}
