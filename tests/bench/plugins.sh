#!/bin/sh
# plugins.sh PORTCULLIS [bench.py's options]: what plugins cost a message. The gateway without plugins, with
# one and with ten that do nothing at RCPT and at the end of the message, fresh for each mail and pooled;
# beside Postfix without and with a milter that does nothing, which costs what `postfix-milter` takes
# more than `postfix-relay`. Needs target/plugins (plugins/build.sh) and libmilter-dev.
set -eu

portcullis=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -gt 0 ] || set -- --workloads a,b --runs 5

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# configuration COUNT ISOLATION: prints one with so many plugins. All rows run at the same time, so none
# may have the admin address.
configuration() {
    cat <<YAML
hostname: hop.example.test
listeners:
  - name: mx
    address: @LISTEN@
upstreams:
  store:
    protocol: smtp
    address: @UPSTREAM@
    idle_connections: 100
default_upstream: store
admin:
  address: none
limits:
  connections: 5000
  connections_per_address: 5000
  plugin_copies: 4000
YAML
    [ "$1" = 0 ] || echo "plugins:"
    n=0
    while [ "$n" -lt "$1" ]; do
        echo "  - {name: cost$n, file: $root/target/plugins/cost-rust.wasm, isolation: $2, settings: {look: false}}"
        n=$((n + 1))
    done
}

set -- --rows postfix-relay,postfix-milter,none,one,ten,one-pooled,ten-pooled "$@"
for row in none:0:transaction one:1:transaction ten:10:transaction one-pooled:1:pooled ten-pooled:10:pooled; do
    name=${row%%:*}
    rest=${row#*:}
    count=${rest%:*}
    isolation=${rest#*:}
    configuration "$count" "$isolation" >"$scratch/$name.yaml.in"
    set -- "$@" --cmd "$name=$portcullis run --config {conf:$scratch/$name.yaml.in}" \
        --title "$name=Portcullis, no-op plugins: $count, isolation $isolation"
done
exec python3 "$here/bench.py" "$@"
