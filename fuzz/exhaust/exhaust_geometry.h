/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_EXHAUST_GEOMETRY_H
#define FUZZ_EXHAUST_GEOMETRY_H

/*
 * Included before every file of src/ that the exhaustive search runs: groups and quarantines of a
 * few slots, where the library's have 64 and 256. The library's own files do not know of it: their
 * headers define the numbers, and here, behind the headers, they get others. They are variables, so
 * that one program can run them all; nothing in src/ needs them to be constants.
 */

#include <stddef.h>

extern size_t exhaust_group_slots;
extern size_t exhaust_quarantine_max;

#include "geometry.h"
#undef GROUP_SLOTS
#define GROUP_SLOTS exhaust_group_slots

/* What this includes has functions that need the number of a group's slots. */
#include "protect.h"
#undef QUARANTINE_MAX
#define QUARANTINE_MAX exhaust_quarantine_max

#endif /* FUZZ_EXHAUST_GEOMETRY_H */
