#!/bin/sh
# add.sh: keeps the contract as it is now, with the example in each language as `make plugins` has built it.
# A version that is there already is left alone.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$(sed -n 's/^package smtp:filter@\(.*\);$/\1/p' "$root/plugin-sdk/wit/filter.wit")
folder=$here/$version

mkdir -p "$folder"
[ -e "$folder/filter.wit" ] || cp "$root/plugin-sdk/wit/filter.wit" "$folder/"
for language in rust go c js python; do
    plugin=$root/target/plugins/gatekeeper-$language.wasm
    kept=$folder/gatekeeper-$language.wasm.xz
    if [ -e "$kept" ]; then
        echo "$kept is there"
    elif [ -e "$plugin" ]; then
        xz -9e --stdout "$plugin" >"$kept"
    else
        echo "no $plugin: build it first" >&2
        exit 1
    fi
done
ls -l "$folder"
