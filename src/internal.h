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
#define damage_checksum_of     cork_mempool_damage_checksum_of_
#define damage_set_canaries    cork_mempool_damage_set_canaries_
#define geometry_init          cork_mempool_geometry_init_
#define grow_open              cork_mempool_grow_open_
#define grow_shrink            cork_mempool_grow_shrink_
#define hooks_empty_quarantine cork_mempool_hooks_empty_quarantine_
#define hooks_tables           cork_mempool_hooks_tables_
#define hooks_of               cork_mempool_hooks_of_
#define hooks_unmake           cork_mempool_hooks_unmake_
#define hooks_verify           cork_mempool_hooks_verify_
#define os_commit              cork_mempool_os_commit_
#define os_environment         cork_mempool_os_environment_
#define os_guard               cork_mempool_os_guard_
#define os_heap                cork_mempool_os_heap_
#define os_is_scarce           cork_mempool_os_is_scarce_
#define os_no_huge_pages       cork_mempool_os_no_huge_pages_
#define os_page_size           cork_mempool_os_page_size_
#define os_purge               cork_mempool_os_purge_
#define os_random_word         cork_mempool_os_random_word_
#define os_release             cork_mempool_os_release_
#define os_reserve             cork_mempool_os_reserve_
#define os_resident            cork_mempool_os_resident_
#define os_set_dumped          cork_mempool_os_set_dumped_
#define os_symbol              cork_mempool_os_symbol_
#define os_write_report        cork_mempool_os_write_report_
#define random_seed            cork_mempool_random_seed_
#define region_acquire         cork_mempool_region_acquire_
#define region_buffer_capacity cork_mempool_region_buffer_capacity_
#define region_commit          cork_mempool_region_commit_
#define region_from_buffer     cork_mempool_region_from_buffer_
#define region_from_heap       cork_mempool_region_from_heap_
#define region_max_capacity    cork_mempool_region_max_capacity_
#define region_memory_size     cork_mempool_region_memory_size_
#define region_pages           cork_mempool_region_pages_
#define region_ring_capacity   cork_mempool_region_ring_capacity_
#define region_release         cork_mempool_region_release_
#define region_release_size    cork_mempool_region_release_size_
#define region_reserve         cork_mempool_region_reserve_
#define report_call_site       cork_mempool_report_call_site_
#define report_refuse          cork_mempool_report_refuse_
#define report_refuse_leak     cork_mempool_report_refuse_leak_
#define report_require_live    cork_mempool_report_require_live_
#define report_refuse_state    cork_mempool_report_refuse_state_
#define report_violation       cork_mempool_report_violation_
#define report_violation_at    cork_mempool_report_violation_at_
#define report_warning         cork_mempool_report_warning_
#define slots_extend           cork_mempool_slots_extend_
#define slots_insert           cork_mempool_slots_insert_
#define slots_lend             cork_mempool_slots_lend_
#define slots_live_count       cork_mempool_slots_live_count_
#define slots_next_live        cork_mempool_slots_next_live_
#define slots_open_freed       cork_mempool_slots_open_freed_
#define slots_relink           cork_mempool_slots_relink_
#define slots_remove           cork_mempool_slots_remove_
#define slots_search           cork_mempool_slots_search_
#define slots_set_lookup       cork_mempool_slots_set_lookup_
#define slots_recall           cork_mempool_slots_recall_
#define slots_region_at        cork_mempool_slots_region_at_

#define INTERNAL __attribute__((visibility("hidden")))

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Tells analyzers what must hold, where they cannot know that it does. */
#if defined(__clang__)
#define KNOWN(condition) __builtin_assume(condition)
#else
#define KNOWN(condition) ((condition) ? (void)0 : __builtin_unreachable())
#endif

/* So that the speed of a function does not depend on what precedes it. */
#define CACHELINE_ALIGNED __attribute__((aligned(64)))

/* Where there is no system, there are no threads. The model is for libraries that are opened at run
 * time: any other allocates a variable when it is first used, which is while a report is made. Of
 * such variables all these libraries have room for 512 bytes at least together. */
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
#define THREAD_LOCAL
#else
#define THREAD_LOCAL __attribute__((tls_model("initial-exec"))) _Thread_local
#endif

/* NOINLINE keeps a slow path's registers and stack out of the fast path that calls it, and gives a
 * function that asks where it was called from a call of its own, whatever the linker may inline. */
#define NOINLINE __attribute__((noinline))

#endif /* CORK_MEMPOOL_INTERNAL_H */
