/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The mutator as AFL++ loads it, since its driver for fuzz tests does not call one that is linked
 * to them: AFL_CUSTOM_MUTATOR_LIBRARY=mutator_afl.so MUTATOR_DRIVER=mempool_model_fuzzer.
 */

#include "fuzz/mutator.h"

#include <stdio.h>
#include <stdlib.h>

struct afl_mutator {
    const struct driver *driver;
    uint64_t random;
    uint8_t result[RUN_MAX_SIZE];
};

void *afl_custom_init(void *afl, unsigned seed);
size_t afl_custom_fuzz(void *data, uint8_t *input, size_t size, uint8_t **result, uint8_t *other,
                       size_t other_size, size_t max_size);
void afl_custom_deinit(void *data);

void *afl_custom_init(void *afl, unsigned seed)
{
    const char *name = getenv("MUTATOR_DRIVER");
    const struct driver *driver = name != NULL ? driver_find(name) : NULL;
    struct afl_mutator *mutator = malloc(sizeof(*mutator));
    (void)afl;
    if (driver == NULL || driver->has_options || mutator == NULL) {
        fprintf(stderr, "MUTATOR_DRIVER=%s: not the name of a fuzz test of programs\n",
                name != NULL ? name : "");
        exit(2);
    }
    mutator->driver = driver;
    mutator->random = seed;
    return mutator;
}

size_t afl_custom_fuzz(void *data, uint8_t *input, size_t size, uint8_t **result, uint8_t *other,
                       size_t other_size, size_t max_size)
{
    struct afl_mutator *mutator = data;
    unsigned done;
    *result = mutator->result;
    return mutator_mutate(mutator->driver, (struct mutator_input){input, size},
                          (struct mutator_input){other, other_size}, mutator->result, max_size,
                          mutator->random++, &done);
}

void afl_custom_deinit(void *data)
{
    free(data);
}
