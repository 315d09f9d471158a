/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* dladdr */

#include "reports.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A line of a report is cut off behind so many bytes: names of files may be long. */
#define LINE_MAX_LENGTH 511

static char text[32768];
static size_t length;
static size_t line_start;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    length += (size_t)vsnprintf(text + length, sizeof(text) - length, format, arguments);
    va_end(arguments);
}

static void end_line(void)
{
    if (length - line_start > LINE_MAX_LENGTH) {
        length = line_start + LINE_MAX_LENGTH;
    }
    text[length++] = '\n';
    text[length] = '\0';
    line_start = length;
}

static void add_pointer(const char *before, const void *pointer)
{
    add("%s0x%" PRIxPTR, before, (uintptr_t)pointer);
}

/* Shows the call before a return address, and its function, or else its file. */
static void add_site(const char *before, const void *site)
{
    const char *const call = (const char *)site - 1;
    Dl_info info;

    add_pointer(before, call);
    if (dladdr(call, &info) != 0) {
        const void *const start = info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase;

        add(" (%s+0x%" PRIxPTR ")", info.dli_sname != NULL ? info.dli_sname : info.dli_fname,
            (uintptr_t)call - (uintptr_t)start);
    }
}

static void add_what(const struct cork_mempool_violation *violation)
{
    add("cork_mempool: %s", cork_mempool_violation_message(violation->kind));
    add_pointer(": pool ", violation->pool);
    if (violation->pool_name != NULL) {
        add(" \"%s\"", violation->pool_name);
    }
    if (violation->moved_from != NULL) {
        add_pointer(", moved from ", violation->moved_from);
    }
    if (violation->pointer != NULL) {
        add_pointer(", pointer ", violation->pointer);
    }
    if (violation->slot != CORK_MEMPOOL_NO_SLOT) {
        add(", slot %zu", violation->slot);
    }
    if (violation->kind == CORK_MEMPOOL_LEAK) {
        add(", %zu live object%s", violation->live_count, violation->live_count == 1 ? "" : "s");
    }
    if (violation->element_size != 0) {
        add(", element size %zu", violation->element_size);
    }
    if (violation->is_seeded) {
        add(", seed 0x%" PRIx64, violation->seed);
    }
    end_line();
}

static void add_sites(const struct cork_mempool_violation *violation)
{
    if (violation->call_site != NULL) {
        add_site("cork_mempool: called at ", violation->call_site);
        end_line();
    }
    if (violation->new_site != NULL) {
        add_site("cork_mempool: issued at ", violation->new_site);
        if (violation->free_site != NULL) {
            add_site(", freed at ", violation->free_site);
        }
        end_line();
    }
}

static void add_bytes(const char *before, const unsigned char *bytes, size_t size)
{
    add("cork_mempool: %s", before);
    for (size_t i = 0; i < size; i++) {
        add(" %02x", bytes[i]);
    }
    end_line();
}

static void add_damage(const struct cork_mempool_violation *violation)
{
    if (violation->damaged != NULL) {
        add_pointer("cork_mempool: damage at ", violation->damaged);
        end_line();
        add_bytes("found   ", violation->found, violation->damaged_size);
    }
    if (violation->expected != NULL) {
        add_bytes("expected", violation->expected, violation->damaged_size);
    }
}

static void add_objects(const struct cork_mempool_violation *violation)
{
    for (size_t i = 0; i < violation->listed_count; i++) {
        add_pointer("cork_mempool: live object ", violation->listed[i].pointer);
        add(", slot %zu", violation->listed[i].slot);
        if (violation->listed[i].new_site != NULL) {
            add_site(", issued at ", violation->listed[i].new_site);
        }
        end_line();
    }
}

const char *report_of(const struct cork_mempool_violation *violation)
{
    const bool is_of_object = violation->slot != CORK_MEMPOOL_NO_SLOT || violation->live_count != 0;

    length = 0;
    line_start = 0;
    add_what(violation);
    add_sites(violation);
    add_damage(violation);
    add_objects(violation);
    if (is_of_object && violation->kind != CORK_MEMPOOL_NEVER_ISSUED &&
        (violation->protections & CORK_MEMPOOL_CALLSITES) == 0) {
        add("cork_mempool: CORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, tells where "
            "objects are issued and freed");
        end_line();
    }
    return text;
}

