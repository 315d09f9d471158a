/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "slots.h"

static _Atomic(cork_mempool_violation_handler *) installed_handler;

/* A line of a report. What does not fit is cut off; the room at the end is for the newline. */
struct line {
    char text[512];
    size_t length;
};

static void add_string(struct line *line, const char *string)
{
    while (*string != '\0' && line->length < sizeof(line->text) - 1) {
        line->text[line->length++] = *string++;
    }
}

static void add_number(struct line *line, uint64_t number, unsigned base)
{
    char digits[sizeof(number) * 8 + 1];
    char *digit = &digits[sizeof(digits) - 1];

    *digit = '\0';
    do {
        *--digit = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    add_string(line, digit);
}

static void add_pointer(struct line *line, const void *pointer)
{
    add_string(line, "0x");
    add_number(line, (uintptr_t)pointer, 16);
}

static void send(struct line *line)
{
    line->text[line->length++] = '\n';
    os_write_report(line->text, line->length);
}

/* The function that a call is in, where the program tells. */
static void add_function(struct line *line, const void *site)
{
    uintptr_t start;
    const char *symbol = os_symbol(site, &start);

    if (symbol != NULL) {
        add_string(line, " (");
        add_string(line, symbol);
        add_string(line, "+0x");
        add_number(line, (uintptr_t)site - start, 16);
        add_string(line, ")");
    }
}

static void add_site(struct line *line, const char *before, const void *site)
{
    add_string(line, before);
    add_pointer(line, site);
    add_function(line, site);
}

static void report_what(const struct cork_mempool_violation *violation)
{
    struct line line = {.length = 0};

    add_string(&line, "cork_mempool: ");
    add_string(&line, violation->message);
    add_string(&line, ": pool ");
    add_pointer(&line, violation->pool);
    if (violation->pool_name != NULL) {
        add_string(&line, " \"");
        add_string(&line, violation->pool_name);
        add_string(&line, "\"");
    }
    if (violation->pointer != NULL) {
        add_string(&line, ", pointer ");
        add_pointer(&line, violation->pointer);
    }
    if (violation->slot != CORK_MEMPOOL_NO_SLOT) {
        add_string(&line, ", slot ");
        add_number(&line, violation->slot, 10);
    }
    if (violation->kind == CORK_MEMPOOL_LEAK) {
        add_string(&line, ", ");
        add_number(&line, violation->live_count, 10);
        add_string(&line, violation->live_count == 1 ? " live object" : " live objects");
    }
    if (violation->element_size != 0) {
        add_string(&line, ", element size ");
        add_number(&line, violation->element_size, 10);
    }
    if (violation->is_seeded) {
        add_string(&line, ", seed 0x");
        add_number(&line, violation->seed, 16);
    }
    send(&line);
}

static void report_sites(const struct cork_mempool_violation *violation)
{
    struct line line = {.length = 0};

    if (violation->new_site == NULL) {
        return;
    }
    add_site(&line, "cork_mempool: issued at ", violation->new_site);
    if (violation->free_site != NULL) {
        add_site(&line, ", freed at ", violation->free_site);
    }
    send(&line);
}

static void report_bytes(const char *before, const unsigned char *bytes, size_t size)
{
    struct line line = {.length = 0};

    add_string(&line, before);
    for (size_t i = 0; i < size; i++) {
        add_string(&line, bytes[i] < 16 ? " 0" : " ");
        add_number(&line, bytes[i], 16);
    }
    send(&line);
}

static void report_live_object(const struct cork_mempool_object *object)
{
    struct line line = {.length = 0};

    add_string(&line, "cork_mempool: live object ");
    add_pointer(&line, object->pointer);
    add_string(&line, ", slot ");
    add_number(&line, object->slot, 10);
    if (object->new_site != NULL) {
        add_site(&line, ", issued at ", object->new_site);
    }
    send(&line);
}

static void report(const struct cork_mempool_violation *violation)
{
    report_what(violation);
    report_sites(violation);
    if (violation->damaged != NULL) {
        struct line line = {.length = 0};

        add_string(&line, "cork_mempool: damage at ");
        add_pointer(&line, violation->damaged);
        send(&line);
        report_bytes("cork_mempool: found   ", violation->found, violation->damaged_size);
    }
    if (violation->expected != NULL) {
        report_bytes("cork_mempool: expected", violation->expected, violation->damaged_size);
    }
    for (size_t i = 0; i < violation->listed_count; i++) {
        report_live_object(&violation->listed[i]);
    }
}

void report_warning(const char *message, const char *word, size_t length)
{
    struct line line = {.length = 0};

    add_string(&line, "cork_mempool: ");
    add_string(&line, message);
    add_string(&line, " \"");
    while (length-- > 0 && line.length < sizeof(line.text) / 2) {
        line.text[line.length++] = *word++;
    }
    add_string(&line, "\"");
    send(&line);
}

const char *cork_mempool_violation_message(enum cork_mempool_violation_kind kind)
{
    switch (kind) {
    case CORK_MEMPOOL_DOUBLE_FREE:
        return "double free";
    case CORK_MEMPOOL_INTERIOR_POINTER:
        return "free of an interior pointer";
    case CORK_MEMPOOL_FOREIGN_POINTER:
        return "free of a foreign pointer";
    case CORK_MEMPOOL_NEVER_ISSUED:
        return "free of a slot never issued";
    case CORK_MEMPOOL_LEAK:
        return "leak at done";
    case CORK_MEMPOOL_USE_AFTER_DONE:
        return "use after done";
    case CORK_MEMPOOL_USE_BEFORE_INIT:
        return "use before init";
    case CORK_MEMPOOL_NOT_A_POOL:
        return "not a pool";
    case CORK_MEMPOOL_CANARY_DAMAGED:
        return "canary damaged";
    case CORK_MEMPOOL_WRITE_AFTER_FREE:
        return "write after free";
    case CORK_MEMPOOL_BUSY:
        return "use during another call";
    case CORK_MEMPOOL_BAD_SOURCE:
        return "misaligned memory from a source";
    }
    return NULL;
}

cork_mempool_violation_handler *cork_mempool_on_violation(cork_mempool_violation_handler *handler)
{
    return atomic_exchange(&installed_handler, handler);
}

/*
 * A handler that misuses a pool is called for that too, and might for ever. How often it is in
 * progress is not known, because it may leave by longjmp: what is known is where on the stack it
 * was called. A call that is not below an earlier one shows that the earlier one has ended. So only
 * a handler that was left from more than HANDLERS_MAX depths, each below the last, is taken for one
 * that never ends.
 */
#define HANDLERS_MAX 64

static THREAD_LOCAL struct {
    size_t count;
    uintptr_t frames[HANDLERS_MAX];
    struct cork_mempool_violation first; /* less what it points to, but for its name */
    char name[CORK_MEMPOOL_NAME_SIZE_];  /* whose pool may be gone when it is reported */
} handlers;

/* Whether the handler may be called for a violation. */
static bool begin_handler(const struct cork_mempool_violation *violation, uintptr_t frame)
{
    while (handlers.count > 0 && handlers.frames[handlers.count - 1] <= frame) {
        handlers.count--;
    }
    if (handlers.count == HANDLERS_MAX) {
        return false;
    }
    if (handlers.count == 0) {
        handlers.first = *violation;
        handlers.first.listed_count = 0;
        handlers.first.damaged = NULL;
        handlers.first.expected = NULL;
        if (violation->pool_name != NULL) {
            memcpy(handlers.name, violation->pool_name, sizeof(handlers.name));
            handlers.first.pool_name = handlers.name;
        }
    }
    handlers.frames[handlers.count++] = frame;
    return true;
}

/* The call that is refused has ended, and with it any in which it was made. */
static void end_calls(struct cork_mempool *mp)
{
    if (mp->state == POOL_IS_BUSY || mp->state == POOL_IS_VISITED) {
        slots_recall(mp);
        slots_relink(mp);
        slots_lend(mp);
        mp->state = POOL_IS_LIVE;
    }
}

void report_refuse(struct cork_mempool_violation violation)
{
    cork_mempool_violation_handler *handler = atomic_load(&installed_handler);

    violation.message = cork_mempool_violation_message(violation.kind);
    if (handler != NULL) {
        if (!slots_is_moved(violation.pool)) {
            /* Pools are const where a call changes nothing else. */
            end_calls((struct cork_mempool *)(uintptr_t)violation.pool);
        }
        if (begin_handler(&violation, (uintptr_t)__builtin_frame_address(0))) {
            handler(&violation);
        } else {
            report(&handlers.first);
        }
    }
    report(&violation);
    abort();
}

struct cork_mempool_violation report_violation(const struct cork_mempool *mp,
                                               enum cork_mempool_violation_kind kind)
{
    return (struct cork_mempool_violation){
        .kind = kind,
        .pool = mp,
        .pool_name = mp->is_named ? mp->name : NULL,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .element_size = mp->geometry.element_size,
        .is_seeded = mp->protections != 0,
        .seed = mp->seed,
    };
}

struct cork_mempool_violation report_violation_at(const struct cork_mempool *mp,
                                                  enum cork_mempool_violation_kind kind,
                                                  struct slot slot)
{
    struct cork_mempool_violation violation = report_violation(mp, kind);

    violation.slot = slot_number(slot);
    if (slot.region->sites != NULL && slot.index < slot.region->extended_count) {
        violation.new_site = slot.region->sites[slot.index].new_site;
        violation.free_site = slot.region->sites[slot.index].free_site;
    }
    return violation;
}

void report_refuse_state(const struct cork_mempool *mp, const void *pointer)
{
    struct cork_mempool_violation violation = {
        .kind = CORK_MEMPOOL_NOT_A_POOL,
        .pool = mp,
        .pointer = pointer,
        .slot = CORK_MEMPOOL_NO_SLOT,
    };

    if (mp->state == POOL_IS_DONE) {
        violation.kind = CORK_MEMPOOL_USE_AFTER_DONE;
        violation.pool_name = mp->is_named ? mp->name : NULL;
    } else if (mp->state == 0) {
        violation.kind = CORK_MEMPOOL_USE_BEFORE_INIT;
    } else if ((mp->state == POOL_IS_BUSY || mp->state == POOL_IS_VISITED) && !slots_is_moved(mp)) {
        violation = report_violation(mp, CORK_MEMPOOL_BUSY);
        violation.pointer = pointer;
    }
    report_refuse(violation);
}

static _Noreturn void refuse_free(const struct cork_mempool *mp, const void *ptr)
{
    struct cork_mempool_violation violation = report_violation(mp, CORK_MEMPOOL_FOREIGN_POINTER);
    struct cork_mempool_region *region = slots_region_at(mp, ptr);

    if (region != NULL) {
        const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)region->base;
        const struct slot slot = {region, offset / mp->geometry.stride};

        if (slot.index < region->reserved_count) {
            enum cork_mempool_violation_kind kind = CORK_MEMPOOL_DOUBLE_FREE;

            if (offset % mp->geometry.stride != 0) {
                kind = CORK_MEMPOOL_INTERIOR_POINTER;
            } else if (slots_is_fresh(mp, slot)) {
                kind = CORK_MEMPOOL_NEVER_ISSUED;
            }
            violation = report_violation_at(mp, kind, slot);
        }
    }
    violation.pointer = ptr;
    report_refuse(violation);
}

struct slot report_require_live(const struct cork_mempool *mp, const void *ptr)
{
    const struct slot slot = slots_search(mp, ptr);

    if (!slots_is_live(mp, slot, ptr)) {
        refuse_free(mp, ptr);
    }
    return slot;
}

void report_refuse_leak(const struct cork_mempool *mp, size_t live_count)
{
    struct cork_mempool_object listed[REPORT_LISTED_MAX];
    struct cork_mempool_violation violation = report_violation(mp, CORK_MEMPOOL_LEAK);
    struct slot slot = {mp->oldest, 0};
    size_t count = 0;

    for (; count < REPORT_LISTED_MAX && slots_next_live(mp, &slot); count++, slot.index++) {
        listed[count] = (struct cork_mempool_object){
            slot_start(mp, slot), slot_number(slot),
            slot.region->sites != NULL ? slot.region->sites[slot.index].new_site : NULL};
    }
    violation.live_count = live_count;
    violation.listed_count = count;
    violation.listed = listed;
    report_refuse(violation);
}
