/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Runs the inputs that its arguments name through a fuzz target, without a fuzzing engine. An
 * argument is a file, or a directory of inputs. A crash is followed by the name of the input.
 * Exit code: 0, or 2 where an argument cannot be read or holds no input.
 */

#define _XOPEN_SOURCE     700 /* glob, sigaltstack */
#define _FILE_OFFSET_BITS 64  /* numbers of files that do not fit into 32 bits */

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The input stands in memory of exactly its size, so that a sanitizer sees reads beyond it. */
static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    const long size = file != NULL && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    /* An empty directory has no end either. */
    if (file == NULL || data == NULL || fseek(file, 0, SEEK_SET) != 0 ||
        fread(data, 1, (size_t)size, file) != (size_t)size || fgetc(file) != EOF || ferror(file)) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    fclose(file);
    snprintf(current, sizeof(current), "replay: the input was %s\n", path);
    alarm(MAX_SECONDS);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    alarm(0);
    current[0] = '\0';
    free(data);
    input_count++;
}

/* Replays a file, or what is in a directory: sorted, so that each run is the same. */
static void replay_all(const char *path)
{
    char pattern[sizeof(current)];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s/*", path);
    if (glob(pattern, 0, NULL, &found) != 0) {
        replay(path);
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        replay(found.gl_pathv[i]);
    }
    globfree(&found);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        fprintf(stderr, "usage: replay FILE_OR_DIRECTORY...\n");
        return 2;
    }
    print_name_on_crash();
    for (int i = 1; i < argc; i++) {
        replay_all(argv[i]);
    }
    printf("%zu inputs replayed\n", input_count);
    return 0;
}
