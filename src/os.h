/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_OS_H
#define CORK_MEMPOOL_OS_H

/*
 * OS: all that the library asks the system for. Address space, with pages committed one by one;
 * pieces of the heap; and what reports, seeds and options need. os_posix.c is what systems have in
 * common, os_linux.c and os_darwin.c what they have not; os_none.c, for CORK_MEMPOOL_NO_OS_MEMORY,
 * is no system: it refuses every request.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* os_commit makes whole pages of a reservation of memory_size bytes usable, for good; those that
 * are stay so. */
bool os_commit(void *pages, size_t size, size_t memory_size) INTERNAL(os_commit);

/* os_guard makes whole pages of a reservation inaccessible for good, though they are committed
 * together with others later. Returns: false where the system has no such guards. */
bool os_guard(void *pages, size_t size) INTERNAL(os_guard);

/* os_purge gives the memory of whole pages back, of which those that are committed read as zeros
 * from then on. Returns: false where the system refuses. */
bool os_purge(void *pages, size_t size) INTERNAL(os_purge);

/* os_set_dumped says whether whole pages are in core dumps. For os_posix.c. */
void os_set_dumped(void *pages, size_t size, bool are_dumped) INTERNAL(os_set_dumped);

/* os_resident tells of each of so many pages whether it is in memory: 1, or 0. Returns: false where
 * the system does not tell. */
bool os_resident(const void *pages, size_t count, unsigned char *is_resident) INTERNAL(os_resident);

/* os_no_huge_pages keeps the system from making huge pages of committed ones. */
void os_no_huge_pages(void *pages, size_t size) INTERNAL(os_no_huge_pages);

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
