/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_MEMPOOL_H
#define LIBCORK_CORE_MEMPOOL_H

/*
 * Memory pools: fast, checked allocation of many small objects of one size.
 *
 * Rules that hold for every function below:
 *
 *   - Sizes are in bytes.
 *   - A pool is used by one thread at a time. Different pools share nothing.
 *   - Every misuse that can be decided is a violation: it is reported on standard error in one
 *     line with a fixed message and ends in abort(), with NDEBUG or without. The messages stand
 *     under "Aborts:"; libcork/core/mempool_violation.h has the list and a hook.
 *   - A refused call changes nothing: where the hook leaves by longjmp, the pool is as before.
 *   - A pool may be copied or moved in memory until its first cork_mempool_new, not after.
 *
 * Every function but cork_mempool_init* aborts with "use before init" on a zeroed pool, with
 * "use after done" on a finalized one, and with "not a pool" on one that was moved or overwritten,
 * as far as the damage can be seen.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The block size of pools whose caller names none. */
#define CORK_MEMPOOL_DEFAULT_BLOCK_SIZE 4096

struct cork_mempool_source; /* see libcork/core/mempool_options.h */

/* Private: the sizes of a pool; src/geometry.h explains. */
struct cork_mempool_geometry {
    size_t stride;       /* from slot to slot: odd << shift; 0: no memory could hold an element */
    uintptr_t inverse;   /* odd * inverse == 1 modulo the word size */
    size_t shift;        /* bits that stride ends with as zeros */
    size_t element_size; /* at least 1 */
    size_t alignment;    /* of every slot; a power of two that divides stride */
    size_t block_slots;  /* slots in a block; at least 1 */
    size_t lead_size;    /* usable bytes before the first slot; a multiple of alignment */
    size_t period_slots; /* 0, or: of so many slots, those from block_slots on are never issued */
    bool has_withheld;   /* regions have withheld words */
    bool has_records;    /* regions have records */
};

/* Private: up to 64 neighbouring slots of a region, and which of them are free. */
struct cork_mempool_group {
    uint64_t free;                   /* bit i: slot i is free */
    struct cork_mempool_group *next; /* NULL: not on the free list; itself: the list ends here */
};

struct cork_mempool_region;

/* Private: a slot of a pool. */
struct cork_mempool_slot {
    struct cork_mempool_region *region;
    size_t index; /* in its region */
};

/* Private: what some protections know of a slot. */
struct cork_mempool_record {
    const void *new_site;               /* return addresses of the calls; NULL: none yet */
    const void *free_site;              /* NULL: not freed since the last new */
    uint64_t seal;                      /* of the freed contents; 0: none */
    struct cork_mempool_region *region; /* in quarantine: the slot's */
    struct cork_mempool_record *next;   /* in quarantine: of the slot that was freed next */
};

/* Private: contiguous memory whose slots stand in one line; src/region.h explains. */
struct cork_mempool_region {
    char *base;                          /* slot i starts at base + i * stride */
    struct cork_mempool_group *groups;   /* slot i belongs to groups[i / 64] */
    uint64_t *withheld;                  /* of each group, slots neither live nor free; or NULL */
    struct cork_mempool_record *records; /* of each slot; or NULL */
    size_t carved_count;                 /* slots below this belong to a group */
    size_t usable_count;                 /* slots below this may be read and written */
    size_t capacity;                     /* slots in the region's address space */
    struct cork_mempool_region *older;   /* the region made before this one, or NULL */
    void *memory;                        /* what the source gave, to be given back */
    size_t memory_size;                  /* of memory, in bytes */
    int origin;                          /* an enum region_origin: how to give it back */
};

/*
 * struct cork_mempool is a memory pool; all objects of a pool have one size. It is complete so that
 * it can stand on the stack, in other structs and in static storage; its fields are private.
 */
struct cork_mempool {
    /* The open group, which cork_mempool_new takes from. */
    uint64_t open;                         /* bit i: slot i of the group is free, and next */
    char *open_base;                       /* slot 0 of the group */
    struct cork_mempool_group *open_group; /* its descriptor; NULL: there is none */
    /* The near region, where cork_mempool_free looks first: copies of a region's fields. */
    char *base;
    struct cork_mempool_group *groups;
    size_t slot_count; /* the region's carved_count; 0: no region is near */
    /* Groups with free slots, and some that had free slots when they were linked. */
    struct cork_mempool_group *free_list;
    struct cork_mempool_geometry geometry;
    /* From here on for the slow path alone. */
    uint32_t state;                          /* 0: never initialized; else a mark of src/pool.h */
    bool open_is_new;                        /* no slot in open or veiled has ever been issued */
    bool is_watched;                         /* by a tool that must be told of each object */
    bool guards_free;                        /* free is src/protect.c's: slot_count stays 0 */
    bool guards_new;                         /* so is new: open stays 0; implies guards_free */
    uint64_t veiled;                         /* with guards_new, what open would be */
    size_t veiled_count;                     /* with guards_free, what slot_count would be */
    struct cork_mempool_region *near_region; /* whose copies the near region's fields are */
    struct cork_mempool_region *open_region; /* the open group's */
    struct cork_mempool_region *newest; /* the only region that grows; NULL before the first new */
    const struct cork_mempool *self;    /* where the pool was at its first new */
    const char *name;                   /* for reports; NULL: it has none */
    size_t objects_left;                /* slots that may still be carved */
    uint32_t protections;
    uint64_t seed;   /* as reports give it */
    uint64_t random; /* the state of the generator that starts at seed */
    uint64_t key;    /* of canaries and seals; no byte of it is 0 */
    struct cork_mempool_record *quarantine_first; /* of the slot that leaves it next */
    struct cork_mempool_record *quarantine_last;
    size_t quarantine_count;
    const struct cork_mempool_source *source; /* of all memory that is not reserved */
    void *source_data;
    void *buffer; /* NULL: none; else the pool's only memory */
    size_t buffer_size;
    int (*init_object)(void *user_data, void *object);
    void (*done_object)(void *user_data, void *object);
    void *user_data;
    struct cork_mempool_region nursery; /* the first few objects, on the heap; src/region.h */
    struct cork_mempool_group nursery_group;
};

