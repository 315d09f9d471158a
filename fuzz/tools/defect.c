/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A subject and a fuzz test that test the tools: cork_mempool with a defect that takes a few calls
 * to show. The environment's DEFECT names it:
 *
 *   misaligned  when a pool has been trimmed after two frees and with a live object, the next new
 *               of at least 100 bytes gives an object a byte off; without a free, trim crashes
 *   crash       a clear of three live objects or more crashes
 *   hang        a third object never comes
 *   overflow    a new with a live object writes behind an allocation: a sanitizer finds it
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/targets/driver.h"

/* Of the pool that was initialized last. */
static struct {
    const union subject_pool *pool;
    size_t element_size;
    size_t live_count;
    size_t free_count;
    bool is_trimmed;
} seen;

static bool has(const char *defect)
{
    const char *wanted = getenv("DEFECT");
    return wanted != NULL && strcmp(wanted, defect) == 0;
}

static bool init(union subject_pool *pool, const struct subject_init *how)
{
    memset(&seen, 0, sizeof(seen));
    seen.pool = pool;
    seen.element_size = how->options.element_size;
    return subject_cork.init(pool, how);
}

static void overflow(void)
{
    volatile char *memory = malloc(8);
    static volatile size_t size = 8;
    memory[size] = 1;
    free((void *)(uintptr_t)memory);
}

static void call(union subject_pool *pool, enum subject_call call, void *pointer,
                 struct subject_result *result)
{
    const bool is_new = call == SUBJECT_NEW && pool == seen.pool;
    const bool is_trim = call == SUBJECT_TRIM && pool == seen.pool && has("misaligned");
    if (is_trim && seen.free_count == 0) {
        abort();
    }
    seen.is_trimmed |= is_trim && seen.free_count >= 2 && seen.live_count > 0;
    if (call == SUBJECT_CLEAR && pool == seen.pool && seen.live_count >= 3 && has("crash")) {
        raise(SIGSEGV);
    }
    for (volatile bool is_hanging = is_new && seen.live_count >= 2 && has("hang"); is_hanging;) {
    }
    if (is_new && seen.live_count >= 1 && has("overflow")) {
        overflow();
    }
    subject_cork.call(pool, call, pointer, result);
    if (is_new && result->object != NULL) {
        seen.live_count++;
        result->object = (char *)result->object + (seen.is_trimmed && seen.element_size >= 100);
    } else if (call == SUBJECT_FREE && pool == seen.pool && result->violation.kind == 0) {
        seen.live_count--;
        seen.free_count++;
    }
}

const struct subject subject_defective = {
    .name = "a defective cork_mempool",
    .pool_size = sizeof(struct cork_mempool),
    .keeps_freed = true,
    .init = init,
    .is_unseen = true, /* its own requests are none of the pool's */
    .call = call,
};

FUZZ_TARGET(driver_profiles, subject_defective)
