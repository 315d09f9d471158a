#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
set -eu

found=$(printf 'the pool of the\nfree a%040d of\n' 0 | "$(dirname "$0")/word_count" | sort)
expected='      1 0000000000
      1 a000000000000000000000000000000
      1 free
      1 pool
      2 of
      2 the'
[ "$found" = "$expected" ] || { printf 'expected:\n%s\nfound:\n%s\n' "$expected" "$found"; exit 1; }
