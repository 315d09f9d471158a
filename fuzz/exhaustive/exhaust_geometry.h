/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The compiler includes this before every file: groups, stacks and quarantines of a few slots,
 * where the library's have 64, 64 and 256; and regions that grow slowly, so that several fit. The
 * engine's model is as small.
 */

#include <stddef.h>

extern size_t exhaust_group_slots;

#define STACK_SLOTS       (exhaust_group_slots == 2 ? (size_t)2 : 1)
#define HEAP_FIRST_FACTOR 1
#define RESERVED_FACTOR   2
#define RESERVED_MIN_SIZE ((size_t)5 * 112)

/* These headers define the numbers themselves. */
#include "geometry.h"
#undef GROUP_SLOTS
#define GROUP_SLOTS exhaust_group_slots

#include "hooks.h"
#undef QUARANTINE_MAX
#define QUARANTINE_MAX ((size_t)2)

#define MODEL_LIVE_LIMIT 16
#define MODEL_SLOT_LIMIT 16
#define MODEL_REST       2
