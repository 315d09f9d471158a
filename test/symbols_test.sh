#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The library as a build without Bazel makes it: src/*.c, two include paths, no warnings; what it
# defines, what it exports, and what it needs.
#
# usage: symbols_test.sh INCLUDE SRC
#   INCLUDE  the directory that has libcork/
#   SRC      the directory of the sources
#   CC       compilers, more than one separated by spaces; default: all that are found
set -eu

include=$1
src=$2
failed=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

exported='cork_mempool_check
cork_mempool_clear
cork_mempool_done
cork_mempool_foreach
cork_mempool_free
cork_mempool_init_size
cork_mempool_init_size_ex
cork_mempool_init_type_
cork_mempool_init_with
cork_mempool_new
cork_mempool_on_violation
cork_mempool_owns
cork_mempool_stats
cork_mempool_trim
cork_mempool_violation_message'

# No printf, which may allocate and lock; no way to memory that requests.c does not know. What
# LeakSanitizer has is weak.
needed='__errno_location
__lsan_register_root_region
__lsan_unregister_root_region
abort
clock_gettime
dladdr
free
getauxval
getpid
getrlimit
madvise
malloc
mincore
mmap
mprotect
msync
munmap
poll
pthread_setcancelstate
pthread_sigmask
secure_getenv
sigaddset
sigemptyset
sigismember
sigpending
sigwait
strcspn
strtoull
sysconf
write'

# Without an operating system: errno, and how a program ends.
exported_embedded=$(printf '%s\ncork_mempool_write_report' "$exported")
needed_embedded='__errno_location
abort'

# What compilers call on their own.
implied='^(bcmp|strlen|memset|memcpy|memmove|memcmp|__stack_chk_fail(_local)?|__popcountdi2|_GLOBAL_OFFSET_TABLE_)$'

fail() {
    echo "FAILED: $*"
    failed=1
}

found() {
    for tool in "$@"; do
        if command -v "$tool" > /dev/null; then
            echo "$tool"
        fi
    done
}

compile() { # compile COMPILER OPTION...: into objects in $directory
    rm -f "$directory"/*.o
    for source in "$src"/*.c; do
        "$@" -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I"$include" -I"$src" \
            -c "$source" -o "$directory/$(basename "$source" .c).o" || fail "$* $source"
    done
}

same() { # same DESCRIPTION ACTUAL EXPECTED
    if [ "$2" != "$3" ]; then
        fail "$1"
        printf 'expected:\n%s\nfound:\n%s\n' "$3" "$2"
    fi
}

check_symbols() { # check_symbols DESCRIPTION COMPILER EXPORTED NEEDED
    defined=$("$nm" -g --defined-only "$directory"/*.o | awk 'NF == 3 { print $3 }' | sort -u)
    foreign=$(echo "$defined" | grep -v '^cork_mempool_' || true)
    same "$1: global names begin with cork_mempool_" "$foreign" ''

    undefined=$("$nm" -u "$directory"/*.o | awk 'NF == 2 { print $2 }' | sort -u)
    echo "$defined" > "$directory/defined"
    outside=$(echo "$undefined" | grep -vxF -f "$directory/defined" | grep -vE "$implied" | sort)
    same "$1: functions needed of the C library" "$outside" "$4"

    "$2" -shared -Wl,-z,defs -o "$directory/library.so" "$directory"/*.o || fail "$1: shared library"
    visible=$("$nm" -D --defined-only "$directory/library.so" | awk '$2 != "A" { print $3 }' | sort)
    same "$1: exported names" "$visible" "$3"
    libraries=$("$objdump" -p "$directory/library.so" | awk '$1 == "NEEDED" { print $2 }')
    same "$1: libraries needed" "$(echo "$libraries" | grep -v '^libc\.so' || true)" ''
    # All libraries that a program opens at run time have some 1,600 together, in glibc.
    thread_local=$("$objdump" -p "$directory/library.so" | sed -n '/ TLS /{n;s/.*memsz \(0x[0-9a-f]*\).*/\1/p;}')
    if [ $((${thread_local:-0})) -gt 64 ]; then
        fail "$1: $((thread_local)) bytes of thread-local memory, not 64 at most"
    fi
}

compilers=${CC:-$(found clang-19 clang | head -n 1) $(found gcc)}
nm=$(found nm llvm-nm-19 llvm-nm | head -n 1)
objdump=$(found objdump llvm-objdump-19 llvm-objdump | head -n 1)
if [ -z "${compilers% }" ] || [ -z "$nm" ] || [ -z "$objdump" ]; then
    echo "no compiler, no nm or no objdump" >&2
    exit 1
fi
export LC_ALL=C
for compiler in $compilers; do
    for options in -O0 -O2 '-O3 -DNDEBUG'; do
        # shellcheck disable=SC2086 # options are several
        compile "$compiler" $options -fPIC
        check_symbols "$compiler $options" "$compiler" "$exported" "$needed"
    done
    compile "$compiler" -O2 -fPIC -DCORK_MEMPOOL_NO_OS_MEMORY
    check_symbols "$compiler, without an operating system" "$compiler" \
        "$exported_embedded" "$needed_embedded"
done
[ "$failed" -eq 0 ] && echo "all names are as they should be"
