/* SPDX-License-Identifier: BSD-3-Clause */
#include "subject.h"

#include <errno.h>
#include <setjmp.h>

#include "engine.h"

ENGINE_BEGIN

_Static_assert(sizeof(struct cork_mempool) <= sizeof(union subject_pool), "storage");
_Static_assert(_Alignof(struct cork_mempool) <= _Alignof(union subject_pool), "storage");

static struct cork_mempool *pool_of(union subject_pool *pool)
{
    return (struct cork_mempool *)(void *)pool;
}

/* Where the handler leaves to. A visitor makes calls within a call; one that may not be made there
 * ends both. */
static struct catcher {
    jmp_buf *target;
    struct subject_result *result;
} catcher, outermost;

static void on_violation(const struct cork_mempool_violation *violation)
{
    if (violation->kind == CORK_MEMPOOL_BUSY) {
        catcher = outermost;
    }
    if (catcher.target != NULL) {
        catcher.result->violation = *violation;
        for (size_t i = 0; i < violation->listed_count && i < SUBJECT_LISTED_MAX; i++) {
            catcher.result->listed[i] = violation->listed[i];
        }
        longjmp(*catcher.target, 1);
    }
}

static void init_type(struct cork_mempool *mp, unsigned type, const size_t *block_size)
{
    switch (type) {
#define CASE(number, type)                                                                         \
    case number:                                                                                   \
        block_size != NULL ? cork_mempool_init_ex(mp, type, *block_size)                           \
                           : cork_mempool_init(mp, type);                                          \
        break;
        SUBJECT_TYPES(CASE)
#undef CASE
    }
}

/* The EX forms make the pool elsewhere and move it: until its first new, that is allowed. */
static bool init(union subject_pool *pool, const struct subject_init *how)
{
    static struct cork_mempool elsewhere; /* MemorySanitizer knows all of its bytes */
    const struct cork_mempool_options *options = &how->options;
    const bool is_ex = how->form == SUBJECT_INIT_SIZE_EX || how->form == SUBJECT_INIT_TYPE_EX;
    struct cork_mempool *mp = is_ex ? &elsewhere : pool_of(pool);
    cork_mempool_on_violation(on_violation);
    if (how->form == SUBJECT_INIT_WITH || options->protections != 0) {
        return cork_mempool_init_with(pool_of(pool), options);
    } else if (how->form == SUBJECT_INIT_TYPE || how->form == SUBJECT_INIT_TYPE_EX) {
        init_type(mp, how->type, is_ex ? &options->block_size : NULL);
    } else if (is_ex) {
        cork_mempool_init_size_ex(mp, options->element_size, options->block_size);
    } else {
        cork_mempool_init_size(mp, options->element_size);
    }
    if (is_ex) {
        *pool_of(pool) = elsewhere;
    }
    return true;
}

static void make(struct cork_mempool *mp, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
#define DO(CALL, action)                                                                           \
    case SUBJECT_##CALL:                                                                           \
        action;                                                                                    \
        break;
    errno = 0;
    switch (call) {
        DO(NEW, result->object = cork_mempool_new(mp); result->error = errno)
        DO(FREE, cork_mempool_free(mp, pointer))
        DO(DONE, cork_mempool_done(mp))
        DO(CHECK, result->is_true = cork_mempool_check(mp))
        DO(STATS, cork_mempool_stats(mp, &result->stats))
        DO(OWNS, result->is_true = cork_mempool_owns(mp, pointer))
        DO(FOREACH, cork_mempool_foreach(mp, result->visit, result->visit_data))
        DO(CLEAR, cork_mempool_clear(mp))
    default:
        result->size = cork_mempool_trim(mp);
        break;
    }
}

static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
    const struct catcher outer = catcher;
    jmp_buf here;
    result->violation.kind = (enum cork_mempool_violation_kind)0;
    catcher = (struct catcher){&here, result};
    if (outer.target == NULL) {
        outermost = catcher;
    }
    if (setjmp(here) == 0) {
        make(pool_of(pool), call, pointer, result);
    }
    catcher = outer;
}

ENGINE_END

const struct subject subject_cork = {
    .name = "cork_mempool",
    .pool_size = sizeof(struct cork_mempool),
    .keeps_freed = true,
    .init = init,
    .call = call,
};
