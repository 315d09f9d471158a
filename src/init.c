/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "annotate.h"
#include "damage.h"
#include "environment.h"
#include "geometry.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"
#include "pool.h"
#include "protect.h"
#include "region.h"
#include "source.h"

#define ALL_PROTECTIONS (CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL)

static bool has_own_memory(const struct cork_mempool_options *options)
{
    return options->buffer != NULL || options->source != NULL;
}

static bool has_constructed(const struct cork_mempool_options *options)
{
    return options->init_object != NULL || options->done_object != NULL;
}

/* The protections that options cannot be combined with. Guards need the system's pages. */
static uint32_t contradicted(const struct cork_mempool_options *options)
{
    uint32_t contradicted = ~(uint32_t)ALL_PROTECTIONS;

    if (!SOURCE_HAS_OS || has_own_memory(options)) {
        contradicted |= CORK_MEMPOOL_GUARD;
    }
    if (has_constructed(options)) {
        contradicted |= CORK_MEMPOOL_WIPE;
    }
    return contradicted;
}

/* Canaries need a gap between objects; and a tool that watches sees a run over an object's end only
 * where there is one. Of a buffer the caller has counted how many objects fit. */
static bool needs_gap(const struct cork_mempool_options *options)
{
    return (options->protections & CORK_MEMPOOL_CANARY) != 0 ||
           (annotate_is_watching() && options->buffer == NULL);
}

static void geometry_from(struct cork_mempool_geometry *geometry,
                          const struct cork_mempool_options *options)
{
    const uint32_t protections = options->protections;

    geometry_init(geometry, options->element_size, options->alignment, options->block_size,
                  needs_gap(options) ? CANARY_GAP_SIZE : 0,
                  (protections & CORK_MEMPOOL_GUARD) != 0 ? source_page_size() : 0);
    geometry->has_records = (protections & PROTECT_RECORDED) != 0;
    geometry->has_withheld = (protections & PROTECT_WITHHELD) != 0;
}

static void init(struct cork_mempool *mp, const struct cork_mempool_options *options)
{
    const bool is_watched = annotate_is_watching();
    const bool guards_new =
        (options->protections & PROTECT_GUARDS_NEW) != 0 || has_constructed(options) || is_watched;

    *mp = (struct cork_mempool){
        .state = POOL_IS_LIVE,
        .is_watched = is_watched,
        .guards_new = guards_new,
        .guards_free = guards_new || (options->protections & PROTECT_GUARDS_FREE) != 0,
        .name = options->name,
        .objects_left = options->max_objects != 0 ? options->max_objects : SIZE_MAX,
        .protections = options->protections,
        .seed = options->seed,
        .source = options->source != NULL ? options->source : &source_heap,
        .source_data = options->source_data,
        .buffer = options->buffer,
        .buffer_size = options->buffer_size,
        .init_object = options->init_object,
        .done_object = options->done_object,
        .user_data = options->user_data,
    };
    geometry_from(&mp->geometry, options);
    if (mp->geometry.block_slots > mp->objects_left) {
        mp->geometry.block_slots = mp->objects_left;
    }
    if (options->protections != 0) {
        protect_init(mp);
    }
}

/* What the environment adds to options that are valid. */
static void add_environment(struct cork_mempool_options *options)
{
    const struct environment environment = environment_options();
    uint32_t added = environment.protections & ~contradicted(options);

    if (options->buffer != NULL) {
        /* The caller has counted how many objects fit. */
        added &= CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE;
    }
    options->protections |= added;
    if (options->seed == 0) {
        options->seed = environment.seed;
    }
}

/* A type's size is a multiple of its alignment, so that divides the lowest bit of the size. */
void cork_mempool_init_type_(struct cork_mempool *mp, size_t type_size, size_t block_size,
                             const char *name)
{
    struct cork_mempool_options options = {
        .name = name,
        .element_size = type_size,
        .alignment = type_size & (~type_size + 1),
        .block_size = block_size,
    };

    add_environment(&options);
    init(mp, &options);
}

void cork_mempool_init_size_ex(struct cork_mempool *mp, size_t element_size, size_t block_size)
{
    struct cork_mempool_options options = {.element_size = element_size, .block_size = block_size};

    add_environment(&options);
    init(mp, &options);
}

void cork_mempool_init_size(struct cork_mempool *mp, size_t element_size)
{
    cork_mempool_init_size_ex(mp, element_size, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
}

static bool is_source_valid(const struct cork_mempool_options *options)
{
    const struct cork_mempool_source *source = options->source;

    if ((options->buffer != NULL) != (options->buffer_size != 0)) {
        return false;
    }
    if (source == NULL) {
        return options->source_data == NULL;
    }
    return options->buffer == NULL && source->acquire != NULL && source->release != NULL;
}

static bool is_valid(const struct cork_mempool_options *options)
{
    struct cork_mempool_geometry geometry;

    if ((options->protections & contradicted(options)) != 0 || !is_source_valid(options) ||
        (options->alignment & (options->alignment - 1)) != 0) {
        return false;
    }
    geometry_from(&geometry, options);
    return geometry.stride != 0 &&
           (options->buffer == NULL ||
            region_buffer_capacity(options->buffer, options->buffer_size, &geometry) > 0);
}

bool cork_mempool_init_with(struct cork_mempool *mp, const struct cork_mempool_options *options)
{
    if (options == NULL || !is_valid(options)) {
        errno = EINVAL;
        return false;
    }

    struct cork_mempool_options complete = *options;
    if (complete.block_size == 0) {
        complete.block_size = CORK_MEMPOOL_DEFAULT_BLOCK_SIZE;
    }
    add_environment(&complete);
    init(mp, &complete);
    return true;
}
