/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* dladdr */

#include "violation.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
#endif

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

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)

static void send(struct line *line)
{
    size_t sent = 0;

    line->text[line->length++] = '\n';
    while (sent < line->length) {
        const ssize_t written = write(STDERR_FILENO, line->text + sent, line->length - sent);
        if (written > 0) {
            sent += (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            return; /* There is nobody left to tell. */
        }
    }
}

/* The function that a call is in, where the program tells. */
static void add_function(struct line *line, const void *site)
{
    Dl_info info;

    /* A return address may be the first one behind a function that never returns. */
    if (dladdr((const char *)site - 1, &info) == 0) {
        return;
    }
    add_string(line, " (");
    add_string(line, info.dli_sname != NULL ? info.dli_sname : info.dli_fname);
    add_string(line, "+0x");
    add_number(line,
               (uintptr_t)site -
                   (uintptr_t)(info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase),
               16);
    add_string(line, ")");
}

#else

/* For programs that have nowhere to write to. */
__attribute__((weak)) void cork_mempool_write_report(const char *text, size_t size)
{
    (void)text;
    (void)size;
}

static void send(struct line *line)
{
    line->text[line->length++] = '\n';
    cork_mempool_write_report(line->text, line->length);
}

static void add_function(struct line *line, const void *site)
{
    (void)line;
    (void)site;
}

#endif

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

void violation_warn(const char *message, const char *word, size_t length)
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
    abort();
}
