/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS, MAP_NORESERVE, MADV_... */

#include "source.h"

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "annotate.h"

/* MADV_GUARD_INSTALL of Linux 6.13, which is younger than most C libraries; and an advice that no
 * kernel knows. */
#define ADVICE_GUARD 102
#define NO_ADVICE    0x7fff

static void *heap_acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    return aligned_alloc(alignment, size);
}

static void heap_release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

const struct cork_mempool_source source_heap = {.acquire = heap_acquire, .release = heap_release};

size_t source_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool source_is_scarce(void)
{
#if ANNOTATE_IS_SCARCE || SIZE_MAX <= UINT32_MAX
    return true;
#else
    /* Should there be no answer, there is a limit. */
    struct rlimit limit = {.rlim_cur = 0};

    getrlimit(RLIMIT_AS, &limit);
    return limit.rlim_cur != RLIM_INFINITY;
#endif
}

void *source_reserve(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, size, PROT_NONE, flags, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

bool source_commit(void *pages, size_t size)
{
    return mprotect(pages, size, PROT_READ | PROT_WRITE) == 0;
}

bool source_has_guards(void)
{
#if defined(__linux__)
    /* Emulators take any advice, and follow none: let them be asked for what does not exist. */
    return madvise(NULL, 0, NO_ADVICE) != 0;
#else
    return false;
#endif
}

bool source_guard(void *pages, size_t size)
{
    return madvise(pages, size, ADVICE_GUARD) == 0;
}

void source_discard(void *pages, size_t size)
{
    madvise(pages, size, MADV_DONTNEED);
}

void source_scatter(void *pages, size_t size)
{
#if defined(MADV_NOHUGEPAGE)
    madvise(pages, size, MADV_NOHUGEPAGE);
#else
    (void)pages;
    (void)size;
#endif
}

void source_release(void *memory, size_t size)
{
    munmap(memory, size);
}

#else

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

const struct cork_mempool_source source_heap = {.acquire = no_acquire, .release = no_release};

size_t source_page_size(void)
{
    return 1;
}

bool source_is_scarce(void)
{
    return true;
}

void *source_reserve(size_t size)
{
    (void)size;
    return NULL;
}

bool source_commit(void *pages, size_t size)
{
    (void)pages;
    (void)size;
    return false;
}

bool source_has_guards(void)
{
    return false;
}

bool source_guard(void *pages, size_t size)
{
    (void)pages;
    (void)size;
    return false;
}

void source_discard(void *pages, size_t size)
{
    (void)pages;
    (void)size;
}

void source_scatter(void *pages, size_t size)
{
    (void)pages;
    (void)size;
}

void source_release(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

#endif
