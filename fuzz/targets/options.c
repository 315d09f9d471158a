/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/engine/engine.h"
#include "fuzz/engine/memory.h"
#include "fuzz/engine/subject.h"
#include "test/support/requests.h"

ENGINE_BEGIN

#define BUFFER_SIZE   ((size_t)65536)
#define OBJECTS_MAX   20
#define LARGEST_TAKEN ((size_t)1 << 24)

/* Arbitrary options, and what they point to. */
struct wanted {
    struct cork_mempool_options options;
    struct cork_mempool_source source;
    size_t constructed_count;
};

static _Alignas(4096) char buffer[BUFFER_SIZE];

static void print(FILE *file, const struct cork_mempool_options *options)
{
    fprintf(file, "{.element_size = %zu, .alignment = %zu, .block_size = %zu, .max_objects = %zu, ",
            options->element_size, options->alignment, options->block_size, options->max_objects);
    fprintf(file, ".protections = 0x%x, .seed = %llu, .buffer = %p, .buffer_size = %zu, ",
            options->protections, (unsigned long long)options->seed, options->buffer,
            options->buffer_size);
    fprintf(file, ".source = %p, .init_object = %d, .done_object = %d}\n",
            (const void *)options->source, options->init_object != NULL,
            options->done_object != NULL);
}

static void expect(bool is_so, const char *expected, const struct cork_mempool_options *options)
{
    if (!is_so) {
        fprintf(stderr, "expected: %s\n  ", expected);
        print(stderr, options);
        abort();
    }
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    return aligned_alloc(alignment > 16 ? alignment : 16, (size + 15) & ~(size_t)15);
}

static void release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

static int construct(void *user_data, void *object)
{
    (void)object;
    ++*(size_t *)user_data;
    return 0;
}

static void destruct(void *user_data, void *object)
{
    (void)object;
    --*(size_t *)user_data;
}

static uint8_t take(const uint8_t **data, const uint8_t *end)
{
    return *data < end ? *(*data)++ : 0;
}

/* A small number, a power of two or a neighbour of one, or a distance to SIZE_MAX. */
static size_t take_size(const uint8_t **data, const uint8_t *end)
{
    const unsigned class = take(data, end);
    const size_t number = take(data, end);
    if (class < 128) {
        return class % 4 == 0 ? number * 256 + class : number;
    }
    return class < 240 ? ((size_t)1 << number % (sizeof(size_t) * 8)) + class % 3 - 1
                       : SIZE_MAX - number * class;
}

/* Initializers may be evaluated in any order, so each byte is taken by a statement. */
static void take_options(struct wanted *wanted, const uint8_t *data, const uint8_t *end)
{
    struct cork_mempool_options *options = &wanted->options;
    const unsigned given = take(&data, end);
    const unsigned unknown = take(&data, end);
    *wanted = (struct wanted){
        .source = {(given & 8) != 0 ? NULL : acquire, (given & 16) != 0 ? NULL : release},
        .options = {.name = unknown % 2 == 0 ? "name" : NULL,
                    .source = (given & 4) != 0 ? &wanted->source : NULL,
                    .source_data = (given & 32) != 0 ? buffer : NULL,
                    .init_object = (given & 64) != 0 ? construct : NULL,
                    .done_object = (given & 128) != 0 ? destruct : NULL,
                    .user_data = &wanted->constructed_count},
    };
    options->protections = take(&data, end) | (unknown >= 232 ? 256U << (unknown - 232) : 0);
    options->element_size = take_size(&data, end);
    options->alignment = take_size(&data, end);
    options->block_size = take_size(&data, end);
    options->max_objects = take(&data, end);
    options->seed = take(&data, end);
    options->buffer = (given & 1) != 0 ? buffer + take(&data, end) % 64 : NULL;
    options->buffer_size = (given & 2) != 0 ? take_size(&data, end) % (BUFFER_SIZE - 64) : 0;
}

enum verdict { REFUSED, ACCEPTED, EITHER };

/* What mempool_options.h says. How large memory may be, and what a buffer must have room for
 * besides an object, it does not say exactly. */
