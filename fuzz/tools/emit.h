/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EMIT_H
#define FUZZ_EMIT_H

/*
 * Emits traces as one C program over the pool's public headers. It makes the same calls and demands
 * the same outcomes; of a failing run, the outcome that the model expected of the last call.
 *
 * What the operating system or the heap refused a pool cannot be said by public means. Such
 * programs refuse the same requests by functions that the linker puts in the place of mmap and
 * others; their first lines say how to link them. A pool's own source of memory refuses by itself.
 */

#include <stdio.h>

#include "trace.h"
#include "trial.h"

/* emit_add adds a run to the program. */
void emit_add(const char *name, const struct trace *trace, const struct trial *trial);

/* emit_finish writes the program. */
void emit_finish(FILE *out);

#endif /* FUZZ_EMIT_H */
