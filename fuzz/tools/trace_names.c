/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace_names.h"

#include <string.h>

#include "fuzz/engine/engine.h"
#include "fuzz/engine/model.h"

ENGINE_BEGIN

/* A slot in which an object has been issued, or more than one. */
struct named {
    uintptr_t address;
    size_t birth; /* of the latest */
    unsigned pool;
    bool is_live;
};

static struct {
    size_t births[PROGRAM_POOL_COUNT];
    size_t slot_sizes[PROGRAM_POOL_COUNT];
    struct operation operation;
    size_t count;
    struct named slots[MODEL_SLOT_LIMIT + PROGRAM_POOL_COUNT * MODEL_LIVE_LIMIT]; /* ascending */
} names;

/* The linker's names for where the program's static data lies. */
extern const char __executable_start[], end[];

void names_start(void)
{
    memset(names.births, 0, sizeof(names.births));
    memset(names.slot_sizes, 0, sizeof(names.slot_sizes));
    names.operation = (struct operation){.kind = OPERATION_NEW};
    names.count = 0;
}

/* Returns: the number of slots below an address. */
static size_t slots_below(uintptr_t address)
{
    size_t low = 0;
    size_t high = names.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (names.slots[middle].address < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Pools may have had the same memory one after the other. */
static struct named *find_exactly(unsigned pool, uintptr_t address)
{
    for (size_t i = slots_below(address); i < names.count && names.slots[i].address == address;
         i++) {
        if (names.slots[i].pool == pool) {
            return &names.slots[i];
        }
    }
    return NULL;
}

static void forget(unsigned pool)
{
    size_t kept = 0;
    for (size_t i = 0; i < names.count; i++) {
        if (names.slots[i].pool != pool) {
            names.slots[kept++] = names.slots[i];
        }
    }
    names.count = kept;
}

static void issue(unsigned pool, uintptr_t address)
{
    struct named *slot = find_exactly(pool, address);
    if (slot == NULL) {
        const size_t before = slots_below(address);
        slot = &names.slots[before];
        memmove(slot + 1, slot, (names.count++ - before) * sizeof(*slot));
    }
    *slot = (struct named){address, names.births[pool]++, pool, true};
}

static void learn_call(const struct trace_event *event)
{
    struct named *slot;
    if (event->call == SUBJECT_NEW && event->pointer != NULL) {
        issue(event->pool, (uintptr_t)event->pointer);
    } else if (event->call == SUBJECT_STATS) {
        names.slot_sizes[event->pool] = event->stats.slot_size;
    } else if (event->call == SUBJECT_FREE) {
        slot = find_exactly(event->pool, (uintptr_t)event->pointer);
        if (slot != NULL) {
            slot->is_live = false;
        }
    } else if (event->call == SUBJECT_CLEAR) {
        for (size_t i = 0; i < names.count; i++) {
            names.slots[i].is_live = names.slots[i].is_live && names.slots[i].pool != event->pool;
        }
    }
}

void names_learn(const struct trace_event *event)
{
    if (event->kind == TRACE_STEP) {
        names.operation = event->operation;
    } else if (event->kind == TRACE_INIT) {
        forget(event->pool);
    } else if (event->kind == TRACE_CALL && event->is_finished && event->violation == 0 &&
               event->is_on_pool) {
        learn_call(event);
    }
}

static struct name name_of(const struct named *slot, uintptr_t address)
{
    return (struct name){NAME_OBJECT, slot->pool, slot->birth, (intptr_t)(address - slot->address)};
}

/* Returns: a slot of the pool with its start at the address or below, or if there is none, above;
 * or NULL. */
static const struct named *find_near(unsigned pool, uintptr_t address)
{
    const struct named *near = NULL;
    const struct named *above = NULL;
    for (size_t i = 0; i < names.count; i++) {
        const struct named *slot = &names.slots[i];
        if (slot->pool == pool && slot->address <= address) {
            near = slot;
        } else if (slot->pool == pool && above == NULL) {
            above = slot;
        }
    }
    /* Before a pool's first slot, or one of another region. */
    return near != NULL && (above == NULL || address - near->address <= names.slot_sizes[pool])
               ? near
               : above;
}

/* Returns: the live object of any pool at an address, the given one's first; or NULL. */
static const struct named *find_live(unsigned pool, uintptr_t address)
{
    for (unsigned i = 0; i < PROGRAM_POOL_COUNT; i++) {
        const struct named *slot = find_exactly((pool + i) % PROGRAM_POOL_COUNT, address);
        if (slot != NULL && slot->is_live) {
            return slot;
        }
    }
    return find_exactly(pool, address);
}

struct name names_find(unsigned pool, const void *pointer)
{
    const uintptr_t address = (uintptr_t)pointer;
    const uintptr_t into_pool = address - (uintptr_t)&trace_state.pools[pool];
    const size_t choice = names.operation.operands[0] % 8;
    const bool is_foreign = names.operation.kind == OPERATION_FREE_FOREIGN;
    const struct named *slot = find_live(pool, address);
    if (address < 4096) {
        return (struct name){.kind = NAME_NUMBER, .offset = (intptr_t)address};
    } else if (is_foreign && choice < 2) {
        return (struct name){.kind = choice == 0 ? NAME_HEAP : NAME_STACK};
    } else if (slot != NULL) {
        return name_of(slot, address);
    } else if (into_pool < sizeof(union subject_pool)) {
        return (struct name){.kind = NAME_POOL, .pool = pool, .offset = (intptr_t)into_pool};
    }
    slot = find_near(pool, address);
    if (slot != NULL &&
        (address - slot->address <= names.slot_sizes[pool] ||
         slot->address - address <= names.slot_sizes[pool] ||
         address - (uintptr_t)__executable_start >= (uintptr_t)(end - __executable_start))) {
        return name_of(slot, address);
    }
    return (struct name){.kind = NAME_STATIC};
}

size_t names_births(unsigned pool)
{
    return names.births[pool];
}

ENGINE_END
