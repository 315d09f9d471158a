/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The profile of a coverage build. Its runtime writes what was counted at exit alone; but processes
 * of the tests end by _exit, by abort or by a fault, perhaps with a heap in ruins. They add their
 * counts to shared memory, and the first process has that written. In other builds this is nothing.
 */

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of the runtime, where there is one: what is counted, and the bits of MC/DC. */
__attribute__((weak)) char *__llvm_profile_begin_counters(void);
__attribute__((weak)) char *__llvm_profile_end_counters(void);
__attribute__((weak)) char *__llvm_profile_begin_bitmap(void);
__attribute__((weak)) char *__llvm_profile_end_bitmap(void);
__attribute__((weak)) void __llvm_profile_register_write_file_atexit(void);

/* The names are the linker's. */
__attribute__((noreturn)) void __real__exit(int code);
__attribute__((noreturn)) void __wrap__exit(int code);

/* What a process has counted, and what all have; without the runtime, both are nothing. */
static struct counts {
    uint64_t *counters;
    char *bits;
} own, shared;
static size_t counter_count, bits_size;
static pid_t first_process;

static void add(const struct counts *more, struct counts *sums)
{
    for (size_t i = 0; i < counter_count; i++) {
        sums->counters[i] += more->counters[i];
    }
    for (size_t i = 0; i < bits_size; i++) {
        sums->bits[i] = (char)(sums->bits[i] | more->bits[i]);
    }
}

static void collect(void)
{
    if (getpid() == first_process) {
        add(&shared, &own);
    }
}

void __wrap__exit(int code)
{
    add(&own, &shared);
    __real__exit(code);
}

/* Returning meets again what raised the signal, which then ends the process. */
static void on_signal(int number)
{
    add(&own, &shared);
    signal(number, SIG_DFL);
}

__attribute__((constructor)) static void start(void)
{
    if (__llvm_profile_register_write_file_atexit == NULL) {
        return;
    }
    own.counters = (uint64_t *)(void *)__llvm_profile_begin_counters();
    own.bits = __llvm_profile_begin_bitmap();
    counter_count = (size_t)((uint64_t *)(void *)__llvm_profile_end_counters() - own.counters);
    bits_size = (size_t)(__llvm_profile_end_bitmap() - own.bits);
    shared.counters = mmap(NULL, counter_count * sizeof(uint64_t) + bits_size,
                           PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared.counters == MAP_FAILED) {
        abort();
    }
    shared.bits = (char *)(shared.counters + counter_count);
    first_process = getpid();
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    /* What is registered later is called earlier. */
    __llvm_profile_register_write_file_atexit();
    atexit(collect);
}
