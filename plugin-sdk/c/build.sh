#!/bin/sh
# Builds the example into target/plugins/gatekeeper-c.wasm, or the plugin in FOLDER into FILE. Needs a C
# compiler, make and Zig; without Zig Python 3 and, the first time, the network.
#
#   build.sh [FOLDER FILE]
#
#   WASM_CC             another compiler for wasm32-wasi; see portcullis.mk
#   PORTCULLIS_TOOLS    where Zig is kept; by default target/sdk-tools
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-$here/example}
file=${2:-$root/target/plugins/gatekeeper-c.wasm}
venv=${PORTCULLIS_TOOLS:-$root/target/sdk-tools}/zig
zig=0.17.1

if [ -z "${WASM_CC:-}${WASI_SDK_PATH:-}" ] && ! command -v zig >/dev/null; then
    if [ "$("$venv/bin/python3" -m ziglang version 2>/dev/null)" != $zig ]; then
        echo "c: installing Zig $zig into $venv" >&2
        python3 -m venv "$venv" >&2
        "$venv/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig" >&2
    fi
    export WASM_CC="$venv/bin/python3 -m ziglang cc --target=wasm32-wasi"
fi

mkdir -p "$(dirname "$file")"
cd "$folder"
make --silent test
make --silent
cp ./*.wasm "$file.new"
mv "$file.new" "$file"
