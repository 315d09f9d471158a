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
#include <stdlib.h>
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

static void *make(size_t element_size, size_t block_size)
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

static void *take(void *pool)
{
    return libcork.new_object(pool);
}

static void give(void *pool, void *object)
{
    libcork.free_object(pool, object);
}

static void unmake(void *pool)
{
    libcork.free(pool);
}

/* Returns: whether the library has the function, whose address is stored. */
static bool find(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof(address));
    return address != NULL;
}

const struct other *other_open(void)
{
    static struct other other = {.name = "libcork",
                                 .is_unseen = true,
                                 .make = make,
                                 .take = take,
                                 .give = give,
                                 .unmake = unmake};
    void *library = dlopen("libcork.so.16", RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "skipped: libcork is not installed (on Debian: libcork16): %s\n",
                dlerror());
        return NULL;
    }
    if (!find(library, "cork_mempool_new_size_ex", &libcork.new_size_ex) ||
        !find(library, "cork_mempool_new_object", &libcork.new_object) ||
        !find(library, "cork_mempool_free_object", &libcork.free_object) ||
        !find(library, "cork_mempool_free", &libcork.free)) {
        fprintf(stderr, "skipped: this libcork has other names: %s\n", dlerror());
        return NULL;
    }
    other.max_alignment = other_is_known("misaligned") ? 1 : _Alignof(max_align_t);
    return &other;
}
