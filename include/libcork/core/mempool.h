/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_MEMPOOL_H
#define LIBCORK_CORE_MEMPOOL_H

/*
 * Memory pools: fast, checked allocation of many small objects of one size. Rules of all functions:
 *
 *   - Sizes are in bytes.
 *   - A pool is used by one thread at a time, and by one call at a time; pools share nothing.
 *   - Every misuse that can be decided is a violation: one line on standard error with a fixed
 *     message, then abort(), with NDEBUG or without. "Aborts:" lists a function's own messages;
 *     libcork/core/mempool_violation.h lists all, and has a handler.
 *   - A refused call changes nothing: if the handler leaves by longjmp, the pool is as before.
 *   - A pool may be copied or moved in memory until its first cork_mempool_new, not after.
 *
 * Every function but cork_mempool_init* aborts with "use before init" on a zeroed pool, "use after
 * done" on a finalized one, "use during another call" on one that is calling its own constructor,
 * destructor or source, "not a pool" on one that was moved or overwritten, as far as that shows.
 */

#include <libcork/core/detail/mempool_state.h>
#include <libcork/core/detail/mempool_type.h>

/* The block size if the caller names none. */
#define CORK_MEMPOOL_DEFAULT_BLOCK_SIZE 4096

#if defined(__cplusplus)
extern "C" {
#endif

/* Private: what the macros below call. */
CORK_MEMPOOL_NONNULL_(1)
void cork_mempool_init_type_(struct cork_mempool *mp, size_t type_size, size_t alignment,
                             size_t block_size, const char *name);

/* cork_mempool_init is cork_mempool_init_ex with blocks of the default size: a macro,
 * void cork_mempool_init(struct cork_mempool *mp, TYPE type). */
#define cork_mempool_init(mp, ...)                                                                 \
    cork_mempool_init_type_((mp), cork_mempool_of_(CORK_MEMPOOL_DEFAULT_BLOCK_SIZE, __VA_ARGS__))

/*
 * cork_mempool_init_ex initializes a pool of objects of a type, with blocks of block_size bytes. It
 * is a macro: void cork_mempool_init_ex(struct cork_mempool *mp, TYPE type, size_t block_size).
 * Anything but a complete type with at most four commas does not compile. Objects have the type's
 * size and alignment, reports its name. For the rest see cork_mempool_init_size_ex.
 */
#define cork_mempool_init_ex(mp, ...)                                                              \
    cork_mempool_init_type_((mp), cork_mempool_of_type_(__VA_ARGS__))

/* cork_mempool_init_size is cork_mempool_init_size_ex with blocks of the default size. */
CORK_MEMPOOL_NONNULL_(1)
void cork_mempool_init_size(struct cork_mempool *mp, size_t element_size);

/*
 * cork_mempool_init_size_ex initializes a pool of objects of element_size bytes, with blocks of
 * block_size bytes. It cannot fail and takes no memory: the first cork_mempool_new does. mp may
 * hold anything but a live pool; a finalized one may be initialized again with other sizes.
 *
 *   - An element_size of 0 acts as 1.
 *   - A block holds as many whole objects as fit, and always at least one.
 *   - Objects are aligned for any type that fits, as C11 has malloc do, even where that takes more
 *     than element_size bytes, and also to every power of two that divides element_size.
 *   - Sizes that no memory could hold make cork_mempool_new return NULL, when it needs a block; so
 *     do blocks of over 2^31 objects.
 */
CORK_MEMPOOL_NONNULL_(1)
void cork_mempool_init_size_ex(struct cork_mempool *mp, size_t element_size, size_t block_size);

/*
 * cork_mempool_free takes back an object that the pool has issued. ptr is never read or written.
 * Requires: ptr: what cork_mempool_new returned and nobody has freed since; or NULL: does nothing.
 * Aborts: "double free": ptr is an object that is free already;
 *         "free of an interior pointer": ptr lies in memory of slots, but no object starts there;
 *         "free of a slot never issued": a slot starts there, but no object has been issued in it;
 *         "free of a foreign pointer": ptr does not lie in memory of the pool's slots.
 */
CORK_MEMPOOL_NONNULL_(1)
void cork_mempool_free(struct cork_mempool *mp, void *ptr);

/*
 * cork_mempool_new issues an object. Freed ones are issued again before more memory is asked for,
 * with their last contents; those of others are unspecified. Protections and trim change this.
 * Returns: the object; if memory cannot be had, NULL with errno ENOMEM, and the pool as it was.
 */
CORK_MEMPOOL_NONNULL_(1)
CORK_MEMPOOL_NEEDED_ CORK_MEMPOOL_ISSUES_ void *cork_mempool_new(struct cork_mempool *mp);

/*
 * cork_mempool_done finalizes a pool and gives all of its memory back.
 * Aborts: "leak at done": objects are still live; the report lists the first 16 of them.
 */
CORK_MEMPOOL_NONNULL_(1)
void cork_mempool_done(struct cork_mempool *mp);

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* LIBCORK_CORE_MEMPOOL_H */
