/* SPDX-License-Identifier: BSD-3-Clause */
#include "contents.h"

#include <string.h>

#include "engine.h"

ENGINE_BEGIN_CHECKED

/* An object with fill f holds the bytes from f % FILL_COUNT on. */
#define FILL_COUNT 8192
static uint8_t fills[FILL_COUNT + 2 * CONTENTS_WINDOW_SIZE];
static const uint8_t zeros[2 * CONTENTS_WINDOW_SIZE];

void contents_start(void)
{
    static bool is_started;
    uint32_t state = 1;
    for (size_t i = 0; !is_started && i < sizeof(fills); i++) {
        state = state * 1664525 + 1013904223;
        fills[i] = (uint8_t)(state >> 24);
    }
    is_started = true;
}

static const uint8_t *bytes_of(uint32_t fill)
{
    return fill == CONTENTS_WIPED ? zeros : &fills[fill % FILL_COUNT];
}

/* The head and the tail of an object; a small one is all head. */
static size_t head_size(size_t size)
{
    return size <= 2 * CONTENTS_WINDOW_SIZE ? size : CONTENTS_WINDOW_SIZE;
}

static size_t tail_size(size_t size)
{
    return size <= 2 * CONTENTS_WINDOW_SIZE ? 0 : CONTENTS_WINDOW_SIZE;
}

/* Unlike memcpy and memcmp, which AddressSanitizer makes slow. */
static void copy(uint8_t *to, const uint8_t *from, size_t size)
{
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, from, sizeof(word));
        memcpy(to, &word, sizeof(word));
        to += sizeof(word);
        from += sizeof(word);
    }
    for (size_t i = 0; i < size; i++) {
        to[i] = from[i];
    }
}

static bool is_equal(const uint8_t *one, const uint8_t *other, size_t size)
{
    uint64_t difference = 0;
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t)) {
        uint64_t words[2];
        memcpy(&words[0], one, sizeof(uint64_t));
        memcpy(&words[1], other, sizeof(uint64_t));
        difference |= words[0] ^ words[1];
        one += sizeof(uint64_t);
        other += sizeof(uint64_t);
    }
    for (size_t i = 0; i < size; i++) {
        difference |= one[i] ^ other[i];
    }
    return difference == 0;
}

void contents_write(uintptr_t object, size_t size, uint32_t fill)
{
    uint8_t *start = (uint8_t *)object;
    const uint8_t *bytes = bytes_of(fill);
    copy(start, bytes, head_size(size));
    copy(start + size - tail_size(size), bytes + CONTENTS_WINDOW_SIZE, tail_size(size));
}

bool contents_agree(uintptr_t object, size_t size, uint32_t fill)
{
    const uint8_t *start = (const uint8_t *)object;
    const uint8_t *bytes = bytes_of(fill);
    return fill == CONTENTS_UNKNOWN || (is_equal(start, bytes, head_size(size)) &&
                                        is_equal(start + size - tail_size(size),
                                                 bytes + CONTENTS_WINDOW_SIZE, tail_size(size)));
}

struct contents_difference contents_compare(uintptr_t object, size_t size, uint32_t fill)
{
    const uint8_t *start = (const uint8_t *)object;
    const uint8_t *bytes = bytes_of(fill);
    size_t i = 0;
    size_t offset = 0;
    while (start[offset] == bytes[i]) {
        i++;
        offset = i < head_size(size) ? i : i + size - 2 * CONTENTS_WINDOW_SIZE;
    }
    return (struct contents_difference){offset, start[offset], bytes[i]};
}

ENGINE_END
