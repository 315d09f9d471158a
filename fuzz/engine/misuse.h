/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MISUSE_H
#define FUZZ_MISUSE_H

/* Misuse of the pool that is worked on. */

#include "refusal.h"

/* misuse_refuse makes a call that must be refused for what it is and change nothing. */
void misuse_refuse(struct run *run, const struct refusal *refusal);
void misuse_refuse_free(struct run *run, const void *pointer, unsigned kinds);

/* misuse_execute does an operation from OPERATION_FREE_TWICE to OPERATION_LEAK. */
void misuse_execute(struct run *run, const struct operation *operation);

#endif /* FUZZ_MISUSE_H */
