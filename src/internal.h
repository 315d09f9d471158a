/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_INTERNAL_H
#define CORK_MEMPOOL_INTERNAL_H

/*
 * What every room of src/ needs: short names inside, and none of them outside. A static library has
 * no way to hide a function that two of its files share, so the linker sees the long names below;
 * a shared library does not export them either (INTERNAL).
 */

#define geometry_init           cork_mempool_geometry_init_
#define pool_live_count         cork_mempool_pool_live_count_
#define pool_next_live          cork_mempool_pool_next_live_
#define pool_require_live       cork_mempool_pool_require_live_
#define region_commit           cork_mempool_region_commit_
#define region_from_heap        cork_mempool_region_from_heap_
#define region_from_nursery     cork_mempool_region_from_nursery_
#define region_from_os          cork_mempool_region_from_os_
#define region_memory_size      cork_mempool_region_memory_size_
#define region_release          cork_mempool_region_release_
#define source_commit           cork_mempool_source_commit_
#define source_give             cork_mempool_source_give_
#define source_is_scarce        cork_mempool_source_is_scarce_
#define source_page_size        cork_mempool_source_page_size_
#define source_release          cork_mempool_source_release_
#define source_reserve          cork_mempool_source_reserve_
#define source_take             cork_mempool_source_take_
#define violation_refuse        cork_mempool_violation_refuse_

#define INTERNAL __attribute__((visibility("hidden")))

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* NOINLINE keeps a slow path's registers and stack out of the fast path that calls it. */
#define NOINLINE __attribute__((noinline))

#endif /* CORK_MEMPOOL_INTERNAL_H */
