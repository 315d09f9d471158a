/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_SUBJECT_H
#define FUZZ_SUBJECT_H

/*
 * A subject is what is fuzzed: a name, what it promises, and five functions over a storage that the
 * engine provides. cork_mempool is one; defective copies of it and other allocators can be others,
 * so nothing here knows more of a pool than what every pool has.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types whose alignment is more than that of any builtin type. */
struct subject_line {
    _Alignas(64) unsigned char bytes[64];
};
struct subject_lines {
    _Alignas(128) unsigned char bytes[384];
};
struct subject_pages {
    _Alignas(4096) unsigned char bytes[8192];
};

/* The types that the TYPE forms of init can be given. A number never changes its meaning. */
#define SUBJECT_TYPE_COUNT 16
#define SUBJECT_TYPES(X)                                                                           \
    X(0, char)                                                                                     \
    X(1, short)                                                                                    \
    X(2, unsigned char[3])                                                                         \
    X(3, unsigned char[7])                                                                         \
    X(4, double)                                                                                   \
    X(5, int[3])                                                                                   \
    X(6, uint64_t[3])                                                                              \
    X(7, max_align_t)                                                                              \
    X(8, uint64_t[8])                                                                              \
    X(9, struct subject_line)                                                                      \
    X(10, uint32_t[25])                                                                            \
    X(11, struct subject_lines)                                                                    \
    X(12, uint64_t[125])                                                                           \
    X(13, unsigned char[4096])                                                                     \
    X(14, uint64_t[625])                                                                           \
    X(15, struct subject_pages)

enum subject_form {
    SUBJECT_INIT_SIZE,
    SUBJECT_INIT_SIZE_EX,
    SUBJECT_INIT_TYPE,
    SUBJECT_INIT_TYPE_EX
};

/* struct subject_init says how a pool is initialized. */
struct subject_init {
    enum subject_form form;
    unsigned type;       /* of SUBJECT_TYPES; for the TYPE forms */
    size_t element_size; /* for the TYPE forms the size of the type */
    size_t block_size;   /* for the EX forms */
};

/* Where a subject keeps a pool. It holds garbage before the first init. */
union subject_pool {
    max_align_t alignment;
    unsigned char bytes[1024];
};

struct subject {
    const char *name;
    size_t pool_size; /* what a pool uses of its storage */
    /* Freed objects are issued again before any other memory is, with the contents they had. */
    bool keeps_freed;
    void (*init)(union subject_pool *pool, const struct subject_init *how);
    /* Returns NULL with errno ENOMEM where memory cannot be had. */
    void *(*new_object)(union subject_pool *pool);
    void (*free_object)(union subject_pool *pool, void *object);
    void (*done)(union subject_pool *pool);
    /* Returns false where the pool finds itself broken; sets how many objects it thinks are live.
     */
    bool (*inspect)(const union subject_pool *pool, size_t *live_count);
};

extern const struct subject subject_cork;

#endif /* FUZZ_SUBJECT_H */
