/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_OS_H
#define CORK_MEMPOOL_OS_H

/*
 * OS: all that the library asks the system for. Address space, with pages committed one by one;
 * pieces of the heap; and what reports, seeds and options need. os_posix.c is Linux and macOS;
 * os_none.c, for CORK_MEMPOOL_NO_OS_MEMORY, is no system: it refuses every request. errno is the
 * caller's to keep.
 */

#include "internal.h"
#include "libcork/core/mempool_options.h"

/* os_heap is the heap, which aligns as malloc does, whatever it is asked for. */
extern const struct cork_mempool_source os_heap INTERNAL(os_heap);

/* os_page_size returns the unit of os_commit; a power of two. */
size_t os_page_size(void) INTERNAL(os_page_size);

/* os_is_scarce says whether address space is limited, or counts as locked memory, of which there is
 * a limit; so that little should be reserved. */
bool os_is_scarce(void) INTERNAL(os_is_scarce);

/* os_reserve returns size bytes of address space that nobody may touch, or NULL. They are left out
 * of core dumps until they are committed. */
void *os_reserve(size_t size) INTERNAL(os_reserve);

/* os_commit makes whole pages of a reservation usable, for good; those that are stay so. */
bool os_commit(void *pages, size_t size) INTERNAL(os_commit);

/* os_advise tells the system about whole pages. Returns: false where it does not listen. */
enum os_advice {
    OS_PURGE,         /* give their memory back; what is committed reads as zeros from then on */
    OS_GUARD,         /* let nobody touch them, though they are committed with others later */
    OS_NO_HUGE_PAGES, /* make no huge pages of them */
    OS_NO_DUMP,       /* leave them out of core dumps; for os_posix.c, as is the next */
    OS_DUMP,          /* or not */
};
bool os_advise(void *pages, size_t size, enum os_advice advice) INTERNAL(os_advise);

/* os_resident tells of each of so many pages, by bit 0, whether it is in memory. Returns: false
 * where the system does not tell. */
bool os_resident(const void *pages, size_t count, unsigned char *is_resident) INTERNAL(os_resident);

/* os_release gives a whole reservation back. */
void os_release(void *memory, size_t size) INTERNAL(os_release);

/* os_random_word returns what differs from process to process, also after fork, and from time to
 * time; or 0. */
uint64_t os_random_word(void) INTERNAL(os_random_word);

/* os_environment returns a variable of the environment, or NULL; always NULL in a program that runs
 * with another user's rights. */
const char *os_environment(const char *name) INTERNAL(os_environment);

/* os_write_report writes a line of a report, newline included. */
void os_write_report(const char *text, size_t size) INTERNAL(os_write_report);

/* os_symbol says what an address belongs to: a function, or where that is not known a file.
 * Returns: its name, or NULL; *start is where it starts. */
const char *os_symbol(const void *address, uintptr_t *start) INTERNAL(os_symbol);

#endif /* CORK_MEMPOOL_OS_H */
