/* SPDX-License-Identifier: BSD-3-Clause */
#include "input.h"

const struct subject *const input_subject = &subject_cork;
