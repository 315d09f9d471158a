/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

DRIVER_TARGET(driver_profiles)
MUTATOR_OF(driver_profiles)
