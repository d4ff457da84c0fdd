#!/bin/sh
# Builds the benchmark's plugins that plugins/build.sh does not: those not in Rust. A language whose tools
# are missing is left out.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
PORTCULLIS_TOOLS=${PORTCULLIS_TOOLS:-$root/target/sdk-tools}
export PORTCULLIS_TOOLS
out=$root/target/plugins

"$root/plugin-sdk/go/build.sh" "$here/go" "$out/cost-go.wasm" || echo "no cost-go" >&2
"$root/plugin-sdk/c/build.sh" "$here/c" "$out/cost-c.wasm" || echo "no cost-c" >&2
node "$here/js/sdk/build.mjs" "$here/js" --output "$out/cost-js.wasm" || echo "no cost-js" >&2
(cd "$here/python" && python3 -m portcullis.build --output "$out/cost-python.wasm") || echo "no cost-python" >&2
