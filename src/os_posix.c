/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE      1 /* MAP_ANONYMOUS, mincore, dladdr; and the same elsewhere */
#define _DARWIN_C_SOURCE 1

#include "os.h"

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools.h"

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

/* Whether mappings are locked from the start, by mlockall(MCL_FUTURE). POSIX has msync tell. */
static bool is_locked(void)
{
    const int saved_errno = errno;
    const size_t size = os_page_size();
    /* Valgrind would complain of a page that nobody may read. */
    void *page = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool is_locked = true;

    if (page != MAP_FAILED) {
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
    return TOOLS_SPACE_IS_SCARCE ? true
                                 : space.rlim_cur != RLIM_INFINITY ||
                                       (locked.rlim_cur != RLIM_INFINITY && is_locked());
}

void *os_reserve(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, size, PROT_NONE, flags, -1, 0);

    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (size > DUMPED_MAX_SIZE) {
        os_set_dumped(memory, size, false);
    }
    return memory;
}

bool os_commit(void *pages, size_t size, size_t memory_size)
{
    if (mprotect(pages, size, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    if (memory_size > DUMPED_MAX_SIZE) {
        os_set_dumped(pages, size, true);
    }
    return true;
}

void os_release(void *memory, size_t size)
{
    munmap(memory, size);
}

bool os_resident(const void *pages, size_t count, unsigned char *is_resident)
{
    if (mincore((void *)(uintptr_t)pages, count * os_page_size(), (void *)is_resident) != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        is_resident[i] &= 1;
    }
    return true;
}

static void write_all(const char *text, size_t size)
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

/* Where nobody reads a pipe any more, SIGPIPE would end the process before abort() does. It is
 * blocked for the calling thread: systems with threads have sigprocmask mean no other, and older C
 * libraries have no pthread_sigmask without a library of threads. */
void os_write_report(const char *text, size_t size)
{
    sigset_t sigpipe, before, was_pending, is_pending;
    int signal;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    sigpending(&was_pending);
    sigprocmask(SIG_BLOCK, &sigpipe, &before);
    write_all(text, size);
    sigpending(&is_pending);
    if (sigismember(&is_pending, SIGPIPE) && !sigismember(&was_pending, SIGPIPE)) {
        sigwait(&sigpipe, &signal);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

const char *os_symbol(const void *address, uintptr_t *start)
{
    Dl_info info;

    if (dladdr(address, &info) == 0) {
        return NULL;
    }
    *start = (uintptr_t)(info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase);
    return info.dli_sname != NULL ? info.dli_sname : info.dli_fname;
}

#endif
