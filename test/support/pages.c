/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A machine with larger pages, as far as a program sees it: mappings begin at such a page and end
 * with one, and what is about part of a page is refused, or as with munmap, done to all of it. It
 * stands in the place of the C library's functions, behind all that tests put before them; sysconf
 * by -Wl,--wrap=sysconf. tools/cross links it with the tests, and defines SIMULATED_PAGE_SIZE.
 */

#define _GNU_SOURCE 1 /* syscall, MAP_ANONYMOUS */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((size_t)SIMULATED_PAGE_SIZE)

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
    return name == _SC_PAGESIZE ? (long)PAGE : __real_sysconf(name);
}

static size_t whole_pages(size_t size)
{
    return (size + PAGE - 1) & ~(PAGE - 1);
}

static int is_page(const void *address)
{
    return (uintptr_t)address % PAGE == 0;
}

static int refuse(void)
{
    errno = EINVAL;
    return -1;
}

/* What is too much at both ends is unmapped again. Nobody here asks for an address. What the system
 * refuses by itself is left to it. */
void *mmap(void *hint, size_t size, int access, int flags, int file, off_t offset)
{
    const size_t needed = whole_pages(size);
    const size_t taken = needed + PAGE;

    if (file != -1 || size == 0 || taken < size) {
        return (void *)syscall(SYS_mmap, hint, size, access, flags, file, offset);
    }
    char *memory = (void *)syscall(SYS_mmap, hint, taken, access, flags, file, offset);
    if (memory == MAP_FAILED) {
        return MAP_FAILED;
    }
    const size_t before = whole_pages((uintptr_t)memory) - (uintptr_t)memory;
    if (before > 0) {
        syscall(SYS_munmap, memory, before);
    }
    if (before < PAGE) {
        syscall(SYS_munmap, memory + before + needed, PAGE - before);
    }
    return memory + before;
}

#define OF_WHOLE_PAGES(memory, ...) is_page(memory) ? (int)syscall(__VA_ARGS__) : refuse()

int munmap(void *memory, size_t size)
{
    return OF_WHOLE_PAGES(memory, SYS_munmap, memory, whole_pages(size));
}

int mprotect(void *memory, size_t size, int access)
{
    return OF_WHOLE_PAGES(memory, SYS_mprotect, memory, whole_pages(size), access);
}

int madvise(void *memory, size_t size, int advice)
{
    return OF_WHOLE_PAGES(memory, SYS_madvise, memory, whole_pages(size), advice);
}

/* A page is resident where any of the smaller ones is that it consists of. */
int mincore(void *memory, size_t size, unsigned char *is_resident)
{
    static unsigned char parts[PAGE / 4096];

    if (!is_page(memory)) {
        return refuse();
    }
    for (size_t i = 0; i < whole_pages(size) / PAGE; i++) {
        if (syscall(SYS_mincore, (char *)memory + i * PAGE, PAGE, parts) != 0) {
            return -1;
        }
        is_resident[i] = 0;
        for (size_t j = 0; j < sizeof(parts); j++) {
            is_resident[i] |= parts[j] & 1;
        }
    }
    return 0;
}