static enum verdict verdict_on(const struct cork_mempool_options *options)
{
    const unsigned all = CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL;
    const unsigned protections = options->protections;
    const struct cork_mempool_source *source = options->source;
    const bool has_buffer = options->buffer != NULL;
    const bool has_guard = (protections & CORK_MEMPOOL_GUARD) != 0;
    const bool has_construction = options->init_object != NULL || options->done_object != NULL;
    const size_t size = options->element_size;
    const size_t alignment = options->alignment != 0 ? options->alignment : size & (~size + 1);
    if ((options->alignment & (options->alignment - 1)) != 0 || (protections & ~all) != 0 ||
        has_buffer != (options->buffer_size != 0) || (has_buffer && source != NULL) ||
        ((has_buffer || source != NULL) && has_guard) ||
        (source != NULL ? source->acquire == NULL || source->release == NULL
                        : options->source_data != NULL) ||
        ((protections & CORK_MEMPOOL_WIPE) != 0 && has_construction) || size > SIZE_MAX / 2 ||
        (has_buffer && size > options->buffer_size)) {
        return REFUSED;
    }
    if (size > SIZE_MAX / 16 || alignment > SIZE_MAX / 16 ||
        (options->block_size > SIZE_MAX / 16 && has_guard) ||
        (has_buffer && options->buffer_size < size + 4 * alignment + 1024)) {
        return EITHER;
    }
    return ACCEPTED;
}

/* new gives objects where memory allows, aligned and apart, and free takes them back. */
static void serve(struct cork_mempool *mp, const struct cork_mempool_options *options)
{
    const size_t size = options->element_size > 0 ? options->element_size : 1;
    const size_t alignment = options->alignment > 0 ? options->alignment : 1;
    char *objects[OBJECTS_MAX];
    size_t count = 0;
    errno = 0;
    while (count < OBJECTS_MAX && (objects[count] = cork_mempool_new(mp)) != NULL) {
        expect((uintptr_t)objects[count] % alignment == 0, "objects are aligned", options);
        memset(objects[count], (int)count + 1, size < 4096 ? size : 4096);
        objects[count++][size - 1] = 0;
    }
    expect(count == OBJECTS_MAX || errno == ENOMEM, "errno is ENOMEM", options);
    expect(options->max_objects == 0 || count <= options->max_objects, "max_objects", options);
    expect(count > 0 || (options->buffer == NULL && size + alignment > 4096) ||
               (options->buffer == NULL && options->block_size > LARGEST_TAKEN / 256),
           "there is memory for an object", options);
    expect(cork_mempool_check(mp), "a pool is sound", options);
    while (count > 0) {
        const char *object = objects[--count];
        expect(cork_mempool_owns(mp, object) && (size == 1 || *object == (char)(count + 1)),
               "objects lie apart", options);
        cork_mempool_free(mp, objects[count]);
    }
    expect(cork_mempool_check(mp), "a pool is sound", options);
}

void options_test(const uint8_t *data, size_t size)
{
    static struct cork_mempool mp, before;
    struct wanted wanted;
    const struct cork_mempool_options *options = &wanted.options;
    struct requests memory = {
        .lacks = NO_GUARDS, .limited_kinds = MAPPINGS | HEAP, .limit = LARGEST_TAKEN};
    take_options(&wanted, data, data + size);
    memset(&mp, 0x5a, sizeof(mp));
    before = mp;
    memory_start();
    errno = 0;
    requests_count(&memory);
    if (!cork_mempool_init_with(&mp, options)) {
        expect(errno == EINVAL, "errno is EINVAL", options);
        expect(memcmp(&mp, &before, sizeof(mp)) == 0, "a refused pool is untouched", options);
        expect(verdict_on(options) != ACCEPTED, "options that can be met are accepted", options);
    } else {
        expect(verdict_on(options) != REFUSED, "options that cannot be met are refused", options);
        expect(memory.count == 0, "init takes no memory", options);
        serve(&mp, options);
        cork_mempool_done(&mp);
    }
    requests_count(NULL);
    expect(memory.mapped_size == 0 && memory.heap_count == 0, "all memory is given back", options);
    expect(wanted.constructed_count == 0 || options->init_object == NULL ||
               options->done_object == NULL,
           "what was constructed is destructed", options);
}

void options_print(const uint8_t *data, size_t size)
{
    struct wanted wanted;
    take_options(&wanted, data, data + size);
    print(stdout, &wanted.options);
}

ENGINE_END
