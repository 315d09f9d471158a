/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_ENVIRONMENT_H
#define CORK_MEMPOOL_ENVIRONMENT_H

/*
 * Environment: protections that the user of a program asks for.
 */

#include <stdint.h>

#include "internal.h"

/* struct environment is what the environment variable CORK_MEMPOOL_OPTIONS says. */
struct environment {
    uint32_t protections;
    uint64_t seed; /* 0: none */
};

/* environment_options reads the variable, once in a process, and then remembers. */
INTERNAL struct environment environment_options(void);

#endif /* CORK_MEMPOOL_ENVIRONMENT_H */
