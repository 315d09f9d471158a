/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Requests for memory, counted and refused: the one failure injection of tests and fuzz tests. The
 * linker puts it between the callers and the C library, by --wrap=NAME for each function that BUILD
 * lists; the pool must be linked statically. symbols_test.sh sees to it that the pool knows no
 * other way to memory. Whose requests they are does not matter: between requests_start and
 * requests_stop a test makes none of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ADVICE_GUARD 102 /* MADV_GUARD_INSTALL, which C libraries may not know */

/* The kinds of requests. */
enum {
    MAPPINGS = 1, /* for address space: mmap */
    COMMITS = 2,  /* for the right to use it: mprotect */
    HEAP = 4,     /* malloc, calloc and aligned_alloc */
    EVERYTHING = MAPPINGS | COMMITS | HEAP
};

/* What the system may lack. */
enum {
    NO_MAPPINGS = MAPPINGS, /* it refuses all mappings */
    NO_HEAP = HEAP,         /* it refuses all of the heap */
    NO_GUARDS = 8,          /* it refuses guards that madvise makes, as older kernels do */
    NO_ADVICE = 16,         /* it refuses all other advice, as sandboxes do */
    NO_EFFECT = 32,         /* it accepts all advice and follows none, as emulators do */
    NO_RESIDENCY = 64,      /* it does not tell what is resident, as sandboxes may */
    NO_LOCK_LIMIT = 128,    /* it lets all memory be locked */
    FEW_GUARDS = 256        /* it refuses guards by madvise from the fifth page on */
};

/* struct requests says which requests are refused, and counts them. With zeros it refuses none. To
 * give back more than was taken wraps around, which is not 0 either. */
struct requests {
    int lacks;            /* what the system lacks */
    int numbered_kinds;   /* requests of these kinds have numbers, from 1 on: */
    size_t number;        /* the last one's */
    size_t first, last;   /* the numbers from first to last are refused, */
    uint64_t mask;        /* and each number n where bit n % 64 is set */
    bool are_told;        /* each of them writes a line to standard error */
    int limited_kinds;    /* requests of these kinds are refused */
    size_t limit;         /* where they are for more bytes */
    size_t count;         /* of memory asked for: all calls but munmap, madvise and free */
    size_t system_count;  /* those of them that are system calls */
    size_t refused_count; /* those that were refused, as said above or in earnest */
    size_t advice_count;  /* calls of madvise */
    size_t heap_count;    /* pieces of the heap taken and not given back */
    size_t heap_size;     /* bytes of the heap taken, given back or not */
    size_t mapped_size;   /* bytes mapped and not unmapped */
    size_t undumped_size; /* bytes that madvise was asked to keep out of core dumps, and still is */
    size_t small_size;    /* bytes that madvise was asked not to make huge pages of */
    size_t discard_size;  /* bytes that madvise was told to forget */
    size_t guard_size;    /* bytes that madvise has made inaccessible */
    size_t stray_count;   /* calls of mprotect and madvise beyond the newest mapping's inside, but
                             for those that keep all of it out of core dumps */
    uintptr_t newest;     /* mapping */
    size_t newest_size;
};

/* requests_count has all requests counted, and refused, by an account until its next call. NULL:
 * none is. */
void requests_count(struct requests *account);

/* The tests' account. It counts from nothing when started, and refuses nothing but for what the
 * system lacks. */
extern struct requests requests;
void requests_start(void);
void requests_start_lacking(int what);
void requests_stop(void);

enum refused {
    REFUSE_NUMBER, /* refuse request number n; the next one is number 1 */
    REFUSE_FROM,   /* refuse request number n and all that follow */
    REFUSE_LARGER, /* refuse requests for more than n bytes */
    REPORT_ALL     /* refuse none, but write a line to standard error for each */
};

/* Refuses some requests of some kinds, and no others; the counts go on. Kinds of 0: refuses none.
 */
void requests_refuse(int kinds, enum refused how, size_t n);

/* Says whether there were as many requests of the refused kinds as the n of requests_refuse. */
bool requests_reached(void);

/* What mappings consist of behind the counting: the system's calls, or a simulation's. */
extern struct requests_system {
    void *(*mmap)(void *hint, size_t size, int access, int flags, int file, off_t offset);
    int (*munmap)(void *memory, size_t size);
    int (*mprotect)(void *memory, size_t size, int access);
    int (*madvise)(void *memory, size_t size, int advice);
    int (*mincore)(void *memory, size_t size, unsigned char *is_resident);
} requests_system;
