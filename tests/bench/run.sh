#!/bin/sh
# run.sh PORTCULLIS [bench.py's options]: the gateway with its three plugins beside HAProxy, Postfix's
# proxy filter and, where it is installed, Haraka. Without options: behaviour, idle connections, and
# loads on new and kept connections. HARAKA is a folder in which npm has installed it.
set -eu

portcullis=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

rows=haproxy,postfix-proxy
haraka=${HARAKA:-$root/target/haraka}
if [ -d "$haraka/node_modules/Haraka" ]; then
    rows=$rows,haraka-forward
else
    echo "bench: no Haraka in $haraka; tests/bench/README.md tells how to install it" >&2
fi
[ $# -gt 0 ] || set -- --workloads v,f,a,b,c --runs 3

# bench.py fills in addresses, but knows nothing about where plugins are.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed "s|@PLUGINS@|$root/target/plugins|" "$here/portcullis.yaml.in" >"$scratch/portcullis.yaml.in"

python3 "$here/bench.py" --haraka "$haraka" --rows "$rows,portcullis" \
    --cmd portcullis="$portcullis run --config {conf:$scratch/portcullis.yaml.in}" \
    --title portcullis='Portcullis: access, recipients, headers' "$@"
