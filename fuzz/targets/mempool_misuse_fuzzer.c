/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"
#include "mutator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    driver_test(&driver_misuse, &subject_cork, data, size);
    return 0;
}

MUTATOR_OF(driver_misuse)
