/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

/*
 * The memory that a subject takes: counted, refused, and, under AddressSanitizer, simulated.
 *
 * The linker redirects the requests of the whole program to memory.c, by --wrap=NAME for mmap,
 * mprotect, madvise, munmap, malloc, aligned_alloc and free. Those made between
 * memory_enter and memory_leave count; all others pass. The subject must be linked statically, or
 * nothing is seen.
 *
 * A mapping costs the kernel some thirty microseconds from first to last, which is more than all
 * the rest of a program. AddressSanitizer knows for itself what may be touched; with it, mappings
 * are given out of one large one whose pages are used over and over: unpoisoned when they are made
 * accessible, cleared and poisoned when they are unmapped. This also gives each run of a program
 * the same addresses. In all other builds the calls reach the kernel.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* struct memory_account is what a pool has of memory. Giving back more than was taken wraps the
 * first two fields around, which is not 0 either. */
struct memory_account {
    size_t mapped_size;     /* bytes mapped and not unmapped */
    size_t heap_count;      /* allocations that have not been freed */
    size_t request_count;   /* for memory, or for the right to use it */
    size_t refusal_count;   /* of these */
    size_t largest_mapping; /* larger ones are refused; 0: none is */
    size_t largest_allocation;
    size_t failing_request; /* when request_count gets there, it is refused; 0: none is */
    uint64_t failing_mask;  /* bit i: so is each request_count with this remainder by 64 */
    bool is_granting;       /* nothing is refused */
};

/* memory_enter makes requests count for an account until memory_leave. Calls do not nest. */
void memory_enter(struct memory_account *account);
void memory_leave(void);

#endif /* FUZZ_MEMORY_H */
