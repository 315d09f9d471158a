/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

ENGINE_BEGIN_CHECKED

/* Of large objects only so many bytes at each end are written and compared. */
#define WINDOW_SIZE 128

/* A fill is a word, whose bytes are repeated; no two fills of a program have one in common. */
static uint64_t word_of(uint32_t fill)
{
    return fill == MODEL_FILL_WIPED ? 0 : (fill + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Returns: the offset of the next word, which leaves out what lies between the windows. */
static size_t next(size_t offset, size_t size)
{
    offset += sizeof(uint64_t);
    return offset == WINDOW_SIZE && size > 2 * WINDOW_SIZE ? size - WINDOW_SIZE : offset;
}

/* Copies a word, or what there is of it; mostly by a load and a store of the compiler's, because
 * AddressSanitizer makes calls of memcpy slow. */
static inline void copy(void *to, const void *from, size_t size)
{
    if (size >= sizeof(uint64_t)) {
        memcpy(to, from, sizeof(uint64_t));
    } else {
        memcpy(to, from, size);
    }
}

static void write_contents(uint8_t *object, size_t size, uint32_t fill)
{
    const uint64_t word = word_of(fill);
    for (size_t i = 0; i < size; i = next(i, size)) {
        copy(object + i, &word, size - i);
    }
}

/* Returns: the offset of the first word that is not the fill's, or size where all are. */
static size_t first_difference(const uint8_t *object, size_t size, uint32_t fill)
{
    const uint64_t word = word_of(fill);
    for (size_t i = 0; i < size && fill != MODEL_FILL_UNKNOWN; i = next(i, size)) {
        uint64_t seen = word;
        copy(&seen, object + i, size - i);
        if (seen != word) {
            return i;
        }
    }
    return size;
}

ENGINE_END

ENGINE_BEGIN

/* No program has memory at lower addresses: they come of NULL. */
#define LOWEST_ADDRESS ((uintptr_t)4096)

/* Fails unless something is so; the format tells what was seen instead. */
__attribute__((format(printf, 4, 5))) static void
require(const struct model *model, bool is_so, const char *expected, const char *format, ...)
{
    char seen[200];
    va_list arguments;
    if (!is_so) {
        va_start(arguments, format);
        vsnprintf(seen, sizeof(seen), format, arguments);
        va_end(arguments);
        model->failed(model, expected, seen);
    }
}

/* Returns: the number of slots at or below an address, which is also where a new one belongs. */
static size_t slots_up_to(const struct model *model, uintptr_t address)
{
    size_t low = 0;
    size_t high = model->slot_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const bool is_below = model->slots[middle].address <= address;
        low = is_below ? middle + 1 : low;
        high = is_below ? high : middle;
    }
    return low;
}

struct model_slot *model_find(struct model *model, unsigned pool, uintptr_t address)
{
    const size_t count = slots_up_to(model, address);
    struct model_slot *slot = count > 0 ? &model->slots[count - 1] : NULL;
    return slot != NULL && slot->address == address && slot->pool == pool ? slot : NULL;
}

struct model_slot *model_pick(struct model *model, unsigned pool, size_t index, bool is_freed)
{
    for (size_t i = 0; i < model->slot_count; i++) {
        struct model_slot *slot = &model->slots[(index + i) % model->slot_count];
        if (slot->pool == pool && (!is_freed || !slot->is_live)) {
            return slot;
        }
    }
    return NULL;
}

static size_t size_of(const struct model *model, const struct model_slot *slot)
{
    return model->pools[slot->pool].object_size;
}

static void fill_object(struct model *model, struct model_slot *slot)
{
    slot->fill = model->is_filled_by_address ? (uint32_t)slot->address / 16 : model->next_fill++;
    write_contents((uint8_t *)slot->address, size_of(model, slot), slot->fill);
}

static void expect_contents(const struct model *model, const struct model_slot *slot,
                            const char *expected)
{
    const size_t size = size_of(model, slot);
    const size_t offset = first_difference((const uint8_t *)slot->address, size, slot->fill);
    require(model, offset == size, expected, "0x%zx, pool %u: something else from byte %zu of %zu",
            (size_t)slot->address, slot->pool, offset, size);
}

/* That which was asked for, which is the type's where a type was given; else every power of two
 * that divides the size, and as malloc would align it. */
static size_t alignment_of(const struct subject_init *how)
{
    const size_t element_size = how->options.element_size;
    const size_t size = element_size > 0 ? element_size : 1;
    size_t alignment = size & (~size + 1);
    if (how->options.alignment != 0) {
        return how->options.alignment;
    }
    for (size_t power = 1; power <= size && power <= _Alignof(max_align_t); power *= 2) {
        alignment = power > alignment ? power : alignment;
    }
    return alignment;
}

/* No object is larger than half of the address space, and no machine has 2^60 bytes. Whether a pool
 * makes do with less where a block cannot be had is not said. */
static enum model_memory memory_of(const struct subject_init *how)
{
    const size_t size = how->options.element_size;
    if (size > SIZE_MAX / 2 || (uint64_t)size >> 60 != 0) {
        return MODEL_NEW_FAILS;
    }
    return how->options.block_size > 1 << 20 ? MODEL_NEW_MAY_FAIL : MODEL_NEW_SUCCEEDS;
}

/* What mempool_options.h says. How large memory may be, and what a buffer must have room for
 * besides an object, it does not say exactly. */
enum model_verdict model_verdict(const struct subject_init *how)
{
    const struct cork_mempool_options *options = &how->options;
    const struct cork_mempool_source *source = options->source;
    const bool has_buffer = options->buffer != NULL;
    const bool has_guard = (options->protections & CORK_MEMPOOL_GUARD) != 0;
    const bool has_construction = options->init_object != NULL || options->done_object != NULL;
    const size_t size = options->element_size;
    const size_t block_size = has_guard ? options->block_size : 0;
    const size_t alignment = alignment_of(how);
    if (how->form != SUBJECT_INIT_WITH && options->protections == 0) {
        return MODEL_ACCEPTED;
    }
    if ((alignment & (alignment - 1)) != 0 || size > SIZE_MAX / 2 || block_size > SIZE_MAX / 2 ||
        (options->protections & ~(CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL)) != 0 ||
        has_buffer + (source != NULL) + has_guard > 1 ||
        has_buffer != (options->buffer_size != 0) || (has_buffer && size > options->buffer_size) ||
        (source != NULL ? source->acquire == NULL || source->release == NULL
                        : options->source_data != NULL) ||
        ((options->protections & CORK_MEMPOOL_WIPE) != 0 && has_construction)) {
        return MODEL_REFUSED;
    }
    const bool is_unclear = size > SIZE_MAX / 16 || alignment > SIZE_MAX / 16 ||
                            block_size > SIZE_MAX / 16 ||
                            (has_buffer && options->buffer_size < size + 4 * alignment + 1024);
    return is_unclear ? MODEL_EITHER : MODEL_ACCEPTED;
}

void model_init(struct model *model, unsigned pool, const struct subject_init *how)
{
    const struct cork_mempool_options *options = &how->options;
    const size_t max_alignment = model->subject->max_alignment;
    const size_t alignment = alignment_of(how);
    model->pools[pool] = (struct model_pool){
        .options = options,
        .object_size = options->element_size > 0 ? options->element_size : 1,
        .alignment = max_alignment != 0 && max_alignment < alignment ? max_alignment : alignment,
        .memory = memory_of(how),
        .is_limited = options->buffer != NULL,
        /* A full pool issues what rests, and when that is so is not said. */
        .is_resting = (options->protections & CORK_MEMPOOL_QUARANTINE) != 0 &&
                      options->max_objects == 0 && options->buffer == NULL &&
                      memory_of(how) == MODEL_NEW_SUCCEEDS,
        .max_objects = options->max_objects,
    };
}

static void remove_slot(struct model *model, struct model_slot *slot)
{
    const struct model_slot *end = &model->slots[model->slot_count--];
    memmove(slot, slot + 1, (size_t)(end - (slot + 1)) * sizeof(*slot));
}

/* Forgets a pool's slots; all, or those that are freed and of which trim has left nothing. */
static void forget(struct model *model, unsigned pool, bool is_trim)
{
    size_t kept = 0;
    model->pools[pool].freed_count = 0;
    for (size_t i = 0; i < model->slot_count; i++) {
        struct model_slot slot = model->slots[i];
        enum model_left left = MODEL_LEFT_ALL;
        if (slot.pool == pool && !(is_trim && slot.is_live)) {
            left = is_trim && model->left != NULL ? model->left(slot.address) : MODEL_LEFT_NOTHING;
            model->pools[pool].freed_count += left != MODEL_LEFT_NOTHING;
            slot.fill = left == MODEL_LEFT_MEMORY ? MODEL_FILL_UNKNOWN : slot.fill;
        }
        model->slots[kept] = slot;
        kept += left != MODEL_LEFT_NOTHING;
    }
    model->slot_count = kept;
}

void model_done(struct model *model, unsigned pool)
{
    const struct model_pool *owner = &model->pools[pool];
    require(model, owner->options->done_object == NULL || owner->freed_count == 0,
            "done destructs all that was constructed", "%zu objects less", owner->freed_count);
    forget(model, pool, false);
}

void model_trim(struct model *model, unsigned pool)
{
    model_pressed(model, pool);
    if (model->pools[pool].options->done_object == NULL) {
        forget(model, pool, true);
    }
}

void model_pressed(struct model *model, unsigned pool)
{
    model->pools[pool].free_number += MODEL_REST + 1;
}

static void expect_failure(const struct model *model, struct model_pool *pool, int error)
{
    const bool is_full = pool->max_objects != 0 && pool->live_count == pool->max_objects;
    const bool may_fail = pool->memory != MODEL_NEW_SUCCEEDS || pool->is_limited;
    require(model, is_full || (may_fail && pool->freed_count == 0), "new has memory for an object",
            "NULL, errno %d, %zu freed objects", error, pool->freed_count);
    require(model, error == ENOMEM, "where new has no memory, errno is ENOMEM", "errno %d", error);
    if (pool->options->buffer != NULL) {
        require(model, pool->live_count > 0, "a buffer that init accepts has room for an object",
                "NULL");
        pool->max_objects = pool->live_count;
        pool->is_limited = false;
    }
}

/* Returns: a slot that was not known before, and is not live. */
static struct model_slot *insert_slot(struct model *model, unsigned pool, uintptr_t address)
{
    const struct model_pool *owner = &model->pools[pool];
    require(model,
            owner->memory != MODEL_NEW_FAILS && address >= LOWEST_ADDRESS &&
                address + owner->object_size >= address,
            "no memory can hold an object", "0x%zx of %zu bytes", (size_t)address,
            owner->object_size);
    require(model, address % owner->alignment == 0, "objects are aligned",
            "0x%zx, not a multiple of %zu", (size_t)address, owner->alignment);
    struct model_slot *slot = &model->slots[slots_up_to(model, address)];
    struct model_slot *end = &model->slots[model->slot_count++];
    const bool is_apart_below =
        slot == model->slots || address - slot[-1].address >= size_of(model, slot - 1);
    const bool is_apart_above = slot == end || slot->address - address >= owner->object_size;
    require(model, is_apart_below && is_apart_above, "a new object lies apart from all others",
            "0x%zx of %zu bytes, %s a known one", (size_t)address, owner->object_size,
            is_apart_below ? "below" : "in");
    memmove(slot + 1, slot, (size_t)(end - slot) * sizeof(*slot));
    *slot = (struct model_slot){.address = address, .pool = (uint8_t)pool};
    return slot;
}

void model_new(struct model *model, unsigned pool, void *object, int error)
{
    struct model_pool *owner = &model->pools[pool];
    struct model_slot *slot = model_find(model, pool, (uintptr_t)object);
    if (object == NULL) {
        expect_failure(model, owner, error);
        return;
    }
    if (slot != NULL && !slot->is_live) {
        const uint32_t free_count = owner->free_number - slot->mark;
        expect_contents(model, slot, "a freed object keeps its contents until it is issued again");
        require(model, !owner->is_resting || free_count > MODEL_REST,
                "a freed object rests until 256 others have been freed", "%u frees ago",
                free_count);
        owner->freed_count--;
    } else {
        /* Slots are known from their constructor on, and up to their destructor. */
        require(model, owner->options->init_object == NULL,
                "an object is constructed before it is issued", "%p", object);
        slot = insert_slot(model, pool, (uintptr_t)object);
    }
    require(model, owner->max_objects == 0 || owner->live_count < owner->max_objects,
            "no more objects than max_objects are live", "one more than %zu", owner->max_objects);
    owner->live_count++;
    slot->is_live = true;
    fill_object(model, slot);
}

void model_free(struct model *model, unsigned pool, void *object)
{
    struct model_pool *owner = &model->pools[pool];
    struct model_slot *slot = model_find(model, pool, (uintptr_t)object);
    expect_contents(model, slot, "a live object keeps its contents until it is freed");
    owner->live_count--;
    if (model->subject->keeps_freed) {
        const bool is_wiped = (owner->options->protections & CORK_MEMPOOL_WIPE) != 0;
        slot->is_live = false;
        slot->mark = owner->free_number++;
        slot->fill = is_wiped ? MODEL_FILL_WIPED : slot->fill;
        owner->freed_count++;
    } else {
        /* Nothing is promised of freed memory, and any pool may have it next. */
        remove_slot(model, slot);
    }
}

void model_construct(struct model *model, unsigned pool, void *object)
{
    struct model_pool *owner = &model->pools[pool];
    struct model_slot *slot = insert_slot(model, pool, (uintptr_t)object);
    slot->mark = owner->free_number - MODEL_REST - 1;
    owner->freed_count++;
    fill_object(model, slot);
}

void model_destruct(struct model *model, unsigned pool, void *object)
{
    struct model_slot *slot = model_find(model, pool, (uintptr_t)object);
    require(model, slot != NULL && !slot->is_live,
            "what is destructed has been constructed and freed", "%p", object);
    expect_contents(model, slot, "objects stay constructed");
    model->pools[pool].freed_count--;
    remove_slot(model, slot);
}

void model_visit(struct model *model, unsigned pool, void *object, uint32_t mark)
{
    struct model_slot *slot = model_find(model, pool, (uintptr_t)object);
    require(model, slot != NULL && slot->is_live && slot->mark != mark,
            "live objects are visited once each", "%p", object);
    slot->mark = mark;
}

void model_write(struct model *model, unsigned pool, void *object)
{
    struct model_slot *slot = model_find(model, pool, (uintptr_t)object);
    if (slot != NULL) {
        expect_contents(model, slot, "a live object keeps its contents until it is written");
        fill_object(model, slot);
    }
}

void model_compare(const struct model *model)
{
    for (size_t i = 0; i < model->slot_count; i++) {
        if (model->slots[i].is_live) {
            expect_contents(model, &model->slots[i], "all live objects keep their contents");
        }
    }
}

void model_inspected(const struct model *model, unsigned pool,
                     const struct cork_mempool_stats *stats)
{
    const struct model_pool *known = &model->pools[pool];
    const size_t slot_size = stats->slot_size;
    const size_t slot_count = stats->live_count + stats->free_count;
    require(model,
            stats->live_count == known->live_count && stats->element_size == known->object_size,
            "a pool counts its live objects", "pool %u has %zu, and counts %zu of %zu", pool,
            known->live_count, stats->live_count, stats->element_size);
    require(model,
            stats->memory_size <= stats->reserved_size &&
                (stats->alignment & (stats->alignment - 1)) == 0,
            "figures go together", "%zu bytes of %zu, aligned to %zu", stats->memory_size,
            stats->reserved_size, stats->alignment);
    /* Without a size of slots there are no slots; other pools do not tell it. */
    require(model,
            slot_size != 0
                ? stats->memory_size / slot_size >= slot_count && slot_size >= known->object_size &&
                      slot_size % stats->alignment == 0 && stats->block_size >= slot_size &&
                      stats->block_size % slot_size == 0
                : slot_count == 0 || !model->subject->keeps_freed,
            "slots make up memory and blocks", "%zu and %zu slots of %zu in %zu, %zu",
            stats->live_count, stats->free_count, slot_size, stats->memory_size, stats->block_size);
}

ENGINE_END
