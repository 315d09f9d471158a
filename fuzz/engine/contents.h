/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_CONTENTS_H
#define FUZZ_CONTENTS_H

/*
 * Contents: what objects are filled with, and whether they still hold it. Of large objects only
 * CONTENTS_WINDOW_SIZE bytes at each end are written and compared.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENTS_WINDOW_SIZE 128

/* The fills of an object that has been wiped, and of one that may hold anything; all others are
 * patterns. */
#define CONTENTS_WIPED   UINT32_MAX
#define CONTENTS_UNKNOWN (UINT32_MAX - 1)

/* contents_write fills an object. */
void contents_write(uintptr_t object, size_t size, uint32_t fill);

/* struct contents_difference is the first byte of an object that is not what it should be. */
struct contents_difference {
    size_t offset;
    unsigned seen;
    unsigned expected;
};

/* contents_agree says whether an object holds a fill, or else sets *difference. */
bool contents_agree(uintptr_t object, size_t size, uint32_t fill,
                    struct contents_difference *difference);

#endif /* FUZZ_CONTENTS_H */
