/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A subject and a fuzz test that test the tools: cork_mempool with a defect that takes a few calls
 * to show. The environment's DEFECT has its number.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/targets/mutator.h"
#include "input.h"

static enum defect {
    /* Where a pool is trimmed after two frees and with a live object, the next new of at least 100
     * bytes gives an object a byte off; without a free, trim crashes. */
    DEFECT_MISALIGNED,
    /* A clear of three live objects or more crashes. */
    DEFECT_CRASH,
    /* A third object never comes. */
    DEFECT_HANG,
    /* A double free in quarantine is not refused. */
    DEFECT_SILENCE,
    /* A new with a live object writes behind an allocation: a sanitizer finds it. */
    DEFECT_OVERFLOW
} defect;

/* Of the pool that was used last. */
static struct {
    const union subject_pool *pool;
    size_t element_size;
    size_t live_count;
    size_t free_count;
    bool is_broken;
} seen;

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    memset(&seen, 0, sizeof(seen));
    seen.pool = pool;
    seen.element_size = how->options.element_size;
    return subject_cork.init(pool, how);
}

static void hang(void)
{
    for (volatile bool is_hanging = true; is_hanging;) {
    }
}

static void overflow(void)
{
    volatile char *memory = malloc(8);
    static volatile size_t size = 8;
    memory[size] = 1;
    free((void *)(uintptr_t)memory);
}

static void before_call(enum subject_call call)
{
    if (defect == DEFECT_MISALIGNED && call == SUBJECT_TRIM) {
        if (seen.free_count == 0) {
            abort();
        }
        seen.is_broken |= seen.free_count >= 2 && seen.live_count > 0;
    } else if (defect == DEFECT_CRASH && call == SUBJECT_CLEAR && seen.live_count >= 3) {
        raise(SIGSEGV);
    } else if (defect == DEFECT_HANG && call == SUBJECT_NEW && seen.live_count >= 2) {
        hang();
    } else if (defect == DEFECT_OVERFLOW && call == SUBJECT_NEW && seen.live_count >= 1) {
        overflow();
    }
}

static void after_call(enum subject_call call, struct subject_result *result)
{
    seen.live_count += call == SUBJECT_NEW && result->object != NULL;
    if (call == SUBJECT_FREE && result->violation.kind == 0) {
        seen.live_count--;
        seen.free_count++;
    }
    if (call == SUBJECT_NEW && seen.is_broken && seen.element_size >= 100) {
        result->object = (char *)result->object + 1;
    }
    if (defect == DEFECT_SILENCE && result->violation.kind == CORK_MEMPOOL_DOUBLE_FREE) {
        result->violation.kind = (enum cork_mempool_violation_kind)0;
    }
}

static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
    if (pool == seen.pool) {
        before_call(call);
    }
    subject_cork.call(pool, call, pointer, result);
    if (pool == seen.pool) {
        after_call(call, result);
    }
}

static const struct subject subject_defective = {
    .name = "a defective cork_mempool",
    .pool_size = sizeof(struct cork_mempool),
    .keeps_freed = true,
    .init = init,
    .is_unseen = true, /* its own requests are none of the pool's */
    .call = call,
};

const struct subject *const input_subject = &subject_defective;

__attribute__((constructor)) static void choose(void)
{
    const char *number = getenv("DEFECT");
    defect = number != NULL ? (enum defect)atoi(number) : DEFECT_MISALIGNED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    driver_test(&driver_profiles, input_subject, data, size);
    return 0;
}

MUTATOR_OF(driver_profiles)
