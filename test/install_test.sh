#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The library in builds without Bazel: copied and compiled with its user, and installed.
#
# usage: install_test.sh
#   CC, CXX  compilers, as many of the one as of the other; default: all that are found
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

check() { # check DESCRIPTION COMMAND...: the command must end with 0
    description=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $description"
        cat "$scratch/log"
    fi
}

cat >"$scratch/use.c" <<'END'
#include <libcork/core.h>

#if !defined(CORK_MEMPOOL_PARANOID)
#error "this is another libcork"
#endif

int main(int argc, char **argv)
{
    struct cork_mempool pool;
    int *volatile number; /* compilers are not to see what is wrong with it below */

    (void)argv;
    cork_mempool_init(&pool, int);
    number = (int *)cork_mempool_new(&pool);
    *number = 42;
    cork_mempool_free(&pool, number);
    if (argc > 1) {
        return *number;
    }
    cork_mempool_done(&pool);
    return 0;
}
END
cp "$scratch/use.c" "$scratch/use.cc"

install_in() { # install_in PREFIX
    "$root/tools/install.sh" --prefix "$1"
}

# What pkg-config tells, read from its file as it would.
flags_of() { # flags_of PREFIX
    (
        file=$1/lib/pkgconfig/cork_mempool.pc
        prefix= includedir= libdir=
        eval "$(grep -E '^(prefix|includedir|libdir)=' "$file")"
        eval "echo $(sed -nE 's/^(Cflags|Libs): //p' "$file" | tr '\n' ' ')"
    )
}

pkg_config_agrees() { # pkg_config_agrees PREFIX
    told=$(PKG_CONFIG_PATH=$1/lib/pkgconfig pkg-config --cflags --libs cork_mempool) || return 1
    [ "$(echo $told)" = "$(flags_of "$1")" ]
}

use() { # use COMPILER SOURCE FLAG...: compiles and runs a program against what is installed
    compiler=$1
    source=$2
    shift 2
    "$compiler" -Wall -Wextra -Wpedantic -Werror "$source" "$@" -o "$scratch/use" && "$scratch/use"
}

documented() { # documented NUMBER CC: runs a block of docs/embedding.md, in its reader's directory
    python3 "$root/test/docs/blocks.py" "$root/docs/embedding.md" sh "$1" >"$scratch/block" || return 1
    mkdir -p "$scratch/bin" && ln -sf "$(command -v "$2")" "$scratch/bin/cc" &&
        env "HOME=$scratch/home" "PATH=$scratch/bin:$PATH" sh -eu "$scratch/block" && ./program
}

vendor() { # vendor CC CXX
    rm -rf "$scratch/project" && mkdir "$scratch/project" && cd "$scratch/project" &&
        cp -RL "$root/include" "$root/src" . && cp ../use.c program.c && documented 1 "$1" &&
        use "$2" ../use.cc -std=c++11 -Iinclude libcork_mempool.a
}

installs_as_documented() { # installs_as_documented CC
    mkdir -p "$scratch/reader/tools" && cd "$scratch/reader" &&
        cp -RL "$root/include" "$root/src" "$root/MODULE.bazel" . &&
        cp -L "$root/tools/install.sh" tools && cp ../use.c program.c && documented 2 "$1"
}

stages() { # a package's files, under DESTDIR alone, where nothing tells of DESTDIR
    DESTDIR=$scratch/stage install_in /opt/cork || return 1
    [ ! -e /opt/cork ] && ! grep -r "$scratch" "$scratch/stage" || return 1
    (cd "$scratch/stage/opt/cork" && find . -type f | sort) >"$scratch/found"
    {
        echo ./lib/libcork_mempool.a
        echo ./lib/pkgconfig/cork_mempool.pc
        (cd "$root/include" && find . -name '*.h' | sed 's|^\.|./include/cork_mempool|')
    } | sort | diff - "$scratch/found"
}

