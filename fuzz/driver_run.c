/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"
#include "engine.h"
#include "options.h"
#include "progress.h"

ENGINE_BEGIN

void driver_test(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                 size_t size)
{
    struct driver_run run;
    progress_count();
    if (driver->has_options) {
        options_test(data, size);
    }
    for (size_t i = 0; driver_decode(driver, subject, data, size, i, &run); i++) {
        run_program(&run.settings, run.data, run.size);
    }
}

ENGINE_END
