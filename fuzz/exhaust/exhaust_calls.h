/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_CALLS_H
#define FUZZ_EXHAUST_CALLS_H

/*
 * Calls: what can be done to a world, and the oracle, which says after each call whether the pool
 * did what it must. What the oracle knows are places: of live objects, and of those that were
 * freed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "exhaust_memory.h"
#include "exhaust_search.h"
#include "libcork/core/mempool_options.h"
#include "libcork/core/mempool_violation.h"

enum exhaust_call {
    CALL_INIT,
    CALL_NEW,      /* arg: what is refused, and for SHUFFLE 128 times the choice */
    CALL_FREE,     /* arg: the number of a live object, by their addresses */
    CALL_FREE_ALL, /* by a visitor of foreach */
    CALL_CLEAR,
    CALL_TRIM,
    CALL_DONE,
    CALL_CHECK,
    CALL_STATS,
    CALL_OWNS,
    CALL_FOREACH
};

/* struct exhaust_profile is a pool to search, and what memory it can have. */
struct exhaust_profile {
    const char *name;
    struct cork_mempool_options options;
    size_t quarantine_max;
    struct world_piece pieces[WORLD_COUNT][WORLD_PIECE_MAX + 1];
    unsigned depths[3]; /* of the search, for groups of 1, 2 and 3; 0: until it is closed */
};

/* calls_begin makes both worlds those of a profile, with pools of zeros. */
void calls_begin(const struct exhaust_profile *begun);

/* calls_perform makes a call, and looks at everything afterwards. */
void calls_perform(struct exhaust_op op);

/* calls_expand tries each operation on a world that its state allows. */
void calls_expand(unsigned world);

/* calls_probe makes all calls that change nothing: those that ask, and those that are refused. */
void calls_probe(struct world *world);

/* calls_probe_other makes those that have to do with another pool's objects. */
void calls_probe_other(struct world *world, const struct world *other);

/* calls_print prints a program and what its last call, or the last probe, did. */
void calls_print(const struct exhaust_op *program, size_t count, bool is_probing);

#endif /* FUZZ_EXHAUST_CALLS_H */
