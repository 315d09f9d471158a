/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

/* Drivers: what each fuzz test makes of its input. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/run.h"

struct driver {
    const char *name; /* of the fuzz test, and of its corpus */
    bool has_options; /* an input is options_test's; all below is for programs */
    enum program_dialect dialect;
    bool has_mask;        /* eight bytes before the program are failing_mask, little-endian */
    size_t profile_count; /* runs, each with other protections added; the first with none */
};
extern const struct driver driver_misuse, driver_model, driver_oom, driver_options, driver_profiles;

/* driver_find returns the driver of a name, or NULL. */
const struct driver *driver_find(const char *name);

/* struct driver_run is one of the runs that an input stands for. */
struct driver_run {
    struct run_settings settings;
    const uint8_t *data; /* the program; long ones are cut, as not every engine knows of limits */
    size_t size;
};

/* driver_decode finds the index-th run. Returns: false where there are no more. */
bool driver_decode(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                   size_t size, size_t index, struct driver_run *run);

/* driver_count adds 1 to the number of executed inputs: an uint64_t, in the machine's byte order,
 * at the start of the file that the environment variable FUZZ_EXECUTIONS_FILE names. Processes may
 * share the file. Without the variable it does nothing. */
void driver_count(void);

/* driver_test runs an input, which aborts where it fails. */
void driver_test(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                 size_t size);

/* options_test takes bytes for arbitrary options of one pool. It demands that init_with takes them
 * or refuses them as its header says, and that a pool of them serves; where that is not so, it
 * prints the options and aborts. options_print prints them to standard output. */
void options_test(const uint8_t *data, size_t size);
void options_print(const uint8_t *data, size_t size);

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

/* DRIVER_TARGET defines what fuzzing engines call for a driver, MUTATOR_OF what libFuzzer does. */
#define DRIVER_TARGET(driver)                                                                      \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                  \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        driver_test(&(driver), &subject_cork, data, size);                                         \
        return 0;                                                                                  \
    }

#define MUTATOR_OF(driver)                                                                         \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);    \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)     \
    {                                                                                              \
        return mutator_mutate(&(driver), data, size, max_size, seed);                              \
    }

#endif /* FUZZ_DRIVER_H */
