/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Runs the inputs that its arguments name through a fuzz target, without a fuzzing engine. An
 * argument is a file, or a directory of inputs. Each input is named before it runs: where one
 * crashes or hangs, it is the last that was named.
 * Exit code: 0, or 2 where an argument cannot be read or holds no input.
 */

#define _XOPEN_SOURCE     700 /* fileno, glob */
#define _FILE_OFFSET_BITS 64  /* numbers of files that do not fit into 32 bits */

#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input that takes longer hangs; the slowest take milliseconds. */
#define MAX_SECONDS 10

static size_t input_count;

/* The input stands in memory of exactly its size, so that a sanitizer sees reads beyond it. */
static void replay_file(const char *path)
{
    struct stat status = {.st_size = 0};
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        fstat(fileno(file), &status);
    }
    const size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (file == NULL || data == NULL || fread(data, 1, size, file) != size) {
        const char *reason = errno == EISDIR ? "holds no input" : strerror(errno);
        fprintf(stderr, "replay: %s: %s\n", path, reason);
        exit(2);
    }
    fclose(file);
    fprintf(stderr, "replay: running %s\n", path);
    alarm(MAX_SECONDS);
    LLVMFuzzerTestOneInput(data, size);
    alarm(0);
    free(data);
    input_count++;
}

/* In a directory, glob finds its inputs and sorts them, so that each run is the same; elsewhere and
 * in an empty directory, nothing. */
static void replay(const char *path)
{
    char pattern[4096];
    glob_t inputs;
    snprintf(pattern, sizeof(pattern), "%s/*", path);
    if (glob(pattern, 0, NULL, &inputs) != 0) {
        replay_file(path);
        return;
    }
    for (size_t i = 0; i < inputs.gl_pathc; i++) {
        replay(inputs.gl_pathv[i]);
    }
    globfree(&inputs);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        fprintf(stderr, "usage: replay FILE_OR_DIRECTORY...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    printf("%zu inputs replayed\n", input_count);
    return 0;
}
