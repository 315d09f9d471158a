/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Hooks: what new and free do in pools with protections, with constructed objects, or under
 * Valgrind. Everything is verified before anything is changed.
 */

#include "internal.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"
#include "slots.h"

/* Called on live pools. slot is ptr's if ptr is live or in a lookup region; else free searches.
 * site: the call's return address. */
struct cork_mempool_hooks {
    void *(*new_object)(struct cork_mempool *mp, const void *site);
    void (*free)(struct cork_mempool *mp, void *ptr, struct slot slot, const void *site);
};

/* hooks_of returns the hooks of a pool that needs some, with this set of protections. */
const struct cork_mempool_hooks *hooks_of(uint32_t set) INTERNAL(hooks_of);

/* hooks_tables returns the field tables of such a pool's geometry, which is not 0. */
unsigned hooks_tables(uint32_t protections, bool has_buffer) INTERNAL(hooks_tables);

/* hooks_verify refuses the current call if any object or freed slot of a pool is damaged. */
void hooks_verify(const struct cork_mempool *mp) INTERNAL(hooks_verify);
