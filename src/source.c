/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS, MAP_NORESERVE */

#include "source.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

size_t source_page_size(void)
{
    return (size_t) sysconf(_SC_PAGESIZE);
}

bool source_is_scarce(void)
{
    struct rlimit limit;

    return SIZE_MAX <= UINT32_MAX || getrlimit(RLIMIT_AS, &limit) != 0 ||
           limit.rlim_cur != RLIM_INFINITY;
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

void source_release(void *memory, size_t size)
{
    munmap(memory, size);
}

void *source_take(size_t size, size_t alignment)
{
    return aligned_alloc(alignment, size);
}

void source_give(void *memory)
{
    free(memory);
}
