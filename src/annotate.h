/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_ANNOTATE_H
#define CORK_MEMPOOL_ANNOTATE_H

/*
 * Annotations: what AddressSanitizer, MemorySanitizer and Valgrind are told, so that they see the
 * objects of a pool as they see those of malloc. Without these tools all of this is nothing, except
 * that a pool asks once, at init, whether it runs under Valgrind; it is a guarded pool then, and
 * watched.
 *
 * An object that is issued again keeps the contents that it was freed with, and what was known of
 * them: only a slot's first object is uninitialized.
 */

#include <stdbool.h>
#include <stddef.h>

#include "internal.h"
#include "libcork/core/mempool.h"

#if !defined(__has_feature)
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define ANNOTATE_ASAN(statement) statement
/* One shadow byte stands for eight bytes, so no two objects may share eight; and there must be room
 * between them that no object may touch. */
#define ANNOTATE_ALIGNMENT 8
#define ANNOTATE_GAP_SIZE  16
/* Address space has its price where every eighth of it is shadowed. */
#define ANNOTATE_IS_SCARCE true
#else
#define ANNOTATE_ASAN(statement)
#define ANNOTATE_ALIGNMENT 1
#define ANNOTATE_GAP_SIZE  0
#define ANNOTATE_IS_SCARCE false
#endif

#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define ANNOTATE_MSAN(statement) statement
/* For functions that may read contents nobody has written yet. */
#define MAY_READ_UNINITIALIZED __attribute__((no_sanitize("memory")))
#else
#define ANNOTATE_MSAN(statement)
#define MAY_READ_UNINITIALIZED
#endif

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define ANNOTATE_VALGRIND(statement) statement
#endif
#endif
#if !defined(ANNOTATE_VALGRIND)
#define ANNOTATE_VALGRIND(statement)
#define RUNNING_ON_VALGRIND 0
#endif

ANNOTATE_VALGRIND(static inline void annotate_defined(const void *memory, size_t size) {
    (void)memory;
    (void)size;
    (void)VALGRIND_MAKE_MEM_DEFINED(memory, size);
})

/* annotate_is_watching says whether a tool runs that can only be served by a guarded pool. */
static inline bool annotate_is_watching(void)
{
    return RUNNING_ON_VALGRIND != 0;
}

/* annotate_done ends the life of a watched pool, annotate_init begins it, when the pool can no
 * longer move. Of a pool that was simply initialized again nobody has said that its life ended. */
static inline void annotate_done(const struct cork_mempool *mp)
{
    (void)mp;
    ANNOTATE_VALGRIND(if (UNLIKELY(mp->is_watched) && VALGRIND_MEMPOOL_EXISTS(mp))
                          VALGRIND_DESTROY_MEMPOOL(mp));
}

static inline void annotate_init(const struct cork_mempool *mp)
{
    annotate_done(mp);
    ANNOTATE_VALGRIND(if (UNLIKELY(mp->is_watched)) VALGRIND_CREATE_MEMPOOL(mp, 0, 0));
}

/* annotate_reserved makes memory that will hold slots one where pointers to the heap are found. */
static inline void annotate_reserved(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
    ANNOTATE_ASAN(__lsan_register_root_region(memory, size));
}

static inline void annotate_unreserved(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
    ANNOTATE_ASAN(__lsan_unregister_root_region(memory, size));
}

/* annotate_usable says that nobody may touch memory that the pool has come by. */
static inline void annotate_usable(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
    ANNOTATE_ASAN(__asan_poison_memory_region(memory, size));
    ANNOTATE_VALGRIND((void)VALGRIND_MAKE_MEM_NOACCESS(memory, size));
}

/* annotate_unusable says that the pool has nothing more to say about memory. */
static inline void annotate_unusable(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
    ANNOTATE_ASAN(__asan_unpoison_memory_region(memory, size));
    ANNOTATE_VALGRIND((void)VALGRIND_MAKE_MEM_UNDEFINED(memory, size));
}

/* annotate_new says that an object is issued; is_new: for the first time from its slot. */
static inline void annotate_new(const void *object, size_t size, bool is_new)
{
    (void)object;
    (void)size;
    (void)is_new;
    ANNOTATE_ASAN(__asan_unpoison_memory_region(object, size));
    ANNOTATE_MSAN(if (is_new) __msan_allocated_memory(object, size));
}

/* annotate_guarded_new is annotate_new for a guarded pool; is_watched: what the pool's field says,
 * where that is known to the compiler. */
static inline void annotate_guarded_new(const struct cork_mempool *mp, const void *object,
                                        size_t size, bool is_new, bool is_watched)
{
    (void)mp;
    (void)is_watched;
    annotate_new(object, size, is_new);
    ANNOTATE_VALGRIND(if (UNLIKELY(is_watched)) VALGRIND_MEMPOOL_ALLOC(mp, object, size));
    ANNOTATE_VALGRIND(if (UNLIKELY(is_watched) && !is_new) annotate_defined(object, size));
}

/* annotate_free says that an object is freed. */
static inline void annotate_free(const void *object, size_t size)
{
    (void)object;
    (void)size;
    ANNOTATE_ASAN(__asan_poison_memory_region(object, size));
}

static inline void annotate_guarded_free(const struct cork_mempool *mp, const void *object,
                                         size_t size, bool is_watched)
{
    (void)mp;
    (void)is_watched;
    annotate_free(object, size);
    ANNOTATE_VALGRIND(if (UNLIKELY(is_watched)) VALGRIND_MEMPOOL_FREE(mp, object));
}

/* Between annotate_look and annotate_look_away a guarded pool itself touches memory that nobody
 * else may. */
static inline void annotate_look(const void *memory, size_t size, bool is_watched)
{
    (void)memory;
    (void)size;
    (void)is_watched;
    ANNOTATE_ASAN(__asan_unpoison_memory_region(memory, size));
    ANNOTATE_VALGRIND(if (UNLIKELY(is_watched)) annotate_defined(memory, size));
}

static inline void annotate_look_away(const void *memory, size_t size, bool is_watched)
{
    (void)memory;
    (void)size;
    (void)is_watched;
    ANNOTATE_ASAN(__asan_poison_memory_region(memory, size));
    ANNOTATE_VALGRIND(if (UNLIKELY(is_watched))(void) VALGRIND_MAKE_MEM_NOACCESS(memory, size));
}

#endif /* CORK_MEMPOOL_ANNOTATE_H */
