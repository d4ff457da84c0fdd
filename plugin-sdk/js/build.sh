#!/bin/sh
# Builds the example into target/plugins/gatekeeper-js.wasm. Needs Node.js; the first time also the
# network, for what sdk/tools/package-lock.json names.
#
#   PORTCULLIS_TOOLS    where that is kept; by default target/sdk-tools
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
PORTCULLIS_TOOLS=${PORTCULLIS_TOOLS:-$root/target/sdk-tools}
export PORTCULLIS_TOOLS

node "$here/example/sdk/build.mjs" "$here/example" --output "$root/target/plugins/gatekeeper-js.wasm"