has_version() {
    grep -q "^    version = \"$(sed -n 's/^Version: //p' "$1/lib/pkgconfig/cork_mempool.pc")\"" \
        "$root/MODULE.bazel"
}

asan_sees() { # asan_sees CC: an installation that tells AddressSanitizer what is free
    CC=$1 CFLAGS='-O1 -fsanitize=address' install_in "$scratch/asan" &&
        "$1" -fsanitize=address "$scratch/use.c" $(flags_of "$scratch/asan") -o "$scratch/use" &&
        ! "$scratch/use" free 2>"$scratch/report" && cat "$scratch/report" &&
        grep -q use-after-poison "$scratch/report"
}

is_refused() { # is_refused WORDS COMMAND...: with status 2, these words, and nothing installed
    words=$1
    shift
    "$@" >"$scratch/out" 2>&1
    status=$?
    cat "$scratch/out"
    [ "$status" -eq 2 ] && grep -qF -- "$words" "$scratch/out" && [ ! -e "$scratch/refused" ] &&
        ! grep -q "^installed" "$scratch/out"
}

found() {
    for compiler in "$@"; do
        command -v "$compiler" >/dev/null && echo "$compiler"
    done
}

c_compilers=${CC:-$(found clang-19 clang | head -n 1) $(found gcc)}
cxx_compilers=${CXX:-$(found clang++-19 clang++ | head -n 1) $(found g++)}
unset CC CFLAGS DESTDIR
export CC
set -- $cxx_compilers
for cc in $c_compilers; do
    if [ $# -eq 0 ]; then
        echo "no C++ compiler beside $cc; set CC and CXX" >&2
        exit 1
    fi
    CC=$cc
    check "$cc, $1: include/ and src/, copied" vendor "$cc" "$1"
    check "$cc: installed" install_in "$scratch/$cc"
    flags=$(flags_of "$scratch/$cc")
    check "$cc: the installed library, from C" use "$cc" "$scratch/use.c" $flags
    check "$1: the installed library, from C++" use "$1" "$scratch/use.cc" $flags
    check "$cc: the installed library, in a shared one" "$cc" -shared -fPIC "$scratch/use.c" $flags \
        -o "$scratch/use.so"
    check "$cc: AddressSanitizer and the installed library" asan_sees "$cc"
    installed=$scratch/$cc
    shift
done
if [ -z "${installed:-}" ]; then
    echo "no compiler; set CC and CXX" >&2
    exit 1
fi
if command -v pkg-config >/dev/null; then
    check "pkg-config tells what is in its file" pkg_config_agrees "$installed"
    check "docs/embedding.md: installed" installs_as_documented "$CC"
else
    echo "no pkg-config here: its file is read, but not by it"
fi
check "the version is MODULE.bazel's" has_version "$installed"
# What follows is about files, not about code.
export CFLAGS=-O0
check "DESTDIR" stages
check "installed once more, by --prefix=DIR" "$root/tools/install.sh" "--prefix=$installed"

refused=$scratch/refused
: >"$scratch/file"
check "no prefix" is_refused "usage: " "$root/tools/install.sh"
check "no such option" is_refused "usage: " "$root/tools/install.sh" --prefx "$refused"
check "an empty prefix" is_refused "not an absolute path" install_in ""
check "a relative prefix" is_refused "not an absolute path" install_in refused
check "a prefix with a blank" is_refused "has a blank" install_in "$refused dir"
check "a prefix with a dollar" is_refused "has a blank" install_in "$refused\$dir"
check "a prefix that is a file" is_refused "nothing can be put into" install_in "$scratch/file"
check "a relative DESTDIR" is_refused "DESTDIR 'stage' is not" env DESTDIR=stage \
    "$root/tools/install.sh" --prefix "$refused"
check "a compiler that is none" is_refused "CC=unheard_of is no program" env CC=unheard_of \
    "$root/tools/install.sh" --prefix "$refused"
check "a compiler that fails" is_refused "was not compiled by false" env CC=false \
    "$root/tools/install.sh" --prefix "$refused"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
