/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * OS: all that the library asks the system for: address space, whose pages are committed one by
 * one; pieces of the heap; and what reports, seeds and options need. os_posix.c is for Linux and
 * macOS; os_none.c, for CORK_MEMPOOL_NO_OS_MEMORY, refuses every request. Callers preserve errno.
 */

#include "internal.h"
#include "libcork/core/mempool_options.h"

/* os_heap is the heap. It aligns as malloc does, whatever alignment it is asked for. */
extern const struct cork_mempool_source os_heap INTERNAL(os_heap);

/* os_page_size returns the unit of os_commit, a power of two; without a system one that is so large
 * that no pool with guards can be had. */
size_t os_page_size(void) INTERNAL(os_page_size);

/* os_is_scarce says whether address space is limited, or counts as locked memory, which is. */
bool os_is_scarce(void) INTERNAL(os_is_scarce);

/* os_reserve returns inaccessible address space, or NULL. Large ones stay out of core dumps. */
void *os_reserve(size_t size) INTERNAL(os_reserve);

/* os_commit makes whole pages of a reservation accessible, for good; some may be so already. */
bool os_commit(void *pages, size_t size) INTERNAL(os_commit);

/* os_advise advises the system about whole pages. Returns: false if that has no effect. */
enum os_advice {
    OS_PURGE,         /* free their memory; those that are committed read as zeros from then on */
    OS_GUARD,         /* keep them inaccessible, even if they are committed with others later */
    OS_NO_HUGE_PAGES, /* do not make them huge pages */
    OS_NO_DUMP,       /* leave them out of core dumps; only for os_posix.c, as the next */
    OS_DUMP,          /* have them in core dumps */
};
bool os_advise(void *pages, size_t size, enum os_advice advice) INTERNAL(os_advise);

/* os_resident sets bit 0 of is_resident[i] if page i is in memory, for count pages. Returns: false
 * if the system does not tell. */
bool os_resident(const void *pages, size_t count, unsigned char *is_resident) INTERNAL(os_resident);

/* os_release gives back a whole reservation. */
void os_release(void *memory, size_t size) INTERNAL(os_release);

/* os_random_word returns a number that differs between processes, also after fork, and between
 * calls; or 0 if there is none. */
uint64_t os_random_word(void) INTERNAL(os_random_word);

/* os_environment returns a variable; NULL if unset, or in a program with another user's rights. */
const char *os_environment(const char *name) INTERNAL(os_environment);

/* os_write_report writes a line of a report, newline included. */
void os_write_report(const char *text, size_t size) INTERNAL(os_write_report);

/* os_symbol returns the name of the function that contains an address, or of its file if the
 * function is not known, or NULL. *start is where the function or the file starts. */
const char *os_symbol(const void *address, uintptr_t *start) INTERNAL(os_symbol);
