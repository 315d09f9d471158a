/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The form of a report: its lines, to the letter; how it gets out; and that the process ends by
 * abort() whatever is in the way. That each misuse has its report is test/misuse/'s to show.
 */

#define _GNU_SOURCE /* ssize_t, close, dladdr */

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

static struct cork_mempool mp;
static void *objects[20];

/* A pool with live objects, of which the leak is at hand: its report. */
static const char *prepare_leak(void)
{
    cork_mempool_init(&mp, long long);
    take_objects(&mp, objects, COUNT_OF(objects));
    return leak_report(&mp, "long long", COUNT_OF(objects), objects, 0, 1);
}

static void clean_up(void)
{
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
}

/* What becomes of the library's calls of write: link with -Wl,--wrap=write. */
static enum { WRITE_ALL, WRITE_ONE_BYTE, WRITE_AFTER_A_SIGNAL, WRITE_NOTHING, WRITE_FAILS } writing;

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
        was_interrupted = !was_interrupted;
        errno = EINTR;
        return was_interrupted ? -1 : __real_write(file, bytes, size);
    case WRITE_NOTHING:
        /* Where nothing failed, errno may still be what an earlier call left. */
        errno = EINTR;
        return 0;
    case WRITE_FAILS:
        errno = EIO;
        return -1;
    default:
        return __real_write(file, bytes, size);
    }
}

TEST(a_report_that_is_written_in_parts_is_complete)
{
    const char *report = prepare_leak();

    CHECK_ABORTS(report, cork_mempool_done(&mp));
    CHECK_ABORTS(report, (writing = WRITE_ONE_BYTE, cork_mempool_done(&mp)));
    CHECK_ABORTS(report, (writing = WRITE_AFTER_A_SIGNAL, cork_mempool_done(&mp)));
    clean_up();
}

TEST(a_report_that_cannot_be_written_ends_in_abort)
{
    prepare_leak();
    CHECK_ABORTS("", (writing = WRITE_NOTHING, cork_mempool_done(&mp)));
    CHECK_ABORTS("", (writing = WRITE_FAILS, cork_mempool_done(&mp)));
    clean_up();
}

static void close_standard_streams(void)
{
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
}

TEST(a_process_without_standard_streams_is_aborted)
{
    prepare_leak();
    CHECK_ABORTS("", (close_standard_streams(), cork_mempool_done(&mp)));
    clean_up();
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

TEST(a_report_that_nobody_reads_ends_in_abort)
{
    prepare_leak();
    CHECK_ABORTS("", (lose_the_reader(), cork_mempool_done(&mp)));
    CHECK_ABORTS("", (lose_the_reader(), block(SIGPIPE), raise(SIGPIPE), cork_mempool_done(&mp)));
    clean_up();
}

/* What a report does about signals is over when the process goes on; here, behind a warning. */
static void warn_without_a_reader(void)
{
    sigset_t before, after, pending;

    lose_the_reader();
    sigprocmask(SIG_BLOCK, NULL, &before);
    setenv("CORK_MEMPOOL_OPTIONS", "unknown=1", 1);
    cork_mempool_init(&mp, int);
    sigprocmask(SIG_BLOCK, NULL, &after);
    sigpending(&pending);
    CHECK_EQUAL(sigismember(&before, SIGPIPE), sigismember(&after, SIGPIPE));
    CHECK(!sigismember(&pending, SIGPIPE));
}

TEST(a_warning_that_nobody_reads_leaves_signals_as_they_were)
{
    CHECK_PASSES(warn_without_a_reader());
}

TEST(a_process_that_ignores_abort_is_aborted)
{
    const char *report = prepare_leak();

    CHECK_ABORTS(report, (signal(SIGABRT, SIG_IGN), block(SIGABRT), cork_mempool_done(&mp)));
    clean_up();
}

/* A misuse is often found where the heap is in ruins. */
TEST(a_report_takes_no_memory)
{
    char *inside;

    requests_start();
    prepare_leak();
    inside = (char *)objects[0] + 1;
    CHECK(requests.count > 0);
    requests_refuse(EVERYTHING, REPORT_ALL, 0);
    CHECK_ABORTS(leak_report(&mp, "long long", COUNT_OF(objects), objects, 0, 1),
                 cork_mempool_done(&mp));
    CHECK_ABORTS(slot_report("free of an interior pointer", &mp, "long long", inside, 0),
                 cork_mempool_free(&mp, inside));
    CHECK_ABORTS(
        slot_report("free of a foreign pointer", &mp, "long long", &mp, CORK_MEMPOOL_NO_SLOT),
        cork_mempool_free(&mp, &mp));
    requests_stop();
    clean_up();
}

TEST(leaks_are_counted_exactly_and_the_first_16_listed)
{
    static const size_t counts[] = {1, 2, 15, 16, 17, 64, 65, 1000};

    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        void *leaked[1000];

        cork_mempool_init(&mp, char[40]);
        take_objects(&mp, leaked, counts[i]);
        CHECK_ABORTS(leak_report(&mp, "char[40]", counts[i], leaked, 0, 1), cork_mempool_done(&mp));
        give_objects(&mp, leaked, counts[i]);
        CHECK_PASSES(cork_mempool_done(&mp));
        cork_mempool_done(&mp);
    }
}

