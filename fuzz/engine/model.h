/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * The model is the oracle: it is told of every call and every result, and fails where a result is
 * not what the public contract promises. It knows each slot that a pool has issued since its init:
 * where it lies, whether its object is live, and what was written there last.
 *
 * Freed objects are never touched; what they held is compared when their slots are issued again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"
#include "subject.h"

/* Objects of all pools, and slots, live and freed; the caller keeps to both. Some more objects than
 * a page of descriptors has, if 64 objects have one of 16 bytes. MODEL_REST is how many frees a
 * freed object rests for in quarantine. The exhaustive search has smaller ones. */
#ifndef MODEL_SLOT_LIMIT
#define MODEL_LIVE_LIMIT 20000
#define MODEL_SLOT_LIMIT 30000
#define MODEL_REST       256
#endif

enum model_memory { MODEL_NEW_SUCCEEDS, MODEL_NEW_MAY_FAIL, MODEL_NEW_FAILS };

/* What trim has left of a freed slot: no memory, memory with other contents, or all. */
enum model_left { MODEL_LEFT_NOTHING, MODEL_LEFT_MEMORY, MODEL_LEFT_ALL };

/* What a slot holds that has been wiped, or that may hold anything; all else are patterns. */
#define MODEL_FILL_WIPED   UINT32_MAX
#define MODEL_FILL_UNKNOWN (UINT32_MAX - 1)

struct model_slot {
    uintptr_t address;
    uint32_t fill; /* what the object holds, or held when it was freed */
    uint32_t mark; /* freed: free_number at the time; live: the last visit's */
    uint8_t pool;
    bool is_live;
};

struct model_pool {
    const struct cork_mempool_options *options; /* the caller's, until its done */
    size_t object_size;                         /* at least 1 */
    size_t alignment;                           /* that every object must have */
    enum model_memory memory;
    bool is_limited;    /* memory may be refused, whatever memory says; the caller sets it */
    bool is_resting;    /* in quarantine, for as long as there is other memory */
    size_t max_objects; /* of the options; or a buffer's capacity, which shows when it is full */
    size_t live_count;
    size_t freed_count;   /* slots that wait to be issued again */
    uint32_t free_number; /* frees so far, and MODEL_REST for each end of the quarantine */
};

/* run_start zeroes what stands before the slots. */
struct model {
    const struct subject *subject; /* for what it promises */
    /* Tells what was expected and what was seen instead. It does not return. */
    void (*failed)(const struct model *model, const char *expected, const char *seen);
    /* Says what trim has left of a freed slot; NULL: nothing is known of freed slots after it. */
    enum model_left (*left)(uintptr_t address);
    bool is_filled_by_address; /* so that what objects hold does not depend on what came before */
    uint32_t next_fill;
    struct model_pool pools[PROGRAM_POOL_COUNT];
    size_t slot_count;
    struct model_slot slots[MODEL_SLOT_LIMIT]; /* ascending; no two overlap */
};

/* What init must do with options: refuse them, accept them, or either. */
enum model_verdict { MODEL_REFUSED, MODEL_ACCEPTED, MODEL_EITHER };
enum model_verdict model_verdict(const struct subject_init *how);

/* After the subject's call. model_new: it gave object, which is filled, or NULL and error.
 * model_inspected: it gave these figures. */
void model_init(struct model *model, unsigned pool, const struct subject_init *how);
void model_new(struct model *model, unsigned pool, void *object, int error);
void model_trim(struct model *model, unsigned pool);
void model_done(struct model *model, unsigned pool);
void model_inspected(const struct model *model, unsigned pool,
                     const struct cork_mempool_stats *stats);

/* Before the subject's call. */
void model_free(struct model *model, unsigned pool, void *object);

/* During the subject's call: it constructs an object, which is filled, destructs one, or says that
 * one is live, for the first time with this mark. */
void model_construct(struct model *model, unsigned pool, void *object);
void model_destruct(struct model *model, unsigned pool, void *object);
void model_visit(struct model *model, unsigned pool, void *object, uint32_t mark);

/* model_pressed: memory ran out, so that nothing stays in quarantine. */
void model_pressed(struct model *model, unsigned pool);

/* model_find returns the slot at an address, model_pick the index-th or a later slot that is the
 * pool's, and freed if must be; or NULL: there is none. */
struct model_slot *model_find(struct model *model, unsigned pool, uintptr_t address);
struct model_slot *model_pick(struct model *model, unsigned pool, size_t index, bool is_freed);

/* model_compare compares all live objects; model_write compares one, if it is not NULL, and fills
 * it anew. */
void model_compare(const struct model *model);
void model_write(struct model *model, unsigned pool, void *object);
