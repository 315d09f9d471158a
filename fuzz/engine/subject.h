/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * A subject is what is fuzzed: a name, what it promises, and two functions over a storage that the
 * engine provides. cork_mempool is one; defective copies of it and other allocators can be others.
 * Plain programs use no more of a pool than what every pool has.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libcork/core.h>

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
    SUBJECT_INIT_TYPE_EX,
    SUBJECT_INIT_WITH
};

/* struct subject_init says how a pool is initialized. */
struct subject_init {
    enum subject_form form;
    unsigned type; /* of SUBJECT_TYPES; for the TYPE forms */
    /* element_size: for the TYPE forms the size of the type; block_size: for the EX forms. With
     * protections, init_with is used whatever the form. */
    struct cork_mempool_options options;
};

/* The calls that can be refused, and their names. FREE and OWNS take a pointer. */
#define SUBJECT_CALLS(X)                                                                           \
    X(NEW, "new")                                                                                  \
    X(FREE, "free")                                                                                \
    X(DONE, "done")                                                                                \
    X(CHECK, "check")                                                                              \
    X(STATS, "stats")                                                                              \
    X(OWNS, "owns")                                                                                \
    X(FOREACH, "foreach")                                                                          \
    X(CLEAR, "clear")                                                                              \
    X(TRIM, "trim")
#define SUBJECT_CALL_OF(NAME, name) SUBJECT_##NAME,
enum subject_call { SUBJECT_CALLS(SUBJECT_CALL_OF) SUBJECT_CALL_COUNT };
#undef SUBJECT_CALL_OF

#define SUBJECT_LISTED_MAX 16

/* struct subject_result is what came of a call: what it returned, or the violation. */
struct subject_result {
    void (*visit)(void *user_data, void *object); /* for FOREACH; the caller's, as its data */
    void *visit_data;
    struct cork_mempool_violation violation; /* kind 0: none */
    struct cork_mempool_object listed[SUBJECT_LISTED_MAX];
    void *object; /* of NEW */
    int error;    /* errno after NEW */
    bool is_true; /* of CHECK and OWNS */
    size_t size;  /* of TRIM */
    struct cork_mempool_stats stats;
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
    bool is_unseen; /* it takes its memory where requests.c does not see it */
    /* No object need be aligned to more, whatever was asked for; 0: to all that was. */
    size_t max_alignment;
    /* Returns false, with EINVAL and nothing changed, where the pool does not want the options. */
    bool (*init)(union subject_pool *pool, const struct subject_init *how);
    void (*call)(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result);
};

extern const struct subject subject_cork;
