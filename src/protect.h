/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_PROTECT_H
#define CORK_MEMPOOL_PROTECT_H

/*
 * Protection: the steps around new and free of pools with protections, with constructed objects, or
 * under a tool that watches them. Everything is verified before anything is changed.
 */

#include "internal.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"
#include "pool.h"

/* Protections that write something down about each slot, and those that withhold slots. */
#define PROTECT_RECORDED (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_CALLSITES | CORK_MEMPOOL_QUARANTINE)
#define PROTECT_WITHHELD (CORK_MEMPOOL_GUARD | CORK_MEMPOOL_QUARANTINE)

/* Protections that have to do with every new and free, and with every free alone. */
#define PROTECT_GUARDS_NEW                                                                         \
    (CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_CALLSITES)
#define PROTECT_GUARDS_FREE (CORK_MEMPOOL_CANARY | PROTECT_WITHHELD)

/* Slots in quarantine at most. */
#define QUARANTINE_MAX 256

/* protect_init derives the random decisions of a pool from its seed. */
INTERNAL void protect_init(struct cork_mempool *mp);

/*
 * protect_open is pool_open, for all pools: it prepares slots that are new, and where there is no
 * other memory ends the quarantine.
 */
INTERNAL bool protect_open(struct cork_mempool *mp);

/* protect_new and protect_free are new and free of live pools that guard them; ptr is not NULL, and
 * index is what geometry_slot_of makes of its offset in the near region. */
INTERNAL void *protect_new(struct cork_mempool *mp, const void *site);
INTERNAL void protect_free(struct cork_mempool *mp, void *ptr, uintptr_t index, const void *site);

/* protect_verify refuses the current call where any object or freed slot of a pool is damaged. */
INTERNAL void protect_verify(const struct cork_mempool *mp);

/* protect_end_quarantine makes all slots in quarantine free. */
INTERNAL void protect_end_quarantine(struct cork_mempool *mp);

/* protect_destroy runs the destructor on every object that is constructed in a region. */
INTERNAL void protect_destroy(const struct cork_mempool *mp, struct cork_mempool_region *region);

#endif /* CORK_MEMPOOL_PROTECT_H */
