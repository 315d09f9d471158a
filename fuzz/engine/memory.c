/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS, MAP_NORESERVE, mincore */

#include "memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "engine.h"
#include "test/support/requests.h"

#if !defined(__has_feature)
#define __has_feature(feature) 0
#endif

#if (defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)) && SIZE_MAX > UINT32_MAX
#include <sanitizer/asan_interface.h>
#define IS_SIMULATED 1
#else
#define IS_SIMULATED                                 0
#define __asan_poison_memory_region(address, size)   ((void)(address), (void)(size))
#define __asan_unpoison_memory_region(address, size) ((void)(address), (void)(size))
#endif

ENGINE_BEGIN

void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __real_mprotect(void *address, size_t size, int protection);
int __real_madvise(void *address, size_t size, int advice);
int __real_mincore(void *address, size_t size, unsigned char *is_resident);

#define PAGE        ((size_t)4096)
#define SPACE_COUNT 32
#define SPACE_PAGES ((size_t)(UINT32_C(1) << 19))
#define SPACE_SIZE  (PAGE * SPACE_PAGES)

/* The simulated memory consists of spaces of one size, each for one mapping. To the kernel, a space
 * is accessible up to where any of its mappings ever was. */
static uint8_t *simulated; /* NULL until the start */
static struct space {
    size_t size;       /* of its mapping; 0: it is free */
    size_t end;        /* no page of the mapping is accessible from here on */
    size_t opened_end; /* to the kernel, no page is */
} spaces[SPACE_COUNT];
static bool is_accessible[IS_SIMULATED ? SPACE_COUNT * SPACE_PAGES : 1];

static bool is_simulated(const void *address)
{
    return (uintptr_t)address - (uintptr_t)simulated < SPACE_COUNT * SPACE_SIZE;
}

static size_t page_of(const uint8_t *address)
{
    return (size_t)(address - simulated) / PAGE;
}

/* The kernel serves what is no reservation, and where no space is free. */
static void *simulated_mmap(void *hint, size_t size, int protection, int flags, int file,
                            off_t offset)
{
    const bool is_reservation = hint == NULL && protection == PROT_NONE && size <= SPACE_SIZE;
    for (size_t i = 0; is_reservation && i < SPACE_COUNT; i++) {
        if (spaces[i].size == 0) {
            spaces[i].size = size;
            return simulated + i * SPACE_SIZE;
        }
    }
    return __real_mmap(hint, size, protection, flags, file, offset);
}

/* Only makes accessible. What it opens on the way to that is poisoned. */
static int simulated_mprotect(void *memory, size_t size, int protection)
{
    if (!is_simulated(memory)) {
        return __real_mprotect(memory, size, protection);
    }
    uint8_t *address = memory;
    struct space *space = &spaces[page_of(address) / SPACE_PAGES];
    const size_t offset = (size_t)(address - simulated) % SPACE_SIZE;
    const size_t end = offset + (size + PAGE - 1) / PAGE * PAGE;
    uint8_t *opened = address - offset + space->opened_end;
    if (offset % PAGE != 0 || offset > space->size || size > space->size - offset) {
        errno = EINVAL;
        return -1;
    }
    if (end > space->opened_end) {
        const size_t more = end - space->opened_end;
        if (__real_mprotect(opened, more, PROT_READ | PROT_WRITE) != 0) {
            return -1;
        }
        __asan_poison_memory_region(opened, more);
        space->opened_end = end;
    }
    memset(&is_accessible[page_of(address)], true, (end - offset) / PAGE);
    __asan_unpoison_memory_region(address, end - offset);
    space->end = space->end > end ? space->end : end;
    return 0;
}

/* Takes back whole mappings only. Clears what is not zero: the kernel knows which of many pages
 * have ever been touched. */
static int simulated_munmap(void *memory, size_t size)
{
    if (!is_simulated(memory)) {
        return __real_munmap(memory, size);
    }
    static unsigned char is_touched[IS_SIMULATED ? SPACE_PAGES : 1];
    uint8_t *address = memory;
    const size_t first = page_of(address);
    struct space *space = &spaces[first / SPACE_PAGES];
    if (first % SPACE_PAGES != 0 || size != space->size) {
        errno = EINVAL;
        return -1;
    }
    const bool is_known =
        space->end > 2 * PAGE && __real_mincore(address, space->end, is_touched) == 0;
    for (size_t i = 0; i < space->end / PAGE; i++) {
        if (is_accessible[first + i] && (!is_known || is_touched[i])) {
            __asan_unpoison_memory_region(address + i * PAGE, PAGE);
            memset(address + i * PAGE, 0, PAGE);
        }
    }
    __asan_poison_memory_region(address, space->end);
    memset(&is_accessible[first], false, space->end / PAGE);
    space->size = 0;
    space->end = 0;
    return 0;
}

/* Wishes for pages would stay where another mapping is simulated next. */
static int simulated_madvise(void *address, size_t size, int advice)
{
    if (is_simulated(address) && advice != MADV_DONTNEED) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(address, size, advice);
}

/* What an earlier mapping used is resident, but not this one's. */
static int simulated_mincore(void *address, size_t size, unsigned char *is_resident)
{
    const int result = __real_mincore(address, size, is_resident);
    for (size_t i = 0; is_simulated(address) && result == 0 && i * PAGE < size; i++) {
        is_resident[i] &= is_accessible[page_of(address) + i];
    }
    return result;
}

void memory_start(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (IS_SIMULATED && simulated == NULL && sysconf(_SC_PAGESIZE) == (long)PAGE) {
        void *start = __real_mmap(NULL, SPACE_COUNT * SPACE_SIZE, PROT_NONE, flags, -1, 0);
        if (start != MAP_FAILED) {
            simulated = start;
            requests_system =
                (struct requests_system){simulated_mmap, simulated_munmap, simulated_mprotect,
                                         simulated_madvise, simulated_mincore};
        }
    }
}

#if IS_SIMULATED
/* Freed memory is soon used again, which saves page faults; what is too much is refused, not a
 * failure of who asked. ASAN_OPTIONS has the last word. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:"
           "quarantine_size_mb=1:thread_local_quarantine_size_kb=64";
}
#endif

ENGINE_END
