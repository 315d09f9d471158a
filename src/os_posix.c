/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS, MADV_..., secure_getenv, dladdr */

#include "os.h"

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools.h"

/* MADV_GUARD_INSTALL of Linux 6.13, which is younger than most C libraries; and an advice that no
 * kernel knows. */
#define ADVICE_GUARD 102
#define NO_ADVICE    0x7fff

/* Reservations up to this may be in core dumps: to keep them out takes two calls of the system. */
#define DUMPED_MAX_SIZE ((size_t)256 * 1024)

static void *heap_acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    (void)alignment;
    return malloc(size);
}

static void heap_release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

const struct cork_mempool_source os_heap = {.acquire = heap_acquire, .release = heap_release};

size_t os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

#if TOOLS_SPACE_IS_SCARCE || SIZE_MAX <= UINT32_MAX
bool os_is_scarce(void)
{
    return true;
}
#else
/* Whether mappings are locked from the start, by mlockall(MCL_FUTURE). POSIX has msync tell. */
static bool is_locked(void)
{
    const int saved_errno = errno;
    const size_t size = os_page_size();
    void *page = os_reserve(size);
    bool is_locked = true;

    if (page != NULL) {
        errno = 0;
        (void)msync(page, size, MS_ASYNC | MS_INVALIDATE);
        is_locked = errno == EBUSY;
        os_release(page, size);
    }
    errno = saved_errno;
    return is_locked;
}

bool os_is_scarce(void)
{
    /* Should there be no answer, there is a limit. */
    struct rlimit space = {.rlim_cur = 0};
    struct rlimit locked = {.rlim_cur = 0};

    getrlimit(RLIMIT_AS, &space);
    getrlimit(RLIMIT_MEMLOCK, &locked);
    return space.rlim_cur != RLIM_INFINITY || (locked.rlim_cur != RLIM_INFINITY && is_locked());
}
#endif

/* errno is not the caller's concern where an advice is refused. */
static void advise(void *pages, size_t size, int advice)
{
    const int saved_errno = errno;

    madvise(pages, size, advice);
    errno = saved_errno;
}

void *os_reserve(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, size, PROT_NONE, flags, -1, 0);

    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (size > DUMPED_MAX_SIZE) {
        advise(memory, size, MADV_DONTDUMP);
    }
    return memory;
}

bool os_commit(void *pages, size_t size, size_t memory_size)
{
    if (mprotect(pages, size, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    if (memory_size > DUMPED_MAX_SIZE) {
        advise(pages, size, MADV_DODUMP);
    }
    return true;
}

bool os_guard(void *pages, size_t size)
{
    /* qemu-user accepts every advice and ignores it. An advice that no kernel knows tells. */
    return madvise(NULL, 0, NO_ADVICE) != 0 && madvise(pages, size, ADVICE_GUARD) == 0;
}

void os_purge(void *pages, size_t size)
{
    advise(pages, size, MADV_DONTNEED);
}

void os_no_huge_pages(void *pages, size_t size)
{
    advise(pages, size, MADV_NOHUGEPAGE);
}

void os_release(void *memory, size_t size)
{
    munmap(memory, size);
}

uint64_t os_random_word(void)
{
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    uint64_t word = 0;

    if (bytes != NULL) {
        memcpy(&word, bytes, sizeof(word));
    }
    return word;
}

const char *os_environment(const char *name)
{
    return secure_getenv(name);
}

void os_write_report(const char *text, size_t size)
{
    size_t sent = 0;

    while (sent < size) {
        const ssize_t written = write(STDERR_FILENO, text + sent, size - sent);
        if (written > 0) {
            sent += (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            return; /* There is nobody left to tell. */
        }
    }
}

const char *os_symbol(const void *site, uintptr_t *start)
{
    Dl_info info;

    /* A return address may be the first one behind a function that never returns. */
    if (dladdr((const char *)site - 1, &info) == 0) {
        return NULL;
    }
    *start = (uintptr_t)(info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase);
    return info.dli_sname != NULL ? info.dli_sname : info.dli_fname;
}

#endif
