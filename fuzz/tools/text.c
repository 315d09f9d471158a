/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct encoded {
    const struct driver *driver;
    uint8_t *bytes;
    size_t head; /* bytes of the mask */
    size_t size; /* with them */
    bool must_be_deep;
    unsigned pool; /* of the last operation */
};

static bool is_deep(const uint8_t *program, size_t size)
{
    return run_max_work(run_hash(0, program, size)) == RUN_MAX_WORK;
}

/* Returns: what is expected instead, or NULL. */
static const char *append(struct encoded *encoded, const struct operation *operation)
{
    uint8_t bytes[OPERATION_BYTES_MAX];
    const size_t size = operation_encode(operation, encoded->driver->dialect, bytes);
    if (size == 0) {
        return "an operation that the driver's dialect has";
    } else if (size > RUN_MAX_SIZE - encoded->size) {
        return "the end: an input has at most 4096 bytes";
    }
    memcpy(encoded->bytes + encoded->size, bytes, size);
    encoded->size += size;
    encoded->pool = operation->pool;
    return NULL;
}

/* In the hash, one byte of the operand counts 31 times, the other once: some sum has the remainder
 * that is wanted. Returns: what is expected instead, or NULL. */
static const char *deepen(struct encoded *encoded)
{
    const size_t size = encoded->size;
    struct operation write = {.kind = OPERATION_WRITE, .pool = encoded->pool};
    const char *expected = NULL;
    while (expected == NULL &&
           !is_deep(encoded->bytes + encoded->head, encoded->size - encoded->head)) {
        encoded->size = size;
        expected = append(encoded, &write);
        write.operands[0]++;
    }
    return expected;
}

/* Returns: whether the line is one of the three that are no operations. */
static bool parse_directive(struct encoded *encoded, const char *line)
{
    char word[64] = "";
    char rest[2];
    uint64_t mask;
    if (sscanf(line, " driver %63s %1s", word, rest) == 1) {
        return driver_find(word) != NULL;
    }
    const int count = sscanf(line, "%63s 0x%" SCNx64 " %1s", word, &mask, rest);
    if (count == 2 && strcmp(word, "failing") == 0 && encoded->head != 0) {
        for (size_t i = 0; i < encoded->head; i++) {
            encoded->bytes[i] = (uint8_t)(mask >> 8 * i);
        }
        return true;
    }
    encoded->must_be_deep |= count == 1 && strcmp(word, "deep") == 0;
    return count == 1 && strcmp(word, "deep") == 0;
}

/* Returns: whether it could, or else *error. */
static bool parse_line(struct encoded *encoded, const char *line, struct program_error *error)
{
    struct operation operation;
    if (parse_directive(encoded, line)) {
        return true;
    }
    const enum parse_result result = operation_parse(line, &operation, error);
    if (result == PARSE_OPERATION) {
        error->column = 1;
        error->expected = append(encoded, &operation);
        return error->expected == NULL;
    }
    return result == PARSE_NOTHING;
}

bool text_encode(const struct driver *driver, const char *text, uint8_t bytes[RUN_MAX_SIZE],
                 size_t *size, struct program_error *error)
{
    const size_t head = driver->has_mask ? sizeof(uint64_t) : 0;
    struct encoded encoded = {.driver = driver, .bytes = bytes, .head = head, .size = head};
    char line[2 * OPERATION_TEXT_SIZE];
    memset(bytes, 0, head);
    for (error->line = 1; *text != '\0'; error->line++) {
        const size_t length = strcspn(text, "#\n");
        if (length >= sizeof(line)) {
            error->column = sizeof(line);
            error->expected = "a shorter line";
            return false;
        }
        snprintf(line, sizeof(line), "%.*s", (int)length, text);
        if (!parse_line(&encoded, line, error)) {
            return false;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    error->column = 1;
    error->expected = encoded.must_be_deep ? deepen(&encoded) : NULL;
    *size = encoded.size;
    return error->expected == NULL;
}

void text_print(const struct driver *driver, const struct driver_run *run)
{
    struct program program = {run->data, run->size, 0, driver->dialect};
    struct operation operation;
    char text[OPERATION_TEXT_SIZE];
    printf("head driver %s\n", driver->name);
    if (driver->has_mask) {
        printf("head failing 0x%016" PRIx64 "\n", run->settings.failing_mask);
    }
    if (is_deep(run->data, run->size)) {
        printf("head deep\n");
    }
    while (program_next(&program, &operation)) {
        operation_print(&operation, text);
        printf("operation %s\n", text);
    }
}
