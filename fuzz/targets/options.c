/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

#include <stdint.h>
#include <string.h>

#include "fuzz/engine/caller.h"
#include "fuzz/engine/calls.h"
#include "fuzz/engine/engine.h"
#include "fuzz/engine/memory.h"

ENGINE_BEGIN

#define OBJECTS_COUNT  20
#define LARGEST_TAKEN  ((size_t)1 << 24)
#define DATA_TAKEN_MAX 14

/* A small number, a power of two or a neighbour of one, or a distance to SIZE_MAX. */
static size_t take_size(const uint8_t **data)
{
    const unsigned class = *(*data)++;
    const size_t number = *(*data)++;
    if (class < 128) {
        return class % 4 == 0 ? number * 256 + class : number;
    }
    return class < 240 ? ((size_t)1 << number % (sizeof(size_t) * 8)) + class % 3 - 1
                       : SIZE_MAX - number * class;
}

/* Makes arbitrary options of one pool: the caller has all that they may name, and some is taken
 * away. Bytes that are missing read as zero. */
static void decode(struct run_pool *pool, const uint8_t *bytes, size_t size)
{
    static struct cork_mempool_source source;
    struct cork_mempool_options *options = &pool->init.options;
    uint8_t padded[DATA_TAKEN_MAX] = {0};
    memcpy(padded, bytes, size < sizeof(padded) ? size : sizeof(padded));
    const unsigned given = padded[0];
    const unsigned unknown = padded[1];
    const uint8_t *data = &padded[3];
    pool->init.form = SUBJECT_INIT_WITH;
    caller_give(pool, options, PROGRAM_BUFFER << 12);
    caller_give(pool, options, PROGRAM_SOURCE << 12 | 2 << 14);
    source = (struct cork_mempool_source){(given & 8) != 0 ? NULL : options->source->acquire,
                                          (given & 16) != 0 ? NULL : options->source->release};
    options->name = unknown % 2 == 0 ? "name" : NULL;
    options->source = (given & 4) != 0 ? &source : NULL;
    options->source_data = (given & 36) != 0 ? pool : NULL;
    options->init_object = (given & 64) != 0 ? options->init_object : NULL;
    options->done_object = (given & 128) != 0 ? options->done_object : NULL;
    options->protections = padded[2] | (unknown >= 232 ? 256U << (unknown - 232) : 0);
    options->element_size = take_size(&data);
    options->alignment = take_size(&data);
    options->block_size = take_size(&data);
    options->max_objects = *data++;
    options->seed = *data++;
    options->buffer = (given & 1) != 0 ? (char *)options->buffer + *data++ % 64 : NULL;
    options->buffer_size = (given & 2) != 0 ? take_size(&data) % (CALLER_BUFFER_SIZE - 64) : 0;
}

void run_options(struct run *run, const struct run_settings *settings, const uint8_t *data,
                 size_t size)
{
    struct run_pool *pool = &run->pools[0];
    struct model_pool *known = &run->model.pools[0];
    memory_start();
    run_start(run, settings, NULL, 0, SIZE_MAX);
    decode(pool, data, size);
    const struct cork_mempool_options options = pool->init.options;
    calls_init(run);
    if (pool->init.form != SUBJECT_INIT_WITH) {
        return; /* they are refused */
    }
    pool->memory.limited_kinds = MAPPINGS | HEAP;
    pool->memory.limit = LARGEST_TAKEN;
    if (known->object_size > LARGEST_TAKEN) {
        known->memory = MODEL_NEW_FAILS;
    } else if (known->object_size + options.alignment > 4096 ||
               options.block_size > LARGEST_TAKEN / 256) {
        known->is_limited = true;
    }
    for (int i = 0; i < OBJECTS_COUNT; i++) {
        calls_new(run);
    }
    calls_owns(run, 0);
    calls_check(run);
    calls_free_many(run, SIZE_MAX, ORDER_LIFO, false);
    calls_check(run);
    calls_done(run, ORDER_LIFO);
}

ENGINE_END
