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

static char *shared; /* the counters' sums, then the bits */
static pid_t first_process;

static size_t counters_size(void)
{
    return (size_t)(__llvm_profile_end_counters() - __llvm_profile_begin_counters());
}

static size_t bitmap_size(void)
{
    return (size_t)(__llvm_profile_end_bitmap() - __llvm_profile_begin_bitmap());
}

static void add(char *counters, char *bitmap, const char *more_counters, const char *more_bitmap)
{
    uint64_t *sums = (uint64_t *)(void *)counters;
    const uint64_t *more = (const uint64_t *)(const void *)more_counters;

    for (size_t i = 0; i < counters_size() / sizeof(*sums); i++) {
        sums[i] += more[i];
    }
    for (size_t i = 0; i < bitmap_size(); i++) {
        bitmap[i] = (char)(bitmap[i] | more_bitmap[i]);
    }
}

static void share(void)
{
    if (shared != NULL) {
        add(shared, shared + counters_size(), __llvm_profile_begin_counters(),
            __llvm_profile_begin_bitmap());
    }
}

static void collect(void)
{
    if (getpid() == first_process) {
        add(__llvm_profile_begin_counters(), __llvm_profile_begin_bitmap(), shared,
            shared + counters_size());
    }
}

void __wrap__exit(int code)
{
    share();
    __real__exit(code);
}

/* Returning meets again what raised the signal, which then ends the process. */
static void on_signal(int number)
{
    share();
    signal(number, SIG_DFL);
}

__attribute__((constructor)) static void start(void)
{
    if (__llvm_profile_register_write_file_atexit == NULL) {
        return;
    }
    shared = mmap(NULL, counters_size() + bitmap_size(), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        abort();
    }
    first_process = getpid();
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    /* What is registered later is called earlier. */
    __llvm_profile_register_write_file_atexit();
    atexit(collect);
}
