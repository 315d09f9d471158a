/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MUTATOR_H
#define FUZZ_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

#include "driver.h"

/*
 * mutator_mutate changes an input of a driver of programs by whole operations, so that what follows
 * keeps its meaning. The same seed makes the same of the same input, but for one time of 8, which
 * is libFuzzer's own mutation of bytes. Of an input larger than max_size, it leaves out
 * operations. Returns: the new size, from 1 to max_size, which is not 0.
 */
size_t mutator_mutate(const struct driver *driver, uint8_t *data, size_t size, size_t max_size,
                      unsigned seed);

/* libFuzzer's own mutator. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* MUTATOR_OF defines what libFuzzer calls, for a driver. */
#define MUTATOR_OF(driver)                                                                         \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);    \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)     \
    {                                                                                              \
        return mutator_mutate(&(driver), data, size, max_size, seed);                              \
    }

#endif /* FUZZ_MUTATOR_H */
