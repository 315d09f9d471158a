/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* clock_gettime */

/*
 * The cork_mempool of the libcork that is installed, by its names of today. It is loaded when it
 * runs, so that neither its headers nor the library are needed to build this; a call through a
 * pointer costs what one through the linker's table does, and its users have no call inlined.
 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#define DEFAULT_BLOCK_SIZE ((size_t)4096)

struct pool {
    void *libcork;
};

static struct {
    void *(*new_size_ex)(size_t element_size, size_t block_size);
    void *(*new_object)(void *pool);
    void (*free_object)(void *pool, void *object);
    void (*free)(void *pool);
} libcork;

static void find(void *library, const char *name, void *function)
{
    void *address = library != NULL ? dlsym(library, name) : NULL;
    if (address == NULL) {
        fprintf(stderr, "skipped: on Debian: libcork16: %s\n", dlerror());
        exit(BENCH_IS_MISSING);
    }
    memcpy(function, &address, sizeof(address));
}

static bool pool_open(const char *variant)
{
    void *library = dlopen("libcork.so.16", RTLD_NOW);
    find(library, "cork_mempool_new_size_ex", &libcork.new_size_ex);
    find(library, "cork_mempool_new_object", &libcork.new_object);
    find(library, "cork_mempool_free_object", &libcork.free_object);
    find(library, "cork_mempool_free", &libcork.free);
    return *variant == '\0';
}

static inline void pool_init(struct pool *pool, size_t size)
{
    pool->libcork = libcork.new_size_ex(size, DEFAULT_BLOCK_SIZE);
}

static inline void *pool_new(struct pool *pool)
{
    return libcork.new_object(pool->libcork);
}

static inline void pool_free(struct pool *pool, void *object)
{
    libcork.free_object(pool->libcork, object);
}

static inline void pool_done(struct pool *pool)
{
    libcork.free(pool->libcork);
}

#include "main.h"
