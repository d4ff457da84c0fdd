#!/bin/sh
# run.sh PORTCULLIS [bench.py's options]: the gateway with its three plugins beside HAProxy, Postfix's
# proxy filter and, where it is installed, Haraka. Without options: behaviour, idle connections, and
# loads on new and kept connections. HARAKA is a folder in which npm has installed it.
#
# Three rows of the gateway: as it comes; with `isolation: pooled`, for those who accept that; and with the
# spool, which is to be read beside Postfix's own queue (postfix-relay).
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
[ $# -gt 0 ] || set -- --workloads v,f,a,b,c,d,g --runs 3

# bench.py fills in addresses, but knows nothing about where plugins are.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed "s|@PLUGINS@|$root/target/plugins|" "$here/portcullis.yaml.in" >"$scratch/portcullis.yaml.in"
sed '/^    file:/i\    isolation: pooled' "$scratch/portcullis.yaml.in" >"$scratch/pooled.yaml.in"
{
    sed '/^    address: @LISTEN@/a\    delivery: spool' "$scratch/portcullis.yaml.in"
    echo 'spool: { directory: @DIR@/spool, concurrency: 100, messages: 1000000, free: 100MiB }'
} >"$scratch/spool.yaml.in"

row() {
    echo "$portcullis run --config {conf:$scratch/$1.yaml.in}"
}

python3 "$here/bench.py" --haraka "$haraka" \
    --rows "$rows,portcullis,portcullis-pooled,postfix-relay,portcullis-spool" \
    --cmd portcullis="$(row portcullis)" \
    --title portcullis='Portcullis: access, recipients, headers' \
    --cmd portcullis-pooled="$(row pooled)" \
    --title portcullis-pooled='the same, isolation: pooled' \
    --cmd portcullis-spool="$(row spool)" \
    --title portcullis-spool='the same as the first, delivery: spool' "$@"
