/* SPDX-License-Identifier: BSD-3-Clause */
#include "reports.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format,
                                                      ...)
{
    const size_t length = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
}

const struct cork_mempool *reported_origin;

/* The first line of a report, less what stands behind the pool's name. */
static void begin_report(char *text, size_t size, const char *message,
                         const struct cork_mempool *mp, const char *name)
{
    *text = '\0';
    add(text, size, "cork_mempool: %s: pool 0x%" PRIxPTR, message, (uintptr_t)mp);
    if (name != NULL) {
        add(text, size, " \"%s\"", name);
    }
    if (reported_origin != NULL) {
        add(text, size, ", moved from 0x%" PRIxPTR, (uintptr_t)reported_origin);
    }
}

const char *pool_report(const char *message, const struct cork_mempool *mp, const char *name)
{
    static char text[1024];

    begin_report(text, sizeof(text), message, mp, name);
    add(text, sizeof(text), "\n");
    return text;
}

/* What stands behind everything else, where the pool is live. */
static void end_report(char *text, size_t size, const struct cork_mempool *mp)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(mp, &stats);
    add(text, size, ", element size %zu\n", stats.element_size);
}

const char *dead_pointer_report(const char *message, const struct cork_mempool *mp,
                                const char *name, const void *pointer)
{
    static char text[1024];

    begin_report(text, sizeof(text), message, mp, name);
    add(text, sizeof(text), ", pointer 0x%" PRIxPTR "\n", (uintptr_t)pointer);
    return text;
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

const char *pointer_report(const char *message, const struct cork_mempool *mp, const char *name,
                           const void *pointer)
{
    static char text[1024];

    begin_report(text, sizeof(text), message, mp, name);
    add(text, sizeof(text), ", pointer 0x%" PRIxPTR, (uintptr_t)pointer);
    end_report(text, sizeof(text), mp);
    return text;
}

/* What is told of the slot of an object in a pool without CALLSITES. */
static const char hint[] =
    "cork_mempool: CORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, tells where "
    "objects are issued and freed\n";

const char *slot_report(const char *message, const struct cork_mempool *mp, const char *name,
                        const void *pointer, size_t slot)
{
    static char text[1024];

    begin_report(text, sizeof(text), message, mp, name);
    add(text, sizeof(text), ", pointer 0x%" PRIxPTR ", slot %zu", (uintptr_t)pointer, slot);
    end_report(text, sizeof(text), mp);
    add(text, sizeof(text), "%s", strcmp(message, "free of a slot never issued") != 0 ? hint : "");
    return text;
}

const char *leak_report(const struct cork_mempool *mp, const char *name, size_t live_count,
                        void *const *objects, size_t first, size_t step)
{
    static char text[4096];

    begin_report(text, sizeof(text), "leak at done", mp, name);
    add(text, sizeof(text), ", %zu live object%s", live_count, live_count == 1 ? "" : "s");
    end_report(text, sizeof(text), mp);
    for (size_t i = 0; i < live_count && i < 16; i++) {
        const size_t slot = first + i * step;

        add(text, sizeof(text), "cork_mempool: live object 0x%" PRIxPTR ", slot %zu\n",
            (uintptr_t)objects[slot], slot);
    }
    add(text, sizeof(text), "%s", hint);
    return text;
}
