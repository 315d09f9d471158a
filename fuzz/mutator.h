/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MUTATOR_H
#define FUZZ_MUTATOR_H

/*
 * The mutator makes new inputs of old ones for drivers of programs, by whole operations. It keeps
 * no state: the same seed makes the same of the same input.
 */

#include <stddef.h>
#include <stdint.h>

#include "driver.h"

enum mutation {
    MUTATION_INSERT,    /* operations that are made up */
    MUTATION_DELETE,    /* a range of operations */
    MUTATION_DUPLICATE, /* an operation */
    MUTATION_SWAP,      /* two operations */
    MUTATION_COPY,      /* a range to another place */
    MUTATION_REPEAT,    /* a range, several times */
    MUTATION_POOL,      /* of a range */
    MUTATION_OPERAND,   /* of an operation, towards what is an edge to it */
    MUTATION_KIND,      /* of an operation; the operands that fit stay */
    MUTATION_SPLICE,    /* a range of another input */
    MUTATION_HEAD,      /* of what stands before the program */
    MUTATION_BYTES,     /* whatever they mean, by the engine's own mutator, if there is one */
    MUTATION_COUNT
};

/* struct mutator_input is an input that stays as it is; data may be NULL where size is 0. */
struct mutator_input {
    const uint8_t *data;
    size_t size;
};

/*
 * mutator_mutate changes an input and ends it with a whole operation. other: an input to take
 * operations from. result: room for max_size bytes, or RUN_MAX_SIZE if that is less; may be the
 * input. *done: a bit, by enum mutation, for each mutation that was tried.
 * Returns: the result's size, at most max_size, and 0 only where max_size is.
 */
size_t mutator_mutate(const struct driver *driver, struct mutator_input input,
                      struct mutator_input other, uint8_t *result, size_t max_size, uint64_t seed,
                      unsigned *done);

/* mutator_cross is the same for an engine that asks for something of both inputs. */
size_t mutator_cross(const struct driver *driver, struct mutator_input input,
                     struct mutator_input other, uint8_t *result, size_t max_size, uint64_t seed);

/* MUTATOR_OF defines what libFuzzer calls, for a driver. */
#define MUTATOR_OF(driver)                                                                         \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);    \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)     \
    {                                                                                              \
        unsigned done;                                                                             \
        return mutator_mutate(&(driver), (struct mutator_input){data, size},                       \
                              (struct mutator_input){NULL, 0}, data, max_size, seed, &done);       \
    }                                                                                              \
    size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,       \
                                     size_t other_size, uint8_t *result, size_t max_size,          \
                                     unsigned seed);                                               \
    size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,       \
                                     size_t other_size, uint8_t *result, size_t max_size,          \
                                     unsigned seed)                                                \
    {                                                                                              \
        return mutator_cross(&(driver), (struct mutator_input){data, size},                        \
                             (struct mutator_input){other, other_size}, result, max_size, seed);   \
    }

#endif /* FUZZ_MUTATOR_H */
