#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
set -eu

cd "$(dirname "$0")"
./libcork_1_0 | diff libcork_1_0.expected -
