/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_TRACE_NAMES_H
#define FUZZ_TRACE_NAMES_H

/*
 * Names for the addresses in a trace. An object is called by its pool and by how many the pool
 * issued before it, from the start of the program on: p0.a17. The latest object at an address gives
 * its name to the slot.
 */

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

enum name_kind {
    NAME_NUMBER, /* a small one; NULL is 0 */
    NAME_STATIC, /* static data, offset bytes from its start */
    NAME_STACK,
    NAME_HEAP,
    NAME_POOL,  /* the pool itself, offset bytes from its start */
    NAME_OBJECT /* offset bytes from an object's start */
};

struct name {
    enum name_kind kind;
    unsigned pool;
    size_t birth;
    intptr_t offset; /* the number, for NAME_NUMBER */
};

/* names_start begins a trace; names_learn takes one event after the other. */
void names_start(void);
void names_learn(const struct trace_event *event);

/* names_find names an address that an event of the last step is about. */
struct name names_find(unsigned pool, const void *pointer);

/* names_births returns how many objects a pool has issued. */
size_t names_births(unsigned pool);

#endif /* FUZZ_TRACE_NAMES_H */