static enum cork_mempool_violation_kind kind_of(const char *message)
{
    enum cork_mempool_violation_kind kind = CORK_MEMPOOL_DOUBLE_FREE;

    while (strcmp(cork_mempool_violation_message(kind), message) != 0) {
        kind++;
    }
    return kind;
}

const char *pool_report(const char *message, const struct cork_mempool *mp, const char *name)
{
    return report_of(&(const struct cork_mempool_violation){
        .kind = kind_of(message), .pool = mp, .pool_name = name, .slot = CORK_MEMPOOL_NO_SLOT});
}

static size_t element_size_of(const struct cork_mempool *mp)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(mp, &stats);
    return stats.element_size;
}

const char *slot_report(const char *message, const struct cork_mempool *mp, const char *name,
                        const void *pointer, size_t slot)
{
    return report_of(&(const struct cork_mempool_violation){.kind = kind_of(message),
                                                            .pool = mp,
                                                            .pool_name = name,
                                                            .pointer = pointer,
                                                            .slot = slot,
                                                            .element_size = element_size_of(mp)});
}

const char *leak_report(const struct cork_mempool *mp, const char *name, size_t live_count,
                        void *const *objects, size_t first, size_t step)
{
    struct cork_mempool_object listed[16];
    const size_t count = live_count < 16 ? live_count : 16;

    for (size_t i = 0; i < count; i++) {
        listed[i] = (struct cork_mempool_object){objects[first + i * step], first + i * step, NULL};
    }
    return report_of(&(const struct cork_mempool_violation){.kind = CORK_MEMPOOL_LEAK,
                                                            .pool = mp,
                                                            .pool_name = name,
                                                            .slot = CORK_MEMPOOL_NO_SLOT,
                                                            .element_size = element_size_of(mp),
                                                            .live_count = live_count,
                                                            .listed_count = count,
                                                            .listed = listed});
}

static bool are_same(const void *bytes, const void *others, size_t size)
{
    return bytes == NULL || others == NULL ? bytes == others : memcmp(bytes, others, size) == 0;
}

#define DIFFERS(field) (seen->field != expected->field)

const char *violation_difference(const struct cork_mempool_violation *seen,
                                 const struct cork_mempool_violation *expected)
{
    if (DIFFERS(kind) || strcmp(seen->message, cork_mempool_violation_message(seen->kind)) != 0) {
        return seen->message;
    }
    if (DIFFERS(pool) || DIFFERS(moved_from) || DIFFERS(element_size) || DIFFERS(protections) ||
        DIFFERS(is_seeded) || (seen->is_seeded && DIFFERS(seed)) ||
        (expected->pool_name == NULL ? seen->pool_name != NULL
                                     : strcmp(seen->pool_name, expected->pool_name) != 0)) {
        return "another pool";
    }
    if (DIFFERS(pointer) || DIFFERS(slot)) {
        return "another pointer, or another slot";
    }
    if (DIFFERS(damaged) || DIFFERS(damaged_size) ||
        !are_same(seen->found, expected->found, seen->damaged_size) ||
        !are_same(seen->expected, expected->expected, seen->damaged_size)) {
        return "other damage";
    }
    if (DIFFERS(live_count) || DIFFERS(listed_count)) {
        return "another number of objects";
    }
    for (size_t i = 0; i < seen->listed_count; i++) {
        if (DIFFERS(listed[i].pointer) || DIFFERS(listed[i].slot)) {
            return "another object in the list";
        }
    }
    return NULL;
}

bool is_foreign(const struct cork_mempool *mp, const void *pointer)
{
    const struct cork_mempool_region *region = mp->oldest;

    while (region != NULL && (uintptr_t)pointer - (uintptr_t)region->base >=
                                 region->reserved_count * mp->geometry.stride) {
        region = region->newer;
    }
    return region == NULL;
}
