/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

/*
 * The files that explain is given: an input of a driver as bytes, or as draft.h's text, whose first
 * line, if not empty or a comment, is "driver NAME". Where a file cannot be used, explain says why
 * and ends.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/subject.h"
#include "fuzz/targets/driver.h"

#define INPUT_EXIT_UNUSABLE 2

struct input {
    const char *path;
    const struct driver *driver;
    uint8_t *data; /* with a 0 behind it */
    size_t size;
};

/* What runs the programs; the tests link explain with a defective one. */
extern const struct subject *const input_subject;

/* input_start goes to where the user is, who may have had explain started by bazel run. */
void input_start(void);

/* input_fail says what is wrong with a file, or NULL, and ends the process. */
__attribute__((format(printf, 2, 3))) _Noreturn void input_fail(const char *path,
                                                                const char *format, ...);

/*
 * input_read reads a file and encodes it if it is text. driver: a driver's name, or NULL: the text
 * or one of the file's folders has it. is_text: the file is text even if it names no driver.
 */
void input_read(struct input *input, const char *path, const char *driver, bool is_text);

/* input_write writes a file, or to standard output where path is NULL. */
void input_write(const char *path, const uint8_t *data, size_t size);

#endif /* FUZZ_INPUT_H */
