#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Compiles the library and the example for a Cortex-M3, tells their sizes, and runs the example on an
# emulated board.
#
# usage: cortex_m.sh [--install]
#   --install  installs on Debian what is missing
# Exit code: 0, 1 where the example fails, 77 where there is no compiler or no emulator.
set -eu

workspace=$(cd "$(dirname "$0")/../.." && pwd -P)
. "$workspace/tools/debian/packages.sh"
cd "$workspace"

has_compiler() {
    command -v arm-none-eabi-gcc >/dev/null &&
        [ -f "$(arm-none-eabi-gcc -print-file-name=rdimon.specs)" ]
}

has_emulator() {
    command -v qemu-system-arm >/dev/null
}

case $# in
0) ;;
1)
    [ "$1" = --install ] || fail "usage: cortex_m.sh [--install]"
    has_compiler && has_emulator || install_packages "what builds for a Cortex-M and runs it" \
        gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
    ;;
*) fail "usage: cortex_m.sh [--install]" ;;
esac
if ! has_compiler || ! has_emulator; then
    echo "skipped: gcc-arm-none-eabi, libnewlib-arm-none-eabi or qemu-system-arm is missing"
    exit 77
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
machine="-mcpu=cortex-m3 -mthumb"

for source in src/*.c examples/freestanding/*.c; do
    # Functions that nobody calls are left out. newlib declares write for more than C11 alone.
    # shellcheck disable=SC2086 # options are several
    arm-none-eabi-gcc $machine -std=gnu11 -Os -ffunction-sections -Wall -Wextra -Wconversion \
        -Wshadow -Werror -DCORK_MEMPOOL_NO_OS_MEMORY -Iinclude -Isrc \
        -c "$source" -o "$directory/$(echo "$source" | tr / _).o"
done
# The start, and what a debugger does for a program: newlib's.
# shellcheck disable=SC2086
arm-none-eabi-gcc $machine --specs=rdimon.specs -Wl,--gc-sections -Wl,-u,board_vectors \
    -Wl,--section-start=.vectors=0 -Wl,-Map="$directory/map" "$directory"/*.o -o "$directory/program"

echo "the library, all of it, and what the example uses of it, in bytes of code and constants:"
arm-none-eabi-size -t "$directory"/src_*.o | awk 'END { print $1 }'
awk '/^Linker script and memory map/ { is_kept = 1 }
    /^ *\.(text|rodata)[^ ]*$/ { is_long = 1; next }
    is_kept && /src_[a-z]*\.c\.o$/ && (is_long || /^ \.(text|rodata)/) {
        print is_long ? $2 : $3
    }
    { is_long = 0 }' "$directory/map" |
    while read -r size; do echo "$((size))"; done | awk '{ sum += $1 } END { print sum }'

said=$(timeout 60 qemu-system-arm -M mps2-an385 -nographic -monitor none -serial none \
    -semihosting-config enable=on,target=native -kernel "$directory/program" </dev/null)
echo "$said"
[ "$said" = "as many messages received as sent" ]
