/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_SEARCH_H
#define FUZZ_EXHAUST_SEARCH_H

/*
 * Search: breadth first through all states that programs lead to. A state is the bytes of two
 * worlds; of those known only a hash, the state before and the operation between are kept, and a
 * state is made again from its program. So the program that a failure is reported with is a
 * shortest one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exhaust_memory.h"

#define WORLD_COUNT 2
extern struct world worlds[WORLD_COUNT];

/* struct exhaust_op is an operation that may change a world. */
struct exhaust_op {
    unsigned world;
    unsigned call; /* an enum exhaust_call */
    unsigned arg;
};

struct search_limits {
    unsigned depth; /* of programs, in operations */
    size_t states;
};

struct search_result {
    unsigned depth;       /* all programs of so many operations were tried, or made up for */
    size_t states;        /* that were found */
    uint64_t transitions; /* calls that were made in them, refused ones included */
    uint64_t refused;     /* of these, those that had to be refused */
    bool is_closed;       /* no operation leads to a state that was not found */
};
extern struct search_result search_result;

/* search_run goes through all states from the worlds as they are. progress is called now and then.
 */
void search_run(const struct search_limits *limits, void (*progress)(void));

/* search_try tries an operation in the state that the search is at. */
void search_try(struct exhaust_op op);

/* search_world returns a world of the state that the search is at. */
const struct world *search_world(unsigned world);

/* search_failed prints the program and what came of it, and ends the process with exit code 1. */
_Noreturn void search_failed(const char *expected);

static inline void expect(bool is_so, const char *expected)
{
    if (__builtin_expect(!is_so, 0)) {
        search_failed(expected);
    }
}

#endif /* FUZZ_EXHAUST_SEARCH_H */
