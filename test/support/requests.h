/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_REQUESTS_H
#define CORK_MEMPOOL_TEST_REQUESTS_H

/*
 * Requests for memory, counted and refused. The linker puts this between the callers and the C
 * library, by --wrap=NAME for each function that BUILD lists; a test that uses it must be linked
 * statically with the pool.
 *
 * Of the heap, pools call malloc and free; the tests and their sources call the others too.
 * symbols_test.sh sees to it that the pool knows no other way to memory.
 *
 * The test's own requests are requests like others: between requests_start and requests_stop it
 * makes none.
 */

#include <stdbool.h>
#include <stddef.h>

#define ADVICE_GUARD 102 /* MADV_GUARD_INSTALL, which C libraries may not know */

/* What the system may lack. */
enum {
    NO_MAPPINGS = 1,   /* it refuses all mappings, besides what requests_refuse says */
    NO_HEAP = 2,       /* it refuses all of the heap */
    NO_GUARDS = 4,     /* it refuses guards that madvise makes, as older kernels do */
    NO_ADVICE = 8,     /* it refuses all other advice, as sandboxes do */
    NO_EFFECT = 16,    /* it accepts all advice and follows none, as emulators do */
    NO_RESIDENCY = 32, /* it does not tell what is resident, as sandboxes may */
    NO_LOCK_LIMIT = 64 /* it lets all memory be locked */
};

/* struct requests holds what has happened since requests_start. */
struct requests {
    int lacks;            /* what the system lacks */
    size_t count;         /* of memory asked for: all calls but munmap, madvise and free */
    size_t system_count;  /* those of them that are system calls */
    size_t refused_count; /* those that were refused, by requests_refuse or in earnest */
    size_t advice_count;  /* calls of madvise */
    size_t heap_count;    /* pieces of the heap taken and not given back */
    size_t mapped_size;   /* bytes mapped and not unmapped */
    size_t undumped_size; /* bytes that madvise was asked to keep out of core dumps, and still is */
    size_t small_size;    /* bytes that madvise was asked not to make huge pages of */
    size_t discard_size;  /* bytes that madvise was told to forget */
    size_t guard_size;    /* bytes that madvise has made inaccessible */
    size_t stray_count;   /* calls of mprotect and madvise beyond the newest mapping's inside, but
                             for those that keep all of it out of core dumps */
};

extern struct requests requests;

/* The kinds of requests. */
enum {
    MAPPINGS = 1, /* for address space: mmap */
    COMMITS = 2,  /* for the right to use it: mprotect */
    HEAP = 4,     /* malloc, calloc and aligned_alloc */
    EVERYTHING = MAPPINGS | COMMITS | HEAP
};

enum refusal {
    REFUSE_NUMBER, /* refuse request number n; the next one is number 1 */
    REFUSE_FROM,   /* refuse request number n and all that follow */
    REFUSE_LARGER, /* refuse requests for more than n bytes */
    REPORT_ALL     /* refuse none, but write a line to standard error for each */
};

/* Starts to count, from nothing, and refuses nothing; or only what the system lacks. */
void requests_start(void);
void requests_start_lacking(int what);

/* Refuses some requests of some kinds, and no others; the counts go on. Kinds of 0: refuses none.
 */
void requests_refuse(int kinds, enum refusal how, size_t n);

/* Says whether there were as many requests of the refused kinds as the n of requests_refuse. */
bool requests_reached(void);

/* Lets everything pass uncounted. */
void requests_stop(void);

#endif /* CORK_MEMPOOL_TEST_REQUESTS_H */
