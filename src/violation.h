/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_VIOLATION_H
#define CORK_MEMPOOL_VIOLATION_H

/*
 * Violations: the end of a refused call.
 */

#include "internal.h"
#include "libcork/core/mempool_violation.h"

/* Live objects that a leak report lists at most. */
#define VIOLATION_LISTED_MAX 16

/* Damaged bytes that a report shows at most. */
#define VIOLATION_DUMP_MAX 16

/*
 * violation_refuse refuses the current call: it calls the handler, reports and aborts. It fills in
 * violation.message. Callers have changed nothing yet, because the handler may leave by longjmp.
 */
_Noreturn INTERNAL void violation_refuse(struct cork_mempool_violation violation);

/* violation_warn writes a line about a word of an environment variable, and returns. */
INTERNAL void violation_warn(const char *message, const char *word, size_t length);

#endif /* CORK_MEMPOOL_VIOLATION_H */
