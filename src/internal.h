/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_INTERNAL_H
#define CORK_MEMPOOL_INTERNAL_H

/*
 * What every room of src/ needs: short names inside, and none of them outside. A static library has
 * no way to hide a function that two of its files share, so the linker sees the long names below;
 * a shared library does not export them either (INTERNAL).
 */

#define damage_refuse_canaries cork_mempool_damage_refuse_canaries_
#define damage_refuse_contents cork_mempool_damage_refuse_contents_
#define damage_seal_of         cork_mempool_damage_seal_of_
#define damage_set_canaries    cork_mempool_damage_set_canaries_
#define environment_options    cork_mempool_environment_options_
#define geometry_init          cork_mempool_geometry_init_
#define pool_find              cork_mempool_pool_find_
#define pool_live_count        cork_mempool_pool_live_count_
#define pool_next_live         cork_mempool_pool_next_live_
#define pool_open              cork_mempool_pool_open_
#define pool_refuse_free       cork_mempool_pool_refuse_free_
#define pool_refuse_dead       cork_mempool_pool_refuse_dead_
#define pool_violation         cork_mempool_pool_violation_
#define protect_destroy        cork_mempool_protect_destroy_
#define protect_end_quarantine cork_mempool_protect_end_quarantine_
#define protect_free           cork_mempool_protect_free_
#define protect_init           cork_mempool_protect_init_
#define protect_open           cork_mempool_protect_open_
#define protect_new            cork_mempool_protect_new_
#define protect_verify         cork_mempool_protect_verify_
#define random_seed            cork_mempool_random_seed_
#define region_buffer_capacity cork_mempool_region_buffer_capacity_
#define region_commit          cork_mempool_region_commit_
#define region_discard         cork_mempool_region_discard_
#define region_from_buffer     cork_mempool_region_from_buffer_
#define region_from_nursery    cork_mempool_region_from_nursery_
#define region_from_os         cork_mempool_region_from_os_
#define region_from_source     cork_mempool_region_from_source_
#define region_memory_size     cork_mempool_region_memory_size_
#define region_release         cork_mempool_region_release_
#define region_scatter         cork_mempool_region_scatter_
#define source_commit          cork_mempool_source_commit_
#define source_discard         cork_mempool_source_discard_
#define source_guard           cork_mempool_source_guard_
#define source_has_guards      cork_mempool_source_has_guards_
#define source_heap            cork_mempool_source_heap_
#define source_is_scarce       cork_mempool_source_is_scarce_
#define source_page_size       cork_mempool_source_page_size_
#define source_release         cork_mempool_source_release_
#define source_reserve         cork_mempool_source_reserve_
#define source_scatter         cork_mempool_source_scatter_
#define violation_refuse       cork_mempool_violation_refuse_
#define violation_warn         cork_mempool_violation_warn_

#define INTERNAL __attribute__((visibility("hidden")))

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* HOT functions begin a cache line, so that their speed does not depend on what precedes them. */
#define HOT __attribute__((aligned(64)))

/* NOINLINE keeps a slow path's registers and stack out of the fast path that calls it, and gives a
 * function that asks where it was called from a call of its own, whatever the linker may inline. */
#define NOINLINE __attribute__((noinline))

#endif /* CORK_MEMPOOL_INTERNAL_H */
