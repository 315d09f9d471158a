/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* MADV_... */

#include "requests.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

struct requests requests;

/* Only where this is true is anything written: threads may use their pools side by side. */
static bool are_counted;
static int refused_kinds;
static enum refusal refusal;
static size_t limit;
static size_t seen_count;
static uintptr_t newest_mapping;
static size_t newest_size;

void requests_start(void)
{
    requests_start_lacking(0);
}

void requests_start_lacking(int what)
{
    requests = (struct requests){.lacks = what};
    requests_refuse(0, REFUSE_FROM, 0);
    newest_size = 0;
    are_counted = true;
}

void requests_refuse(int kinds, enum refusal how, size_t n)
{
    refused_kinds = kinds;
    refusal = how;
    limit = n;
    seen_count = 0;
}

bool requests_reached(void)
{
    return seen_count >= limit;
}

void requests_stop(void)
{
    are_counted = false;
}

static bool lacks(int what)
{
    return are_counted && (requests.lacks & what) != 0;
}

static void report_request(void)
{
    static const char line[] = "a request for memory\n";

    if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0) {
        _exit(1);
    }
}

static bool is_chosen(int kind, size_t size)
{
    if (lacks(kind == MAPPINGS ? NO_MAPPINGS : kind == HEAP ? NO_HEAP : 0)) {
        return true;
    }
    if ((kind & refused_kinds) == 0) {
        return false;
    }
    seen_count++;
    switch (refusal) {
    case REFUSE_NUMBER:
        return seen_count == limit;
    case REFUSE_FROM:
        return seen_count >= limit;
    case REFUSE_LARGER:
        return size > limit;
    default:
        report_request();
        return false;
    }
}

/* Counts a request and says whether to refuse it, with an errno that is not the pool's. */
static bool is_refused(int kind, size_t size, int odd_errno)
{
    if (!are_counted) {
        return false;
    }
    requests.count++;
    requests.system_count += kind != HEAP;
    if (!is_chosen(kind, size)) {
        return false;
    }
    requests.refused_count++;
    errno = odd_errno;
    return true;
}

static void *taken(void *memory)
{
    if (are_counted) {
        requests.heap_count += memory != NULL;
        requests.refused_count += memory == NULL;
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

    if (are_counted && resource == RLIMIT_MEMLOCK && (requests.lacks & NO_LOCK_LIMIT) != 0) {
        found->rlim_cur = RLIM_INFINITY;
    }
    return result;
}

WRAP(void *, malloc, (size_t size))
{
    return is_refused(HEAP, size, EAGAIN) ? NULL : taken(__real_malloc(size));
}

WRAP(void *, calloc, (size_t count, size_t size))
{
    return is_refused(HEAP, count * size, EAGAIN) ? NULL : taken(__real_calloc(count, size));
}

WRAP(void *, aligned_alloc, (size_t alignment, size_t size))
{
    return is_refused(HEAP, size, EAGAIN) ? NULL : taken(__real_aligned_alloc(alignment, size));
}

WRAP(void, free, (void *memory))
{
    const bool is_counted = are_counted && memory != NULL;

    __real_free(memory);
    if (is_counted) {
        requests.heap_count--;
        /* As POSIX allowed it until 2024. */
        errno = EAGAIN;
    }
}

WRAP(void *, mmap, (void *hint, size_t size, int access, int flags, int file, off_t offset))
{
    void *memory;

    if (is_refused(MAPPINGS, size, EAGAIN)) {
        return MAP_FAILED;
    }
    memory = __real_mmap(hint, size, access, flags, file, offset);
    if (are_counted && memory == MAP_FAILED) {
        requests.refused_count++;
    } else if (are_counted) {
        requests.mapped_size += size;
        newest_mapping = (uintptr_t)memory;
        newest_size = size;
    }
    return memory;
}

/* The first and the last page of a mapping are guards. */
static bool is_inside_newest(const void *memory, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t offset = (uintptr_t)memory - newest_mapping;

    return newest_size > 2 * page && offset >= page && offset <= newest_size - page &&
           size <= newest_size - page - offset;
}

WRAP(int, munmap, (void *memory, size_t size))
{
    const int result = __real_munmap(memory, size);

    if (are_counted && result == 0) {
        requests.mapped_size -= size;
    }
    return result;
}

WRAP(int, mprotect, (void *memory, size_t size, int access))
{
    int result;

    if (is_refused(COMMITS, size, EACCES)) {
        return -1;
    }
    result = __real_mprotect(memory, size, access);
    if (are_counted) {
        requests.refused_count += result != 0;
        requests.stray_count += !is_inside_newest(memory, size);
    }
    return result;
}

WRAP(int, mincore, (void *memory, size_t size, unsigned char *is_resident))
{
    if (lacks(NO_RESIDENCY)) {
        errno = EPERM;
        return -1;
    }
    return __real_mincore(memory, size, is_resident);
}

WRAP(int, madvise, (void *memory, size_t size, int advice))
{
    const bool is_whole = (uintptr_t)memory == newest_mapping && size == newest_size;
    int result;

    if (!are_counted) {
        return __real_madvise(memory, size, advice);
    }
    requests.advice_count++;
    if (lacks(NO_EFFECT)) {
        return 0;
    }
    if (lacks(advice == ADVICE_GUARD ? NO_GUARDS : NO_ADVICE)) {
        errno = EINVAL;
        return -1;
    }
    result = __real_madvise(memory, size, advice);
    requests.small_size += advice == MADV_NOHUGEPAGE ? size : 0;
    requests.discard_size += advice == MADV_DONTNEED ? size : 0;
    requests.guard_size += advice == ADVICE_GUARD && result == 0 ? size : 0;
    requests.undumped_size += advice == MADV_DONTDUMP ? size : 0;
    requests.undumped_size -= advice == MADV_DODUMP ? size : 0;
    /* What is asked about no memory at all is a question. */
    requests.stray_count += (memory != NULL || size != 0) &&
                            !(advice == MADV_DONTDUMP && is_whole) &&
                            !is_inside_newest(memory, size);
    return result;
}
