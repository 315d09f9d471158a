/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_MEMPOOL_OPTIONS_H
#define LIBCORK_CORE_MEMPOOL_OPTIONS_H

/*
 * Options: pools that are more than a size.
 *
 * The environment variable CORK_MEMPOOL_OPTIONS turns protections on in a program that was never
 * recompiled: words, separated by colons, as in "canary=1:seal=1". The words are the protections'
 * names and paranoid, in lower case, with 1 or 0, and seed with a number. They are added to each
 * pool's own, except what contradicts its options; to a buffer's, only wipe and shuffle. The
 * variable is read once, but not in a program with another user's rights (setuid). Unknown words
 * are left out, and reported once.
 */

#include <libcork/core/mempool.h>

#if defined(__cplusplus)
extern "C" {
#endif

/* Protections; what a pool does besides the checks that are always on. Any may be combined; WIPE
 * does SEAL's work too. 0x80 is never used again. */

/* Canaries on both sides of every object, verified at free, check and done: "canary damaged". */
#define CORK_MEMPOOL_CANARY 0x01u
/* A keyed checksum of freed contents, verified at reuse, check and done: "write after free". */
#define CORK_MEMPOOL_SEAL 0x02u
/* Contents are cleared at free, verified to be so at reuse, check and done: "write after free".
 * SEAL never verifies what trim gave back, WIPE does at reuse. */
#define CORK_MEMPOOL_WIPE 0x04u
/* Slots are issued in a random order: next is any that is free of up to 64 neighbours. */
#define CORK_MEMPOOL_SHUFFLE 0x08u
/* Freed slots are not issued again before 256 others have been freed, memory runs out, or the pool
 * is trimmed; so more memory may be asked for although there are freed slots. */
#define CORK_MEMPOOL_QUARANTINE 0x10u
/* Inaccessible pages around every block. Blocks fill whole pages, so they may exceed block_size. */
#define CORK_MEMPOOL_GUARD 0x20u
/* Reports tell where an object was issued and where it was freed. */
#define CORK_MEMPOOL_CALLSITES 0x40u
/* All but SEAL. */
#define CORK_MEMPOOL_PARANOID (0x7fu & ~CORK_MEMPOOL_SEAL)
/* Private: X(NAME, word) for each protection, with its word in CORK_MEMPOOL_OPTIONS. */
#define CORK_MEMPOOL_PROTECTIONS_(X)                                                               \
    X(CANARY, canary)                                                                              \
    X(SEAL, seal)                                                                                  \
    X(WIPE, wipe)                                                                                  \
    X(SHUFFLE, shuffle)                                                                            \
    X(QUARANTINE, quarantine)                                                                      \
    X(GUARD, guard)                                                                                \
    X(CALLSITES, callsites)

/*
 * struct cork_mempool_source is where a pool's memory comes from instead of the operating system.
 * Both functions get the source_data of the options; they must neither use the pool nor leave by
 * longjmp. If an exception or a violation handler leaves a call, what it acquires or gives back is
 * lost.
 * Aborts: "misaligned memory from a source": acquire returned such, which the pool has given back.
 */
struct cork_mempool_source {
    /* Returns size bytes at a multiple of alignment, a power of two that divides size; or NULL. */
    void *(*acquire)(void *source_data, size_t size, size_t alignment);
    /* Takes back what acquire has returned for this size. */
    void (*release)(void *source_data, void *memory, size_t size);
};

/* struct cork_mempool_options says what pool is wanted. A field of zero stands for its default. */
struct cork_mempool_options {
    const char *name;     /* for reports; is copied, as far as 39 bytes; default: none */
    size_t element_size;  /* default: 1 */
    size_t alignment;     /* of objects, a power of two; default: as for cork_mempool_init_size */
    size_t block_size;    /* default: CORK_MEMPOOL_DEFAULT_BLOCK_SIZE */
    size_t max_objects;   /* live at a time at most; default: no limit */
    unsigned protections; /* CORK_MEMPOOL_CANARY | ...; default: none */
    uint64_t seed;        /* of all random decisions; default: another one for each pool, in each
                             process; a pool that fork copies makes the same ones in both */

    /* Fixed memory: the pool uses this and nothing else. Default: none. */
    void *buffer;
    size_t buffer_size; /* in bytes */

    /* Memory from the caller's functions. Default: the operating system and the heap. */
    const struct cork_mempool_source *source;
    void *source_data; /* what its functions get */

    /* A constructor and a destructor. Objects stay constructed from free to new: the constructor
     * runs once for a slot, before its first object is issued. The destructor runs at done for all
     * constructed slots, and at trim for some that are free; they are constructed again when
     * needed. If the constructor does not return 0, cork_mempool_new returns NULL, with errno as it
     * left it, and the slot is constructed next time. Neither may use the pool or leave by longjmp.
     * Default: none. */
    int (*init_object)(void *user_data, void *object);
    void (*done_object)(void *user_data, void *object); /* the destructor */
    void *user_data;                                    /* what both get */
};

/*
 * cork_mempool_init_with initializes a pool as *options say; {.element_size = 64} is complete. It
 * takes no memory. *options and the name may be gone afterwards, but nothing else they point to.
 * Returns: true, or false with errno EINVAL and *mp untouched if the options cannot be met: an
 *          element_size, or with GUARD a block_size, that no memory could hold; an alignment that
 *          is not a power of two; an unknown protection; a buffer without a size, a size without a
 *          buffer, a buffer too small for one object; a buffer and a source, or either with GUARD;
 *          a source without both functions, source_data without a source; WIPE with a constructor
 *          or destructor, whose objects it would destroy. A library built with
 *          CORK_MEMPOOL_NO_OS_MEMORY has no GUARD, and memory of buffers and sources alone.
 */
CORK_MEMPOOL_NONNULL_(1)
CORK_MEMPOOL_NEEDED_ bool cork_mempool_init_with(struct cork_mempool *mp,
                                                 const struct cork_mempool_options *options);

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* LIBCORK_CORE_MEMPOOL_OPTIONS_H */
