/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How a report gets out, and that the process ends by abort() whatever is in the way.
 */

#define _DEFAULT_SOURCE /* ssize_t, close */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/reports.h"
#include "test/support/requests.h"

/* What becomes of the library's calls of write: link with -Wl,--wrap=write. */
enum writing { WRITE_ALL, WRITE_ONE_BYTE, WRITE_AFTER_A_SIGNAL, WRITE_NOTHING, WRITE_FAILS };

static enum writing writing;

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
        if (was_interrupted) {
            errno = EINTR;
            return -1;
        }
        return __real_write(file, bytes, size);
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

static struct cork_mempool mp;
static void *objects[20];

/* A pool in which a double free, a leak and others are at hand; the report is that of the leak. */
static const char *prepare(void)
{
    cork_mempool_init(&mp, long long);
    take_objects(&mp, objects, COUNT_OF(objects));
    return leak_report(&mp, "long long", COUNT_OF(objects), objects, 0, 1);
}

static void clean_up(void)
{
    give_objects(&mp, objects, COUNT_OF(objects));
    cork_mempool_done(&mp);
}

static void write_so(enum writing how)
{
    writing = how;
    cork_mempool_done(&mp);
}

TEST(a_report_that_is_written_in_parts_is_complete)
{
    const char *report = prepare();

    CHECK_ABORTS(report, write_so(WRITE_ALL));
    CHECK_ABORTS(report, write_so(WRITE_ONE_BYTE));
    CHECK_ABORTS(report, write_so(WRITE_AFTER_A_SIGNAL));
    clean_up();
}

TEST(a_report_that_cannot_be_written_ends_in_abort)
{
    prepare();
    CHECK_ABORTS("", write_so(WRITE_NOTHING));
    CHECK_ABORTS("", write_so(WRITE_FAILS));
    clean_up();
}

static void close_and_misuse(void)
{
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    cork_mempool_done(&mp);
}

TEST(a_process_without_standard_streams_is_aborted)
{
    prepare();
    CHECK_ABORTS("", close_and_misuse());
    clean_up();
}

static void misuse_without_a_reader(bool is_pending)
{
    int ends[2];
    sigset_t sigpipe;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    if (is_pending) {
        sigprocmask(SIG_BLOCK, &sigpipe, NULL);
        raise(SIGPIPE);
    }
    if (pipe(ends) == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        cork_mempool_done(&mp);
    }
}

TEST(a_report_that_nobody_reads_ends_in_abort)
{
    prepare();
    CHECK_ABORTS("", misuse_without_a_reader(false));
    CHECK_ABORTS("", misuse_without_a_reader(true));
    clean_up();
}

/* What a report does about signals is over when the process goes on; here, behind a warning. */
static void warn_without_a_reader(void)
{
    int ends[2];
    sigset_t before, after, pending;

    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_BLOCK, NULL, &before);
    CHECK(pipe(ends) == 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
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

/* A misuse is often found where the heap is in ruins. */
TEST(a_report_takes_no_memory)
{
    const char *report;

    requests_start();
    report = prepare();
    CHECK(requests.count > 0);
    requests_refuse(EVERYTHING, REPORT_ALL, 0);
    CHECK_ABORTS(report, cork_mempool_done(&mp));
    CHECK_ABORTS(
        slot_report("free of an interior pointer", &mp, "long long", (char *)objects[0] + 1, 0),
        cork_mempool_free(&mp, (char *)objects[0] + 1));
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, "long long", &mp),
                 cork_mempool_free(&mp, &mp));
    requests_stop();
    clean_up();
}

