/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_MEMPOOL_INSPECT_H
#define LIBCORK_CORE_MEMPOOL_INSPECT_H

/*
 * Inspection: looking at a whole pool, and changing it as a whole. The functions allocate nothing.
 * They take time proportional to slots / 64 + live objects + regions; in a pool with protections or
 * constructed objects, to slots; trim, to pages of memory too; owns, to the logarithm of regions.
 */

#include <libcork/core/mempool.h>

#if defined(__cplusplus)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* cork_mempool_stats is also a struct, as in C */
extern "C" {
#endif

/*
 * cork_mempool_check verifies every invariant of a pool, and all that its protections can verify.
 * Returns: true; or false if a stray write or a defect has broken one: do not use the pool further.
 * Aborts: "canary damaged", "write after free": a protection has found damage.
 */
CORK_MEMPOOL_NONNULL_(1)
CORK_MEMPOOL_NEEDED_ bool cork_mempool_check(const struct cork_mempool *mp);

/* struct cork_mempool_stats holds the figures of a pool. C++ needs the word struct, too. */
struct cork_mempool_stats {
    size_t element_size; /* as given to init, but at least 1 */
    size_t alignment;    /* of every object; a power of two */
    size_t slot_size;    /* from an object to its neighbour; 0: no memory could hold an element */
    size_t block_size;   /* bytes of a block's slots: all that fit and may be live; at least one */
    size_t live_count;   /* objects issued and not freed */
    size_t free_count; /* objects that can be issued before memory must be asked for, as a buffer is
                          at the first new; objects in quarantine too, if there is no more */
    size_t region_count;  /* contiguous pieces of address space */
    size_t memory_size;   /* bytes that may be read and written: slots and bookkeeping */
    size_t reserved_size; /* bytes of address space, memory_size included */
};

/* cork_mempool_stats fills *stats with the figures of a pool. */
CORK_MEMPOOL_NONNULL_(1, 2)
void cork_mempool_stats(const struct cork_mempool *mp, struct cork_mempool_stats *stats);

/* cork_mempool_owns says whether ptr is a live object of a pool. ptr is never read. */
CORK_MEMPOOL_NONNULL_(1)
CORK_MEMPOOL_NEEDED_ bool cork_mempool_owns(const struct cork_mempool *mp, const void *ptr);

/*
 * cork_mempool_foreach calls visit for each live object of a pool, in the order of their slots.
 * visit may call cork_mempool_new and cork_mempool_free on the pool, and nothing else. What it
 * frees is not visited any more; what it issues may be visited or not, so that the walk ends if
 * visit does not issue for ever. A refused call on the pool ends the walk. visit must not leave by
 * longjmp; a violation handler that it causes may.
 * Aborts: "use during another call": visit has called another function on the pool.
 */
CORK_MEMPOOL_NONNULL_(1, 2)
void cork_mempool_foreach(struct cork_mempool *mp, void (*visit)(void *user_data, void *object),
                          void *user_data);

/*
 * cork_mempool_clear frees all live objects of a pool at once.
 * Aborts: "canary damaged", "write after free": a protection has found damage; nothing was freed.
 */
CORK_MEMPOOL_NONNULL_(1)
void cork_mempool_clear(struct cork_mempool *mp);

/*
 * cork_mempool_trim gives memory that no live object needs back to where it came from. Objects that
 * are issued after it may have lost the contents they were freed with; what was constructed there
 * is destructed first, and constructed again when it is needed. errno stays as it was.
 * Returns: how many bytes were given back; of the system's and the heap's, those that were used, as
 *          far as the system tells.
 * Aborts: "canary damaged", "write after free": a protection has found damage; nothing has changed.
 */
CORK_MEMPOOL_NONNULL_(1)
size_t cork_mempool_trim(struct cork_mempool *mp);

#if defined(__cplusplus)
} /* extern "C" */
#pragma GCC diagnostic pop
#endif

#endif /* LIBCORK_CORE_MEMPOOL_INSPECT_H */
