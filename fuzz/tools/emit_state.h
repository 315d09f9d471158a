/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EMIT_STATE_H
#define FUZZ_EMIT_STATE_H

/* What emit.c and emit_init.c share. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "trace.h"
#include "trial.h"

/* The sections of emit_prelude.c that are not always needed. */
enum emit_section {
    EMIT_VIOLATIONS,
    EMIT_DAMAGE,
    EMIT_FOREIGN,
    EMIT_VISIT,
    EMIT_REFUSALS,
    EMIT_WRAPS,
    EMIT_SOURCE,
    EMIT_BUFFERS,
    EMIT_CONSTRUCTORS,
    EMIT_TYPES,
    EMIT_SECTION_COUNT
};
struct emit {
    FILE *body; /* the programs' functions, until it is known what they need */
    size_t program_count;
    size_t object_count; /* the most that a pool issues */
    bool needs[EMIT_SECTION_COUNT];
    /* Of the current program. */
    const struct trace *trace;
    const struct trial *trial;
    struct operation operation;
    bool has_refusals;
    struct trace_event memory[PROGRAM_POOL_COUNT]; /* what each pool was last refused */
    /* Calls of one kind that have not been written yet: new, or free of births step apart. */
    enum subject_call call;
    unsigned pool;
    size_t count;
    size_t first, last;
    intptr_t step;
};
extern struct emit emit;

/* emit_put writes a line of a program's function. */
__attribute__((format(printf, 1, 2))) void emit_put(const char *format, ...);

/* emit_init writes how a pool is initialized. */
void emit_init(const struct trace_event *event);

#endif /* FUZZ_EMIT_STATE_H */
