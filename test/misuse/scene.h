/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_MISUSE_SCENE_H
#define CORK_MEMPOOL_TEST_MISUSE_SCENE_H

/*
 * A scene: a pool full of live objects, in the middle of which a misuse happens, and what is known
 * of it. All objects but the misused ones are bystanders, and must keep their contents.
 *
 *     | elders, if it has memory of the heap |     | members, in a reserved region: side by side |
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libcork/core.h>

#define SCENE_NAME "scene"

/* More than a group of 64 slots, so that all slots of the first are live, whatever their order. */
#define MEMBER_COUNT 70
#define ELDER_MAX    64

/* A member with neighbours on both sides. */
#define VICTIM 20

#define SPOILT_MAX     16384
#define ACCUSATION_MAX 4
#define LISTED_MAX     16

struct actor {
    char *object;
    size_t slot; /* counted over the pool */
    bool is_live;
    bool is_victim; /* its contents need not survive */
};

/* What the report of a violation must say. */
struct accusation {
    enum cork_mempool_violation_kind kind;
    const struct cork_mempool *pool;
    const struct cork_mempool *moved_from;
    const char *name;
    size_t element_size;
    bool is_seeded;
    const void *pointer;
    size_t slot;
    bool was_issued;
    bool was_freed;
    const void *damaged;
    size_t damaged_size;
    bool is_expected_known;
    unsigned char found[16];
    unsigned char expected[16];
    size_t live_count;
    size_t listed_count;
    struct cork_mempool_object listed[LISTED_MAX];
};

/* What a scene leaves behind for another process to judge. */
struct evidence {
    bool is_impossible;     /* pools of this size leave no room for the misuse */
    bool is_harmed;         /* the misuse took effect */
    bool is_check_false;    /* cork_mempool_check returned false */
    bool is_over;           /* the program went on to its end */
    bool was_refused;       /* a violation was reported */
    bool is_intact;         /* when that happened, or at the end, the bystanders were as before */
    bool is_as_before;      /* the pool was as before the refused call, and could be ended */
    bool is_fault_expected; /* at an address from fault_low up to fault_end */
    uintptr_t fault_low;
    uintptr_t fault_end; /* below fault_low where the range goes through the highest address */
    uintptr_t fault;     /* 0: there was none */
    uint64_t seed;
    bool has_sites;       /* reports have call sites */
    bool are_sites_right; /* those that were learned lie in take and drop */
    const void *new_site;
    const void *free_site;
    size_t accusation_count;
    struct accusation accusations[ACCUSATION_MAX];
};

struct spoilt {
    char *address;
    char before;
};

struct scene {
    struct cork_mempool mp;
    struct cork_mempool other; /* for misuses that take two pools; whoever needs it makes it */
    unsigned protections;
    uint64_t seed;
    size_t size;
    size_t slot_size;
    struct actor elders[ELDER_MAX];
    size_t elder_count;
    struct actor members[MEMBER_COUNT]; /* by their addresses */
    unsigned char canary[8];
    struct spoilt spoilt[SPOILT_MAX];
    size_t spoilt_count;
    bool is_dead;  /* the pool needs no end */
    bool is_moved; /* other is a copy of mp, made too late */
    struct cork_mempool_stats before;
    struct evidence *evidence;
};

typedef void misuse_function(struct scene *s);

/* Plays a misuse; where nothing refuses it, the program comes to its end. With escapes, a refused
 * call is left by longjmp. */
void scene_play(struct scene *s, misuse_function *misuse, size_t size, unsigned protections,
                uint64_t seed, bool escapes, struct evidence *evidence);

/* Options for a pool like the scene's. */
struct cork_mempool_options scene_options(const struct scene *s);

bool scene_has(const struct scene *s, unsigned protections);

char *object(const struct scene *s, size_t member);

/* All calls that reports know the sites of. */
void *take(struct cork_mempool *mp);
void drop(struct cork_mempool *mp, void *ptr);

/* Frees a member; all but those from first on; all. */
void give(struct scene *s, size_t member);
void give_all_but(struct scene *s, size_t first, size_t count);
void give_all(struct scene *s);

/* Clears the pool. */
void clear(struct scene *s);

/* Leaves no slot that is free in the memory that the pool has. */
void fill_up(struct scene *s);

/* Takes and frees until a slot is issued again; false: it was not. It is harm if what is issued
 * on the way is live. */
bool reissue(struct scene *s, const char *address);

/* cork_mempool_check, with its result as evidence. */
void verify(struct scene *s);

/* Accesses that a tool may report. */
void poke(char *address, char value);
char peek(const char *address);

/* Changes a byte that is not the program's to change, to another than it was or to a given one. */
void spoil(struct scene *s, char *address);
void spoil_with(struct scene *s, char *address, char value);

/* Changes bytes back, so that the process may end in order. */
void unspoil(struct scene *s);

/* The object of a member may lose its contents. */
void sacrifice(struct scene *s, size_t member);

void harm(struct scene *s, bool is_harmed);
bool is_impossible(struct scene *s, bool is_impossible);
void expect_fault(struct scene *s, const char *low, size_t size);

/* What the next call will be refused for, if it is. */
void accuse(struct scene *s, enum cork_mempool_violation_kind kind, const void *pointer);
void accuse_dead(struct scene *s, enum cork_mempool_violation_kind kind,
                 const struct cork_mempool *pool, const char *name, const void *pointer);
void accuse_other(struct scene *s, enum cork_mempool_violation_kind kind, const void *pointer,
                  size_t slot, bool was_freed);
void accuse_call(struct scene *s, enum cork_mempool_violation_kind kind,
                 const struct cork_mempool *pool, unsigned protections);
void accuse_leak(struct scene *s);
void accuse_canary(struct scene *s, size_t member, const char *canary);
void accuse_written(struct scene *s, size_t member);

#endif /* CORK_MEMPOOL_TEST_MISUSE_SCENE_H */
