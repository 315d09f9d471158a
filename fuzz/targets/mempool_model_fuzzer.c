/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

DRIVER_TARGET(driver_model, subject_cork)
MUTATOR_OF(driver_model)
