/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bits.h"
#include "damage.h"
#include "environment.h"
#include "geometry.h"
#include "hooks.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"
#include "os.h"
#include "random.h"
#include "region.h"
#include "slots.h"
#include "tools.h"

#define ALL_PROTECTIONS (CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL)

static bool has_pages(const struct cork_mempool_options *options)
{
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
    (void)options;
    return false;
#else
    return options->buffer == NULL && options->source == NULL;
#endif
}

static bool has_constructed(const struct cork_mempool_options *options)
{
    return options->init_object != NULL || options->done_object != NULL;
}

/* The protections that options cannot be combined with. Guards need the system's pages. */
static uint32_t contradicted(const struct cork_mempool_options *options)
{
    uint32_t contradicted = ~(uint32_t)ALL_PROTECTIONS;

    if (!has_pages(options)) {
        contradicted |= CORK_MEMPOOL_GUARD;
    }
    if (has_constructed(options)) {
        contradicted |= CORK_MEMPOOL_WIPE;
    }
    return contradicted;
}

/* Canaries need a redzone; and Valgrind sees a run over an object's end only where there is one. Of
 * a buffer the caller has counted how many objects fit. */
static void geometry_from(struct cork_mempool_geometry *geometry,
                          const struct cork_mempool_options *options, bool under_valgrind)
{
    const uint32_t protections = options->protections;
    const bool has_redzone =
        (protections & CORK_MEMPOOL_CANARY) != 0 || (under_valgrind && options->buffer == NULL);
    const bool is_hooked = protections != 0 || under_valgrind || has_constructed(options);

    geometry_init(geometry, options->element_size, options->alignment, options->block_size,
                  has_redzone ? CANARY_REDZONE_SIZE : 0,
                  (protections & CORK_MEMPOOL_GUARD) != 0 ? os_page_size() : 0);
    geometry->tables = is_hooked ? hooks_tables(protections, options->buffer != NULL) : 0;
}

/* A seed that differs from process to process, from place to place, and from time to time. */
static uint64_t seed_of(const void *place)
{
    static _Atomic(uintptr_t) made_count;
    uint64_t seed = random_mix((uintptr_t)place) + atomic_fetch_add(&made_count, 1);

    seed = random_mix(random_mix(seed) ^ os_random_word());
    return seed == 0 ? 1 : seed;
}

static void init_random(struct cork_mempool *mp, uint64_t seed)
{
    mp->seed = seed != 0 ? seed : seed_of(mp);
    mp->random = random_next(mp->seed);
    /* A string that is one byte too long ends in a zero, which must be seen as damage. */
    mp->key = random_mix(mp->random) | UINT64_C(0x0101010101010101);
}

/* Copies a name as far as there is room, because the string may not outlive the pool. */
static void copy_name(char *copy, const char *name)
{
    const size_t most = CORK_MEMPOOL_NAME_SIZE_ - 1;
    size_t length = 0;

    for (; length < most && name[length] != '\0'; length++) {
        copy[length] = name[length];
    }
    if (name[length] != '\0') {
        memset(copy + most - 3, '.', 3);
    }
}

/* Everything but the pool's own later state. */
static void init(struct cork_mempool *mp, const struct cork_mempool_options *options,
                 bool under_valgrind)
{
    memset(mp, 0, offsetof(struct cork_mempool, lent) + offsetof(struct cork_mempool_lent, stack));
    geometry_from(&mp->geometry, options, under_valgrind);
    mp->state = POOL_IS_LIVE;
    mp->protections = options->protections;
    mp->under_valgrind = under_valgrind;
    mp->objects_left = options->max_objects != 0 ? options->max_objects : SIZE_MAX;
    mp->geometry.block_slots = bits_smaller(mp->geometry.block_slots, mp->objects_left);
    mp->memory.source = options->source != NULL ? options->source : &os_heap;
    mp->memory.data = options->source_data;
    mp->memory.buffer = options->buffer;
    mp->memory.buffer_size = options->buffer_size;
    mp->callbacks.construct = options->init_object;
    mp->callbacks.destruct = options->done_object;
    mp->callbacks.data = options->user_data;
    mp->hooks = mp->geometry.tables != 0 ? hooks_of(options->protections, under_valgrind) : NULL;
    if (options->name != NULL) {
        mp->is_named = true;
        copy_name(mp->name, options->name);
    }
    if (options->protections != 0) {
        init_random(mp, options->seed);
    }
}

/* Initializes a pool as valid options say, and the environment. */
static void init_in_environment(struct cork_mempool *mp, struct cork_mempool_options *options)
{
    const struct environment environment = environment_options();

    if (UNLIKELY(environment.protections != 0)) {
        uint32_t added = environment.protections & ~contradicted(options);

        if (options->buffer != NULL) {
            /* The caller has counted how many objects fit. */
            added &= CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE;
        }
        options->protections |= added;
    }
    if (options->seed == 0) {
        options->seed = environment.seed;
    }
    init(mp, options, environment.under_valgrind);
}

void cork_mempool_init_type_(struct cork_mempool *mp, size_t type_size, size_t alignment,
                             size_t block_size, const char *name)
{
    struct cork_mempool_options options = {
        .name = name,
        .element_size = type_size,
        .alignment = alignment,
        .block_size = block_size,
    };

    init_in_environment(mp, &options);
}

void cork_mempool_init_size_ex(struct cork_mempool *mp, size_t element_size, size_t block_size)
{
    struct cork_mempool_options options = {.element_size = element_size, .block_size = block_size};

    init_in_environment(mp, &options);
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
    geometry_from(&geometry, options, environment_options().under_valgrind);
    if (geometry.stride == 0 || options->buffer == NULL) {
        return geometry.stride != 0;
    }
    return options->buffer_size <= PTRDIFF_MAX &&
           region_buffer_capacity(options->buffer, options->buffer_size, &geometry) > 0;
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
    init_in_environment(mp, &complete);
    return true;
}
