/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How a report gets out, with what it shows of call sites; and that the process ends by abort()
 * whatever is in the way. That each misuse has its report is test/misuse/'s to show.
 */

#define _GNU_SOURCE /* ssize_t, close, dladdr */

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

static struct cork_mempool mp;
static void *objects[20];

/* A pool with live objects, of which the leak is at hand: its report. */
static const char *prepare_leak(void)
{
    cork_mempool_init(&mp, long long);
    take_objects(&mp, objects, COUNT_OF(objects));
    return leak_report(&mp, "long long", COUNT_OF(objects), objects, 0);
}

/* What becomes of the library's calls of write: link with -Wl,--wrap=write. */
static enum {
    WRITE_ALL,
    WRITE_ONE_BYTE,
    WRITE_AFTER_A_SIGNAL,
    WRITE_NOTHING,
    WRITE_FAILS,
    WRITE_AFTER_A_WHILE,
    WRITE_WHILE_ANOTHER_INITIALIZES
} writing;

ssize_t __real_write(int file, const void *bytes, size_t size);
ssize_t __wrap_write(int file, const void *bytes, size_t size);

ssize_t __wrap_write(int file, const void *bytes, size_t size)
{
    static bool was_interrupted;

    switch (writing) {
    case WRITE_ONE_BYTE:
        /* What is left of a line ends where the line does. */
        if (size == 0 || ((const char *)bytes)[size - 1] != '\n') {
            errno = EINVAL;
            return -1;
        }
        return __real_write(file, bytes, 1);
    case WRITE_AFTER_A_SIGNAL:
    case WRITE_AFTER_A_WHILE:
        was_interrupted = !was_interrupted;
        errno = writing == WRITE_AFTER_A_SIGNAL ? EINTR : EAGAIN;
        return was_interrupted ? -1 : __real_write(file, bytes, size);
    case WRITE_NOTHING:
        /* Where nothing failed, errno may still be what an earlier call left. */
        errno = EINTR;
        return 0;
    case WRITE_FAILS:
        errno = EIO;
        return -1;
    case WRITE_WHILE_ANOTHER_INITIALIZES:
        writing = WRITE_ALL;
        cork_mempool_init(&mp, int);
        return __real_write(file, bytes, size);
    default:
        return __real_write(file, bytes, size);
    }
}

/* Makes standard error a pipe that nobody reads. */
static void lose_the_reader(void)
{
    int ends[2];

    signal(SIGPIPE, SIG_DFL);
    CHECK(pipe(ends) == 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
}

static void block(int number)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, number);
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

TEST(a_refused_call_ends_in_abort_whatever_becomes_of_its_report)
{
    const struct rlimit no_files = {0, 0}; /* so that poll refuses any */
    const char *report = prepare_leak();

    CHECK_ABORTS(report, cork_mempool_done(&mp));
    CHECK_ABORTS(report, (setrlimit(RLIMIT_NOFILE, &no_files), cork_mempool_done(&mp)));
    CHECK_ABORTS(report, (writing = WRITE_ONE_BYTE, cork_mempool_done(&mp)));
    CHECK_ABORTS(report, (writing = WRITE_AFTER_A_SIGNAL, cork_mempool_done(&mp)));
    CHECK_ABORTS(report, (signal(SIGABRT, SIG_IGN), block(SIGABRT), cork_mempool_done(&mp)));
    CHECK_ABORTS(report, (writing = WRITE_AFTER_A_WHILE, cork_mempool_done(&mp)));
    CHECK_ABORTS("", (writing = WRITE_NOTHING, cork_mempool_done(&mp)));
    CHECK_ABORTS("", (writing = WRITE_FAILS, cork_mempool_done(&mp)));
    CHECK_ABORTS(report, (pthread_cancel(pthread_self()), cork_mempool_done(&mp)));
    CHECK_ABORTS("", (close(0), close(1), close(2), cork_mempool_done(&mp)));
    CHECK_ABORTS("", (lose_the_reader(), cork_mempool_done(&mp)));
    CHECK_ABORTS("", (lose_the_reader(), block(SIGPIPE), raise(SIGPIPE), cork_mempool_done(&mp)));
    clear_and_end(&mp);
}

