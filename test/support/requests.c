/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* MADV_... */

#include "requests.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* A fuzzer is led by what it reaches in the pool alone. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)
#endif

struct requests requests;

/* Only where there is one is anything written: threads may use their pools side by side. */
static struct requests *current;

void requests_count(struct requests *account)
{
    current = account;
}

void requests_start(void)
{
    requests_start_lacking(0);
}

void requests_start_lacking(int what)
{
    requests = (struct requests){.lacks = what};
    requests_count(&requests);
}

void requests_stop(void)
{
    requests_count(NULL);
}

void requests_refuse(int kinds, enum refused how, size_t n)
{
    requests.numbered_kinds = how == REFUSE_LARGER ? 0 : kinds;
    requests.number = 0;
    requests.first = n;
    requests.last = how == REFUSE_FROM ? SIZE_MAX : how == REFUSE_NUMBER ? n : 0;
    requests.limited_kinds = how == REFUSE_LARGER ? kinds : 0;
    requests.limit = n;
    requests.are_told = how == REPORT_ALL;
}

bool requests_reached(void)
{
    return requests.number >= requests.first;
}

static bool lacks(int what)
{
    return current != NULL && (current->lacks & what) != 0;
}

/* Counts a request and says whether to refuse it, with an errno that is not the pool's. */
static bool is_refused(int kind, size_t size, int odd_errno)
{
    static const char line[] = "a request for memory\n";
    bool is_refused;

    if (current == NULL) {
        return false;
    }
    current->count++;
    current->system_count += kind != HEAP;
    is_refused = lacks(kind) || ((kind & current->limited_kinds) != 0 && size > current->limit);
    if ((kind & current->numbered_kinds) != 0) {
        const size_t number = ++current->number;

        is_refused = is_refused || (number >= current->first && number <= current->last) ||
                     (current->mask >> number % 64 & 1) != 0;
        if (current->are_told && write(STDERR_FILENO, line, sizeof(line) - 1) < 0) {
            _exit(1);
        }
    }
    if (is_refused) {
        current->refused_count++;
        errno = odd_errno;
    }
    return is_refused;
}

static void *taken(void *memory, size_t size)
{
    if (current != NULL) {
        current->heap_count += memory != NULL;
        current->heap_size += memory != NULL ? size : 0;
        current->refused_count += memory == NULL;
    }
    return memory;
}

/* The linker's names: who calls name gets __wrap_name, and __real_name is name. */
#define WRAP(result, name, parameters)                                                             \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters

/* Sanitizers ask before they are initialized. */
#if defined(__clang__)
__attribute__((disable_sanitizer_instrumentation))
#endif
int __wrap_getrlimit(int resource, struct rlimit *found);

WRAP(int, getrlimit, (int resource, struct rlimit *found))
{
    const int result = __real_getrlimit(resource, found);

    if (resource == RLIMIT_MEMLOCK && lacks(NO_LOCK_LIMIT)) {
        found->rlim_cur = RLIM_INFINITY;
    }
    return result;
}

WRAP(void *, malloc, (size_t size))
{
    return is_refused(HEAP, size, EAGAIN) ? NULL : taken(__real_malloc(size), size);
}

WRAP(void *, calloc, (size_t count, size_t size))
{
    return is_refused(HEAP, count * size, EAGAIN) ? NULL
                                                  : taken(__real_calloc(count, size), count * size);
}

WRAP(void *, aligned_alloc, (size_t alignment, size_t size))
{
    return is_refused(HEAP, size > alignment ? size : alignment, EAGAIN)
               ? NULL
               : taken(__real_aligned_alloc(alignment, size), size);
}

WRAP(void, free, (void *memory))
{
    const bool is_counted = current != NULL && memory != NULL;

    __real_free(memory);
    if (is_counted) {
        current->heap_count--;
        /* As POSIX allowed it until 2024. */
        errno = EAGAIN;
    }
}

WRAP(void *, mmap, (void *hint, size_t size, int access, int flags, int file, off_t offset))
{
    void *memory;

    if (current == NULL) {
        return __real_mmap(hint, size, access, flags, file, offset);
    }
    if (is_refused(MAPPINGS, size, EAGAIN)) {
        return MAP_FAILED;
    }
    memory = requests_system.mmap(hint, size, access, flags, file, offset);
    if (memory == MAP_FAILED) {
        current->refused_count++;
    } else {
        current->mapped_size += size;
        current->newest = (uintptr_t)memory;
        current->newest_size = size;
    }
    return memory;
}

WRAP(int, munmap, (void *memory, size_t size))
{
    const int result = requests_system.munmap(memory, size);

    if (current != NULL && result == 0) {
        current->mapped_size -= size;
    }
    return result;
}

/* The first and the last page of a mapping are guards. */
static bool is_inside_newest(const void *memory, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t newest_size = current->newest_size;
    const uintptr_t offset = (uintptr_t)memory - current->newest;

    return newest_size > 2 * page && offset >= page && offset <= newest_size - page &&
           size <= newest_size - page - offset;
}

WRAP(int, mprotect, (void *memory, size_t size, int access))
{
    int result;

    if (is_refused(COMMITS, size, EACCES)) {
        return -1;
    }
    result = requests_system.mprotect(memory, size, access);
    if (current != NULL) {
        current->refused_count += result != 0;
        current->stray_count += !is_inside_newest(memory, size);
    }
    return result;
}

WRAP(int, mincore, (void *memory, size_t size, unsigned char *is_resident))
{
    if (lacks(NO_RESIDENCY)) {
        errno = EPERM;
        return -1;
    }
    return requests_system.mincore(memory, size, is_resident);
}

WRAP(int, madvise, (void *memory, size_t size, int advice))
{
    int result;

    if (current == NULL) {
        return requests_system.madvise(memory, size, advice);
    }
    current->advice_count++;
    if (lacks(NO_EFFECT)) {
        return 0;
    }
    const bool has_guards = current->guard_size >= 4 * (size_t)sysconf(_SC_PAGESIZE);
    if (lacks(advice != ADVICE_GUARD ? NO_ADVICE : has_guards ? FEW_GUARDS : NO_GUARDS)) {
        errno = EINVAL;
        return -1;
    }
    result = requests_system.madvise(memory, size, advice);
    current->small_size += advice == MADV_NOHUGEPAGE ? size : 0;
    current->discard_size += advice == MADV_DONTNEED ? size : 0;
    current->guard_size += advice == ADVICE_GUARD && result == 0 ? size : 0;
    current->undumped_size += advice == MADV_DONTDUMP ? size : 0;
    current->undumped_size -= advice == MADV_DODUMP ? size : 0;
    /* What is asked about no memory at all is a question. */
    current->stray_count += (memory != NULL || size != 0) && !is_inside_newest(memory, size) &&
                            !(advice == MADV_DONTDUMP && (uintptr_t)memory == current->newest &&
                              size == current->newest_size);
    return result;
}

struct requests_system requests_system = {__real_mmap, __real_munmap, __real_mprotect,
                                          __real_madvise, __real_mincore};

#if defined(__clang__)
#pragma clang attribute pop
#endif
