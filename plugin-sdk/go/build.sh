#!/bin/sh
# Builds the example into target/plugins/gatekeeper-go.wasm, or the plugin in FOLDER into FILE. Needs Go
# 1.24 or later, and no network.
#
#   build.sh [FOLDER FILE]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-$here/example}
file=${2:-$root/target/plugins/gatekeeper-go.wasm}

mkdir -p "$(dirname "$file")"
cd "$folder"
export GOTOOLCHAIN=local
go test ./...
go tool portcullis-build -o "$file"
