/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * What the workloads measure with. Nothing here uses malloc, which may be what is measured; figures
 * are kept, and printed when all is done.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__cplusplus)
extern "C" {
#endif

/* The status of a program whose subject is not installed. */
#define BENCH_IS_MISSING 77

/* The status of one whose subject has no memory for as many objects. With guard pages each block
 * is a mapping of its own, of which Linux has 65,530 for a process. */
#define BENCH_HAS_NO_MEMORY 3

struct bench_options {
    const char *workload;
    size_t size;         /* of an object, in bytes; at least 16 */
    size_t count;        /* of objects, where the workload has a population */
    const char *variant; /* of the subject; empty: the only one */
    bool is_checking;    /* whether objects are intact, which takes longer than the workloads */
};

/* bench_arguments reads WORKLOAD SIZE COUNT [VARIANT] [check], or ends the program with 2. */
struct bench_options bench_arguments(int argc, char **argv);

#if defined(__cplusplus)
#define BENCH_NORETURN [[noreturn]]
#else
#define BENCH_NORETURN _Noreturn
#endif

/* bench_fail says what is wrong, and ends the program with 1. */
BENCH_NORETURN void bench_fail(const char *what);

/* bench_end_without_memory ends the program with BENCH_HAS_NO_MEMORY: for an object. */
BENCH_NORETURN void bench_end_without_memory(void);

/* bench_memory returns size zeroed bytes, resident already where is_resident; never given back. */
void *bench_memory(size_t size, bool is_resident);

/* bench_resident returns the bytes of this process that are in memory now, and in no file. */
size_t bench_resident(void);

/* bench_page_tables returns the bytes of this process's page tables. */
size_t bench_page_tables(void);

/* bench_mappings returns how many mappings this process has. */
size_t bench_mappings(void);

/* bench_record keeps a figure. */
void bench_record(const char *name, double value);

/* bench_record_at keeps a figure under the name NAME_NUMBER. */
void bench_record_at(const char *name, size_t number, double value);

/* bench_print writes what was kept, a line for each figure. */
void bench_print(void);

/* bench_random steps a generator that is the same on every machine. */
uint64_t bench_random(uint64_t *state);

/* bench_picks returns count random numbers below limit, always the same. */
uint32_t *bench_picks(size_t count, size_t limit);

/* bench_order returns the numbers below count in a random order, always the same. */
uint32_t *bench_order(size_t count);

/* Nanoseconds since some point in time. */
struct bench_time {
    double cpu; /* of this process alone */
    double wall;
};

static inline double bench_nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline struct bench_time bench_now(void)
{
    struct bench_time now;
    now.wall = bench_nanoseconds(CLOCK_MONOTONIC);
    now.cpu = bench_nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    return now;
}

/* bench_lap keeps the time since *start for each of count operations; *start is now afterwards. */
void bench_lap(struct bench_time *start, const char *name, size_t count);

/* bench_ticks is a clock for single operations; nothing is reordered around it. */
static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
#endif
}

/* struct bench_ticked counts how long single operations took. */
#define BENCH_TICKED_MAX ((uint64_t)1 << 20)
struct bench_ticked {
    uint32_t *counts; /* of operations that took so many ticks; the last: so many or more */
    uint64_t max;     /* in ticks */
    uint64_t count;
};

static inline void bench_tick(struct bench_ticked *ticked, uint64_t ticks)
{
    ticked->counts[ticks < BENCH_TICKED_MAX ? ticks : BENCH_TICKED_MAX - 1]++;
    ticked->count++;
    if (ticks > ticked->max) {
        ticked->max = ticks;
    }
}

/* bench_ticked_at returns the ticks that a fraction of the operations did not exceed. */
double bench_ticked_at(const struct bench_ticked *ticked, double fraction);

/* bench_use makes the compiler believe that somebody looks at an object, and nothing else. */
static inline void bench_use(void *object)
{
    __asm__ volatile("" : "+r"(object));
}

#if defined(__cplusplus)
}
#endif
