/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_DETAIL_MEMPOOL_STATE_H
#define LIBCORK_CORE_DETAIL_MEMPOOL_STATE_H

/*
 * Private: what a pool is made of. It is here because pools stand on the stack, in other structs
 * and in static storage; only src/ may use the fields. docs/design.md explains.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most freed slots that the stack holds. */
#define CORK_MEMPOOL_STACK_SLOTS_ 64

/* Groups of a first region that stand in the pool. */
#define CORK_MEMPOOL_FIRST_GROUPS_ 2

/* Bytes of a pool's name that reports have, with the final zero. */
#define CORK_MEMPOOL_NAME_SIZE_ 40

/* The sizes of a pool; src/geometry.h explains. */
struct cork_mempool_geometry {
    size_t stride;       /* from slot to slot: odd << shift; 0: no memory could hold an element */
    uintptr_t inverse;   /* odd * inverse == 1 modulo the word size */
    size_t shift;        /* the trailing zero bits of stride */
    size_t element_size; /* at least 1 */
    size_t alignment;    /* of every slot; a power of two that divides stride */
    size_t block_slots;  /* slots in a block; at least 1 */
    size_t block_pitch;  /* with guards: slots from a block to the next, in whole pages; else 0 */
    size_t redzone_size; /* before a region's or block's slot 0; a multiple of alignment */
    unsigned tables;     /* bit t: regions have table t, an enum region_table */
};

/* Up to 64 neighbouring slots of a region, and which of them are free. */
struct cork_mempool_group {
    uint64_t free; /* bit i: slot i is free */
    char *next;    /* NULL: not on the free list; else slot 0 of the next there, or of the last */
};

/* Return addresses of the calls that issued and freed a slot's object; NULL: no such call. */
struct cork_mempool_sites {
    const void *new_site;
    const void *free_site; /* NULL also while the object is live */
};

/* Contiguous memory whose slots stand in one line; src/region.h explains. */
struct cork_mempool_region {
    char *base;                           /* slot i starts at base + i * stride */
    struct cork_mempool_group *groups;    /* slot i belongs to groups[i / 64] */
    uint64_t *held;                       /* of each group: slots neither live nor free; or NULL */
    uint64_t *fresh;                      /* of each group: slots that are fresh; or NULL */
    uint64_t *checksums;                  /* of each slot's freed contents; or NULL */
    struct cork_mempool_sites *sites;     /* of each slot that was issued; or NULL */
    void **ring;                          /* of the quarantine, if this is the oldest; or NULL */
    size_t extended_count;                /* slots below this belong to a group */
    size_t committed_count;               /* slots below this may be read and written */
    size_t reserved_count;                /* slots in the region's address space */
    size_t first_number;                  /* of slot 0, counted over the pool */
    struct cork_mempool_region *newer;    /* the region made after this one, or NULL */
    struct cork_mempool_region *below[2]; /* in the tree: those at lower addresses, and at higher */
    void *memory;                         /* the reservation, the buffer, or of the source */
    size_t memory_size;                   /* of memory, in bytes */
    size_t head_size; /* bytes of this struct and all tables, if they are the source's; else 0 */
    bool is_reserved; /* memory is a reservation */
};

/* The fields that the fast paths of new and free use. slots_lend sets owner and counts,
 * slots_recall clears all that stand before bases: then both take their slow paths. */
struct cork_mempool_lent {
    const struct cork_mempool *owner; /* the pool that this is in, unless it is a copy */
    void *kept;                       /* a freed object whose group does not know; or NULL */
    size_t counts[2]; /* extended_count of the lookup regions, if lent to free; else 0 */
    uint32_t stack_count;
    /* Of the lookup regions. Objects from bases[1] on lie in 1, others in 0, if in either. */
    char *bases[2];
    struct cork_mempool_group *groups[2];
    /* Free slots; their groups know. Each: twice the index, plus the lookup region's number. */
    uint32_t stack[CORK_MEMPOOL_STACK_SLOTS_];
};

/* The active group; none if group is NULL. */
struct cork_mempool_cursor {
    uint64_t bits;  /* bit i: slot i is free, and next */
    uint64_t fresh; /* likewise: the fresh ones, if a hooked pool lends the others; else 0 */
    struct cork_mempool_group *group;
    char *base; /* of slot 0 */
    struct cork_mempool_region *region;
    bool is_never_issued; /* its next slots were never issued */
};

/* Freed slots that are not issued again yet. */
struct cork_mempool_quarantine {
    size_t capacity; /* of the ring, which is the oldest region's; or 0 */
    size_t first;    /* the entry that leaves next */
    size_t count;
};

/* A memory pool. The fields that every call uses stand first and in lent. */
struct cork_mempool {
    struct cork_mempool_geometry geometry;
    uint32_t state;       /* 0: never initialized; else a mark of src/slots.h */
    uint32_t protections; /* CORK_MEMPOOL_CANARY | ..., and UNDER_VALGRIND of src/tools.h */
    bool is_named;        /* name is set */
    const struct cork_mempool_hooks *hooks; /* src/hooks.h; NULL: there are none */
    const struct cork_mempool *self;        /* where the pool was at its first new */
    struct cork_mempool_cursor cursor;
    struct cork_mempool_region *oldest; /* NULL before the first new */
    struct cork_mempool_region *newest; /* the only region that grows */
    struct cork_mempool_region *root;   /* of the tree that finds a region by an address */
    char *first_linked; /* slot 0 of a group with free slots, perhaps none now; or NULL */
    struct cork_mempool_region *lookup[2]; /* newest two, lower first; or one twice; or NULL */
    size_t objects_left;                   /* max_objects minus extended objects */
    struct cork_mempool_quarantine quarantine;
    uint64_t seed;    /* as reports give it */
    uint64_t random;  /* the state of the generator that starts at seed */
    uint64_t key;     /* of canaries; no byte of it is 0 */
    uint64_t sum_key; /* of checksums */
    struct {
        const struct cork_mempool_source *source; /* of all memory that is not reserved */
        void *data;                               /* what its functions get */
        void *buffer;                             /* NULL: none; else the pool's only memory */
        size_t buffer_size;
    } memory;
    struct {
        int (*construct)(void *data, void *object);
        void (*destruct)(void *data, void *object);
        void *data;
        void *object; /* that one of them has; or NULL */
    } callbacks;
    char name[CORK_MEMPOOL_NAME_SIZE_]; /* cut to fit, ends in a zero */
    struct cork_mempool_lent lent;
    /* Init clears nothing from lent.stack on. */
    struct cork_mempool_region first_region; /* a small first region needs no memory for itself */
    struct cork_mempool_group first_groups[CORK_MEMPOOL_FIRST_GROUPS_];
};

#endif /* LIBCORK_CORE_DETAIL_MEMPOOL_STATE_H */
