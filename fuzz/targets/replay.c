/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Runs the inputs that its arguments name through a fuzz target, without a fuzzing engine. An
 * argument is a file, or a directory of inputs. A crash is followed by the name of the input.
 * Exit code: 0, or 2 where an argument cannot be read or holds no input.
 */

#define _XOPEN_SOURCE     700 /* scandir, sigaltstack */
#define _FILE_OFFSET_BITS 64  /* numbers of files that do not fit into 32 bits */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the sanitizers' runtime, where there is one: it ends the process without a signal. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

/* An input that takes longer hangs; the slowest take milliseconds. */
#define MAX_SECONDS 60

static char current[4096]; /* a line that names the input that runs, or empty */
static size_t input_count;

static void print_current(void)
{
    const ssize_t written = write(STDERR_FILENO, current, strlen(current));
    current[0] = '\0';
    (void)written;
}

static void on_signal(int number)
{
    print_current();
    signal(number, SIG_DFL);
    raise(number);
}

static void print_name_on_crash(void)
{
    static const int signals[] = {SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    /* On a stack of its own: that of the program may be what is exhausted. */
    static char memory[65536];
    const stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    const bool has_callback = __sanitizer_set_death_callback != NULL;
    if (has_callback) {
        __sanitizer_set_death_callback(print_current);
    }
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < (has_callback ? 2 : sizeof(signals) / sizeof(signals[0])); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static void require(bool is_so, const char *path)
{
    if (!is_so) {
        fprintf(stderr, "replay: %s: %s\n", path, errno != 0 ? strerror(errno) : "holds no input");
        exit(2);
    }
}

/* The input stands in memory of exactly its size, so that a sanitizer sees reads beyond it. */
static void replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1);
    require(file != NULL && data != NULL && fread(data, 1, size, file) == size, path);
    fclose(file);
    snprintf(current, sizeof(current), "replay: the input was %s\n", path);
    alarm(MAX_SECONDS);
    LLVMFuzzerTestOneInput(data, size);
    alarm(0);
    current[0] = '\0';
    free(data);
    input_count++;
}

/* Sorted, so that each run is the same. */
static void replay(const char *path)
{
    struct dirent **entries;
    struct stat status;
    errno = 0;
    require(stat(path, &status) == 0, path);
    if (!S_ISDIR(status.st_mode)) {
        replay_file(path, (size_t)status.st_size);
        return;
    }
    const size_t before = input_count;
    const int count = scandir(path, &entries, NULL, alphasort);
    require(count >= 0, path);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char name[sizeof(current) - sizeof("replay: the input was ")];
            snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
            replay(name);
        }
        free(entries[i]);
    }
    free(entries);
    errno = 0;
    require(input_count > before, path);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        fprintf(stderr, "usage: replay FILE_OR_DIRECTORY...\n");
        return 2;
    }
    print_name_on_crash();
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    printf("%zu inputs replayed\n", input_count);
    return 0;
}
