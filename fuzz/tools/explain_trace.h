/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXPLAIN_TRACE_H
#define FUZZ_EXPLAIN_TRACE_H

/* Traces as text. */

#include "draft.h"
#include "trace.h"
#include "trial.h"

/* explain_trace prints a program, in comments what came of each operation, and the pools' state
 * where it failed or before its end. draft_parse reads the text. */
void explain_trace(const struct draft *draft, const struct trace *trace, const struct trial *trial);

#endif /* FUZZ_EXPLAIN_TRACE_H */
