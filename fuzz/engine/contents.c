/* SPDX-License-Identifier: BSD-3-Clause */
#include "contents.h"

#include <string.h>

#include "engine.h"

ENGINE_BEGIN_CHECKED

/* A pattern is a word, whose bytes are repeated; no two fills of a program have one in common. */
static uint64_t word_of(uint32_t fill)
{
    return fill == CONTENTS_WIPED ? 0 : (fill + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Returns: the offset of the next word, which leaves out what lies between the windows. */
static size_t next(size_t offset, size_t size)
{
    offset += sizeof(uint64_t);
    return offset == CONTENTS_WINDOW_SIZE && size > 2 * CONTENTS_WINDOW_SIZE
               ? size - CONTENTS_WINDOW_SIZE
               : offset;
}

/* The words are copied by loads and stores of the compiler's: AddressSanitizer makes calls of
 * memcpy slow. */
void contents_write(uintptr_t object, size_t size, uint32_t fill)
{
    const uint64_t word = word_of(fill);
    const uint8_t *bytes = (const uint8_t *)&word;
    for (size_t i = 0; i < size; i = next(i, size)) {
        uint8_t *to = (uint8_t *)object + i;
        if (size - i >= sizeof(word)) {
            memcpy(to, &word, sizeof(word));
        } else {
            for (size_t j = 0; j < size - i; j++) {
                to[j] = bytes[j];
            }
        }
    }
}

bool contents_agree(uintptr_t object, size_t size, uint32_t fill,
                    struct contents_difference *difference)
{
    const uint64_t word = word_of(fill);
    const uint8_t *bytes = (const uint8_t *)&word;
    for (size_t i = 0; i < size && fill != CONTENTS_UNKNOWN; i = next(i, size)) {
        const uint8_t *from = (const uint8_t *)object + i;
        uint64_t seen = word + 1;
        if (size - i >= sizeof(word)) {
            memcpy(&seen, from, sizeof(seen));
        }
        for (size_t j = 0; seen != word && j < sizeof(word) && j < size - i; j++) {
            if (from[j] != bytes[j]) {
                *difference = (struct contents_difference){i + j, from[j], bytes[j]};
                return false;
            }
        }
    }
    return true;
}

ENGINE_END
