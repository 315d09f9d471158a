/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Drivers: what each fuzz test makes of its input. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/run.h"

struct driver {
    const char *name; /* of the fuzz test, and of its corpus */
    /* run_program or run_options. */
    void (*run)(struct run *run, const struct run_settings *settings, const uint8_t *data,
                size_t size);
    enum program_dialect dialect;
    size_t head_size;     /* bytes before the program: none, or failing_mask, little-endian */
    size_t profile_count; /* runs, each with other protections added; the first with none */
};
extern const struct driver driver_misuse, driver_model, driver_oom, driver_options, driver_profiles;

/* driver_settings returns those of the index-th run of an input, of head_size bytes at least. */
struct run_settings driver_settings(const struct driver *driver, const struct subject *subject,
                                    const uint8_t *data, size_t index);

/* driver_test does the runs of an input, which abort where it fails. The environment variable
 * FUZZ_EXECUTIONS_FILE may name a file, which begins with the number of inputs so far: an uint64_t,
 * in the machine's byte order. Processes may share it. */
void driver_test(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                 size_t size);

/* run_options takes bytes for arbitrary options of one pool. It demands that init_with takes them
 * or refuses them as its header says, and that a pool of them serves; where that is not so, it
 * prints the options and aborts. */
void run_options(struct run *run, const struct run_settings *settings, const uint8_t *data,
                 size_t size);

/*
 * mutator_mutate changes a program by whole operations, so that what follows keeps its meaning. The
 * same seed makes the same of the same input, but for one time of 8, which is libFuzzer's own
 * mutation of bytes; of options, all are. Of an input larger than max_size, it leaves out
 * operations. Returns: the new size, from 1 to max_size, which is not 0.
 */
size_t mutator_mutate(const struct driver *driver, uint8_t *data, size_t size, size_t max_size,
                      unsigned seed);

/* libFuzzer's own mutator. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* DRIVER_TARGET defines what fuzzing engines call for a driver and a subject, FUZZ_TARGET besides
 * that what libFuzzer calls: a mutator. */
#define DRIVER_TARGET(driver, subject)                                                             \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                  \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        driver_test(&(driver), &(subject), data, size);                                            \
        return 0;                                                                                  \
    }

#define FUZZ_TARGET(driver, subject)                                                               \
    DRIVER_TARGET(driver, subject)                                                                 \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);    \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)     \
    {                                                                                              \
        return mutator_mutate(&(driver), data, size, max_size, seed);                              \
    }
