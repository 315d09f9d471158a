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

/* One before each object, and one before all of a block. */
#define HEADERS_SIZE (2 * sizeof(void *))

#define DEFAULT_BLOCK_SIZE ((size_t)4096)

/* libcork ends the process where malloc fails, which its documentation says. */
#define LARGEST_BLOCK_SIZE ((size_t)1 << 26)

static void *(*new_size_ex)(size_t element_size, size_t block_size);

static void *make(size_t element_size, size_t block_size)
{
    const size_t least_size = element_size + HEADERS_SIZE;
    const bool is_wrapping = least_size < element_size;
    block_size = block_size != 0 ? block_size : DEFAULT_BLOCK_SIZE;
    if (block_size < least_size && other_is_known("oversized")) {
        block_size = least_size;
    }
    if (block_size > LARGEST_BLOCK_SIZE || (is_wrapping && other_is_known("wrapping"))) {
        errno = ENOMEM;
        return NULL;
    }
    return new_size_ex(element_size, block_size);
}

const struct other *other_open(void)
{
    static struct other other = {.name = "libcork", .is_unseen = true, .make = make};
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"cork_mempool_new_size_ex", &new_size_ex},
        {"cork_mempool_new_object", &other.new_object},
        {"cork_mempool_free_object", &other.free_object},
        {"cork_mempool_free", &other.done},
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
