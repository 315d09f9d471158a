/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H
#define LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H

/* Private: what the macros that take a type are made of, and what compilers check of calls. */

#if defined(__GNUC__)
#define CORK_MEMPOOL_NONNULL_(...) __attribute__((nonnull(__VA_ARGS__)))
#define CORK_MEMPOOL_NEEDED_       __attribute__((warn_unused_result))
#else
#define CORK_MEMPOOL_NONNULL_(...)
#define CORK_MEMPOOL_NEEDED_
#endif
/* cork_mempool_free takes objects back, and does not read them. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define CORK_MEMPOOL_ISSUES_ __attribute__((malloc(cork_mempool_free, 2)))
#define CORK_MEMPOOL_TAKES_  __attribute__((access(none, 2)))
#else
#define CORK_MEMPOOL_ISSUES_
#define CORK_MEMPOOL_TAKES_
#endif

#if defined(__cplusplus)
/* Template arguments must be types, and arrays of void or functions do not compile. */
template <typename type> using cork_mempool_type_ = type[1];
#define cork_mempool_sizeof_type_(...)  sizeof(cork_mempool_type_<__VA_ARGS__>)
#define cork_mempool_alignof_type_(...) alignof(cork_mempool_type_<__VA_ARGS__>)
#else
/* __builtin_types_compatible_p takes types only; sizeof alone takes anything. Arrays of void or of
 * functions do not compile; of structs that end in a flexible array they are an extension. */
#define cork_mempool_sizeof_type_(...)                                                             \
    (__extension__(sizeof(__typeof__(__VA_ARGS__)[1]) +                                            \
                   0 * __builtin_types_compatible_p(__VA_ARGS__, int)))
#define cork_mempool_alignof_type_(...) (__extension__ _Alignof(__VA_ARGS__))
#endif

/* cork_mempool_last_first_ is call(mp, last, others...), because to the preprocessor a type with
 * commas is several arguments. */
#define cork_mempool_last_first_(call, mp, ...)                                                    \
    cork_mempool_seventh_(__VA_ARGS__, cork_mempool_last_6_, cork_mempool_last_5_,                 \
                          cork_mempool_last_4_, cork_mempool_last_3_, cork_mempool_last_2_,        \
                          0)(call, mp, __VA_ARGS__)
#define cork_mempool_seventh_(a, b, c, d, e, f, seventh, ...) seventh
#define cork_mempool_last_2_(call, mp, a, last)               call(mp, last, a)
#define cork_mempool_last_3_(call, mp, a, b, last)            call(mp, last, a, b)
#define cork_mempool_last_4_(call, mp, a, b, c, last)         call(mp, last, a, b, c)
#define cork_mempool_last_5_(call, mp, a, b, c, d, last)      call(mp, last, a, b, c, d)
#define cork_mempool_last_6_(call, mp, a, b, c, d, e, last)   call(mp, last, a, b, c, d, e)
#define cork_mempool_init_of_(mp, block_size, ...)                                                 \
    cork_mempool_init_type_((mp), cork_mempool_sizeof_type_(__VA_ARGS__),                          \
                            cork_mempool_alignof_type_(__VA_ARGS__), (block_size), #__VA_ARGS__)

#endif /* LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H */
