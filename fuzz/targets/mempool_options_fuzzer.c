/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

DRIVER_TARGET(driver_options, subject_cork)
