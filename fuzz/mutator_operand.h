/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MUTATOR_OPERAND_H
#define FUZZ_MUTATOR_OPERAND_H

/* Operations that the mutator makes up, and operands that are likely to be edges to the pool. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

/* random_next returns the next random number; *random is the generator's state, any at first. */
uint64_t random_next(uint64_t *random);

/* random_below returns a random number below a count that is not 0. */
size_t random_below(uint64_t *random, size_t count);

/* operation_random makes an operation of a dialect up. live: how many objects of the pool are live,
 * about. */
struct operation operation_random(uint64_t *random, enum program_dialect dialect, unsigned pool,
                                  size_t live);

/* operation_perturb changes one operand. Returns: false where there is none, or nothing changed. */
bool operation_perturb(struct operation *operation, uint64_t *random, size_t live);

/* operation_keep_operands gives an operation those of another that mean the same to it. */
void operation_keep_operands(struct operation *operation, const struct operation *from);

/* operation_live_count returns how many of live objects are live after an operation, about. */
size_t operation_live_count(const struct operation *operation, size_t live);

#endif /* FUZZ_MUTATOR_OPERAND_H */
