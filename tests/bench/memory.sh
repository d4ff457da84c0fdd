#!/bin/bash
# memory.sh PORTCULLIS [SESSIONS [OCTETS]]: what the gateway with its three plugins needs at most while so
# many messages of that size are in it at once; by default fifty of 25 MiB.
set -euo pipefail

portcullis=$1 sessions=${2:-50} octets=${3:-26214400}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
listen=127.0.0.1:13325 sink=127.0.0.1:13326

scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$scratch"' EXIT
sed "s|@PLUGINS@|$root/target/plugins|; s|@LISTEN@|$listen|; s|@UPSTREAM@|$sink|" \
    "$here/portcullis.yaml.in" >"$scratch/portcullis.yaml"
cc -O2 -pthread -o "$scratch/fastsink" "$here/fastsink.c"
"$scratch/fastsink" "${sink%:*}" "${sink#*:}" &
"$portcullis" run --config "$scratch/portcullis.yaml" 2>"$scratch/log" &
gateway=$!

for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/${listen%:*}/${listen#*:}") 2>/dev/null; then break; fi
    kill -0 $gateway 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.1
done
idle=$(awk '/^Pss:/ {print $2}' /proc/$gateway/smaps_rollup)
while sleep 0.05; do awk '/^Pss:/ {print $2}' /proc/$gateway/smaps_rollup || break; done \
    2>/dev/null >"$scratch/pss" &
smtp-source -s "$sessions" -m $((2 * sessions)) -l "$octets" -f sender@example.test -t rcpt@example.test "$listen"
peak=$(sort -n "$scratch/pss" | tail -1)
echo "idle: $((idle / 1024)) MiB; with $sessions messages of $octets octets at once: $((peak / 1024)) MiB (PSS)"
