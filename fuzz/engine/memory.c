/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS, MAP_NORESERVE, mincore */

#include "memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "engine.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#endif

#if defined(HAS_ADDRESS_SANITIZER) && SIZE_MAX > UINT32_MAX
#include <sanitizer/asan_interface.h>
#define IS_SIMULATED 1
#else
#define IS_SIMULATED                                 0
#define __asan_poison_memory_region(address, size)   ((void)(address), (void)(size))
#define __asan_unpoison_memory_region(address, size) ((void)(address), (void)(size))
#endif

ENGINE_BEGIN

void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_mprotect(void *address, size_t size, int protection);
int __real_mincore(void *address, size_t size, unsigned char *is_resident);

#define ADVICE_GUARD 102 /* MADV_GUARD_INSTALL, which C libraries may not know */

#define PAGE        ((size_t)4096)
#define SPACE_COUNT 32
#define SPACE_PAGES ((size_t)(UINT32_C(1) << 19))
#define SPACE_SIZE  (PAGE * SPACE_PAGES)

/* The simulated memory consists of spaces of one size, each for one mapping. To the kernel, a space
 * is accessible up to where any of its mappings ever was. */
static uint8_t *simulated; /* NULL until the first request */
static struct space {
    size_t size;       /* of its mapping; 0: it is free */
    size_t end;        /* no page of the mapping is accessible from here on */
    size_t opened_end; /* to the kernel, no page is */
} spaces[SPACE_COUNT];
static bool is_accessible[IS_SIMULATED ? SPACE_COUNT * SPACE_PAGES : 1];

static bool is_simulated(const void *address)
{
    return simulated != NULL &&
           (uintptr_t)address - (uintptr_t)simulated < SPACE_COUNT * SPACE_SIZE;
}

static size_t page_of(const uint8_t *address)
{
    return (size_t)(address - simulated) / PAGE;
}

/* Returns: NULL where there is no room. */
static void *simulated_mmap(size_t size)
{
    if (simulated == NULL && sysconf(_SC_PAGESIZE) == (long)PAGE) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void *start = __real_mmap(NULL, SPACE_COUNT * SPACE_SIZE, PROT_NONE, flags, -1, 0);
        simulated = start != MAP_FAILED ? start : NULL;
    }
    for (size_t i = 0; i < SPACE_COUNT && simulated != NULL && size <= SPACE_SIZE; i++) {
        if (spaces[i].size == 0) {
            spaces[i].size = size;
            return simulated + i * SPACE_SIZE;
        }
    }
    return NULL;
}

/* Only makes accessible. What it opens on the way to that is poisoned. */
static int simulated_mprotect(uint8_t *address, size_t size)
{
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
static int simulated_munmap(uint8_t *address, size_t size)
{
    static unsigned char is_touched[IS_SIMULATED ? SPACE_PAGES : 1];
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

/* NULL: nobody counts. Only the thread that runs programs ever changes it. */
static struct memory_account *current;

void memory_enter(struct memory_account *account)
{
    current = account;
}

void memory_leave(void)
{
    current = NULL;
}

/* Counts a request of the current account. largest: 0, or what may be asked for. */
static bool is_refused(size_t size, size_t largest)
{
    const size_t number = ++current->request_count;
    if (current->is_granting ||
        (number != current->failing_request && (largest == 0 || size <= largest) &&
         (current->failing_mask >> number % 64 & 1) == 0)) {
        return false;
    }
    current->refusal_count++;
    errno = ENOMEM;
    return true;
}

static bool is_heap_refused(size_t size)
{
    return current != NULL && is_refused(size, current->largest_allocation);
}

static void *count_allocation(void *memory)
{
    if (current != NULL && memory != NULL) {
        current->heap_count++;
    }
    return memory;
}

/* The linker's names: who calls name gets __wrap_name, and __real_name is name. */
#define WRAP(result, name, parameters)                                                             \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters

WRAP(void *, mmap, (void *address, size_t size, int protection, int flags, int file, off_t offset))
{
    void *memory = NULL;
    if (current == NULL) {
        return __real_mmap(address, size, protection, flags, file, offset);
    }
    if (is_refused(size, current->largest_mapping)) {
        return MAP_FAILED;
    }
    if (IS_SIMULATED && address == NULL && protection == PROT_NONE) {
        memory = simulated_mmap(size);
    }
    if (memory == NULL) {
        memory = __real_mmap(address, size, protection, flags, file, offset);
    }
    current->mapped_size += memory != MAP_FAILED ? size : 0;
    return memory;
}

WRAP(int, mprotect, (void *address, size_t size, int protection))
{
    if (current != NULL && is_refused(0, 0)) {
        return -1;
    }
    return is_simulated(address) ? simulated_mprotect(address, size)
                                 : __real_mprotect(address, size, protection);
}

/* Guards change what is asked for, and not every kernel has them: a program must do the same
 * everywhere. Wishes for pages would stay where another mapping is simulated next. */
WRAP(int, madvise, (void *address, size_t size, int advice))
{
    if (advice == ADVICE_GUARD || (is_simulated(address) && advice != MADV_DONTNEED)) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(address, size, advice);
}

/* What an earlier mapping used is resident, but not this one's. */
WRAP(int, mincore, (void *address, size_t size, unsigned char *is_resident))
{
    const int result = __real_mincore(address, size, is_resident);
    for (size_t i = 0; is_simulated(address) && result == 0 && i * PAGE < size; i++) {
        is_resident[i] &= is_accessible[page_of(address) + i];
    }
    return result;
}

WRAP(int, munmap, (void *address, size_t size))
{
    int result =
        is_simulated(address) ? simulated_munmap(address, size) : __real_munmap(address, size);
    if (current != NULL && result == 0) {
        current->mapped_size -= size;
    }
    return result;
}

WRAP(void *, malloc, (size_t size))
{
    return is_heap_refused(size) ? NULL : count_allocation(__real_malloc(size));
}

WRAP(void *, aligned_alloc, (size_t alignment, size_t size))
{
    const size_t needed = size > alignment ? size : alignment;
    return is_heap_refused(needed) ? NULL : count_allocation(__real_aligned_alloc(alignment, size));
}

WRAP(void, free, (void *memory))
{
    __real_free(memory);
    if (current != NULL && memory != NULL) {
        current->heap_count--;
    }
}

ENGINE_END
