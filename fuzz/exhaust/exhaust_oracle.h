/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_ORACLE_H
#define FUZZ_EXHAUST_ORACLE_H

/*
 * Oracle of calls that change nothing: those that ask, and those that must be refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exhaust_calls.h"
#include "exhaust_memory.h"

#define ORACLE_LIVE_MAX 16

/* struct oracle_probe is a call, the violation that it must end in, and the one that was seen. */
struct oracle_probe {
    const struct world *world;
    unsigned call;
    const void *pointer;
    unsigned expected_kind; /* 0: none */
    bool is_unexpected;     /* it was not by a probe that there was a violation */
    struct cork_mempool_violation violation;
};

struct oracle_visits {
    size_t count;
    uint16_t places[ORACLE_LIVE_MAX];
};

/* oracle_begin installs the handler. A violation that nobody expects is a failure from then on. */
void oracle_begin(void);

/* oracle_visit returns the places that foreach visits, which must be those of live objects. */
struct oracle_visits oracle_visit(struct world *world);

/* oracle_last_probe returns the last probe, or an unexpected violation. */
struct oracle_probe oracle_last_probe(void);

/* calls_profile returns the profile that was begun. */
const struct exhaust_profile *calls_profile(void);

#endif /* FUZZ_EXHAUST_ORACLE_H */
