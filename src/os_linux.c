/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* MADV_..., secure_getenv */

#include "os.h"

#if defined(__linux__) && !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "random.h"
#include "tools.h"

/* MADV_GUARD_INSTALL of Linux 6.13, which is younger than most C libraries; and an advice that no
 * kernel knows. */
#define ADVICE_GUARD 102
#define NO_ADVICE    0x7fff

/* errno is not the caller's concern where an advice is refused. */
static void advise(void *pages, size_t size, int advice)
{
    const int saved_errno = errno;

    madvise(pages, size, advice);
    errno = saved_errno;
}

void os_set_dumped(void *pages, size_t size, bool are_dumped)
{
    advise(pages, size, are_dumped ? MADV_DODUMP : MADV_DONTDUMP);
}

bool os_guard(void *pages, size_t size)
{
    /* Who looks for leaks reads what the system's list of mappings says is readable. qemu-user
     * accepts every advice and ignores it: one that no kernel knows tells. */
    return !tools_seek_leaks() && madvise(NULL, 0, NO_ADVICE) != 0 &&
           madvise(pages, size, ADVICE_GUARD) == 0;
}

bool os_purge(void *pages, size_t size)
{
    return madvise(pages, size, MADV_DONTNEED) == 0;
}

void os_no_huge_pages(void *pages, size_t size)
{
    advise(pages, size, MADV_NOHUGEPAGE);
}

uint64_t os_random_word(void)
{
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    struct timespec now = {.tv_nsec = 0};
    uint64_t word = 0;

    if (bytes != NULL) {
        memcpy(&word, bytes, sizeof(word));
    }
    /* Children of one process have the same bytes. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    word ^= random_mix((uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec);
    return random_mix(word) ^ (uint64_t)getpid();
}

const char *os_environment(const char *name)
{
    return secure_getenv(name);
}

#endif