static void name_is_shown_as(const char *name)
{
    void *object = cork_mempool_new(&mp);

    CHECK_ABORTS(leak_report(&mp, name, 1, &object, 0, 1), cork_mempool_done(&mp));
    clean_up();
}

/* What a pool was named by need not outlive init. */
TEST(a_name_is_copied_and_shown_whole_up_to_39_bytes)
{
    for (size_t length = 0; length <= 100; length++) {
        struct cork_mempool_options options = {.element_size = 16};
        char *name = malloc(length + 1);
        char shown[101] = "";

        CHECK(name != NULL);
        name[length] = '\0';
        for (size_t i = 0; i < length; i++) {
            name[i] = (char)('A' + i % 50);
        }
        options.name = name;
        CHECK(cork_mempool_init_with(&mp, &options));
        snprintf(shown, sizeof(shown), length <= 39 ? "%s" : "%.36s...", name);
        memset(name, '?', length);
        free(name);
        name_is_shown_as(shown);
    }
}

TEST(a_long_name_of_a_type_is_cut_off)
{
    cork_mempool_init(&mp, char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9]);
    name_is_shown_as("char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9]");
    cork_mempool_init(&mp, char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 99]);
    name_is_shown_as("char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 +...");
}

/* What the dynamic linker says of an address, if not what it knows: link with -Wl,--wrap=dladdr. */
static const Dl_info *said_of_sites;
static bool is_nothing_said;

int __real_dladdr(const void *address, Dl_info *info);
int __wrap_dladdr(const void *address, Dl_info *info);

int __wrap_dladdr(const void *address, Dl_info *info)
{
    char *const start = (char *)(uintptr_t)address - 0x1e;

    if (said_of_sites == NULL) {
        return is_nothing_said ? 0 : __real_dladdr(address, info);
    }
    *info = *said_of_sites;
    info->dli_fbase = info->dli_sname == NULL ? start : NULL;
    info->dli_saddr = info->dli_sname != NULL ? start : NULL;
    return 1;
}

/* A double free in a pool with some protections: its report must show each part of each line. */
static void double_free_is_reported_with(unsigned protections)
{
    const struct cork_mempool_options options = {
        .name = "a pool", .element_size = 24, .protections = protections, .seed = 0x1234};
    char *object;

    CHECK(cork_mempool_init_with(&mp, &options));
    object = cork_mempool_new(&mp);
    cork_mempool_free(&mp, object);
    RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object));
    seen.violation.call_site = NULL;
    CHECK_ABORTS(report_of(&seen.violation), cork_mempool_free(&mp, object));
    cork_mempool_done(&mp);
}

