/* SPDX-License-Identifier: BSD-3-Clause */
#define _XOPEN_SOURCE 700 /* realpath */

#include "input.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No input of a fuzzer is longer than this. */
#define SIZE_MAX_OF_INPUT ((size_t)1 << 24)

static const char *tool_name;

void input_fail(const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "%s: %s%s", tool_name, path != NULL ? path : "", path != NULL ? ": " : "");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(INPUT_EXIT_UNUSABLE);
}

void input_start(const char *tool)
{
    const char *directory = getenv("BUILD_WORKING_DIRECTORY");
    tool_name = tool;
    if (directory != NULL && chdir(directory) != 0) {
        input_fail(directory, "%s", strerror(errno));
    }
}

/* The innermost folder that has a driver's name decides. */
static const struct driver *driver_of(const char *path)
{
    const struct driver *driver = NULL;
    char *whole = realpath(path, NULL);
    for (char *slash; driver == NULL && whole != NULL && (slash = strrchr(whole, '/')) != NULL;) {
        *slash = '\0';
        slash = strrchr(whole, '/');
        driver = slash != NULL ? driver_find(slash + 1) : NULL;
    }
    free(whole);
    return driver;
}

void input_read(struct input *input, const char *path, const char *driver)
{
    FILE *file = fopen(path, "rb");
    input->path = path;
    input->data = malloc(SIZE_MAX_OF_INPUT + 1);
    if (file == NULL || input->data == NULL) {
        input_fail(path, "%s", strerror(errno));
    }
    input->size = fread(input->data, 1, SIZE_MAX_OF_INPUT + 1, file);
    if (ferror(file) != 0) {
        input_fail(path, "%s", strerror(errno));
    }
    if (input->size > SIZE_MAX_OF_INPUT) {
        input_fail(path, "too large for an input");
    }
    input->data[input->size] = 0;
    fclose(file);
    input->driver = driver != NULL ? driver_find(driver) : driver_of(path);
    if (input->driver == NULL && driver != NULL) {
        input_fail(NULL, "--driver %s: there is no such driver", driver);
    } else if (input->driver == NULL) {
        input_fail(path, "no folder of it has a driver's name; give --driver");
    }
}

void input_write(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = path != NULL ? fopen(path, "wb") : stdout;
    if (file == NULL || fwrite(data, 1, size, file) != size || fflush(file) != 0) {
        input_fail(path != NULL ? path : "standard output", "%s", strerror(errno));
    }
    if (path != NULL) {
        fclose(file);
    }
}
