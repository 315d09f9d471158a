#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Compiles the library and installs it for builds without Bazel, which find it by pkg-config.
#
# usage: tools/install.sh --prefix DIR
#   DESTDIR      is put before every path that is written to, for packages
#   CC, CFLAGS   what compiles it; default: cc, -O2
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "${0##*/}: $1" >&2
    exit 2
}

case $#${1-} in
1--prefix=*) prefix=${1#--prefix=} ;;
2--prefix) prefix=$2 ;;
*) fail "usage: ${0##*/} --prefix DIR" ;;
esac
case $prefix in
/*) ;;
*) fail "--prefix '$prefix' is not an absolute path" ;;
esac
# pkg-config would take them for something else.
case $prefix in
*[[:space:]\"\'\\\$\#]*) fail "--prefix '$prefix' has a blank, a quote, a \\, a \$ or a #" ;;
esac
case ${DESTDIR:=} in
'' | /*) ;;
*) fail "DESTDIR '$DESTDIR' is not an absolute path" ;;
esac
prefix=${prefix%/}
version=$(sed -n 's/^    version = "\(.*\)",$/\1/p' "$root/MODULE.bazel")
[ -n "$version" ] || fail "$root/MODULE.bazel has no version"
CC=${CC:-cc}
# CC may have arguments.
command -v "${CC%% *}" >/dev/null || fail "CC=$CC is no program"

# All of it is made before anything is installed.
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
for source in "$root"/src/*.c; do
    $CC -std=c11 -fexceptions ${CFLAGS:--O2} -fPIC -I"$root/include" -I"$root/src" -c "$source" \
        -o "$made/$(basename "$source" .c).o" || fail "$source was not compiled by $CC"
done
ar rcs "$made/libcork_mempool.a" "$made"/*.o || fail "ar failed"
# glibc before 2.34 has dladdr in libdl; later ones have a libdl that is empty.
cat >"$made/cork_mempool.pc" <<END
prefix=$prefix
includedir=\${prefix}/include/cork_mempool
libdir=\${prefix}/lib

Name: cork_mempool
Description: memory pools that refuse their misuse
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -lcork_mempool -ldl -pthread
END

# copy FILE DIRECTORY: DIRECTORY is under the prefix.
copy() {
    directory=$DESTDIR$prefix/$2
    mkdir -p "$directory" && install -m 644 "$1" "$directory" || fail "nothing can be put into $directory"
}

# libcork has a libcork/core.h too; in a directory of our own neither is found in the other's stead.
(cd "$root/include" && find libcork -name '*.h') | while read -r header; do
    copy "$root/include/$header" "include/cork_mempool/${header%/*}"
done
copy "$made/libcork_mempool.a" lib
copy "$made/cork_mempool.pc" lib/pkgconfig
echo "installed cork_mempool $version in $DESTDIR$prefix"
