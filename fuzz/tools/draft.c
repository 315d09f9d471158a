/* SPDX-License-Identifier: BSD-3-Clause */
#include "draft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/engine/engine.h"

ENGINE_BEGIN

#define MASK_SIZE sizeof(uint64_t)

static bool is_deep(uint32_t hash)
{
    return run_max_work(hash) == RUN_MAX_WORK;
}

void draft_decode(struct draft *draft, const struct driver *driver, const uint8_t *data,
                  size_t size)
{
    struct driver_run run;
    draft->driver = driver;
    draft->count = 0;
    draft->failing_mask = 0;
    draft->is_deep = false;
    if (driver_decode(driver, NULL, data, size, 0, &run)) {
        struct program program = {run.data, run.size, 0, driver->dialect};
        draft->failing_mask = run.settings.failing_mask;
        draft->is_deep = is_deep(run_hash(0, run.data, run.size));
        while (program_next(&program, &draft->operations[draft->count])) {
            draft->count++;
        }
    }
}

/* Appends writes so that the program is deep. Returns: the size, or 0. */
static size_t deepen(unsigned pool, uint8_t *program, size_t size, size_t room)
{
    struct operation writes[2] = {{OPERATION_WRITE, pool, {0}}, {OPERATION_WRITE, pool, {0}}};
    uint8_t *first = program + size;
    uint8_t *second;
    if (room < size + 2 * OPERATION_BYTES_MAX) {
        return 0;
    }
    for (size_t i = 0; i <= UINT16_MAX; i++) {
        writes[0].operands[0] = i;
        second = first + operation_encode(&writes[0], PROGRAM_PLAIN, first);
        const uint32_t hash = run_hash(0, program, (size_t)(second - program));
        for (size_t j = 0; j <= UINT16_MAX; j++) {
            writes[1].operands[0] = j;
            const size_t added = operation_encode(&writes[1], PROGRAM_PLAIN, second);
            if (is_deep(run_hash(hash, second, added))) {
                return (size_t)(second - program) + added;
            }
        }
    }
    return 0;
}

size_t draft_encode(const struct draft *draft, uint8_t bytes[RUN_MAX_SIZE])
{
    const size_t head = draft->driver->has_mask ? MASK_SIZE : 0;
    uint8_t *program = bytes + head;
    size_t size = 0;
    for (size_t i = 0; i < head; i++) {
        bytes[i] = (uint8_t)(draft->failing_mask >> 8 * i);
    }
    for (size_t i = 0; i < draft->count; i++) {
        uint8_t encoded[OPERATION_BYTES_MAX];
        const size_t count =
            operation_encode(&draft->operations[i], draft->driver->dialect, encoded);
        if (count == 0 || count > RUN_MAX_SIZE - head - size) {
            return 0;
        }
        memcpy(program + size, encoded, count);
        size += count;
    }
    if (draft->is_deep && !is_deep(run_hash(0, program, size))) {
        const unsigned pool = draft->count > 0 ? draft->operations[draft->count - 1].pool : 0;
        size = deepen(pool, program, size, RUN_MAX_SIZE - head);
        return size > 0 ? head + size : 0;
    }
    return head + size;
}

/* Returns: whether the line is one of the three that are no operations. */
static bool parse_directive(struct draft *draft, const char *line)
{
    char word[64] = "";
    char rest[2];
    uint64_t mask;
    if (sscanf(line, " driver %63s %1s", word, rest) == 1) {
        return driver_find(word) != NULL;
    }
    const int count = sscanf(line, "%63s 0x%" SCNx64 " %1s", word, &mask, rest);
    if (count == 2 && strcmp(word, "failing") == 0 && draft->driver->has_mask) {
        draft->failing_mask = mask;
        return true;
    }
    draft->is_deep |= count == 1 && strcmp(word, "deep") == 0;
    return count == 1 && strcmp(word, "deep") == 0;
}

static bool parse_line(struct draft *draft, const char *line, struct program_error *error)
{
    struct operation *operation = &draft->operations[draft->count];
    uint8_t bytes[OPERATION_BYTES_MAX];
    if (parse_directive(draft, line)) {
        return true;
    }
    const enum parse_result result = operation_parse(line, operation, error);
    if (result == PARSE_OPERATION && operation_encode(operation, draft->driver->dialect, bytes)) {
        draft->count++;
    } else if (result == PARSE_OPERATION) {
        error->column = 1;
        error->expected = "an operation that the driver's dialect has";
        return false;
    }
    return result != PARSE_FAILED;
}

bool draft_parse(struct draft *draft, const struct driver *driver, const char *text,
                 struct program_error *error)
{
    draft->driver = driver;
    draft->failing_mask = 0;
    draft->is_deep = false;
    draft->count = 0;
    error->line = 0;
    while (*text != '\0') {
        char line[2 * OPERATION_TEXT_SIZE];
        const size_t length = strcspn(text, "#\n");
        error->line++;
        if (length >= sizeof(line) || draft->count == RUN_MAX_SIZE) {
            error->column = 1;
            error->expected = length >= sizeof(line) ? "a shorter line" : "no more operations";
            return false;
        }
        memcpy(line, text, length);
        line[length] = '\0';
        if (!parse_line(draft, line, error)) {
            return false;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return true;
}

void draft_print_head(const struct draft *draft)
{
    printf("driver %s\n", draft->driver->name);
    if (draft->driver->has_mask) {
        printf("failing 0x%016" PRIx64 "\n", draft->failing_mask);
    }
    if (draft->is_deep) {
        printf("deep\n");
    }
}

ENGINE_END
