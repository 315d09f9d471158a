/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

DRIVER_TARGET(driver_misuse, subject_cork)
MUTATOR_OF(driver_misuse)
