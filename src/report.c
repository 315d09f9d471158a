/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "libcork/core/mempool_options.h"
#include "os.h"
#include "slots.h"
#include "tools.h"

static _Atomic(cork_mempool_violation_handler *) installed_handler;

THREAD_LOCAL const void *report_call_site;

/* A line of a report. Of a symbol it has the last bytes, because there is the name of a file. What
 * does not fit, as a name that was overwritten, is cut off; the last byte is for the newline. */
#define LINE_START "cork_mempool: "
#define SYMBOL_MAX 160
struct line {
    char text[512];
    size_t length;
};

/* A newline sends the line and starts the next. */
static void add(struct line *line, const char *string)
{
    for (; *string != '\0'; string++) {
        if (line->length < sizeof(line->text) - 1 || *string == '\n') {
            line->text[line->length++] = *string;
        }
        if (*string == '\n') {
            os_write_report(line->text, line->length);
            line->length = sizeof(LINE_START) - 1;
        }
    }
}

/* Adds before and a number, unless the number is none. */
static void add_number(struct line *line, const char *before, uint64_t number, uint64_t none,
                       unsigned base)
{
    const char digit[] = {"0123456789abcdef"[number % base], '\0'};

    if (number == none) {
        return;
    }
    if (number < base) {
        add(line, before);
    } else {
        add_number(line, before, number / base, none, base);
    }
    add(line, digit);
}

/* Adds a call, if there is one, and its function, if that is known. A return address may belong to
 * the next line or function; the byte before it is the call's. */
static void add_site(struct line *line, const char *before, const void *site)
{
    if (site == NULL) {
        return;
    }

    const char *call = (const char *)site - 1;
    uintptr_t start;
    const char *symbol = os_symbol(call, &start);
    add_number(line, before, (uintptr_t)call, 0, 16);
    if (symbol != NULL) {
        const size_t length = strlen(symbol);

        add(line, " (");
        add(line, symbol + (length > SYMBOL_MAX ? length - SYMBOL_MAX : 0));
        add_number(line, "+0x", (uintptr_t)call - start, UINT64_MAX, 16);
        add(line, ")");
    }
}

static void add_bytes(struct line *line, const char *before, const unsigned char *bytes,
                      size_t size)
{
    for (size_t i = 0; bytes != NULL && i < size; i++) {
        add(line, i == 0 ? before : "");
        add_number(line, bytes[i] < 16 ? " 0" : " ", bytes[i], UINT64_MAX, 16);
    }
}

static void report(const struct cork_mempool_violation *violation)
{
    struct line line = {LINE_START, sizeof(LINE_START) - 1};

    add(&line, violation->message);
    add_number(&line, ": pool 0x", (uintptr_t)violation->pool, 0, 16);
    if (violation->pool_name != NULL) {
        add(&line, " \"");
        add(&line, violation->pool_name);
        add(&line, "\"");
    }
    add_number(&line, ", moved from 0x", (uintptr_t)violation->moved_from, 0, 16);
    add_number(&line, ", pointer 0x", (uintptr_t)violation->pointer, 0, 16);
    add_number(&line, ", slot ", violation->slot, CORK_MEMPOOL_NO_SLOT, 10);
    if (violation->live_count != 0) {
        add_number(&line, ", ", violation->live_count, 0, 10);
        add(&line, violation->live_count == 1 ? " live object" : " live objects");
    }
    add_number(&line, ", element size ", violation->element_size, 0, 10);
    add_number(&line, ", seed 0x", violation->seed, 0, 16); /* 0 where there is none */
    add_site(&line, "\ncalled at 0x", violation->call_site);
    add_site(&line, "\nissued at 0x", violation->new_site);
    add_site(&line, ", freed at 0x", violation->free_site);
    add_number(&line, "\ndamage at 0x", (uintptr_t)violation->damaged, 0, 16);
    add_bytes(&line, "\nfound   ", violation->found, violation->damaged_size);
    add_bytes(&line, "\nexpected", violation->expected, violation->damaged_size);
    for (size_t i = 0; i < violation->listed_count; i++) {
        add_number(&line, "\nlive object 0x", (uintptr_t)violation->listed[i].pointer, 0, 16);
        add_number(&line, ", slot ", violation->listed[i].slot, CORK_MEMPOOL_NO_SLOT, 10);
        add_site(&line, ", issued at 0x", violation->listed[i].new_site);
    }
    if ((violation->slot != CORK_MEMPOOL_NO_SLOT || violation->live_count != 0) &&
        violation->kind != CORK_MEMPOOL_NEVER_ISSUED &&
        (violation->protections & CORK_MEMPOOL_CALLSITES) == 0) {
        add(&line, "\nCORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, "
                   "tells where objects are issued and freed");
    }
    add(&line, "\n");
}

