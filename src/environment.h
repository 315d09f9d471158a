/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_ENVIRONMENT_H
#define CORK_MEMPOOL_ENVIRONMENT_H

/*
 * Environment: what the user of a program asks for, or runs it under.
 */

#include <stdbool.h>
#include <stdint.h>

#include "internal.h"

/* struct environment is what the environment variable CORK_MEMPOOL_OPTIONS says, and whether the
 * process runs under Valgrind. */
struct environment {
    uint32_t protections;
    bool under_valgrind;
    uint64_t seed; /* 0: none */
};

/* environment_options finds it out once in a process, and then remembers. */
INTERNAL struct environment environment_options(void);

#endif /* CORK_MEMPOOL_ENVIRONMENT_H */
