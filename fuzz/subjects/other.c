/* SPDX-License-Identifier: BSD-3-Clause */
#include "other.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/targets/driver.h"

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

bool other_is_known(const char *defect)
{
    const char *known = getenv("FUZZ_KNOWN_DEFECTS");
    return known != NULL && strstr(known, defect) != NULL;
}

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    *(struct made *)(void *)pool = (struct made){
        .element_size = how->options.element_size > 0 ? how->options.element_size : 1,
        .block_size = how->options.block_size,
    };
    return true;
}

/* What plain programs call. That a pool is sound only the model can tell. */
static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
    struct made *made = (struct made *)(void *)pool;
    result->violation.kind = (enum cork_mempool_violation_kind)0;
    result->is_true = true;
    if (call == SUBJECT_NEW) {
        errno = 0;
        if (made->pool == NULL) {
            made->pool = other->make(made->element_size, made->block_size);
        }
        result->object = made->pool != NULL ? other->new_object(made->pool) : NULL;
        /* They pass on what the system said, for which requests.c has EAGAIN. */
        result->error = result->object != NULL ? 0 : errno == EAGAIN ? ENOMEM : errno;
        made->live_count += result->object != NULL;
    } else if (call == SUBJECT_FREE && pointer != NULL) {
        other->free_object(made->pool, pointer);
        made->live_count--;
    } else if (call == SUBJECT_STATS) {
        result->stats = (struct cork_mempool_stats){.element_size = made->element_size,
                                                    .live_count = made->live_count};
    } else if (call == SUBJECT_DONE && made->pool != NULL) {
        other->done(made->pool);
    }
}

static struct subject subject = {.pool_size = sizeof(struct made), .init = init, .call = call};

/* Before main: for engines, an exit after that is a crash. What was not done has not gone well. */
__attribute__((constructor)) static void start(void)
{
    other = other_open();
    if (other == NULL) {
        _Exit(NOT_INSTALLED);
    }
    subject.name = other->name;
    subject.max_alignment = other->max_alignment;
    subject.is_unseen = other->is_unseen;
}

/* Without our mutator: libFuzzer's own finds sizes that wrap in half the time. */
DRIVER_TARGET(driver_model, subject)