void report_warning(const char *what, const char *word, size_t length, const char *rest)
{
    struct line line = {LINE_START, sizeof(LINE_START) - 1};

    add(&line, "CORK_MEMPOOL_OPTIONS: ");
    add(&line, what);
    while (length-- > 0 && line.length < sizeof(line.text) / 2) {
        line.text[line.length++] = *word++;
    }
    add(&line, rest);
}

static const char *const messages[] = {
    [CORK_MEMPOOL_DOUBLE_FREE] = "double free",
    [CORK_MEMPOOL_INTERIOR_POINTER] = "free of an interior pointer",
    [CORK_MEMPOOL_FOREIGN_POINTER] = "free of a foreign pointer",
    [CORK_MEMPOOL_NEVER_ISSUED] = "free of a slot never issued",
    [CORK_MEMPOOL_LEAK] = "leak at done",
    [CORK_MEMPOOL_USE_AFTER_DONE] = "use after done",
    [CORK_MEMPOOL_USE_BEFORE_INIT] = "use before init",
    [CORK_MEMPOOL_NOT_A_POOL] = "not a pool",
    [CORK_MEMPOOL_CANARY_DAMAGED] = "canary damaged",
    [CORK_MEMPOOL_WRITE_AFTER_FREE] = "write after free",
    [CORK_MEMPOOL_BUSY] = "use during another call",
    [CORK_MEMPOOL_BAD_SOURCE] = "misaligned memory from a source",
};

const char *cork_mempool_violation_message(enum cork_mempool_violation_kind kind)
{
    return (size_t)kind < sizeof(messages) / sizeof(messages[0]) ? messages[kind] : NULL;
}

cork_mempool_violation_handler *cork_mempool_on_violation(cork_mempool_violation_handler *handler)
{
    return atomic_exchange(&installed_handler, handler);
}

/* Only the stack tells whether handlers that misuse pools ever end, because they may leave by
 * longjmp: a call that is not below the last begins anew; so does one over a MiB below it, mostly
 * on a stack of its own, as coroutines have. Of the first violation little is kept, because
 * libraries that are opened at run time have little room for variables of threads. */
static THREAD_LOCAL struct {
    uintptr_t last_frame;
    unsigned count; /* of calls, each below the last */
    const char *message;
    const void *pointer, *call_site;
    const struct cork_mempool *pool;
} handlers;

void report_refuse(struct cork_mempool_violation violation)
{
    cork_mempool_violation_handler *handler = atomic_load(&installed_handler);
    const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    /* Calls that change nothing else take const pools. */
    struct cork_mempool *mp = (struct cork_mempool *)(uintptr_t)violation.pool;

    violation.message = cork_mempool_violation_message(violation.kind);
    violation.call_site = report_call_site;
    if (handler != NULL) {
        if (!slots_is_moved(mp) && (mp->state == POOL_IS_BUSY || mp->state == POOL_IS_VISITED)) {
            /* End the refused call, and all calls that it was made in. */
            slots_renew(mp);
            mp->state = POOL_IS_LIVE;
        }
        if (frame >= handlers.last_frame || handlers.last_frame - frame > 1024 * 1024) {
            handlers.count = 0;
            handlers.message = violation.message;
            handlers.pool = mp;
            handlers.pointer = violation.pointer;
            handlers.call_site = violation.call_site;
        }
        handlers.last_frame = frame;
        if (handlers.count++ < 256) {
            handler(&violation);
        } else {
            report(&(struct cork_mempool_violation){.message = handlers.message,
                                                    .pool = handlers.pool,
                                                    .pointer = handlers.pointer,
                                                    .slot = CORK_MEMPOOL_NO_SLOT,
                                                    .call_site = handlers.call_site});
        }
    }
    report(&violation);
    abort();
}