#if defined(__cplusplus)
extern "C" {
#endif

/*
 * cork_mempool_init initializes a pool of objects of a type, with blocks of the default size.
 * It is a macro: void cork_mempool_init(struct cork_mempool *mp, TYPE type). Whatever is not the
 * name of a complete type does not compile.
 */
#define cork_mempool_init(mp, type)                                                                \
    cork_mempool_init_ex((mp), type, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE)

/*
 * cork_mempool_init_ex initializes a pool of objects of a type, with blocks of block_size bytes.
 * It is a macro: void cork_mempool_init_ex(struct cork_mempool *mp, TYPE type, size_t block_size).
 * An object takes sizeof(type) bytes and is aligned to every power of two that divides that, which
 * is as much as any type can need. Reports call the pool by the name of the type. For the rest see
 * cork_mempool_init_size_ex.
 */
#define cork_mempool_init_ex(mp, type, block_size)                                                 \
    cork_mempool_init_type_((mp), cork_mempool_sizeof_type_(type), (block_size), #type)

/*
 * cork_mempool_init_size initializes a pool of objects of element_size bytes, with blocks of the
 * default size. For the rest see cork_mempool_init_size_ex.
 */
void cork_mempool_init_size(struct cork_mempool *mp, size_t element_size);

/*
 * cork_mempool_init_size_ex initializes a pool of objects of element_size bytes, with blocks of
 * block_size bytes. It cannot fail and takes no memory: the first cork_mempool_new does. mp may
 * hold anything but a live pool; a finalized one may be initialized again with other sizes.
 *
 *   - An element_size of 0 acts as 1.
 *   - A block holds as many whole objects as fit, and always at least one.
 *   - Objects are aligned as malloc would align them, even where that takes more than element_size
 *     bytes, and also to every power of two that divides element_size.
 *   - Sizes that no memory could hold make cork_mempool_new return NULL.
 */
void cork_mempool_init_size_ex(struct cork_mempool *mp, size_t element_size, size_t block_size);

/*
 * cork_mempool_new issues an object. Objects that have been freed are issued again before more
 * memory is asked for, and keep the contents that they had when they were freed; the contents of
 * others are unspecified. (Protections and trimming change this: libcork/core/mempool_options.h,
 * libcork/core/mempool_inspect.h.)
 * Requires: an initialized pool.
 * Returns: the object, or NULL with errno ENOMEM where memory cannot be had; the pool stays as it
 *          was, and a later call may succeed.
 */
void *cork_mempool_new(struct cork_mempool *mp);

/*
 * cork_mempool_free takes back an object that the pool has issued. ptr is never read or written.
 * Requires: an initialized pool; ptr: what its cork_mempool_new returned and nobody has freed
 *           since, or NULL, which does nothing.
 * Aborts: "double free": ptr is an object that is free already;
 *         "free of an interior pointer": ptr lies in the pool's memory, but no object starts there;
 *         "free of a slot never issued": an object could start there, but none has been issued yet;
 *         "free of a foreign pointer": ptr does not lie in the pool's memory.
 */
void cork_mempool_free(struct cork_mempool *mp, void *ptr);

/*
 * cork_mempool_done finalizes a pool and gives all of its memory back.
 * Requires: an initialized pool, whose objects have all been freed.
 * Aborts: "leak at done": objects are still live; the report lists the first 16 of them.
 */
void cork_mempool_done(struct cork_mempool *mp);

/* Private: what the type macros call; name must outlive the pool. */
void cork_mempool_init_type_(struct cork_mempool *mp, size_t type_size, size_t block_size,
                             const char *name);

#if defined(__cplusplus)
} /* extern "C" */

/* Private: a template argument must be a type, and no array is made of void, or of functions. */
template <typename type> struct cork_mempool_type_ {
    static constexpr size_t size = sizeof(type[1]);
};
#define cork_mempool_sizeof_type_(type) (cork_mempool_type_<type>::size)
#else
/* Private: __builtin_types_compatible_p takes nothing but types; sizeof alone takes anything. No
 * array is made of void, or of functions. */
#define cork_mempool_sizeof_type_(type)                                                            \
    (sizeof(__typeof__(type)[1]) + 0 * __builtin_types_compatible_p(type, int))
#endif

#endif /* LIBCORK_CORE_MEMPOOL_H */
