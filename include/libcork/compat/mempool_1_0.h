/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_COMPAT_MEMPOOL_1_0_H
#define LIBCORK_COMPAT_MEMPOOL_1_0_H

/*
 * The names that libcork 1.0 has for memory pools, for code that is written to them; to be included
 * in the place of libcork/core.h, or before it. docs/migrating.md says what differs.
 *
 * In a file that includes this cork_mempool_new and cork_mempool_free mean what they mean in
 * libcork 1.0, and no longer compile as elsewhere; for that there are cork_mempool_new_object and
 * cork_mempool_free_object. A pool that cork_mempool_new has made belongs to cork_mempool_free,
 * not to cork_mempool_done or cork_mempool_init*. cork_mempool_free and cork_mempool_set_* abort on
 * others, "not a pool that cork_mempool_new has made"; all else serves pools of both kinds.
 */

#if defined(LIBCORK_CORK_MEMPOOL_H)
#error "libcork's own libcork/core/mempool.h was found before this library's"
#endif

#include <stdio.h>
#include <stdlib.h>

#include <libcork/core.h>

#if defined(__cplusplus)
#define CORK_MEMPOOL_1_0_CAST_(type, value) reinterpret_cast<type>(value)
#else
#define CORK_MEMPOOL_1_0_CAST_(type, value) ((type)(value))
#endif

/* As in libcork/core/callbacks.h, which may be included as well. */
typedef void (*cork_free_f)(void *value);                  /* frees user_data */
typedef void (*cork_init_f)(void *user_data, void *value); /* a constructor of objects */
typedef void (*cork_done_f)(void *user_data, void *value); /* a destructor of objects */

/* Private: a pool that cork_mempool_new has made. */
struct cork_mempool_1_0_ {
    struct cork_mempool pool;            /* the first: both have one address */
    struct cork_mempool_options options; /* that the pool was initialized with */
    void *user_data;
    cork_free_f free_user_data; /* NULL: none; so are the others */
    cork_init_f init_object;
    cork_done_f done_object;
};

static inline void cork_mempool_1_0_demand_(bool is_met, const char *message)
{
    if (!is_met) {
        fprintf(stderr, "cork_mempool: %s\n", message);
        abort();
    }
}

/* Such pools' callbacks get an address that no other pool's do, inside of the pool. */
static inline struct cork_mempool_1_0_ *cork_mempool_1_0_from_(void *data)
{
    const uintptr_t address =
        CORK_MEMPOOL_1_0_CAST_(uintptr_t, data) - offsetof(struct cork_mempool, callbacks.data);

    return CORK_MEMPOOL_1_0_CAST_(struct cork_mempool_1_0_ *, address);
}

static inline struct cork_mempool_1_0_ *cork_mempool_1_0_of_(struct cork_mempool *mp)
{
    /* owns is false, and refuses a pool that is not live. */
    cork_mempool_1_0_demand_(mp->callbacks.data == &mp->callbacks.data &&
                                 !cork_mempool_owns(mp, NULL),
                             "not a pool that cork_mempool_new has made");
    return cork_mempool_1_0_from_(mp->callbacks.data);
}

static inline int cork_mempool_1_0_init_object_(void *user_data, void *object)
{
    struct cork_mempool_1_0_ *made = cork_mempool_1_0_from_(user_data);

    if (made->init_object != NULL) {
        made->init_object(made->user_data, object);
    }
    return 0;
}

static inline void cork_mempool_1_0_done_object_(void *user_data, void *object)
{
    struct cork_mempool_1_0_ *made = cork_mempool_1_0_from_(user_data);

    if (made->done_object != NULL) {
        made->done_object(made->user_data, object);
    }
}

/* Has the pool call the two. A pool without them is faster. */
static inline struct cork_mempool_1_0_ *cork_mempool_1_0_construct_(struct cork_mempool *mp)
{
    struct cork_mempool_1_0_ *made = cork_mempool_1_0_of_(mp);

    if (made->options.init_object == NULL) {
        cork_mempool_done(mp);
        made->options.init_object = cork_mempool_1_0_init_object_;
        made->options.done_object = cork_mempool_1_0_done_object_;
        cork_mempool_1_0_demand_(cork_mempool_init_with(mp, &made->options), "out of memory");
    }
    return made;
}

