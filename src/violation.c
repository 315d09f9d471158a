/* SPDX-License-Identifier: BSD-3-Clause */
#include "violation.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

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

static void add_number(struct line *line, uintptr_t number, unsigned base)
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
    add_number(line, (uintptr_t) pointer, 16);
}

/* A name may be as long as its type's; the parts behind it matter more than its end. */
static void add_name(struct line *line, const char *name)
{
    const size_t most = sizeof(line->text) / 2;
    size_t length = 0;

    add_string(line, " \"");
    while (name[length] != '\0' && length < most) {
        line->text[line->length++] = name[length++];
    }
    add_string(line, name[length] == '\0' ? "\"" : "...\"");
}

static void send(struct line *line)
{
    size_t sent = 0;

    line->text[line->length++] = '\n';
    while (sent < line->length) {
        const ssize_t written = write(STDERR_FILENO, line->text + sent, line->length - sent);
        if (written > 0) {
            sent += (size_t) written;
        } else if (errno != EINTR) {
            return; /* There is nobody left to tell. */
        }
    }
}

static void report(const struct cork_mempool_violation *violation)
{
    struct line line = {.length = 0};

    add_string(&line, "cork_mempool: ");
    add_string(&line, violation->message);
    add_string(&line, ": pool ");
    add_pointer(&line, violation->pool);
    if (violation->pool_name != NULL) {
        add_name(&line, violation->pool_name);
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
    send(&line);
}

static void report_live_object(const struct cork_mempool_object *object)
{
    struct line line = {.length = 0};

    add_string(&line, "cork_mempool: live object ");
    add_pointer(&line, object->pointer);
    add_string(&line, ", slot ");
    add_number(&line, object->slot, 10);
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
    }
    return NULL;
}

cork_mempool_violation_handler *cork_mempool_on_violation(cork_mempool_violation_handler *handler)
{
    return atomic_exchange(&installed_handler, handler);
}

void violation_refuse(struct cork_mempool_violation violation)
{
    cork_mempool_violation_handler *handler = atomic_load(&installed_handler);

    violation.message = cork_mempool_violation_message(violation.kind);
    if (handler != NULL) {
        handler(&violation);
    }
    report(&violation);
    for (size_t i = 0; i < violation.listed_count; i++) {
        report_live_object(&violation.listed[i]);
    }
    abort();
}
