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
static bool mappings_are_refused;
static bool guards_are_refused;
static bool advice_is_ignored;
static bool advice_is_refused;
static bool residency_is_hidden;
static bool all_may_be_locked;
static uintptr_t newest_mapping;
static size_t newest_size;

void requests_start(void)
{
    requests = (struct requests){.count = 0};
    requests_refuse(0, REFUSE_FROM, 0);
    mappings_are_refused = false;
    guards_are_refused = false;
    advice_is_ignored = false;
    advice_is_refused = false;
    residency_is_hidden = false;
    all_may_be_locked = false;
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

void requests_refuse_mappings(void)
{
    mappings_are_refused = true;
}

void requests_refuse_guards(void)
{
    guards_are_refused = true;
}

void requests_hide_residency(void)
{
    residency_is_hidden = true;
}

void requests_refuse_advice(void)
{
    advice_is_refused = true;
}

void requests_ignore_advice(void)
{
    advice_is_ignored = true;
}

void requests_let_all_be_locked(void)
{
    all_may_be_locked = true;
}

bool requests_reached(void)
{
    return seen_count >= limit;
}

void requests_stop(void)
{
    are_counted = false;
}

static void report_request(void)
{
    static const char line[] = "a request for memory\n";

    if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0) {
        _exit(1);
    }
}

/* Counts a request and says whether to refuse it, with an errno that is not the pool's. */
static bool is_refused(int kind, size_t size, int odd_errno)
{
    bool refused = false;

    if (!are_counted) {
        return false;
    }
    requests.count++;
    requests.system_count += kind != HEAP;
    if (kind == MAPPINGS && mappings_are_refused) {
        requests.refused_count++;
        errno = odd_errno;
        return true;
    }
    if ((kind & refused_kinds) == 0) {
        return false;
    }
    seen_count++;
    switch (refusal) {
    case REFUSE_NUMBER:
        refused = seen_count == limit;
        break;
    case REFUSE_FROM:
        refused = seen_count >= limit;
        break;
    case REFUSE_LARGER:
        refused = size > limit;
        break;
    case REPORT_ALL:
        report_request();
        break;
    }
    if (refused) {
        requests.refused_count++;
        errno = odd_errno;
    }
    return refused;
}

static void *taken(void *memory)
{
    if (are_counted) {
        requests.heap_count += memory != NULL;
        requests.refused_count += memory == NULL;
    }
    return memory;
}

/* The names are the linker's. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
void *__real_mmap(void *hint, size_t size, int access, int flags, int file, off_t offset);
int __real_munmap(void *memory, size_t size);
int __real_mprotect(void *memory, size_t size, int access);
int __real_madvise(void *memory, size_t size, int advice);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
void *__wrap_mmap(void *hint, size_t size, int access, int flags, int file, off_t offset);
int __wrap_munmap(void *memory, size_t size);
int __wrap_mprotect(void *memory, size_t size, int access);
int __wrap_madvise(void *memory, size_t size, int advice);
int __real_getrlimit(int resource, struct rlimit *found);
int __wrap_getrlimit(int resource, struct rlimit *found);

/* MemorySanitizer asks before it is initialized. */
#if defined(__clang__)
__attribute__((disable_sanitizer_instrumentation))
#endif
int __wrap_getrlimit(int resource, struct rlimit *found)
{
    const int result = __real_getrlimit(resource, found);

    if (are_counted && all_may_be_locked && resource == RLIMIT_MEMLOCK) {
        found->rlim_cur = RLIM_INFINITY;
    }
    return result;
}

void *__wrap_malloc(size_t size)
{
    return is_refused(HEAP, size, EAGAIN) ? NULL : taken(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused(HEAP, count * size, EAGAIN) ? NULL : taken(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_refused(HEAP, size, EAGAIN) ? NULL : taken(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *memory)
{
    const bool is_counted = are_counted && memory != NULL;

    __real_free(memory);
    if (is_counted) {
        requests.heap_count--;
        /* As POSIX allowed it until 2024. */
        errno = EAGAIN;
    }
}

void *__wrap_mmap(void *hint, size_t size, int access, int flags, int file, off_t offset)
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

int __wrap_munmap(void *memory, size_t size)
{
    const int result = __real_munmap(memory, size);

    if (are_counted && result == 0) {
        requests.mapped_size -= size;
    }
    return result;
}

int __wrap_mprotect(void *memory, size_t size, int access)
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

int __real_mincore(void *memory, size_t size, unsigned char *is_resident);
int __wrap_mincore(void *memory, size_t size, unsigned char *is_resident);

int __wrap_mincore(void *memory, size_t size, unsigned char *is_resident)
{
    if (are_counted && residency_is_hidden) {
        errno = EPERM;
        return -1;
    }
    return __real_mincore(memory, size, is_resident);
}

static bool is_refused_advice(int advice)
{
    return advice == ADVICE_GUARD ? guards_are_refused : advice_is_refused;
}

int __wrap_madvise(void *memory, size_t size, int advice)
{
    const bool is_whole = (uintptr_t)memory == newest_mapping && size == newest_size;
    int result;

    if (are_counted) {
        requests.advice_count++;
    }
    if (are_counted && advice_is_ignored) {
        return 0;
    }
    if (are_counted && is_refused_advice(advice)) {
        errno = EINVAL;
        return -1;
    }
    result = __real_madvise(memory, size, advice);
    if (are_counted) {
        requests.small_size += advice == MADV_NOHUGEPAGE ? size : 0;
        requests.discard_size += advice == MADV_DONTNEED ? size : 0;
        requests.guard_size += advice == ADVICE_GUARD && result == 0 ? size : 0;
        requests.undumped_size += advice == MADV_DONTDUMP ? size : 0;
        requests.undumped_size -= advice == MADV_DODUMP ? size : 0;
        /* What is asked about no memory at all is a question. */
        requests.stray_count += (memory != NULL || size != 0) &&
                                !(advice == MADV_DONTDUMP && is_whole) &&
                                !is_inside_newest(memory, size);
    }
    return result;
}
