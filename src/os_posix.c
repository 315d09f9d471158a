/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE      1 /* MADV_..., mincore, dladdr, secure_getenv; and the like elsewhere */
#define _DARWIN_C_SOURCE 1

#include "os.h"

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bits.h"
#include "tools.h"

/* malloc and macOS do not need all arguments. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

static void *heap_acquire(void *source_data, size_t size, size_t alignment)
{
    return malloc(size);
}

static void heap_release(void *source_data, void *memory, size_t size)
{
    free(memory);
}

const struct cork_mempool_source os_heap = {.acquire = heap_acquire, .release = heap_release};

size_t os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool os_is_scarce(void)
{
    const size_t size = os_page_size();
    /* Readable, because Valgrind would complain otherwise. */
    void *page = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* mlockall(MCL_FUTURE) locks it: msync refuses to invalidate that (POSIX), or MAP_FAILED. */
    int state;
    /* msync is a cancellation point, but no function of the library is one. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    const bool is_locked = msync(page, size, MS_ASYNC | MS_INVALIDATE) != 0;
    pthread_setcancelstate(state, &state);
    /* If the system does not tell, there is a limit. */
    struct rlimit space = {.rlim_cur = 0};
    struct rlimit locked = {.rlim_cur = 0};

    munmap(page, size);
    getrlimit(RLIMIT_AS, &space);
    getrlimit(RLIMIT_MEMLOCK, &locked);
    return TOOLS_SPACE_IS_SCARCE
               ? true
               : space.rlim_cur != RLIM_INFINITY || (locked.rlim_cur != RLIM_INFINITY && is_locked);
}

void *os_reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return NULL;
    }
    /* Small ones may be in core dumps, because to keep them out takes a system call. */
    if (size > (size_t)256 * 1024) {
        os_advise(memory, size, OS_NO_DUMP);
    }
    if (TOOLS_SEEK_LEAKS) {
        __lsan_register_root_region(memory, size);
    }
    return memory;
}

bool os_commit(void *pages, size_t size)
{
    if (mprotect(pages, size, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    os_advise(pages, size, OS_DUMP);
    return true;
}

void os_release(void *memory, size_t size)
{
    if (TOOLS_SEEK_LEAKS) {
        __lsan_unregister_root_region(memory, size);
    }
    munmap(memory, size);
}

bool os_resident(const void *pages, size_t count, unsigned char *is_resident)
{
    return mincore((void *)(uintptr_t)pages, count * os_page_size(), (void *)is_resident) == 0;
}

void os_write_report(const char *text, size_t size)
{
    struct pollfd pipe = {.fd = STDERR_FILENO, .events = POLLOUT};
    sigset_t sigpipe, mask, before, after;
    int state, number;

    /* Neither a cancellation nor SIGPIPE may end the report, because abort() comes after it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &mask);
    sigpending(&before);
    for (int failures = 0; size > 0 && failures <= 10;) {
        const ssize_t written = write(STDERR_FILENO, text, size);

        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else {
            poll(&pipe, 1, 100); /* milliseconds, if a pipe is full and does not block */
            failures++;
        }
    }
    sigpending(&after);
    if (sigismember(&after, SIGPIPE) > sigismember(&before, SIGPIPE)) {
        sigwait(&sigpipe, &number);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    pthread_setcancelstate(state, &state);
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

#if defined(__linux__)
#include <sys/auxv.h>

bool os_advise(void *pages, size_t size, enum os_advice advice)
{
    /* 102 is MADV_GUARD_INSTALL of Linux 6.13, which is younger than most C libraries. */
    static const int advices[] = {[OS_PURGE] = MADV_DONTNEED,
                                  [OS_GUARD] = 102,
                                  [OS_NO_HUGE_PAGES] = MADV_NOHUGEPAGE,
                                  [OS_NO_DUMP] = MADV_DONTDUMP,
                                  [OS_DUMP] = MADV_DODUMP};
    /* LeakSanitizer would read guards, because they are in readable mappings. qemu-user accepts
     * every advice and ignores it: it is there if an advice that no kernel knows is accepted. */
    const bool is_in_vain =
        advice == OS_GUARD && (TOOLS_SEEK_LEAKS || madvise(NULL, 0, 0x7fff) == 0);

    return !is_in_vain && madvise(pages, size, advices[advice]) == 0;
}

uint64_t os_random_word(void)
{
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    struct timespec now = {.tv_nsec = 0};
    uint64_t words[2] = {0};

    if (bytes != NULL) {
        memcpy(words, bytes, sizeof(words));
    }
    /* Children of one process have the same bytes. The C library's guards of stacks and of pointers
     * are these words, so nobody who reads a report's seed may work them out. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    words[0] ^= bits_mix(words[1]) ^ bits_mix((uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec);
    return bits_mix(words[0]) ^ (uint64_t)getpid();
}

const char *os_environment(const char *name)
{
    return secure_getenv(name);
}

#else /* macOS */

/* madvise does not say here what purged pages read as, and cannot change core dumps. */
bool os_advise(void *pages, size_t size, enum os_advice advice)
{
    return false;
}

uint64_t os_random_word(void)
{
    return (uint64_t)arc4random() << 32 | arc4random();
}

const char *os_environment(const char *name)
{
    return issetugid() ? NULL : getenv(name);
}

#endif
#endif
