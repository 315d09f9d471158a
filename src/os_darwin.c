/* SPDX-License-Identifier: BSD-3-Clause */
#define _DARWIN_C_SOURCE 1 /* arc4random_buf, issetugid */

#include "os.h"

#if defined(__APPLE__) && !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <stdlib.h>
#include <unistd.h>

/* Much is asked that has one answer here. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Core dumps have all that may be read. */
void os_set_dumped(void *pages, size_t size, bool are_dumped)
{
}

bool os_guard(void *pages, size_t size)
{
    return false;
}

/* What madvise does here leaves it open what is read afterwards. */
bool os_purge(void *pages, size_t size)
{
    return false;
}

void os_no_huge_pages(void *pages, size_t size)
{
}

uint64_t os_random_word(void)
{
    uint64_t word;

    arc4random_buf(&word, sizeof(word));
    return word;
}

const char *os_environment(const char *name)
{
    return issetugid() ? NULL : getenv(name);
}

#endif
