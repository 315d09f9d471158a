/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

ENGINE_BEGIN

/* An object with fill f holds the bytes from f % FILL_COUNT on. */
#define FILL_COUNT 8192
static uint8_t fills[FILL_COUNT + 2 * MODEL_WINDOW_SIZE];

__attribute__((format(printf, 3, 4))) _Noreturn static void
fail(const struct model *model, const char *expected, const char *format, ...)
{
    char seen[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(seen, sizeof(seen), format, arguments);
    va_end(arguments);
    model->failed(expected, seen);
    abort();
}

void model_start(struct model *model, const struct subject *subject, model_failure *failed)
{
    uint32_t state = 1;
    for (size_t i = 0; model->failed == NULL && i < sizeof(fills); i++) {
        state = state * 1664525 + 1013904223;
        fills[i] = (uint8_t)(state >> 24);
    }
    model->keeps_freed = subject->keeps_freed;
    model->failed = failed;
    model->next_fill = 0;
    model->slot_count = 0;
    memset(model->pools, 0, sizeof(model->pools));
}

/* Returns: the number of slots at or below an address, which is also where a new one belongs. */
static size_t slots_up_to(const struct model *model, uintptr_t address)
{
    size_t low = 0;
    size_t high = model->slot_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (model->slots[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct model_slot *slot_of(struct model *model, const void *object)
{
    return &model->slots[slots_up_to(model, (uintptr_t)object) - 1];
}

static size_t size_of(const struct model *model, const struct model_slot *slot)
{
    return model->pools[slot->pool].object_size;
}

/* Where byte i of a fill belongs. */
static size_t offset_of(size_t i, size_t size)
{
    return size <= 2 * MODEL_WINDOW_SIZE || i < MODEL_WINDOW_SIZE
               ? i
               : i + size - 2 * MODEL_WINDOW_SIZE;
}

/* The head and the tail of an object; a small one is all head. */
static size_t head_size(size_t size)
{
    return size <= 2 * MODEL_WINDOW_SIZE ? size : MODEL_WINDOW_SIZE;
}

static size_t tail_size(size_t size)
{
    return size <= 2 * MODEL_WINDOW_SIZE ? 0 : MODEL_WINDOW_SIZE;
}

static void fill_object(const struct model *model, struct model_slot *slot, uint32_t fill)
{
    const size_t size = size_of(model, slot);
    uint8_t *object = (uint8_t *)slot->address;
    const uint8_t *bytes = &fills[fill % FILL_COUNT];
    slot->fill = fill;
    memcpy(object, bytes, head_size(size));
    memcpy(object + size - tail_size(size), bytes + MODEL_WINDOW_SIZE, tail_size(size));
}

/* Unlike memcmp, which AddressSanitizer makes slow. */
static bool is_equal(const uint8_t *one, const uint8_t *other, size_t size)
{
    uint64_t difference = 0;
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t)) {
        uint64_t words[2];
        memcpy(&words[0], one, sizeof(uint64_t));
        memcpy(&words[1], other, sizeof(uint64_t));
        difference |= words[0] ^ words[1];
        one += sizeof(uint64_t);
        other += sizeof(uint64_t);
    }
    for (size_t i = 0; i < size; i++) {
        difference |= one[i] ^ other[i];
    }
    return difference == 0;
}

static void expect_contents(const struct model *model, const struct model_slot *slot,
                            const char *expected)
{
    const size_t size = size_of(model, slot);
    const uint8_t *object = (const uint8_t *)slot->address;
    const uint8_t *bytes = &fills[slot->fill % FILL_COUNT];
    size_t i = 0;
    if (is_equal(object, bytes, head_size(size)) &&
        is_equal(object + size - tail_size(size), bytes + MODEL_WINDOW_SIZE, tail_size(size))) {
        return;
    }
    while (object[offset_of(i, size)] == bytes[i]) {
        i++;
    }
    fail(model, expected, "%p, pool %u: byte %zu of %zu is 0x%02x, not 0x%02x",
         (const void *)object, slot->pool, offset_of(i, size), size, object[offset_of(i, size)],
         bytes[i]);
}

/* Every power of two that divides the size; and where a size was given, as malloc would align it.
 */
static size_t alignment_of(const struct subject_init *how)
{
#define ALIGNMENT(number, type) _Alignof(type),
    static const size_t alignments[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(ALIGNMENT)};
    const size_t size = how->element_size > 0 ? how->element_size : 1;
    size_t alignment = size & (~size + 1);
    if (how->form == SUBJECT_INIT_TYPE || how->form == SUBJECT_INIT_TYPE_EX) {
        return alignments[how->type] > alignment ? alignments[how->type] : alignment;
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
    const bool has_block = how->form == SUBJECT_INIT_SIZE_EX || how->form == SUBJECT_INIT_TYPE_EX;
    if (how->element_size > SIZE_MAX / 2 || (uint64_t)how->element_size >> 60 != 0) {
        return MODEL_NEW_FAILS;
    }
    return has_block && how->block_size > 1 << 20 ? MODEL_NEW_MAY_FAIL : MODEL_NEW_SUCCEEDS;
}

void model_init(struct model *model, unsigned pool, const struct subject_init *how)
{
    model->pools[pool] = (struct model_pool){
        .object_size = how->element_size > 0 ? how->element_size : 1,
        .alignment = alignment_of(how),
        .memory = memory_of(how),
    };
}

void model_done(struct model *model, unsigned pool)
{
    size_t kept = 0;
    for (size_t i = 0; i < model->slot_count; i++) {
        if (model->slots[i].pool != pool) {
            model->slots[kept++] = model->slots[i];
        }
    }
    model->slot_count = kept;
}

void model_limit(struct model *model, unsigned pool)
{
    if (model->pools[pool].memory == MODEL_NEW_SUCCEEDS) {
        model->pools[pool].memory = MODEL_NEW_MAY_FAIL;
    }
}

static void expect_failure(const struct model *model, const struct model_pool *pool, int error)
{
    if (pool->memory == MODEL_NEW_SUCCEEDS || pool->freed_count > 0) {
        fail(model, "new has memory for an object", "NULL, errno %d, %zu freed objects", error,
             pool->freed_count);
    }
    if (error != ENOMEM) {
        fail(model, "where new has no memory, errno is ENOMEM", "errno %d", error);
    }
}

/* before: the number of slots at or below the object. */
static void expect_apart(const struct model *model, uintptr_t address, size_t size, size_t before)
{
    const struct model_slot *below = before > 0 ? &model->slots[before - 1] : NULL;
    const struct model_slot *above = before < model->slot_count ? &model->slots[before] : NULL;
    const struct model_slot *met = NULL;
    if (below != NULL && address - below->address < size_of(model, below)) {
        met = below;
    } else if (above != NULL && above->address - address < size) {
        met = above;
    }
    if (met != NULL) {
        fail(model, "a new object lies apart from all others",
             "0x%zx of %zu bytes; a %s object of pool %u at 0x%zx has %zu", (size_t)address, size,
             met->is_live ? "live" : "freed", met->pool, (size_t)met->address, size_of(model, met));
    }
}

/* Returns: the slot of an object that has just been issued, which is live now. */
static struct model_slot *issued_slot(struct model *model, unsigned pool, uintptr_t address)
{
    const size_t before = slots_up_to(model, address);
    struct model_slot *slot = before > 0 ? &model->slots[before - 1] : NULL;
    if (slot != NULL && slot->address == address && slot->pool == pool && !slot->is_live) {
        expect_contents(model, slot, "a freed object keeps its contents until it is issued again");
        model->pools[pool].freed_count--;
        slot->is_live = true;
        return slot;
    }
    expect_apart(model, address, model->pools[pool].object_size, before);
    slot = &model->slots[before];
    memmove(slot + 1, slot, (model->slot_count++ - before) * sizeof(*slot));
    *slot = (struct model_slot){.address = address, .pool = (uint8_t)pool, .is_live = true};
    return slot;
}

void model_new(struct model *model, unsigned pool, void *object, int error)
{
    struct model_pool *owner = &model->pools[pool];
    const uintptr_t address = (uintptr_t)object;
    if (object == NULL) {
        expect_failure(model, owner, error);
        return;
    }
    if (owner->memory == MODEL_NEW_FAILS || address + owner->object_size < address) {
        fail(model, "no memory can hold an object", "%p of %zu bytes", object, owner->object_size);
    }
    if (address % owner->alignment != 0) {
        fail(model, "objects are aligned", "%p, not a multiple of %zu", object, owner->alignment);
    }
    owner->live_count++;
    fill_object(model, issued_slot(model, pool, address), model->next_fill++);
}

void model_free(struct model *model, unsigned pool, void *object)
{
    struct model_slot *slot = slot_of(model, object);
    expect_contents(model, slot, "a live object keeps its contents until it is freed");
    model->pools[pool].live_count--;
    if (model->keeps_freed) {
        slot->is_live = false;
        model->pools[pool].freed_count++;
        return;
    }
    /* Nothing is promised of freed memory, and any pool may have it next. */
    const struct model_slot *end = &model->slots[model->slot_count--];
    memmove(slot, slot + 1, (size_t)(end - (slot + 1)) * sizeof(*slot));
}

void model_write(struct model *model, void *object)
{
    struct model_slot *slot = slot_of(model, object);
    expect_contents(model, slot, "a live object keeps its contents until it is written");
    fill_object(model, slot, model->next_fill++);
}

void model_compare(const struct model *model)
{
    for (size_t i = 0; i < model->slot_count; i++) {
        if (model->slots[i].is_live) {
            expect_contents(model, &model->slots[i], "all live objects keep their contents");
        }
    }
}

void model_inspected(const struct model *model, unsigned pool, bool is_sound, size_t live_count)
{
    if (!is_sound) {
        fail(model, "a pool's invariants hold", "pool %u finds itself broken", pool);
    }
    if (live_count != model->pools[pool].live_count) {
        fail(model, "a pool counts its live objects", "pool %u has %zu, and counts %zu", pool,
             model->pools[pool].live_count, live_count);
    }
}

ENGINE_END