struct cork_mempool_violation report_violation(const struct cork_mempool *mp,
                                               enum cork_mempool_violation_kind kind,
                                               struct slot slot)
{
    struct cork_mempool_violation violation = {
        .kind = kind,
        .pool = mp,
        .pool_name = mp->is_named ? mp->name : NULL,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .element_size = mp->geometry.element_size,
        .protections = mp->protections & ~UNDER_VALGRIND,
        .is_seeded = mp->seed != 0,
        .seed = mp->seed,
    };

    if (slot.region != NULL) {
        violation.slot = slot.region->first_number + slot.index;
        if (slot.region->sites != NULL && slots_was_issued(mp, slot)) {
            violation.new_site = slot.region->sites[slot.index].new_site;
            violation.free_site = slot.region->sites[slot.index].free_site;
        }
    }
    return violation;
}

void report_refuse_state(const struct cork_mempool *mp, const void *pointer)
{
    const bool is_done = mp->state == POOL_IS_DONE;
    const bool is_initialized =
        mp->state == POOL_IS_BUSY || mp->state == POOL_IS_VISITED || mp->state == POOL_IS_LIVE;
    struct cork_mempool_violation violation = {
        .kind = is_done          ? CORK_MEMPOOL_USE_AFTER_DONE
                : mp->state == 0 ? CORK_MEMPOOL_USE_BEFORE_INIT
                                 : CORK_MEMPOOL_NOT_A_POOL,
        .pool = mp,
        .pool_name = is_done && mp->is_named ? mp->name : NULL,
        .slot = CORK_MEMPOOL_NO_SLOT,
        .moved_from = is_initialized ? mp->self : NULL,
    };

    if (is_initialized && !slots_is_moved(mp)) {
        violation = report_violation(mp, CORK_MEMPOOL_BUSY, NO_SLOT);
    }
    violation.pointer = pointer;
    report_refuse(violation);
}

struct slot report_require_live(const struct cork_mempool *mp, const void *ptr)
{
    enum cork_mempool_violation_kind kind = CORK_MEMPOOL_FOREIGN_POINTER;
    struct slot slot = slots_search(mp, ptr);

    if (slots_is_live(mp, slot, ptr, mp->protections)) {
        return slot;
    }
    if (slot.region != NULL) {
        const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)slot.region->base;

        slot.index = offset / mp->geometry.stride;
        if (slot.index >= slot.region->reserved_count) {
            slot.region = NULL;
        } else if (offset % mp->geometry.stride != 0) {
            kind = CORK_MEMPOOL_INTERIOR_POINTER;
        } else {
            kind =
                slots_was_issued(mp, slot) ? CORK_MEMPOOL_DOUBLE_FREE : CORK_MEMPOOL_NEVER_ISSUED;
        }
    }

    struct cork_mempool_violation violation = report_violation(mp, kind, slot);
    violation.pointer = ptr;
    report_refuse(violation);
}

void report_refuse_leak(const struct cork_mempool *mp)
{
    struct cork_mempool_object listed[REPORT_SHOWN_MAX];
    struct cork_mempool_violation violation = report_violation(mp, CORK_MEMPOOL_LEAK, NO_SLOT);
    struct slot slot = {mp->oldest, 0};

    violation.live_count = slots_live_count(mp);
    violation.listed = listed;
    for (; violation.listed_count < REPORT_SHOWN_MAX && slots_next_live(mp, &slot); slot.index++) {
        listed[violation.listed_count++] = (struct cork_mempool_object){
            slot_start(mp, slot), slot.region->first_number + slot.index,
            slot.region->sites != NULL ? slot.region->sites[slot.index].new_site : NULL};
    }
    report_refuse(violation);
}
