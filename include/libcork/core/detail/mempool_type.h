/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H
#define LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H

/*
 * Private: what the macros that take a type are made of. Given anything but the name of a complete
 * type, cork_mempool_sizeof_type_ does not compile.
 */

#include <stddef.h>

#include <libcork/core/detail/mempool_state.h>

#if defined(__cplusplus)
extern "C" {
#endif

void cork_mempool_init_type_(struct cork_mempool *mp, size_t type_size, size_t alignment,
                             size_t block_size, const char *name);

#if defined(__cplusplus)
} /* extern "C" */

/* A template argument must be a type, and no array is made of void, or of functions. */
template <typename type> struct cork_mempool_type_ {
    static constexpr size_t size = sizeof(type[1]);
    static constexpr size_t alignment = alignof(type);
};
#define cork_mempool_sizeof_type_(type)  (cork_mempool_type_<type>::size)
#define cork_mempool_alignof_type_(type) (cork_mempool_type_<type>::alignment)
#else
/* __builtin_types_compatible_p takes nothing but types; sizeof alone takes anything. No array is
 * made of void, or of functions. */
#define cork_mempool_sizeof_type_(type)                                                            \
    (sizeof(__typeof__(type)[1]) + 0 * __builtin_types_compatible_p(type, int))
#define cork_mempool_alignof_type_(type) _Alignof(type)
#endif

#endif /* LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H */
