/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* dladdr */

#include "reports.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pools.h"

#define ADDRESS "0x%" PRIxPTR

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

/* Ends a line, if one has begun. */
static void end_line(void)
{
    length = length - line_start > 511 ? line_start + 511 : length;
    add(length > line_start ? "\n" : "");
    line_start = length;
}

/* Shows the call before a return address, if that is known, and its function, or else its file. */
static void add_site(const char *before, const void *site)
{
    const uintptr_t call = (uintptr_t)site - 1;
    Dl_info info;

    if (site == NULL) {
        return;
    }
    add("%s" ADDRESS, before, call);
    if (dladdr((const void *)call, &info) != 0) {
        const bool is_named = info.dli_sname != NULL;
        const void *const start = is_named ? info.dli_saddr : info.dli_fbase;

        const char *const name = is_named ? info.dli_sname : info.dli_fname;
        const size_t left_out = strlen(name) > 160 ? strlen(name) - 160 : 0;

        add(" (%s+" ADDRESS ")", name + left_out, call - (uintptr_t)start);
    }
}

static void add_what(const struct cork_mempool_violation *violation)
{
    add("cork_mempool: %s: pool " ADDRESS, cork_mempool_violation_message(violation->kind),
        (uintptr_t)violation->pool);
    if (violation->pool_name != NULL) {
        add(" \"%s\"", violation->pool_name);
    }
    if (violation->moved_from != NULL) {
        add(", moved from " ADDRESS, (uintptr_t)violation->moved_from);
    }
    if (violation->pointer != NULL) {
        add(", pointer " ADDRESS, (uintptr_t)violation->pointer);
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

static void add_bytes(const char *before, const unsigned char *bytes, size_t size)
{
    if (bytes != NULL) {
        add("cork_mempool: %s", before);
        for (size_t i = 0; i < size; i++) {
            add(" %02x", bytes[i]);
        }
    }
    end_line();
}

const char *report_of(const struct cork_mempool_violation *violation)
{
    const bool is_of_object = violation->slot != CORK_MEMPOOL_NO_SLOT || violation->live_count != 0;

    length = 0;
    line_start = 0;
    add_what(violation);
    add_site("cork_mempool: called at ", violation->call_site);
    end_line();
    add_site("cork_mempool: issued at ", violation->new_site);
    add_site(", freed at ", violation->free_site);
    end_line();
    if (violation->damaged != NULL) {
        add("cork_mempool: damage at " ADDRESS, (uintptr_t)violation->damaged);
    }
    end_line();
    add_bytes("found   ", violation->found, violation->damaged_size);
    add_bytes("expected", violation->expected, violation->damaged_size);
    for (size_t i = 0; i < violation->listed_count; i++) {
        add("cork_mempool: live object " ADDRESS ", slot %zu",
            (uintptr_t)violation->listed[i].pointer, violation->listed[i].slot);
        add_site(", issued at ", violation->listed[i].new_site);
        end_line();
    }
    if (is_of_object && violation->kind != CORK_MEMPOOL_NEVER_ISSUED &&
        (violation->protections & CORK_MEMPOOL_CALLSITES) == 0) {
        add("cork_mempool: CORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, tells where "
            "objects are issued and freed\n");
    }
    return text;
}

static const char *plain_report(const struct cork_mempool *mp, const char *name,
                                struct cork_mempool_violation violation)
{
    violation.pool = mp;
    violation.pool_name = name;
    return report_of(&violation);
}

const char *pool_report(enum cork_mempool_violation_kind kind, const struct cork_mempool *mp,
                        const char *name)
{
    return plain_report(
        mp, name, (struct cork_mempool_violation){.kind = kind, .slot = CORK_MEMPOOL_NO_SLOT});
}

const char *slot_report(enum cork_mempool_violation_kind kind, const struct cork_mempool *mp,
                        const char *name, const void *pointer, size_t slot)
{
    const size_t size = stats_of(mp).element_size;

    return plain_report(mp, name,
                        (struct cork_mempool_violation){
                            .kind = kind, .pointer = pointer, .slot = slot, .element_size = size});
}

const char *leak_report(const struct cork_mempool *mp, const char *name, size_t live_count,
                        void *const *objects, size_t first)
{
    struct cork_mempool_object listed[16];
    struct cork_mempool_violation violation = {.kind = CORK_MEMPOOL_LEAK,
                                               .slot = CORK_MEMPOOL_NO_SLOT,
                                               .element_size = stats_of(mp).element_size,
                                               .live_count = live_count,
                                               .listed = listed};

    for (size_t i = 0; i < live_count && i < COUNT_OF(listed); i++, violation.listed_count++) {
        listed[i] = (struct cork_mempool_object){objects[first + i], first + i, NULL};
    }
    return plain_report(mp, name, violation);
}

/* Writes the report of a violation, less its call sites. */
static void write_less_sites(char *report, struct cork_mempool_violation violation)
{
    struct cork_mempool_object listed[16];

    CHECK(violation.listed_count <= COUNT_OF(listed));
    for (size_t i = 0; i < violation.listed_count; i++) {
        listed[i] = violation.listed[i];
        listed[i].new_site = NULL;
    }
    violation.listed = listed;
    violation.call_site = NULL;
    violation.new_site = NULL;
    violation.free_site = NULL;
    strcpy(report, report_of(&violation));
}

const char *violation_difference(const struct cork_mempool_violation *seen,
                                 const struct cork_mempool_violation *expected)
{
    static char reports[2][sizeof(text)];

    write_less_sites(reports[0], *seen);
    write_less_sites(reports[1], *expected);
    if (strcmp(reports[0], reports[1]) == 0 && seen->protections == expected->protections &&
        strcmp(seen->message, cork_mempool_violation_message(seen->kind)) == 0) {
        return NULL;
    }
    fprintf(stderr, "message \"%s\", protections %#x\n%sshould be, with protections %#x:\n%s",
            seen->message, seen->protections, reports[0], expected->protections, reports[1]);
    return "the violation says something else than it should";
}

size_t slot_number_at(const struct cork_mempool *mp, const void *pointer)
{
    for (const struct cork_mempool_region *region = mp->oldest; region != NULL;
         region = region->newer) {
        const size_t offset = (uintptr_t)pointer - (uintptr_t)region->base;

        if (offset / mp->geometry.stride < region->reserved_count) {
            return region->first_number + offset / mp->geometry.stride;
        }
    }
    return CORK_MEMPOOL_NO_SLOT;
}

bool is_foreign(const struct cork_mempool *mp, const void *pointer)
{
    return slot_number_at(mp, pointer) == CORK_MEMPOOL_NO_SLOT;
}
