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

/* What a page of the simulated memory is. A hidden page is poisoned, reads as zero when it is made
 * accessible, and needs nothing of the kernel for that; an untouched one is the kernel's. */
enum page { PAGE_UNTOUCHED, PAGE_HIDDEN, PAGE_ACCESSIBLE };

/* The simulated memory consists of spaces of one size, each for one mapping. */
static struct {
    uint8_t *start;            /* NULL until the first request */
    size_t sizes[SPACE_COUNT]; /* of the mapping in a space; 0: the space is free */
    size_t ends[SPACE_COUNT];  /* no page from here on is accessible */
    size_t mprotect_count;     /* calls of the kernel */
    uint8_t pages[IS_SIMULATED ? SPACE_COUNT * SPACE_PAGES : 1];
} simulated;

static bool is_simulated(const void *address)
{
    return IS_SIMULATED && simulated.start != NULL &&
           (uintptr_t)address - (uintptr_t)simulated.start < SPACE_COUNT * SPACE_SIZE;
}

/* Takes all memory anew from the kernel, which may refuse. */
static void start_simulation(void)
{
    const int flags =
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (simulated.start != NULL ? MAP_FIXED : 0);
    void *start = __real_mmap(simulated.start, SPACE_COUNT * SPACE_SIZE, PROT_NONE, flags, -1, 0);
    simulated.start = start != MAP_FAILED ? start : NULL;
    simulated.mprotect_count = 0;
    memset(simulated.pages, PAGE_UNTOUCHED, sizeof(simulated.pages));
}

/* Returns: NULL where there is no room. */
static void *simulated_mmap(size_t size)
{
    if (simulated.start == NULL && sysconf(_SC_PAGESIZE) == (long)PAGE) {
        start_simulation();
    }
    for (size_t i = 0; i < SPACE_COUNT && simulated.start != NULL && size <= SPACE_SIZE; i++) {
        if (simulated.sizes[i] == 0) {
            simulated.sizes[i] = size;
            simulated.ends[i] = 0;
            return simulated.start + i * SPACE_SIZE;
        }
    }
    return NULL;
}

/* Only makes accessible. */
static int simulated_mprotect(uint8_t *address, size_t size)
{
    const size_t space = (size_t)(address - simulated.start) / SPACE_SIZE;
    const size_t offset = (size_t)(address - simulated.start) % SPACE_SIZE;
    const size_t count = (size + PAGE - 1) / PAGE;
    uint8_t *pages = &simulated.pages[space * SPACE_PAGES + offset / PAGE];
    if (offset % PAGE != 0 || offset > simulated.sizes[space] ||
        size > simulated.sizes[space] - offset) {
        errno = offset % PAGE != 0 ? EINVAL : ENOMEM;
        return -1;
    }
    if (memchr(pages, PAGE_UNTOUCHED, count) != NULL) {
        simulated.mprotect_count++;
        if (__real_mprotect(address, size, PROT_READ | PROT_WRITE) != 0) {
            return -1;
        }
    }
    memset(pages, PAGE_ACCESSIBLE, count);
    if (simulated.ends[space] < offset / PAGE + count) {
        simulated.ends[space] = offset / PAGE + count;
    }
    __asan_unpoison_memory_region(address, count * PAGE);
    return 0;
}

/* Clears what is not zero: the kernel knows which of many pages have ever been touched. */
static void hide(uint8_t *pages, size_t count)
{
    static unsigned char is_touched[IS_SIMULATED ? SPACE_PAGES : 1];
    uint8_t *address = simulated.start + (size_t)(pages - simulated.pages) * PAGE;
    bool is_known = count > 2 && __real_mincore(address, count * PAGE, is_touched) == 0;
    __asan_unpoison_memory_region(address, count * PAGE);
    for (size_t i = 0; i < count; i++) {
        if (!is_known || is_touched[i]) {
            memset(address + i * PAGE, 0, PAGE);
        }
    }
    __asan_poison_memory_region(address, count * PAGE);
    memset(pages, PAGE_HIDDEN, count);
}

/* Takes back whole mappings only. */
static int simulated_munmap(uint8_t *address, size_t size)
{
    const size_t space = (size_t)(address - simulated.start) / SPACE_SIZE;
    uint8_t *pages = &simulated.pages[space * SPACE_PAGES];
    uint8_t *end = pages + simulated.ends[space];
    if (address != simulated.start + space * SPACE_SIZE || size != simulated.sizes[space]) {
        errno = EINVAL;
        return -1;
    }
    while ((pages = memchr(pages, PAGE_ACCESSIBLE, (size_t)(end - pages))) != NULL) {
        size_t count = 1;
        while (pages + count < end && pages[count] == PAGE_ACCESSIBLE) {
            count++;
        }
        hide(pages, count);
        pages += count;
    }
    simulated.sizes[space] = 0;
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

void memory_start(void)
{
    /* Each of these calls may cost a mapping for good, of which Linux allows 65,530. */
    if (simulated.mprotect_count > 8192) {
        start_simulation();
    }
}

/* Counts a request; largest: 0, or what may be asked for. Returns: whether it is refused. */
static bool is_refused(size_t size, size_t largest)
{
    if (current == NULL) {
        return false;
    }
    const size_t number = ++current->request_count;
    if (number != current->failing_request && (largest == 0 || size <= largest) &&
        (current->failing_mask >> number % 64 & 1) == 0) {
        return false;
    }
    current->refusal_count++;
    errno = ENOMEM;
    return true;
}

static bool is_heap_refused(size_t size)
{
    return is_refused(size, current != NULL ? current->largest_allocation : 0);
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
    if (is_refused(0, 0)) {
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

/* What is hidden is resident, but not the program's. */
WRAP(int, mincore, (void *address, size_t size, unsigned char *is_resident))
{
    const int result = __real_mincore(address, size, is_resident);
    for (size_t i = 0; is_simulated(address) && result == 0 && i * PAGE < size; i++) {
        const size_t page = ((size_t)((uint8_t *)address - simulated.start) / PAGE) + i;
        is_resident[i] &= simulated.pages[page] == PAGE_ACCESSIBLE;
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
