/* SPDX-License-Identifier: BSD-3-Clause */
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "environment.h"
#include "libcork/core/mempool_violation.h"
#include "os.h"

static void *no_acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    (void)size;
    (void)alignment;
    return NULL;
}

static void no_release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)memory;
    (void)size;
}

const struct cork_mempool_source os_heap = {.acquire = no_acquire, .release = no_release};

size_t os_page_size(void)
{
    return 1;
}

bool os_is_scarce(void)
{
    return true;
}

void *os_reserve(size_t size)
{
    (void)size;
    return NULL;
}

bool os_commit(void *pages, size_t size, size_t memory_size)
{
    (void)pages;
    (void)size;
    (void)memory_size;
    return false;
}

bool os_guard(void *pages, size_t size)
{
    (void)pages;
    (void)size;
    return false;
}

void os_purge(void *pages, size_t size)
{
    (void)pages;
    (void)size;
}

void os_no_huge_pages(void *pages, size_t size)
{
    (void)pages;
    (void)size;
}

void os_release(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

uint64_t os_random_word(void)
{
    return 0;
}

struct environment environment_options(void)
{
    return (struct environment){.protections = 0};
}

/* For programs that have nowhere to write to. */
__attribute__((weak)) void cork_mempool_write_report(const char *text, size_t size)
{
    (void)text;
    (void)size;
}

void os_write_report(const char *text, size_t size)
{
    cork_mempool_write_report(text, size);
}

const char *os_symbol(const void *site, uintptr_t *start)
{
    (void)site;
    (void)start;
    return NULL;
}

#else

/* An empty file is no C. */
typedef int os_none_is_not_used;

#endif
