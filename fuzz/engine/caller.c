/* SPDX-License-Identifier: BSD-3-Clause */
#include "caller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

ENGINE_BEGIN

#define BUFFER_UNIT 64 /* bytes of a program's buffer are a multiple of */
#define EDGE        64 /* bytes around a buffer that nobody may change */
#define GARBAGE     0xa5

static _Alignas(4096) uint8_t buffers[PROGRAM_POOL_COUNT][CALLER_BUFFER_SIZE + 4096 + EDGE];

/* Returns: the run of the pool that a callback is given. */
static struct run *run_of(void *data)
{
    struct run *run = ((struct run_pool *)data)->run;
    run_require(run, data == run_pool(run), "callbacks get the data of their own pool");
    return run;
}

void caller_misuse(struct run *run)
{
    if (run->misuse.kind == KIND(BUSY)) {
        run->misuse.kind = 0;
        run->refusal = (struct run_refusal){KIND(BUSY), run->misuse.pointer, NULL};
        run->settings->subject->call(&run_pool(run)->storage, run->misuse.call, run->misuse.pointer,
                                     &run->result);
        run_failed(run, "a call is refused during another", "it returned");
    }
}

/* Before the memory that it returns stand the lead and the size. */
static void *acquire(void *source_data, size_t size, size_t alignment)
{
    struct run *run = run_of(source_data);
    struct run_misuse *misuse = &run->misuse;
    size_t lead = alignment > 2 * sizeof(lead) ? alignment : 2 * sizeof(lead);
    run_require(run, size > 0 && size % alignment == 0,
                "a source is asked for a multiple of alignment");
    caller_misuse(run);
    run_pool(run)->source_count++;
    /* No more than is needed: a sanitizer, or the heap, sees what is written behind it. */
    const size_t end = lead + (size + (misuse->kind != 0) + lead - 1) / lead * lead;
    uint8_t *memory = size < SIZE_MAX / 2 ? aligned_alloc(lead, end) : NULL;
    if (memory == NULL) {
        return NULL;
    }
    if (misuse->kind == KIND(BAD_SOURCE) && misuse->passed_count-- == 0) {
        misuse->kind = 0;
        run->refusal.kinds = alignment > 1 ? KIND(BAD_SOURCE) : KIND_NONE;
        lead += alignment > 1;
    }
    memcpy(memory + lead - 2 * sizeof(lead), (size_t[]){lead, size}, 2 * sizeof(lead));
    memset(memory + lead, GARBAGE, size < 4096 ? size : 4096);
    return memory + lead;
}

static void release(void *source_data, void *memory, size_t size)
{
    struct run *run = run_of(source_data);
    size_t acquired[2];
    memcpy(acquired, (uint8_t *)memory - sizeof(acquired), sizeof(acquired));
    run_require(run, acquired[1] == size, "memory is released by the size it was acquired with");
    free((uint8_t *)memory - acquired[0]);
    run_pool(run)->released_size += size;
    /* The first of two is of a region's slots, and its tables still wait to be released. */
    if (run->misuse.has_releases && run->misuse.passed_count++ % 2 == 1) {
        caller_misuse(run);
    }
}

/* Grants what a block of 64 bytes and its tables take, or a few objects. */
static void *acquire_little(void *source_data, size_t size, size_t alignment)
{
    const struct cork_mempool_options *options = &((struct run_pool *)source_data)->init.options;
    const size_t largest = 4096 + 4 * (options->element_size + options->alignment);
    return size <= largest ? acquire(source_data, size, alignment) : NULL;
}

static const struct cork_mempool_source source = {acquire, release};
static const struct cork_mempool_source little = {acquire_little, release};

static int construct(void *user_data, void *object)
{
    struct run *run = run_of(user_data);
    caller_misuse(run);
    run_pool(run)->construct_count++;
    model_construct(&run->model, run->pool, object);
    return 0;
}

static int construct_at_times(void *user_data, void *object)
{
    struct run_pool *pool = user_data;
    if (pool->construct_count % 3 == 1) {
        pool->construct_count++;
        errno = EDOM;
        return -1;
    }
    return construct(user_data, object);
}

static void destruct(void *user_data, void *object)
{
    struct run *run = run_of(user_data);
    model_destruct(&run->model, run->pool, object);
    caller_misuse(run);
}

void caller_give(struct run_pool *pool, struct cork_mempool_options *options, uint32_t bits)
{
    const size_t number = bits >> 24;
    options->protections = bits & 0x7f;
    options->alignment = (bits >> 8 & 15) != 0 ? (size_t)1 << ((bits >> 8 & 15) - 1) : 0;
    options->max_objects = bits >> 16 & 0x80 ? (bits >> 16 & 0x7f) + 1 : 0;
    options->seed = number;
    const enum program_memory memory = (enum program_memory)(bits >> 12 & 3);
    if (memory == PROGRAM_BUFFER) {
        options->buffer = &buffers[pool - pool->run->pools][EDGE + number % 64];
        options->buffer_size = (number + 1) * BUFFER_UNIT;
    } else if (memory != PROGRAM_OS) {
        options->source = memory == PROGRAM_LITTLE ? &little : &source;
        options->source_data = pool;
        options->block_size = memory == PROGRAM_LITTLE ? 64 : options->block_size;
    }
    if ((bits >> 14 & 2) != 0) {
        options->init_object = (bits >> 14 & 1) != 0 ? construct_at_times : construct;
        options->done_object = destruct;
        options->user_data = pool;
    }
}

void caller_protect(struct cork_mempool_options *options, unsigned added)
{
    options->protections |= added;
    if (options->buffer != NULL || options->source != NULL) {
        options->protections &= ~CORK_MEMPOOL_GUARD;
    }
    if (options->init_object != NULL) {
        options->protections &= ~CORK_MEMPOOL_WIPE;
    }
    /* The default is another seed each time. */
    options->seed += options->seed == 0;
}

void caller_start(struct run *run)
{
    const struct cork_mempool_options *options = &run_pool(run)->init.options;
    if (options->buffer != NULL) {
        memset(buffers[run->pool], GARBAGE, 2 * EDGE + options->buffer_size + EDGE);
    }
}

void caller_end(struct run *run)
{
    const struct cork_mempool_options *options = &run_pool(run)->init.options;
    const uint8_t *buffer = options->buffer;
    for (size_t i = 0; i < EDGE && buffer != NULL; i++) {
        run_require(run,
                    buffer[options->buffer_size + i] == GARBAGE && *(buffer - i - 1) == GARBAGE,
                    "a pool writes to nothing around its buffer");
    }
}

ENGINE_END
