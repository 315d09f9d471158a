/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The cork_mempool of the libcork that is installed, by its names of today; loaded when it runs, so
 * that neither its headers nor the library are needed to build this.
 *
 * Its defects:
 *   misaligned  objects of some sizes are not aligned
 *   oversized   an object that is larger than a block is issued at an address of 8
 *   wrapping    sizes near SIZE_MAX wrap around, and small objects are issued
 */

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "other.h"

/* Before each object, and once before all of a block. */
#define HEADER_SIZE sizeof(void *)

#define DEFAULT_BLOCK_SIZE ((size_t)4096)

/* libcork ends the process where malloc fails, which its documentation says. */
#define LARGEST_BLOCK_SIZE ((size_t)1 << 26)

static struct {
    void *(*new_size_ex)(size_t element_size, size_t block_size);
    void *(*new_object)(void *pool);
    void (*free_object)(void *pool, void *object);
    void (*free)(void *pool);
} libcork;

const struct other *other_open(void)
{
    static struct other other = {.name = "libcork", .is_unseen = true};
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"cork_mempool_new_size_ex", &libcork.new_size_ex},
        {"cork_mempool_new_object", &libcork.new_object},
        {"cork_mempool_free_object", &libcork.free_object},
        {"cork_mempool_free", &libcork.free},
    };
    void *library = dlopen("libcork.so.16", RTLD_NOW);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *address = library != NULL ? dlsym(library, functions[i].name) : NULL;
        if (address == NULL) {
            fprintf(stderr, "skipped: no libcork is here (on Debian: libcork16): %s\n", dlerror());
            return NULL;
        }
        memcpy(functions[i].function, &address, sizeof(address));
    }
    other.max_alignment = other_is_known("misaligned") ? 1 : _Alignof(max_align_t);
    return &other;
}

void *other_make(size_t element_size, size_t block_size)
{
    const bool is_wrapping = element_size > SIZE_MAX - 2 * HEADER_SIZE;
    const size_t least_size = element_size + 2 * HEADER_SIZE;
    block_size = block_size != 0 ? block_size : DEFAULT_BLOCK_SIZE;
    if (!is_wrapping && block_size < least_size && other_is_known("oversized")) {
        block_size = least_size;
    }
    if (block_size > LARGEST_BLOCK_SIZE || (is_wrapping && other_is_known("wrapping"))) {
        errno = ENOMEM;
        return NULL;
    }
    return libcork.new_size_ex(element_size, block_size);
}

void *other_new(void *pool)
{
    return libcork.new_object(pool);
}

void other_free(void *pool, void *object)
{
    libcork.free_object(pool, object);
}

void other_done(void *pool)
{
    libcork.free(pool);
}
