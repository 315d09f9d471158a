/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_RUN_STATE_H
#define FUZZ_RUN_STATE_H

/*
 * What the parts of a run share: run.c, which does operations by calls.c; misuse.c, which does
 * what must be refused; caller.c, which is what a pool's caller may give it: memory, constructors.
 */

#include "memory.h"
#include "model.h"
#include "program.h"
#include "run.h"
#include "subject.h"

struct run_pool {
    union subject_pool storage;
    struct subject_init init; /* the last one; reinit repeats it */
    bool is_initialized;
    bool is_trimmed; /* since its init, so that not all slots are known */
    struct memory_account memory;
    bool is_counted; /* free_count is how many objects need no more memory */
    size_t free_count;
    size_t source_count;    /* requests that came through the caller's source */
    size_t released_size;   /* bytes that the source got back */
    size_t construct_count; /* calls of the constructor */
    uintptr_t base;         /* of slot 0, where there is one region; 0: not known */
    /* The live objects, about from the oldest to the youngest, somewhere in an array. */
    size_t first;
    size_t count;
    void *objects[2 * MODEL_LIVE_LIMIT];
};

/* What a callback of the caller's does once: uses its pool, or gives misaligned memory. */
struct run_misuse {
    bool is_due;
    bool is_done; /* so that the call which called back must be refused */
    bool is_misaligned;
    bool has_releases;     /* each second release calls too */
    unsigned passed_count; /* requests and releases that pass before */
    enum subject_call call;
    void *pointer;
};

/* The program that runs. Static, because it is large and a failure must be able to find it. */
struct run {
    const struct run_settings *settings;
    bool is_ending;
    struct program program;
    unsigned pool; /* that is worked on */
    size_t work;
    size_t max_work;
    uint32_t hash;  /* of the whole program */
    uint32_t visit; /* the mark of the last foreach */
    size_t visited_count;
    size_t visit_every; /* of so many objects the visitor frees one; 0: none */
    size_t live_count;  /* of all pools */
    size_t live_size;
    const void *damaged; /* a freed object that new must not issue, or NULL */
    struct run_misuse misuse;
    struct subject_result result;
    struct run_pool pools[PROGRAM_POOL_COUNT];
    struct model model;
};
extern struct run run;

_Noreturn void run_failed(const char *expected, const char *seen);

/* run_free_many frees objects in an order. */
void run_free_many(struct run_pool *pool, size_t count, size_t order);

/* What pools hold before their first init, and what follows them. */
extern const uint8_t run_garbage[PROGRAM_POOL_COUNT];

/* run_call makes a call on the pool that is worked on, which must not be refused. */
const struct subject_result *run_call(enum subject_call call, void *pointer);
const struct cork_mempool_stats *run_stats(void);

/* Each does what its name says to the pool that is worked on, and to the model. */
void run_new(struct run_pool *pool);
void run_free_at(struct run_pool *pool, size_t index);
void run_init(struct run_pool *pool);
void run_done(struct run_pool *pool, size_t order);
void run_foreach(size_t every);
void run_owns(struct run_pool *pool, size_t index);
void run_clear(struct run_pool *pool);
void run_trim(struct run_pool *pool);

/* run_inspect looks at the pool, as deep as so many units of work allow; run_check at all. */
void run_inspect(size_t work);
void run_check(void);

/* misuse_refused fails unless the call in which run.misuse was done has been refused for it. */
void misuse_refused(struct run_pool *pool);

/* misuse_execute does an operation from OPERATION_FREE_TWICE to OPERATION_LEAK. */
void misuse_execute(struct run_pool *pool, const struct operation *operation);

/* caller_give makes options of an operand of init_with. */
void caller_give(struct cork_mempool_options *options, unsigned pool, uint32_t bits);

/* caller_protect adds protections, and leaves those that go with the other options. */
void caller_protect(struct cork_mempool_options *options, unsigned added);

/* caller_misuse does run.misuse, which is a call, in a callback, where it is due; it returns only
 * where it is not. */
void caller_misuse(void);

/* caller_start is called before init, caller_end after done. */
void caller_start(unsigned pool);
void caller_end(unsigned pool);

#endif /* FUZZ_RUN_STATE_H */
