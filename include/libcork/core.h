/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_H
#define LIBCORK_CORE_H

#include <libcork/core/mempool.h>
#include <libcork/core/mempool_inspect.h>
#include <libcork/core/mempool_options.h>
#include <libcork/core/mempool_violation.h>

#endif /* LIBCORK_CORE_H */
