#!/bin/sh
# postfix-rspamd.sh LISTEN UPSTREAM DIR: Postfix with rspamd as its milter and a Redis, in the foreground: what
# most people have who filter with rspamd. A row for bench.py beside the gateway with an example that makes the
# same checks.
#
# rspamd as Debian ships it, self-scanning in its proxy worker (no second hop), with SPF, DKIM, ARC, DMARC,
# address and link lists, greylisting (of scores from 4 on), rate limits, MIME and header rules. Two things are less
# than that: no Bayes and no fuzzy hashes, for which the gateway has no plugin. NAMES is a name server's
# host:port; by default that of the system. DATA is a folder where rspamd finds what it has compiled before.
set -eu

listen=$1 upstream=$2 dir=$3
here=$(cd "$(dirname "$0")" && pwd)
export PATH="$PATH:/usr/sbin:/sbin"
children=

fill() {
    awk -v listen="$listen" -v upstream="${upstream##*:}" -v dir="$dir" -v extra="$extra" '{
        gsub("@LISTEN@", listen); gsub("@UPSTREAM_PORT@", upstream); gsub("@DIR@", dir); gsub("@EXTRA@", extra); print
    }' "$1"
}

end() {
    # Postfix's master is one of them: "postfix stop" takes longer than bench.py waits.
    # shellcheck disable=SC2086 # a list
    kill $children 2>/dev/null || true
    wait
    exit 0
}
trap end TERM INT

redis-server --bind 127.0.0.1 --port 0 --unixsocket "$dir/redis.sock" --unixsocketperm 777 --save "" \
    --dir "$dir" >"$dir/redis.log" 2>&1 &
children="$children $!"

rspamd=$dir/rspamd
cp -r /etc/rspamd "$rspamd"
data=${DATA:-$dir/rspamd-data}
mkdir -p "$rspamd/local.d" "$rspamd/override.d" "$data"
chmod -R a+rwX "$dir" "$data"
cat >"$rspamd/override.d/options.inc" <<EOF
pidfile = "$dir/rspamd.pid";
local_addrs = [192.0.2.0/24];
dns { ${NAMES:+nameserver = ["${NAMES%:*}:${NAMES##*:}"];} timeout = 1s; retransmits = 2; }
EOF
cat >"$rspamd/override.d/logging.inc" <<EOF
type = "file"; filename = "$dir/rspamd.log"; level = "info";
EOF
cat >"$rspamd/override.d/worker-proxy.inc" <<EOF
milter = yes; timeout = 20s; count = 2; bind_socket = "$dir/rspamd.sock mode=0666";
upstream "local" { default = yes; self_scan = yes; }
EOF
for worker in normal controller fuzzy; do echo 'enabled = false;' >"$rspamd/override.d/worker-$worker.inc"; done
echo "servers = \"$dir/redis.sock\";" >"$rspamd/local.d/redis.conf"
for module in bayes fuzzy_check neural phishing asn; do echo 'enabled = false;' >"$rspamd/override.d/$module.conf"; done
echo 'classifier "bayes" { enabled = false; }' >"$rspamd/override.d/statistic.conf"
echo 'rates { a { selector = "ip"; bucket { burst = 1000000; rate = "1000000 / 1s"; } } }' >"$rspamd/local.d/ratelimit.conf"
rspamd -f -i -c "$rspamd/rspamd.conf" --var=CONFDIR="$rspamd" --var=LOCAL_CONFDIR="$rspamd" --var=DBDIR="$data" --var=RUNDIR="$dir" --var=LOGDIR="$dir" >"$dir/rspamd.out" 2>&1 &
children="$children $!"
# Its expressions are compiled after the start; that is not to be measured.
for _ in $(seq 300); do
    [ -S "$dir/rspamd.sock" ] && [ "$(grep -c "full hyperscan database" "$dir/rspamd.log")" -ge 2 ] && break
    sleep 0.2
done

mkdir -p "$dir/postfix" "$dir/queue" "$dir/data"
chown postfix "$dir/data"
extra="smtpd_milters = unix:$dir/rspamd.sock
milter_default_action = tempfail
smtpd_proxy_filter ="
fill "$here/peers/postfix-main.cf.in" >"$dir/postfix/main.cf"
fill "$here/peers/postfix-master.cf.in" >"$dir/postfix/master.cf"
postfix -c "$dir/postfix" start-fg &
children="$children $!"
wait
