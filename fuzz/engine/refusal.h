/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_REFUSAL_H
#define FUZZ_REFUSAL_H

/* Refusals: whether a call that is misuse was refused for what it is. */

#include "run_state.h"

/* A kind's bit in a set of kinds. */
#define KIND(name) (1U << CORK_MEMPOOL_##name)

/* struct refusal is a call that must be refused, and the violation. */
struct refusal {
    union subject_pool *storage;
    enum subject_call call;
    void *pointer;
    unsigned kinds;       /* any of these; mostly one */
    const void *reported; /* the violation's pointer */
    const void *or_else;  /* another that it may be, or NULL */
    bool is_dead;         /* the storage holds no pool */
};

/* refusal_require fails unless something is so. */
void refusal_require(const struct run *run, bool is_so, const char *expected,
                     const struct refusal *refusal);

/* refusal_verify looks at the violation that run->result has. stats are the pool's figures before
 * the call; NULL: they are not known, and slots not verified. */
void refusal_verify(struct run *run, const struct refusal *refusal,
                    const struct cork_mempool_stats *stats);

/* refusal_verify_misuse looks at the one of the call in which run->misuse was done. */
void refusal_verify_misuse(struct run *run);

#endif /* FUZZ_REFUSAL_H */
