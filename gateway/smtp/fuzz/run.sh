#!/bin/sh
# Fuzzes each target for so many seconds (30 by default), or only those that are named:
#
#   run.sh [SECONDS [TARGET ...]]
#   run.sh keep [TARGET ...]          boils what was found down to new seeds
#
# Runs with the stable compiler: libFuzzer needs the coverage of LLVM and no sanitizer, since our
# crates have no unsafe code. What a run finds is kept in target/fuzz/corpus, for the next one.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../../target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
programs=$target/$host/release

seconds=30 keep=
case ${1:-} in
keep) keep=yes; shift ;;
[0-9]*) seconds=$1; shift ;;
esac
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z]*\)"$/\1/p' "$here/Cargo.toml")

coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4'
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="--cfg fuzzing $coverage -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1" \
    CARGO_TARGET_DIR=$target \
    cargo build --locked --quiet --release --target "$host" --manifest-path "$here/Cargo.toml"

for name in "$@"; do
    corpus=$target/corpus/$name seeds=$here/seeds/$name
    mkdir -p "$corpus" "$seeds" "$target/artifacts"
    if [ -n "$keep" ]; then
        boiled=$(mktemp -d)
        "$programs/$name" -merge=1 -max_len=1024 "$boiled" "$seeds" "$corpus" >/dev/null 2>&1
        # As one file a target: hundreds of small ones are of no use to a reader.
        rm -rf "$corpus"
        mv "$boiled" "$corpus"
        tar --sort=name --owner=0 --group=0 --mtime=@0 -C "$corpus" -cJf "$here/seeds/$name.tar.xz" .
        echo "$name: $(ls "$corpus" | wc -l) inputs kept in seeds/$name.tar.xz"
        continue
    fi
    [ ! -f "$here/seeds/$name.tar.xz" ] || tar -C "$corpus" -xJf "$here/seeds/$name.tar.xz"
    log=$target/$name.log
    if ! "$programs/$name" -max_total_time="$seconds" -max_len=1024 -timeout=10 -rss_limit_mb=1024 \
        -dict="$here/smtp.dict" -artifact_prefix="$target/artifacts/" -print_final_stats=1 \
        "$corpus" "$seeds" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzzing $name found something; the input is in $target/artifacts" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$name: $runs runs in $seconds s, $(ls "$corpus" | wc -l) inputs, nothing found"
done