static inline struct cork_mempool *cork_mempool_1_0_new_(size_t element_size, size_t alignment,
                                                         size_t block_size, const char *type_name)
{
    struct cork_mempool_1_0_ *made =
        CORK_MEMPOOL_1_0_CAST_(struct cork_mempool_1_0_ *, calloc(1, sizeof(*made)));

    cork_mempool_1_0_demand_(made != NULL, "out of memory");
    made->options.name = type_name;
    made->options.element_size = element_size;
    made->options.alignment = alignment;
    made->options.block_size = block_size != 0 ? block_size : 1; /* 0: default */
    made->options.user_data = &made->pool.callbacks.data;
    cork_mempool_1_0_demand_(cork_mempool_init_with(&made->pool, &made->options), "out of memory");
    return &made->pool;
}

/* cork_mempool_new_size_ex makes a pool; the sizes are cork_mempool_init_size_ex's.
 * Aborts: "out of memory": memory cannot be had, or no memory could hold an element. */
static inline struct cork_mempool *cork_mempool_new_size_ex(size_t element_size, size_t block_size)
{
    return cork_mempool_1_0_new_(element_size, 0, block_size, NULL);
}

/* cork_mempool_new_size does the same with blocks of the default size. */
static inline struct cork_mempool *cork_mempool_new_size(size_t element_size)
{
    return cork_mempool_new_size_ex(element_size, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
}

/* cork_mempool_new_object issues an object, never NULL. Aborts: "out of memory". */
static inline void *cork_mempool_new_object(struct cork_mempool *mp)
{
    void *object = cork_mempool_new(mp);

    cork_mempool_1_0_demand_(object != NULL, "out of memory");
    return object;
}

/* cork_mempool_free_object takes an object back. */
static inline void cork_mempool_free_object(struct cork_mempool *mp, void *ptr)
{
    cork_mempool_free(mp, ptr);
}

/* cork_mempool_set_user_data gives a pool the user_data that its functions get from now on. What it
 * had before is freed first; this, when the pool is. A free_user_data of NULL frees nothing. */
static inline void cork_mempool_set_user_data(struct cork_mempool *mp, void *user_data,
                                              cork_free_f free_user_data)
{
    struct cork_mempool_1_0_ *made = cork_mempool_1_0_of_(mp);

    if (made->free_user_data != NULL) {
        made->free_user_data(made->user_data);
    }
    made->user_data = user_data;
    made->free_user_data = free_user_data;
}

/* cork_mempool_set_init_object and cork_mempool_set_done_object give a pool its constructor and its
 * destructor, which run once for each slot that is ever used: objects stay constructed from free to
 * new. Aborts: "leak at done": there are live objects at the first call of either. */
static inline void cork_mempool_set_init_object(struct cork_mempool *mp, cork_init_f init_object)
{
    cork_mempool_1_0_construct_(mp)->init_object = init_object;
}

static inline void cork_mempool_set_done_object(struct cork_mempool *mp, cork_done_f done_object)
{
    cork_mempool_1_0_construct_(mp)->done_object = done_object;
}

/* cork_mempool_set_callbacks does all three. */
static inline void cork_mempool_set_callbacks(struct cork_mempool *mp, void *user_data,
                                              cork_free_f free_user_data, cork_init_f init_object,
                                              cork_done_f done_object)
{
    cork_mempool_set_user_data(mp, user_data, free_user_data);
    cork_mempool_set_init_object(mp, init_object);
    cork_mempool_set_done_object(mp, done_object);
}

static inline void cork_mempool_1_0_free_(struct cork_mempool *mp)
{
    struct cork_mempool_1_0_ *made = cork_mempool_1_0_of_(mp);

    cork_mempool_done(mp);
    if (made->free_user_data != NULL) {
        made->free_user_data(made->user_data);
    }
    free(made);
}

/* cork_mempool_free(mp) runs the destructor for what was constructed, and frees the user_data and
 * the pool. Aborts: as cork_mempool_done. Without arguments, so that its address can be taken. */
#define cork_mempool_free cork_mempool_1_0_free_

/* cork_mempool_new_ex makes a pool of objects of a type. It is a macro, for complete types alone:
 * struct cork_mempool *cork_mempool_new_ex(TYPE type, size_t block_size). */
#define cork_mempool_new_ex(...) cork_mempool_1_0_new_(cork_mempool_of_type_(__VA_ARGS__))

/* cork_mempool_new does the same with blocks of the default size, by the type alone. */
#define cork_mempool_new(...) cork_mempool_new_ex(__VA_ARGS__, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE)

#endif /* LIBCORK_COMPAT_MEMPOOL_1_0_H */
