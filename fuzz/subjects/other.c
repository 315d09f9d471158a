/* SPDX-License-Identifier: BSD-3-Clause */
#include "other.h"

#include <errno.h>
#include <stdlib.h>

#include "fuzz/engine/engine.h"
#include "fuzz/engine/run.h"
#include "fuzz/engine/subject.h"
#include "fuzz/targets/driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

ENGINE_BEGIN

/* The exit code of what cannot do its work here, as .ci/run and others read it. */
#define NOT_INSTALLED 77

static const struct other *other;

/* A pool is made by its first new: before that, ours have no memory either. */
struct made {
    void *pool; /* NULL: not made yet */
    size_t element_size;
    size_t block_size;
    size_t live_count;
};

static struct made *made_in(union subject_pool *pool)
{
    return (struct made *)(void *)pool;
}

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    *made_in(pool) = (struct made){
        .element_size = how->options.element_size > 0 ? how->options.element_size : 1,
        .block_size = how->options.block_size,
    };
    return true;
}

static void take(struct made *made, struct subject_result *result)
{
    errno = 0;
    if (made->pool == NULL) {
        made->pool = other->make(made->element_size, made->block_size);
    }
    result->object = made->pool != NULL ? other->take(made->pool) : NULL;
    result->error = errno;
    made->live_count += result->object != NULL;
}

static void give(struct made *made, void *object)
{
    if (object != NULL) {
        other->give(made->pool, object);
        made->live_count--;
    }
}

/* What plain programs call. That a pool is sound only the model can tell. */
static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
    struct made *made = made_in(pool);
    result->violation.kind = (enum cork_mempool_violation_kind)0;
    result->is_true = true;
    switch (call) {
    case SUBJECT_NEW:
        take(made, result);
        break;
    case SUBJECT_FREE:
        give(made, pointer);
        break;
    case SUBJECT_STATS:
        result->stats = (struct cork_mempool_stats){.element_size = made->element_size,
                                                    .live_count = made->live_count};
        break;
    case SUBJECT_DONE:
        if (made->pool != NULL) {
            other->unmake(made->pool);
        }
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct subject subject = {.pool_size = sizeof(struct made), .init = init, .call = call};
    static struct run run;
    static const struct run_settings settings = {.subject = &subject, .dialect = PROGRAM_PLAIN};
    if (other == NULL) {
        other = other_open();
        /* Not by exit: engines take that for a crash. What was not done has not gone well. */
        if (other == NULL) {
            _Exit(NOT_INSTALLED);
        }
        subject.name = other->name;
        subject.max_alignment = other->max_alignment;
        subject.is_unseen = other->is_unseen;
    }
    driver_count();
    run_program(&run, &settings, data, size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE);
    return 0;
}

ENGINE_END
