/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

FUZZ_TARGET(driver_options, subject_cork)
