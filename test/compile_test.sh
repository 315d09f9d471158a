#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# What compiles and what must not: the headers, and the type macros given what is not a type.
#
# usage: compile_test.sh INCLUDE
#   INCLUDE  the directory that has libcork/
#   CC, CXX  compilers, more than one separated by spaces; default: all that are found
set -u

include=$1
passed=0
failed=0
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT

found() {
    for compiler in "$@"; do
        command -v "$compiler" > /dev/null && echo "$compiler"
    done
}

verdict() { # verdict OK DESCRIPTION
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $2"
        cat "$directory/errors"
    fi
}

compiles() { # compiles DESCRIPTION COMMAND...
    description=$1
    shift
    "$@" > "$directory/errors" 2>&1
    verdict $? "$description must compile"
}

is_refused() { # is_refused DESCRIPTION COMMAND...
    description=$1
    shift
    "$@" > "$directory/errors" 2>&1
    test $? -eq 1
    verdict $? "$description must not compile"
}

# What is refused is compiled alone, as WHAT; what is not, all in one.
cat > "$directory/use.c" << 'END'
#include <libcork/core.h>

struct incomplete;
struct complete {
    void *pointer;
    char text[20];
};

#ifdef __cplusplus
template <typename one, typename other> struct pair {
    one first;
    other second;
};
#else
struct flexible {
    int length;
    char text[];
};
#endif

void use(struct cork_mempool *mp, struct complete variable, int number);

void use(struct cork_mempool *mp, struct complete variable, int number)
{
    (void)variable;
    (void)number;
#ifndef WHAT
#include "types.h"
#elif defined(EX)
    cork_mempool_init_ex(mp, WHAT, 1000);
#else
    cork_mempool_init(mp, WHAT);
#endif
}
END
cp "$directory/use.c" "$directory/use.cc"

try_types() { # try_types SOURCE COMMAND...
    source=$1
    shift
    case $source in
    *.cc) more='pair<int, long>' ;;
    *) more='struct flexible' ;;
    esac
    for what in 'struct complete' 'int' 'struct complete *' 'struct incomplete *' 'char[20]' \
        'void *' 'void (*)(int)' 'const struct complete[2]' "$more" \
        'struct complete (*)(int, int, int, int, int)'; do
        echo "cork_mempool_init(mp, $what); cork_mempool_init_ex(mp, $what, 1000);"
    done >"$directory/types.h"
    compiles "$*: types" "$@" -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only \
        "$directory/$source"
}

try_others() { # try_others SOURCE COMMAND...
    source=$1
    shift
    for form in -DINIT -DEX; do
        for what in 'sizeof(struct complete)' 'sizeof variable' '8' 'number' 'variable' '&variable' \
            '"struct complete"' 'struct incomplete' 'unheard_of' 'void' 'int(int)' ''; do
            is_refused "$* $form: $what" "$@" -I"$include" "$form" -DWHAT="$what" -fsyntax-only \
                "$directory/$source"
        done
    done
}

# libcork 1.0's names and these, where they clash: what is meant otherwise must not compile.
cat > "$directory/clash.c" << 'END'
#include <libcork/compat/mempool_1_0.h>

struct cork_mempool *use(struct cork_mempool *mp, void *pointer);

struct cork_mempool *use(struct cork_mempool *mp, void *pointer)
{
    void (*address)(struct cork_mempool *) = cork_mempool_free;

    (void)pointer;
    address(mp);
    return WHAT;
}
END
cp "$directory/clash.c" "$directory/clash.cc"

try_clashes() { # try_clashes SOURCE COMMAND...
    source=$1
    shift
    for what in 'cork_mempool_new(int)' 'cork_mempool_new_ex(struct cork_mempool, 100)' \
        '(cork_mempool_free(mp), mp)'; do
        compiles "$* compat: $what" "$@" -Wall -Wextra -Wpedantic -Werror -I"$include" \
            -DWHAT="$what" -fsyntax-only "$directory/$source"
    done
    for what in 'cork_mempool_new(mp)' 'cork_mempool_new(sizeof(int))' \
        '(cork_mempool_free(mp, pointer), mp)'; do
        is_refused "$* compat: $what" "$@" -I"$include" -DWHAT="$what" -fsyntax-only \
            "$directory/$source"
    done
}

# Old code of libcork sets fields of a pool: none of its names is one of ours.
cat > "$directory/field.c" << 'END'
#include <libcork/core.h>

void use(struct cork_mempool *mp);

void use(struct cork_mempool *mp)
{
    mp->WHAT = 0;
}
END
cp "$directory/field.c" "$directory/field.cc"

try_fields() { # try_fields SOURCE COMMAND...
    source=$1
    shift
    # There is one that is a field, lest the others be refused for something else.
    compiles "$* field: protections" "$@" -I"$include" -DWHAT=protections -fsyntax-only \
        "$directory/$source"
    for what in init_object done_object user_data element_size block_size allocated_count \
        free_list blocks; do
        is_refused "$* field: $what" "$@" -I"$include" -DWHAT="$what" -fsyntax-only \
            "$directory/$source"
    done
}

# Calls that compilers can see to be wrong, and those that they must let pass.
cat > "$directory/call.c" << 'END'
#include <libcork/core.h>
#include <stdlib.h>

void use(struct cork_mempool *mp, const struct cork_mempool_options *options);

void use(struct cork_mempool *mp, const struct cork_mempool_options *options)
{
    (void)options;
    WHAT;
}
END

