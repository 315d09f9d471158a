/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The state of a run, which all parts of the engine above this one are given. */

#include <stdio.h>

#include "engine.h"
#include "model.h"
#include "program.h"
#include "subject.h"
#include "test/support/requests.h"

struct run;

/* struct run_observer is told what a run does besides its subject's calls. */
struct run_observer {
    void (*step)(const struct operation *operation); /* that comes next; NULL: the end does */
    void (*damage)(void *start, size_t size);        /* of misuse: each byte is inverted next */
};

/* struct run_settings says how programs are run. */
struct run_settings {
    const struct subject *subject;
    enum program_dialect dialect;
    unsigned protections;  /* added to those of each pool, as far as they go with its options */
    uint64_t failing_mask; /* of each pool's requests */
    bool is_retrying;      /* what failed for want of memory must succeed when there is memory */
    const struct run_observer *observer; /* NULL: none */
};

struct run_pool {
    union subject_pool storage; /* first */
    struct run *run;            /* whose it is: callbacks are given their pool */
    struct subject_init init;   /* the last one; reinit repeats it */
    bool is_initialized;
    struct requests memory;
    /* calls_init zeroes the rest, up to the objects. */
    bool is_trimmed; /* since its init, so that not all slots are known */
    bool is_counted; /* free_count is how many objects need no more memory */
    size_t free_count;
    size_t source_count;    /* requests that came through the caller's source */
    size_t released_size;   /* bytes that the source got back */
    size_t construct_count; /* calls of the constructor */
    uintptr_t base;         /* of slot 0, where there is one region; 0: not known */
    /* The live objects, about from the oldest to the youngest: a ring. See run_place. */
    size_t first;
    size_t count;
    void *objects[MODEL_LIVE_LIMIT]; /* last: run_start leaves it as it is */
};

/* A kind's bit in a set of kinds. */
#define KIND(name) (1U << CORK_MEMPOOL_##name)
#define KIND_NONE  1U

/* What a call must be refused for. */
struct run_refusal {
    unsigned kinds;      /* any of these; mostly one; KIND_NONE: it need not be refused */
    const void *pointer; /* that is reported, or NULL */
    const void *or_else; /* another that may be reported, or NULL */
};

/* What a callback of the caller's does once: uses its pool, or gives misaligned memory. */
struct run_misuse {
    unsigned kind;         /* BUSY, BAD_SOURCE, or 0: nothing is due */
    bool has_releases;     /* each second release calls too */
    unsigned passed_count; /* requests and releases that pass before */
    enum subject_call call;
    void *pointer; /* of the call, or NULL */
};

/* Large: nobody has it on a stack. run_start zeroes what stands before the pools. */
struct run {
    const struct run_settings *settings;
    bool is_ending;
    struct program program;
    unsigned pool; /* that is worked on */
    size_t work;
    size_t max_work;
    uint32_t visit; /* the mark of the last foreach */
    size_t visited_count;
    size_t visit_every; /* of so many objects the visitor frees one; 0: none */
    size_t live_count;  /* of all pools */
    size_t live_size;
    struct run_misuse misuse;
    struct run_refusal refusal;   /* of the next call; a callback may set it during that */
    struct subject_result result; /* of the last call */
    struct run_pool pools[PROGRAM_POOL_COUNT];
    struct model model;
};

/* What a pool's storage holds before its first init, and behind the pool. */
static const uint8_t run_garbage[PROGRAM_POOL_COUNT] = {0xa5, 0x00, 0xff, 0x5a};

/* run_start begins a run of a program that may do so much work. */
void run_start(struct run *run, const struct run_settings *settings, const uint8_t *data,
               size_t size, size_t max_work);

/* run_implied_init is the init of a pool that is used before any. */
struct operation run_implied_init(unsigned pool);

void run_print_options(FILE *file, const struct cork_mempool_options *options);

/* run_failed prints the pool's options, what was expected, what was seen, or if that is NULL what
 * the last call did, and the program up to there, and aborts. */
_Noreturn void run_failed(const struct run *run, const char *expected, const char *seen);

ENGINE_BEGIN

static inline void run_require(const struct run *run, bool is_so, const char *expected)
{
    if (!is_so) {
        run_failed(run, expected, NULL);
    }
}

/* The pool that is worked on, and what the model knows of it. */
static inline struct run_pool *run_pool(struct run *run)
{
    return &run->pools[run->pool];
}

static inline struct model_pool *run_known(struct run *run)
{
    return &run->model.pools[run->pool];
}

/* Where the index-th of a pool's live objects stands. */
static inline void **run_place(struct run_pool *pool, size_t index)
{
    return &pool->objects[(pool->first + index) % MODEL_LIVE_LIMIT];
}

/* The index-th live object, counted modulo their number; NULL: there is none. */
static inline void *run_object(struct run *run, size_t index)
{
    struct run_pool *pool = run_pool(run);
    return pool->count > 0 ? *run_place(pool, index % pool->count) : NULL;
}

static inline bool run_has(struct run *run, unsigned protections)
{
    return (run_pool(run)->init.options.protections & protections) != 0;
}

ENGINE_END
