#!/bin/sh
# Builds the example into target/plugins/gatekeeper-python.wasm. Needs Python 3.11 or later; the
# first time also the network, for what portcullis/requirements.txt names.
#
#   PORTCULLIS_TOOLS    where that is kept; by default target/sdk-tools
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
PORTCULLIS_TOOLS=${PORTCULLIS_TOOLS:-$root/target/sdk-tools}
export PORTCULLIS_TOOLS

cd "$here/example"
python3 -m portcullis.build --output "$root/target/plugins/gatekeeper-python.wasm"
