/* SPDX-License-Identifier: BSD-3-Clause */
#include "subject.h"

#include <libcork/core.h>
#include <libcork/core/mempool_inspect.h>

_Static_assert(sizeof(struct cork_mempool) <= sizeof(union subject_pool), "storage");
_Static_assert(_Alignof(struct cork_mempool) <= _Alignof(union subject_pool), "storage");

static struct cork_mempool *pool_of(union subject_pool *pool)
{
    return (struct cork_mempool *)(void *)pool;
}

static void init_type(struct cork_mempool *mp, unsigned type)
{
    switch (type) {
#define CASE(number, type)                                                                         \
    case number:                                                                                   \
        cork_mempool_init(mp, type);                                                               \
        break;
        SUBJECT_TYPES(CASE)
#undef CASE
    }
}

static void init_type_ex(struct cork_mempool *mp, unsigned type, size_t block_size)
{
    switch (type) {
#define CASE(number, type)                                                                         \
    case number:                                                                                   \
        cork_mempool_init_ex(mp, type, block_size);                                                \
        break;
        SUBJECT_TYPES(CASE)
#undef CASE
    }
}

/* The EX forms make the pool elsewhere and move it: until its first new, that is allowed. */
static void init(union subject_pool *pool, const struct subject_init *how)
{
    struct cork_mempool elsewhere;
    switch (how->form) {
    case SUBJECT_INIT_SIZE:
        cork_mempool_init_size(pool_of(pool), how->element_size);
        break;
    case SUBJECT_INIT_SIZE_EX:
        cork_mempool_init_size_ex(&elsewhere, how->element_size, how->block_size);
        *pool_of(pool) = elsewhere;
        break;
    case SUBJECT_INIT_TYPE:
        init_type(pool_of(pool), how->type);
        break;
    case SUBJECT_INIT_TYPE_EX:
        init_type_ex(&elsewhere, how->type, how->block_size);
        *pool_of(pool) = elsewhere;
        break;
    }
}

static void *new_object(union subject_pool *pool)
{
    return cork_mempool_new(pool_of(pool));
}

static void free_object(union subject_pool *pool, void *object)
{
    cork_mempool_free(pool_of(pool), object);
}

static void done(union subject_pool *pool)
{
    cork_mempool_done(pool_of(pool));
}

/* What every pool's figures have in common, whatever was asked for. */
static bool is_plausible(const struct cork_mempool_stats *stats)
{
    if (stats->element_size == 0 || (stats->alignment & (stats->alignment - 1)) != 0 ||
        stats->memory_size > stats->reserved_size) {
        return false;
    }
    if (stats->slot_size == 0) {
        return stats->live_count == 0 && stats->free_count == 0;
    }
    return stats->slot_size >= stats->element_size && stats->slot_size % stats->alignment == 0 &&
           stats->block_size >= stats->slot_size && stats->block_size % stats->slot_size == 0 &&
           stats->memory_size / stats->slot_size >= stats->live_count + stats->free_count;
}

static bool inspect(const union subject_pool *pool, size_t *live_count)
{
    const struct cork_mempool *mp = (const struct cork_mempool *)(const void *)pool;
    struct cork_mempool_stats stats;
    cork_mempool_stats(mp, &stats);
    *live_count = stats.live_count;
    return cork_mempool_check(mp) && is_plausible(&stats);
}

const struct subject subject_cork = {
    .name = "cork_mempool",
    .pool_size = sizeof(struct cork_mempool),
    .keeps_freed = true,
    .init = init,
    .new_object = new_object,
    .free_object = free_object,
    .done = done,
    .inspect = inspect,
};
