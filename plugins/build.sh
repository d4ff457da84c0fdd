#!/bin/sh
# Builds the bundled plugins and those of the tests into target/plugins/, whose path configurations
# may rely on. Sets up what it needs: rustup's wasm targets, or where they are not to be had
# Debian's compiler with the source of the standard library.
#
#   build.sh
#   build.sh --install DIRECTORY              puts the bundled ones there, once they are built
#
#   PORTCULLIS_WASM_TOOLCHAIN=rustup|debian   insist on one of the two
#   CARGO_TARGET_DIR                          where cargo keeps its own files
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/target/plugins
work=${CARGO_TARGET_DIR:-$root/target/wasm}
target=wasm32-unknown-unknown
bundled="access authentication bounces clamav content dnsbl greylist headers helo milter ratelimit \
    recipients routing rspamd tarpit uribl webhook"
debian_packages="rustc-web cargo-web rust-web-src"

say() { echo "plugins: $*" >&2; }

if [ "${1:-}" = --install ]; then
    mkdir -p "$2"
    for name in $bundled; do /usr/bin/install -m 644 "$out/$name.wasm" "$2/"; done
    exit
fi

# Does the compiler of this directory have the standard library of a target?
has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

add_target() {
    has_target "$1" && return
    command -v rustup >/dev/null || return
    say "rustup target add $1"
    rustup target add "$1" >&2 && has_target "$1"
}

# The target is either there, or every crate's standard library is built along (design: Debian
# ships the source, not the target).
set_up_debian() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -e "$(debian_library)" ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "apt-get install $debian_packages"
        # shellcheck disable=SC2086 # a list
        apt-get install -qy --no-install-recommends $debian_packages >&2 && return
    fi
    say "no wasm target: 'rustup target add $target' or, on Debian and Ubuntu," \
        "'apt-get install $debian_packages'"
    return 1
}

debian_library() { echo "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library"; }

# A linker that knows wasm: lld's own names first, then what rustup ships beside its compiler.
find_linker() {
    for linker in rust-lld wasm-ld lld; do
        command -v $linker && return
    done
    for linker in "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld /usr/lib/llvm-*/bin/wasm-ld; do
        [ -x "$linker" ] && echo "$linker" && return
    done
    say "no linker for wasm: 'apt-get install lld'"
    return 1
}

# Where the sources lie is nobody's business who reads a module, and every clone builds the same.
remapped() {
    separator=$(printf '\037')
    printf '%s' "--remap-path-prefix=$root=portcullis"
    for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        printf '%s' "$separator--remap-path-prefix=$sources=crates"
    done
}

# build TARGET CRATES...: builds crates of the plugins' workspace.
build() {
    build_target=$1
    shift
    CARGO_ENCODED_RUSTFLAGS=$(remapped)
    export CARGO_ENCODED_RUSTFLAGS
    packages=
    for crate; do packages="$packages -p $crate"; done
    set -- build --release --locked --manifest-path "$root/plugins/Cargo.toml" \
        --target-dir "$work" --target "$build_target"
    if [ "$toolchain" = debian ]; then
        linker=$(find_linker)
        # shellcheck disable=SC2086 # a list
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker \
            /usr/bin/cargo "$@" -Zbuild-std=std,panic_abort $packages
    else
        # shellcheck disable=SC2086
        cargo "$@" $packages
    fi
}

# install TARGET CRATE NAME: atomically, so that a running gateway never reads half a plugin.
install() {
    cp "$work/$1/release/$2.wasm" "$out/.$3.new"
    mv "$out/.$3.new" "$out/$3.wasm"
}

toolchain=${PORTCULLIS_WASM_TOOLCHAIN:-}
case $toolchain in
    rustup) add_target $target ;;
    debian) set_up_debian ;;
    "") if add_target $target; then toolchain=rustup; else set_up_debian && toolchain=debian; fi ;;
    *) say "PORTCULLIS_WASM_TOOLCHAIN is rustup or debian, not '$toolchain'"; exit 2 ;;
esac

[ "$toolchain" = rustup ] || work=$work/$toolchain
mkdir -p "$out"
# shellcheck disable=SC2086 # a list
build $target $bundled carver cost gatekeeper inquirer misbehave porter reacher stamp
for name in $bundled; do install $target "$name" "$name"; done
install $target carver test-carver
install $target cost cost-rust
install $target gatekeeper gatekeeper-rust
install $target inquirer test-inquirer
install $target misbehave test-misbehave
install $target porter test-porter
install $target reacher test-reacher
install $target stamp test-stamp

# The same plugin as a component of its own, which imports WASI. Only tests want it, and Debian has
# no such target.
rm -f "$out/test-component.wasm"
if [ "$toolchain" = rustup ] && add_target wasm32-wasip2; then
    build wasm32-wasip2 misbehave
    install wasm32-wasip2 misbehave test-component
else
    say "no target wasm32-wasip2: test-component.wasm is left out"
fi

say "built with $toolchain's compiler into $out"
ls -l "$out" | awk '/wasm$/ { print "plugins: " $5 " " $9 }' >&2