/* What a report does about signals is over when the process goes on; here, behind a warning. */
TEST(a_warning_that_nobody_reads_leaves_signals_as_they_were)
{
    sigset_t signals;
    int state;

    lose_the_reader();
    setenv("CORK_MEMPOOL_OPTIONS", "unknown=1", 1);
    CHECK_PASSES((lose_the_reader(), block(SIGPIPE), raise(SIGPIPE), cork_mempool_init(&mp, int),
                  sigpending(&signals), CHECK(sigismember(&signals, SIGPIPE))));
    cork_mempool_init(&mp, int);
    sigpending(&signals);
    CHECK(!sigismember(&signals, SIGPIPE));
    sigprocmask(SIG_BLOCK, NULL, &signals);
    CHECK(!sigismember(&signals, SIGPIPE));
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    CHECK_EQUAL(state, PTHREAD_CANCEL_ENABLE);
    CHECK(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
}

/* As if by another thread, at the same time. */
TEST(a_warning_comes_once_even_if_two_threads_initialize_their_first_pools)
{
    setenv("CORK_MEMPOOL_OPTIONS", "x=1", 1);
    CHECK_ABORTS(
        "cork_mempool: CORK_MEMPOOL_OPTIONS: left out \"x=1\"; the words are canary, seal, "
        "wipe, shuffle, quarantine, guard, callsites and paranoid, each with =1 or =0, and "
        "seed=NUMBER\ncork_mempool: CORK_MEMPOOL_OPTIONS: turns no protection on\n",
        (writing = WRITE_WHILE_ANOTHER_INITIALIZES, cork_mempool_init(&mp, int), abort()));
}

/* A misuse is often found where the heap is in ruins. */
TEST(a_report_takes_no_memory)
{
    requests_start();
    const char *report = prepare_leak();
    char *const inside = (char *)objects[0] + 1;

    CHECK(requests.count > 0);
    requests_refuse(EVERYTHING, REPORT_ALL, 0);
    CHECK_ABORTS(report, cork_mempool_done(&mp));
    report = slot_report(CORK_MEMPOOL_INTERIOR_POINTER, &mp, "long long", inside, 0);
    CHECK_ABORTS(report, cork_mempool_free(&mp, inside));
    report = slot_report(CORK_MEMPOOL_FOREIGN_POINTER, &mp, "long long", &mp, CORK_MEMPOOL_NO_SLOT);
    CHECK_ABORTS(report, cork_mempool_free(&mp, &mp));
    requests_stop();
    clear_and_end(&mp);
}

TEST(a_finalized_pool_is_reported_without_a_name_if_it_had_none)
{
    cork_mempool_init_size(&mp, 24);
    cork_mempool_done(&mp);
    CHECK_ABORTS(pool_report(CORK_MEMPOOL_USE_AFTER_DONE, &mp, NO_NAME), cork_mempool_done(&mp));
}

TEST(a_name_is_cut_off_if_the_pool_was_overwritten)
{
    cork_mempool_init(&mp, int);
    cork_mempool_done(&mp);
    memset((char *)&mp + offsetof(struct cork_mempool, name), 'n',
           sizeof(mp) - 1 - offsetof(struct cork_mempool, name));
    CHECK_ABORTS(pool_report(CORK_MEMPOOL_USE_AFTER_DONE, &mp, mp.name), cork_mempool_done(&mp));
}

/* What the dynamic linker says of an address: what it knows, or this, which may be nothing. Link
 * with -Wl,--wrap=dladdr. */
static const Dl_info *said_of_sites;

int __real_dladdr(const void *address, Dl_info *info);
int __wrap_dladdr(const void *address, Dl_info *info);

int __wrap_dladdr(const void *address, Dl_info *info)
{
    char *const start = (char *)(uintptr_t)address - 0x1e;

    if (said_of_sites == NULL) {
        return __real_dladdr(address, info);
    }
    *info = *said_of_sites;
    info->dli_fbase = info->dli_sname == NULL ? start : NULL;
    info->dli_saddr = info->dli_sname != NULL ? start : NULL;
    return info->dli_fname != NULL;
}

/* In the report of a write after free, which has lines of all kinds but a leak's. */
static void site_is_shown_as(const char *shown)
{
    INIT(&mp, .element_size = 24, .protections = CORK_MEMPOOL_CALLSITES | CORK_MEMPOOL_WIPE);
    char *const object = cork_mempool_new(&mp);
    cork_mempool_free(&mp, object);
    poke(object + 7, 0x0f);
    poke(object + 8, 0x10);
    RUN_UNTIL_REFUSED((void)!cork_mempool_check(&mp));
    seen.violation.call_site = NULL;
    CHECK_ABORTS(report_of(&seen.violation), (void)!cork_mempool_check(&mp));
    CHECK(strstr(report_of(&seen.violation), shown) != NULL);
    poke(object + 7, 0);
    poke(object + 8, 0);
    cork_mempool_done(&mp);
}

TEST(a_site_is_told_by_its_function_or_else_its_file_if_any_is_known)
{
    static const Dl_info in_function = {.dli_fname = "no matter", .dli_sname = "its_function"};
    static const Dl_info in_file = {.dli_fname = "/its/file"};
    static const Dl_info nowhere;

    said_of_sites = &in_function;
    site_is_shown_as(" (its_function+0x1e), freed at 0x");
    said_of_sites = &in_file;
    site_is_shown_as(" (/its/file+0x1e), freed at 0x");
    said_of_sites = NULL;
    site_is_shown_as(", freed at 0x");
    said_of_sites = &nowhere;
    site_is_shown_as(", freed at 0x");
    CHECK(strstr(report_of(&seen.violation), "(") == NULL);
}

TEST(a_site_with_a_long_name_is_told_by_the_end_of_it)
{
    static char name[1000];
    static Dl_info in_function = {.dli_fname = "no matter", .dli_sname = name};

    said_of_sites = &in_function;
    for (size_t length = 150; length < sizeof(name) - 1; length += 25) {
        memset(name, 'n', length);
        name[length - 1] = 'e';
        site_is_shown_as("nne+0x1e), freed at 0x");
    }
}

/* An object that is issued again has another life, of which no free is known. */
TEST(sites_are_those_of_the_last_calls)
{
    for (unsigned number = 0; number < SETS_COUNT; number++) {
        INIT(&mp, .element_size = 24, .max_objects = 1,
             .protections = set_of(number) | CORK_MEMPOOL_CALLSITES);
        char *const object = cork_mempool_new(&mp);
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object + 1));
        const void *const first_site = seen.violation.new_site;
        CHECK(first_site != NULL && seen.violation.free_site == NULL);
        cork_mempool_free(&mp, object);
        CHECK_POINTER(cork_mempool_new(&mp), object);
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object + 1));
        CHECK(seen.violation.new_site != NULL && seen.violation.new_site != first_site);
        CHECK_POINTER(seen.violation.free_site, NULL);
        cork_mempool_clear(&mp);
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object));
        CHECK(seen.violation.free_site != NULL);
        cork_mempool_done(&mp);
    }
}
