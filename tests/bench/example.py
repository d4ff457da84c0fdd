#!/usr/bin/env python3
"""What config/examples/inbound-mx.yaml costs: the gateway with it, with its plugins pooled, with as many plugins
that do nothing, and with none; and Postfix with rspamd as its milter; in one run of bench.py.

    python=$(tests/python.sh yaml)
    $python tests/bench/example.py target/release/portcullis --workloads a,b --runs 3

Of the example nothing is changed but addresses, certificates, paths, the domain, the name server, and what a
load from one address would run into: the rate of a client, and that lists are not asked about loopback. The
name server is a real one (nsd) on this machine, for both, and holds nothing against the sender. Needs
Postfix, rspamd, redis-server, nsd, and root.
"""
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PORT = 13953
ZONE = """\
. 3600 SOA ns.example. root.example. 1 3600 600 86400 3600
. 3600 NS ns.example.
ns.example. 3600 A 127.0.0.1
1.0.0.127.in-addr.arpa. 3600 PTR client.example.test.
client.example.test. 3600 A 127.0.0.1
example.test. 3600 A 127.0.0.1
example.test. 3600 MX 10 client.example.test.
example.test. 3600 TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.example.test. 3600 TXT "v=DMARC1; p=reject"
"""


def settings(config, plugin):
    return next(each["settings"] for each in config["plugins"] if each["name"] == plugin)


def example(plugins):
    """The example, as bench.py fills it in."""
    text = (ROOT / "config/examples/inbound-mx.yaml").read_text()
    config = yaml.safe_load(text.replace("/usr/lib/portcullis/plugins", plugins))
    (listener,) = config["listeners"]
    listener["address"] = "@LISTEN@"
    del listener["tls"]
    config["upstreams"] = {"dovecot": {"address": "@UPSTREAM@", "idle_connections": 100}}
    config["dns"] = {"servers": [f"127.0.0.1:{PORT}"]}
    config["admin"] = {"address": "none"}
    config["limits"] = {"connections": 1300, "connections_per_address": 1300, "plugin_copies": 16000}
    for store in config["stores"].values():
        if "file" in store:
            store["file"] = "@DIR@/" + pathlib.Path(store["file"]).name
    settings(config, "recipients")["domains"] = {"example.test": "any"}
    settings(config, "dnsbl")["exempt"] = {"clients": []}
    for rule in settings(config, "ratelimit")["rules"]:
        rule["limit"] = 1_000_000_000
    return config


def bare(config):
    """The same without any plugin."""
    config = json.loads(json.dumps(config))
    for key in ("plugins", "stores"):
        del config[key]
    for key in ("plugins", "scores"):
        config["listeners"][0].pop(key, None)
    return config


def pooled(config):
    """The same, and copies of plugins see one transaction after another."""
    config = json.loads(json.dumps(config))
    for plugin in config["plugins"]:
        plugin["isolation"] = "pooled"
    return config


def idle(config, plugins, isolation):
    """As many plugins that do nothing, at RCPT and at the end of the message: what no filter can do without."""
    count, config = len(config["listeners"][0]["plugins"]), bare(config)
    config["plugins"] = [{"name": f"idle{number}", "file": f"{plugins}/cost-rust.wasm", "isolation": isolation,
                          "settings": {"look": False}} for number in range(count)]
    return config


def names(scratch):
    """nsd with the zone, until the end."""
    (scratch / "zone").write_text(ZONE)
    (scratch / "nsd.conf").write_text(f"""\
server:
  ip-address: 127.0.0.1@{PORT}
  username: ""
  zonesdir: "{scratch}"
  database: ""
  pidfile: "{scratch}/nsd.pid"
  xfrdfile: "{scratch}/xfrd"
  zonelistfile: "{scratch}/zones"
  xfrdir: "{scratch}"
  # All questions come from one address, and most answers are the same.
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "{scratch}/zone"
""")
    return subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", scratch / "nsd.conf"])


def prime(scratch, peer):
    """Has rspamd compile its expressions once, which takes longer than a row may take to start."""
    folder = scratch / "prime"
    folder.mkdir()
    folder.chmod(0o777)
    command = peer.format(listen="127.0.0.1:13954", upstream="127.0.0.1:13955", dir=folder)
    first = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and first.poll() is None:
        time.sleep(1)
        log = folder / "rspamd.log"
        if log.exists() and log.read_text(errors="replace").count("full hyperscan database") >= 2:
            break
    first.terminate()
    first.wait()


def main(program, *options):
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        scratch.chmod(0o755)
        # JSON is YAML.
        plugins = str(ROOT / "target/plugins")
        full = example(plugins)
        rows = {
            "bare": ("without plugins", bare(full)),
            "idle": ("with as many plugins that do nothing", idle(full, plugins, "transaction")),
            "idlepooled": ("the same, pooled", idle(full, plugins, "pooled")),
            "example": ("with inbound-mx.yaml", full),
            "pooled": ("with inbound-mx.yaml, pooled", pooled(full)),
        }
        options_of_rows = []
        for name, (title, config) in rows.items():
            (scratch / f"{name}.yaml.in").write_text(json.dumps(config, indent=1))
            command = f"{shlex.quote(program)} run --config {{conf:{scratch}/{name}.yaml.in}}"
            options_of_rows += ["--cmd", f"portcullis-{name}={command}", "--title", f"portcullis-{name}=Portcullis {title}"]
        server = names(scratch)
        try:
            time.sleep(1)
            peer = (f"env NAMES=127.0.0.1:{PORT} DATA={scratch}/rspamd"
                    f" {HERE}/postfix-rspamd.sh {{listen}} {{upstream}} {{dir}}")
            prime(scratch, peer)
            return subprocess.call([
                sys.executable, HERE / "bench.py",
                "--rows", ",".join(["haproxy", *(f"portcullis-{name}" for name in rows), "postfix-rspamd"]),
                *options_of_rows,
                "--cmd", f"postfix-rspamd={peer}",
                "--title", "postfix-rspamd=Postfix, rspamd as its milter, Redis",
                "--start-timeout", "120", *(options or ("--workloads", "a,b", "--runs", "3")),
            ])
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
