/* SPDX-License-Identifier: BSD-3-Clause */
#define _XOPEN_SOURCE 700 /* realpath */

#include "input.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "draft.h"

/* No input of a fuzzer is longer than this. */
#define SIZE_MAX_OF_INPUT ((size_t)1 << 24)

void input_fail(const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "explain: %s%s", path != NULL ? path : "", path != NULL ? ": " : "");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(INPUT_EXIT_UNUSABLE);
}

void input_start(void)
{
    const char *directory = getenv("BUILD_WORKING_DIRECTORY");
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

/* Returns: the first line that is neither empty nor a comment. */
static const char *first_line(const char *text)
{
    text += strspn(text, " \t\r\n");
    while (*text == '#') {
        text += strcspn(text, "\n");
        text += strspn(text, " \t\r\n");
    }
    return text;
}

/* Puts the bytes in the place of the text that says them. */
static void encode(struct input *input)
{
    static struct draft draft;
    struct program_error error;
    if (input->driver->has_options) {
        input_fail(input->path, "%s has no programs: its inputs are options", input->driver->name);
    }
    if (memchr(input->data, 0, input->size) != NULL) {
        input_fail(input->path, "is no text");
    }
    if (!draft_parse(&draft, input->driver, (const char *)input->data, &error)) {
        input_fail(input->path, "line %u, column %u: expected %s", error.line, error.column,
                   error.expected);
    }
    input->size = draft_encode(&draft, input->data);
    if (input->size == 0 && draft.count > 0) {
        input_fail(input->path, "more than %d bytes", RUN_MAX_SIZE);
    }
}

void input_read(struct input *input, const char *path, const char *driver, bool is_text)
{
    char name[64];
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
    const bool is_named = sscanf(first_line((char *)input->data), "driver %63s", name) == 1;
    driver = driver == NULL && is_named ? name : driver;
    input->driver = driver != NULL ? driver_find(driver) : driver_of(path);
    if (input->driver == NULL && driver != NULL) {
        input_fail(path, "there is no driver %s", driver);
    } else if (input->driver == NULL) {
        input_fail(path, "no folder of it has a driver's name; give --driver");
    }
    if (is_text || is_named) {
        encode(input);
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
