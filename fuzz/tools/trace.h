/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_TRACE_H
#define FUZZ_TRACE_H

/*
 * Traces: what a run did, step by step, kept where it survives the end of the process that ran it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/program.h"
#include "fuzz/engine/subject.h"
#include "fuzz/targets/driver.h"

enum trace_kind {
    TRACE_STEP,  /* an operation begins */
    TRACE_END,   /* the end begins: all objects are freed, all pools finalized */
    TRACE_INIT,  /* the subject's init */
    TRACE_CALL,  /* any other call of the subject */
    TRACE_WRITE, /* a live object gets other contents */
    TRACE_DAMAGE /* bytes that nobody may touch are inverted */
};

struct trace_event {
    enum trace_kind kind;
    unsigned pool;              /* that is worked on */
    bool is_finished;           /* for INIT and CALL: it came back */
    struct operation operation; /* for STEP */
    struct subject_init init;   /* for INIT */
    bool is_constructor_failing;
    enum subject_call call; /* for CALL */
    bool is_on_pool;        /* not on what is no pool */
    const void *pointer;    /* for CALL: its argument, or what new gave; for WRITE, DAMAGE: where */
    const char *message;    /* the violation's, or NULL */
    enum cork_mempool_violation_kind violation;
    int error;
    bool is_true; /* the result of INIT, check, owns */
    size_t size;  /* of DAMAGE */
    /* For stats: the pool's figures, and what the model knows of the pool. */
    struct cork_mempool_stats stats;
    size_t live_count;
    size_t freed_count;
    size_t alignment;
};

/* More than any program makes. */
#define TRACE_EVENT_MAX ((size_t)1 << 19)

struct trace {
    size_t count;
    struct trace_event events[TRACE_EVENT_MAX];
};

/* trace_make maps a trace that is shared with the processes forked later, or returns NULL. */
struct trace *trace_make(void);

/* trace_run does run_program on trace_state, and traces it. */
extern struct run trace_state;
void trace_run(struct trace *trace, const struct driver_run *run);

/* trace_name_of returns a call's name. */
const char *trace_name_of(enum subject_call call);

#endif /* FUZZ_TRACE_H */
