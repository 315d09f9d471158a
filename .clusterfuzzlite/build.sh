#!/bin/bash -eu
# SPDX-License-Identifier: BSD-3-Clause
# Builds every driver in fuzz/targets/, as OSS-Fuzz and ClusterFuzzLite want it: with their compilers,
# options and engine, into $OUT. They set the variables, and run a copy of this script elsewhere.

cd "$SRC/cork_mempool"

# archive NAME SOURCE...: compiles sources, and makes $WORK/NAME.a of them.
archive() {
    local name=$1 objects=() source object
    shift
    for source; do
        object=$WORK/$name-$(basename "$source" .c).o
        $CC $CFLAGS -std=c11 -I. -Iinclude -Isrc -c "$source" -o "$object"
        objects+=("$object")
    done
    rm -f "$WORK/$name.a"
    "${AR:-ar}" rcs "$WORK/$name.a" "${objects[@]}"
}

mkdir -p "$OUT" "$WORK"
archive library src/*.c
# Each driver is linked with what it needs of the archives. The engine's main function wins over that of
# replay.c, because it comes first.
archive harness fuzz/engine/*.c fuzz/targets/*.c test/support/requests.c

# requests.c defines the wrappers, so its symbols say which functions the linker must wrap.
wraps=$("${NM:-nm}" "$WORK/harness-requests.o" | sed -n 's/.* T __wrap_/-Wl,--wrap=/p')

for corpus in fuzz/targets/corpus/*/; do
    driver=$(basename "$corpus")
    $CXX $CXXFLAGS "$WORK/harness-$driver.o" $LIB_FUZZING_ENGINE \
        "$WORK/harness.a" "$WORK/library.a" $wraps -o "$OUT/$driver"
    rm -f "$OUT/${driver}_seed_corpus.zip"
    python3 -m zipfile -c "$OUT/${driver}_seed_corpus.zip" "$corpus"*
    cp fuzz/targets/fuzzers.options "$OUT/$driver.options"
done
