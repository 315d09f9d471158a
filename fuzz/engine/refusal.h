/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_REFUSAL_H
#define FUZZ_REFUSAL_H

/* Refusals: whether a call that is misuse was refused for what it is. */

#include "run_state.h"

/* A kind's bit in a set of kinds. */
#define KIND(name) (1U << CORK_MEMPOOL_##name)

/* Those of storage that holds no pool. */
#define KINDS_WITHOUT_POOL (KIND(USE_BEFORE_INIT) | KIND(USE_AFTER_DONE) | KIND(NOT_A_POOL))

/* struct refusal is a call that must be refused, and the violation. */
struct refusal {
    union subject_pool *storage; /* which holds no pool where kinds say so */
    enum subject_call call;
    void *pointer;       /* of the call, or NULL; or the object that it must find damaged */
    const void *or_else; /* another pointer that may be reported, or NULL */
    unsigned kinds;      /* any of these; mostly one */
};

/* refusal_is_pointed returns whether a call takes a pointer, which its refusal reports. */
static inline bool refusal_is_pointed(enum subject_call call)
{
    return call == SUBJECT_FREE || call == SUBJECT_OWNS;
}

/* refusal_verify looks at the violation that run->result has. stats are the pool's figures before
 * the call; NULL: they are not known, and slots not verified. */
void refusal_verify(struct run *run, const struct refusal *refusal,
                    const struct cork_mempool_stats *stats);

/* refusal_verify_misuse looks at the one of the call in which run->misuse was done. */
void refusal_verify_misuse(struct run *run);

#endif /* FUZZ_REFUSAL_H */