static void ignore_and_misuse(void)
{
    sigset_t signals;

    signal(SIGABRT, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGABRT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    cork_mempool_done(&mp);
}

TEST(a_process_that_ignores_abort_is_aborted)
{
    const char *report = prepare();

    CHECK_ABORTS(report, ignore_and_misuse());
    clean_up();
}

static void say_kind(const struct cork_mempool_violation *violation)
{
    fprintf(stderr, "handler: %d\n", (int)violation->kind);
}

TEST(a_handler_that_returns_is_called_once_and_then_the_process_aborted)
{
    char expected[4096];

    snprintf(expected, sizeof(expected), "handler: 5\n%s", prepare());
    CHECK(cork_mempool_on_violation(say_kind) == NULL);
    CHECK_ABORTS(expected, cork_mempool_done(&mp));
    CHECK(cork_mempool_on_violation(NULL) == say_kind);
    CHECK_ABORTS(expected + strlen("handler: 5\n"), cork_mempool_done(&mp));
    clean_up();
}

static void check_name(const char *name)
{
    void *object = cork_mempool_new(&mp);

    CHECK_ABORTS(leak_report(&mp, name, 1, &object, 0, 1), cork_mempool_done(&mp));
    cork_mempool_free(&mp, object);
    cork_mempool_done(&mp);
}

/* A handler that misuses its pool in its turn, in one way or another. */
static void (*misuse_again)(void);

static void say_kind_and_misuse(const struct cork_mempool_violation *violation)
{
    say_kind(violation);
    misuse_again();
}

static void free_twice(void)
{
    cork_mempool_free(&mp, objects[0]);
}

static void leak(void)
{
    cork_mempool_done(&mp);
}

/* What is called 64 times must be said as often; then comes the first violation's line, and the
 * report of the last. */
static void misuses_of_a_handler_end(void (*misuse)(void), int kind, const char *last_report)
{
    static char expected[8192];
    size_t length = 0;

    misuse_again = misuse;
    for (int i = 0; i < 64; i++) {
        length += (size_t)snprintf(expected + length, sizeof(expected) - length, "handler: %d\n",
                                   i == 0 ? CORK_MEMPOOL_DOUBLE_FREE : kind);
    }
    snprintf(expected + length, sizeof(expected) - length, "%s%s",
             slot_report("double free", &mp, "long long", objects[0], 0), last_report);
    CHECK_ABORTS(expected, free_twice());
}

static jmp_buf left;

static void leave(const struct cork_mempool_violation *violation)
{
    (void)violation;
    longjmp(left, 1);
}

/* Leaves a handler from so many depths, each 32 KiB below the last, as from stacks of their own. */
__attribute__((noinline)) static void leave_at_depths(int count)
{
    char room[32 * 1024];

    __asm__ volatile("" : : "r"(room) : "memory");
    if (setjmp(left) == 0) {
        cork_mempool_free(&mp, &mp);
    }
    if (count > 1) {
        leave_at_depths(count - 1);
    }
    __asm__ volatile("" : : "r"(room) : "memory");
}

static void leave_and_misuse(void)
{
    cork_mempool_on_violation(leave);
    leave_at_depths(100);
    cork_mempool_on_violation(NULL);
    cork_mempool_free(&mp, &mp);
}

TEST(a_handler_may_be_left_from_any_number_of_stacks)
{
    prepare();
    CHECK_ABORTS(pointer_report("free of a foreign pointer", &mp, "long long", &mp),
                 leave_and_misuse());
    clean_up();
}

TEST(a_handler_that_misuses_its_pool_ends_in_abort)
{
    static char last_report[4096];

    prepare();
    snprintf(last_report, sizeof(last_report), "%s",
             slot_report("double free", &mp, "long long", objects[0], 0));
    cork_mempool_free(&mp, objects[0]);
    cork_mempool_on_violation(say_kind_and_misuse);
    misuses_of_a_handler_end(free_twice, CORK_MEMPOOL_DOUBLE_FREE, last_report);
    misuses_of_a_handler_end(leak, CORK_MEMPOOL_LEAK,
                             leak_report(&mp, "long long", COUNT_OF(objects) - 1, objects, 1, 1));
    cork_mempool_on_violation(NULL);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
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
        check_name(shown);
    }
}

TEST(a_long_name_of_a_type_is_cut_off)
{
    cork_mempool_init(&mp, char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9]);
    check_name("char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9]");
    cork_mempool_init(&mp, char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 99]);
    check_name("char[1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 +...");
}