/* Of a call it is told in which function it is, else in which file, and neither if neither is
 * known. */
static void report_shows(const char *shown)
{
    double_free_is_reported_with(CORK_MEMPOOL_CALLSITES);
    CHECK(strstr(report_of(&seen.violation), shown) != NULL);
}

TEST(a_site_is_told_by_its_function_or_else_its_file)
{
    static const Dl_info in_function = {.dli_fname = "no matter", .dli_sname = "its_function"};
    static const Dl_info in_file = {.dli_fname = "/its/file"};

    said_of_sites = &in_function;
    report_shows(" (its_function+0x1e), freed at 0x");
    said_of_sites = &in_file;
    report_shows(" (/its/file+0x1e), freed at 0x");
    said_of_sites = NULL;
    report_shows(", freed at 0x");
    is_nothing_said = true;
    report_shows(", freed at 0x");
    CHECK(strstr(report_of(&seen.violation), "(") == NULL);
}

/* An object that is issued again has another life, of which no free is known. */
TEST(sites_are_those_of_the_last_calls)
{
    const struct cork_mempool_options options = {
        .element_size = 24, .max_objects = 1, .protections = CORK_MEMPOOL_CALLSITES};
    const void *first_site;
    char *object;

    CHECK(cork_mempool_init_with(&mp, &options));
    object = cork_mempool_new(&mp);
    RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object + 1));
    first_site = seen.violation.new_site;
    CHECK(first_site != NULL && seen.violation.free_site == NULL);
    cork_mempool_free(&mp, object);
    CHECK_POINTER(cork_mempool_new(&mp), object);
    RUN_UNTIL_REFUSED(cork_mempool_free(&mp, object + 1));
    CHECK(seen.violation.new_site != NULL && seen.violation.new_site != first_site);
    CHECK_POINTER(seen.violation.free_site, NULL);
    clean_up();
}

TEST(a_line_with_long_names_is_cut_off)
{
    static char name[1000];
    static Dl_info in_function = {.dli_fname = "no matter", .dli_sname = name};

    said_of_sites = &in_function;
    for (size_t length = 150; length < sizeof(name) - 1; length += 25) {
        memset(name, 'n', length);
        report_shows("nnnn");
    }
}

/* Bytes with one digit and with two, in pools whose damage is found by one or the other means. */
TEST(damage_is_shown_with_what_was_found_and_expected)
{
    static const unsigned sets[] = {CORK_MEMPOOL_CANARY, CORK_MEMPOOL_SEAL, CORK_MEMPOOL_WIPE};
    static const unsigned char written[3] = {0x0f, 0x10, 0};

    for (size_t i = 0; i < 2 * COUNT_OF(sets); i++) {
        const bool is_canary = sets[i / 2] == CORK_MEMPOOL_CANARY;
        const struct cork_mempool_options options = {
            .element_size = 21,
            .protections = sets[i / 2] | (i % 2 != 0 ? CORK_MEMPOOL_CALLSITES : 0),
        };
        unsigned char before[3];
        char *object;
        char *start;

        CHECK(cork_mempool_init_with(&mp, &options));
        object = cork_mempool_new(&mp);
        memset(object, 5, 21);
        start = object + (is_canary ? 21 : 7);
        if (!is_canary) {
            cork_mempool_free(&mp, object);
        }
        for (size_t j = 0; j < COUNT_OF(written); j++) {
            before[j] = peek(start + j);
            poke(start + j, written[j]);
        }
        RUN_UNTIL_REFUSED((void)!cork_mempool_check(&mp));
        CHECK_POINTER(seen.violation.damaged, sets[i / 2] == CORK_MEMPOOL_SEAL ? object : start);
        seen.violation.call_site = NULL;
        CHECK_ABORTS(report_of(&seen.violation), (void)!cork_mempool_check(&mp));
        for (size_t j = 0; j < COUNT_OF(written); j++) {
            poke(start + j, before[j]);
        }
        clean_up();
    }
}
