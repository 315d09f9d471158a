/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Tools: what AddressSanitizer, LeakSanitizer, MemorySanitizer and Valgrind are told, so that they
 * treat a pool's objects like those of malloc. Without these tools all of this is empty, but for
 * two tests: init looks for Valgrind, reservations for LeakSanitizer, for which there is no macro.
 */

#include "internal.h"
#include "libcork/core/mempool.h"

#if !defined(__has_feature)
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define TOOLS_ASAN(statement) statement
/* A shadow byte stands for eight bytes, so no two objects may share these. A redzone parts them. */
#define TOOLS_ALIGNMENT    8
#define TOOLS_REDZONE_SIZE 16
/* Address space is scarce if there is a shadow, or if there are 32 bits. */
#define TOOLS_SPACE_IS_SCARCE true
#else
#define TOOLS_ASAN(statement)
#define TOOLS_ALIGNMENT       1
#define TOOLS_REDZONE_SIZE    0
#define TOOLS_SPACE_IS_SCARCE (SIZE_MAX <= UINT32_MAX)
#endif

/* If memory has tags, purging would lose those of the heap's pages. */
#if defined(__aarch64__)
#define TOOLS_HEAP_HAS_TAGS true
#else
#define TOOLS_HEAP_HAS_TAGS false
#endif

#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define TOOLS_MSAN(statement) statement
/* For functions that may read uninitialized contents. */
#define MAY_READ_UNINITIALIZED __attribute__((no_sanitize("memory")))
#else
#define TOOLS_MSAN(statement)
#define MAY_READ_UNINITIALIZED
#endif

/* A bit of a pool's protections: Valgrind is told of each object. */
#define UNDER_VALGRIND (UINT32_C(1) << 30)

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define TOOLS_VALGRIND(set, statement)                                                             \
    if (UNLIKELY(((set) & UNDER_VALGRIND) != 0)) {                                                 \
        statement;                                                                                 \
    }
#else
#define TOOLS_VALGRIND(set, statement)
#define RUNNING_ON_VALGRIND 0
#endif

/* Without a tool its arguments are unused. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* tools_pool_begins registers a pool with Valgrind, when it can no longer move; tools_pool_ends
 * unregisters it. A pool re-initialized without done is still registered; unregister it first. */
static inline void tools_pool_ends(const struct cork_mempool *mp)
{
    TOOLS_VALGRIND(mp->protections, if (VALGRIND_MEMPOOL_EXISTS(mp)) VALGRIND_DESTROY_MEMPOOL(mp));
}

static inline void tools_pool_begins(const struct cork_mempool *mp)
{
    tools_pool_ends(mp);
    TOOLS_VALGRIND(mp->protections, VALGRIND_CREATE_MEMPOOL(mp, 0, 0));
}

/* LeakSanitizer is there if its functions are. It looks for pointers where it is told to. */
__attribute__((weak)) void __lsan_register_root_region(const void *memory, size_t size);
__attribute__((weak)) void __lsan_unregister_root_region(const void *memory, size_t size);
#if defined(__ELF__)
#define TOOLS_SEEK_LEAKS (__lsan_register_root_region != NULL)
#else
#define TOOLS_SEEK_LEAKS false
#endif

/* tools_poison makes memory inaccessible, tools_unpoison makes it accessible, for objects and for
 * hooks. set: the pool's protections, which the compiler may know. */
static inline void tools_poison(const void *memory, size_t size, uint32_t set)
{
    TOOLS_ASAN(__asan_poison_memory_region(memory, size));
    TOOLS_VALGRIND(set, VALGRIND_MAKE_MEM_NOACCESS(memory, size));
}

static inline void tools_unpoison(const void *memory, size_t size, uint32_t set)
{
    TOOLS_ASAN(__asan_unpoison_memory_region(memory, size));
    TOOLS_VALGRIND(set, VALGRIND_MAKE_MEM_DEFINED(memory, size));
}

/* tools_released unpoisons memory to give back, and marks it initialized: it may be a caller's. */
static inline void tools_released(const void *memory, size_t size, uint32_t set)
{
    tools_unpoison(memory, size, set);
    TOOLS_MSAN(__msan_unpoison(memory, size));
}

/* tools_new tells that an object is issued, tools_free that it is freed. is_new: it is its slot's
 * first object, so it is uninitialized; later ones keep the contents. */
static inline void tools_new(const struct cork_mempool *mp, const void *object, bool is_new,
                             uint32_t set)
{
    TOOLS_VALGRIND(set, VALGRIND_MEMPOOL_ALLOC(mp, object, mp->geometry.element_size));
    tools_unpoison(object, mp->geometry.element_size, is_new ? 0 : set);
    TOOLS_MSAN(if (is_new) __msan_allocated_memory(object, mp->geometry.element_size));
}

static inline void tools_free(const struct cork_mempool *mp, const void *object, uint32_t set)
{
    TOOLS_ASAN(__asan_poison_memory_region(object, mp->geometry.element_size));
    TOOLS_VALGRIND(set, VALGRIND_MEMPOOL_FREE(mp, object));
}

#pragma GCC diagnostic pop
