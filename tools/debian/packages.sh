# SPDX-License-Identifier: BSD-3-Clause
# Sourced by scripts: installs what they need and do not find, and says so first.

fail() {
    echo "${0##*/}: $1" >&2
    exit 2
}

# //bench measures these too, or draws with them. Not every release of Debian has all.
bench_packages="libboost-dev libclang-rt-19-dev libcork16 libjemalloc2 libmimalloc2.0
    libtcmalloc-minimal4 python3-matplotlib"

can_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }
}

# install_packages PURPOSE PACKAGE...
install_packages() {
    purpose=$1
    shift
    can_install || fail "$purpose is missing; on Debian, as root: apt-get install $*"
    as_root=env
    [ "$(id -u)" -eq 0 ] || as_root="sudo env"
    echo "${0##*/}: $purpose is missing: installing $*" >&2
    # A broken package source must not stop an installation that other sources can serve.
    $as_root apt-get -q update >&2 || true
    $as_root DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@" </dev/null >&2 ||
        fail "$purpose could not be installed: apt-get install $* failed"
}

# need PROGRAM PACKAGE...: installs the packages where there is no such program.
need() {
    command -v "$1" >/dev/null || install_packages "$@"
}

# npm_package NAME@VERSION: prints the directory that has it, after installing it there if need be.
npm_package() {
    directory=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cork_mempool/$(echo "${1##*/}" | tr @ -)
    if [ ! -d "$directory/node_modules" ]; then
        need npm nodejs npm
        echo "${0##*/}: $1 is missing: installing it in $directory" >&2
        npm install --loglevel=error --no-save --prefix "$directory" "$1" >&2 ||
            fail "$1 could not be installed by npm"
    fi
    echo "$directory/node_modules"
}