try_calls() { # try_calls COMMAND...
    for what in 'cork_mempool_free(mp, NULL)' 'cork_mempool_clear(mp)' \
        'void *object = cork_mempool_new(mp); cork_mempool_free(mp, object)' \
        'if (!cork_mempool_init_with(mp, options)) { abort(); }'; do
        compiles "$*: $what" "$@" -Wall -Wextra -Werror -O2 -I"$include" -DWHAT="$what" \
            -c "$directory/call.c" -o "$directory/call.o"
    done
    set -- "$@" -Wall -Werror -O2 -I"$include" -c "$directory/call.c" -o "$directory/call.o"
    for what in 'cork_mempool_new(mp)' 'cork_mempool_init_with(mp, options)' \
        'cork_mempool_check(mp)' 'cork_mempool_owns(mp, mp)' 'cork_mempool_free(NULL, mp)' \
        'cork_mempool_done(NULL)' 'cork_mempool_init(NULL, int)' 'cork_mempool_trim(NULL)' \
        'cork_mempool_stats(mp, NULL)' 'cork_mempool_foreach(mp, NULL, mp)'; do
        is_refused "$*: $what" "$@" -DWHAT="$what"
    done
    # What else gcc knows from version 11 on, clang does not.
    case $("$1" --version | head -n 1) in
    *clang*) ;;
    *)
        for what in 'void *object = cork_mempool_new(mp); free(object)' \
            'void *object = malloc(8); cork_mempool_free(mp, object)' \
            'char *text = cork_mempool_new(mp); cork_mempool_free(mp, text); *text = 1'; do
            is_refused "$*: $what" "$@" -DWHAT="$what"
        done
        ;;
    esac
}

# What projects turn on besides; headers as if they were the project's own.
cat > "$directory/strict.c" << 'END'
#include <libcork/core.h>

#ifdef __cplusplus
#define FROM(type, pointer) static_cast<type>(pointer)
#else
#define FROM(type, pointer) pointer
#endif

static size_t use(struct cork_mempool *mp)
{
    struct cork_mempool_stats stats;
    int *number = FROM(int *, cork_mempool_new(mp));

    cork_mempool_stats(mp, &stats);
    cork_mempool_free(mp, number);
    cork_mempool_clear(mp);
    return cork_mempool_check(mp) ? stats.live_count : CORK_MEMPOOL_NO_SLOT;
}

int main(void)
{
    struct cork_mempool pool;

    cork_mempool_init(&pool, int);
    cork_mempool_init_ex(&pool, int, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
    return use(&pool) == (CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL);
}
END
cp "$directory/strict.c" "$directory/strict.cc"
printf '#include <libcork/compat/mempool_1_0.h>\nint main(void) { cork_mempool_free(cork_mempool_new(int)); }\n' \
    > "$directory/old.c"
cp "$directory/old.c" "$directory/old.cc"

try_strictly() { # try_strictly SUFFIX COMMAND...
    suffix=$1
    shift
    strict='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wmissing-field-initializers -Wcast-qual -Wundef'
    case $("$1" --version | head -n 1)$suffix in
    # Less what is about padding and older standards.
    *clang*) strict="-Weverything -Wno-padded -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-pre-c11-compat" ;;
    *cc) strict="$strict -Wold-style-cast -Wuseless-cast -Wzero-as-null-pointer-constant" ;;
    esac
    for source in strict old; do
        # shellcheck disable=SC2086
        compiles "$*: $source.$suffix, strictly" "$@" $strict -Werror -I"$include" -fsyntax-only \
            "$directory/$source.$suffix"
    done
}

try_headers() { # try_headers SUFFIX COMMAND...
    suffix=$1
    shift
    for header in core.h core/mempool.h core/mempool_inspect.h core/mempool_options.h \
        core/mempool_violation.h compat/mempool_1_0.h; do
        # Twice, for the guards; alone, because each must include what it needs.
        printf '#include <libcork/%s>\n#include <libcork/%s>\n' "$header" "$header" \
            > "$directory/header.$suffix"
        compiles "$*: $header" "$@" -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only \
            "$directory/header.$suffix"
    done
}

c_compilers=${CC:-$(found clang-19 clang | head -n 1) $(found gcc)}
cxx_compilers=${CXX:-$(found clang++-19 clang++ | head -n 1) $(found g++)}
for compiler in $c_compilers; do
    for standard in c11 gnu11 c17; do
        try_headers c "$compiler" "-std=$standard"
        try_types use.c "$compiler" "-std=$standard"
    done
    try_clashes clash.c "$compiler" -std=c11
    try_fields field.c "$compiler" -std=c11
    try_calls "$compiler" -std=c11
    try_strictly c "$compiler" -std=c11
    try_others use.c "$compiler" -std=c11
    try_others use.c "$compiler" -std=gnu17
done
for compiler in $cxx_compilers; do
    for standard in c++11 c++14 c++17 c++20; do
        try_headers cc "$compiler" "-std=$standard"
        try_types use.cc "$compiler" "-std=$standard"
        try_strictly cc "$compiler" "-std=$standard"
    done
    try_clashes clash.cc "$compiler" -std=c++11
    try_fields field.cc "$compiler" -std=c++11
    try_others use.cc "$compiler" -std=c++11
    try_others use.cc "$compiler" -std=gnu++20
done
echo "$passed passed, $failed failed"
if [ "${c_compilers% }" = '' ] || [ "${cxx_compilers% }" = '' ]; then
    echo "no compiler; set CC and CXX" >&2
    exit 1
fi
[ "$failed" -eq 0 ]
