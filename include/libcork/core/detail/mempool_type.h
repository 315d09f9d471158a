/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H
#define LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H

/* Private: what the macros that take a type are made of, and what compilers check of calls. */

#define CORK_MEMPOOL_NONNULL_(...) __attribute__((nonnull(__VA_ARGS__)))
#define CORK_MEMPOOL_NEEDED_       __attribute__((warn_unused_result))

/* cork_mempool_free takes objects back. */
#if !defined(__clang__) && __GNUC__ >= 11
#define CORK_MEMPOOL_ISSUES_ __attribute__((malloc(cork_mempool_free, 2)))
#else
#define CORK_MEMPOOL_ISSUES_
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

/* cork_mempool_of_type_(TYPE, block_size) is what functions take for these: size, alignment, block
 * size and name. To the preprocessor a type with commas is several arguments. */
#define cork_mempool_of_type_(...)                                                                 \
    cork_mempool_seventh_(__VA_ARGS__, cork_mempool_of_6_, cork_mempool_of_5_, cork_mempool_of_4_, \
                          cork_mempool_of_3_, cork_mempool_of_2_, 0)(__VA_ARGS__)
#define cork_mempool_of_2_(a, block_size)             cork_mempool_of_(block_size, a)
#define cork_mempool_of_3_(a, b, block_size)          cork_mempool_of_(block_size, a, b)
#define cork_mempool_of_4_(a, b, c, block_size)       cork_mempool_of_(block_size, a, b, c)
#define cork_mempool_of_5_(a, b, c, d, block_size)    cork_mempool_of_(block_size, a, b, c, d)
#define cork_mempool_of_6_(a, b, c, d, e, block_size) cork_mempool_of_(block_size, a, b, c, d, e)
#define cork_mempool_of_(block_size, ...)                                                          \
    cork_mempool_sizeof_type_(__VA_ARGS__), cork_mempool_alignof_type_(__VA_ARGS__), (block_size), \
        #__VA_ARGS__
#define cork_mempool_seventh_(a, b, c, d, e, f, seventh, ...) seventh

#endif /* LIBCORK_CORE_DETAIL_MEMPOOL_TYPE_H */
