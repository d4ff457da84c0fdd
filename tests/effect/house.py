"""What stands on loopback while the corpus is played: the gateway under the example configuration, a name
server (nsd) with the world's zone, and an upstream that keeps what it gets."""
import asyncio
import contextlib
import json
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import yaml

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
EXAMPLE = REPOSITORY / "config/examples/inbound-mx.yaml"
SCENARIOS = EXAMPLE.with_suffix(".scenarios.yaml")
PATIENCE = 120


def free_port():
    """A port of loopback where nobody listens, below those that the system gives to connections."""
    for port in range(13000 + time.time_ns() // 1000 % 17000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("loopback has no free port")


class Configuration:
    """The example, with its addresses, certificates and paths replaced, and a proxy trusted that says
    which clients there are. Nothing else is touched."""

    def __init__(self, folder, plugins, dns, upstream):
        self.folder = folder
        self.port, self.admin = free_port(), free_port()
        text = EXAMPLE.read_text()
        config = yaml.safe_load(re.sub(r"\$\{file:([^}]*)\}", self.secret, text))
        for listener in config["listeners"]:
            listener["address"] = f"127.0.0.1:{self.port}"
            listener.setdefault("trust", {})["proxy_protocol"] = ["127.0.0.1"]
            if "tls" in listener:
                listener["tls"]["certificate"] = str(folder / "certificate.pem")
                listener["tls"]["key"] = str(folder / "key.pem")
        for name, settings in config["upstreams"].items():
            settings["address"] = f"127.0.0.1:{upstream[name]}"
        for plugin in config["plugins"]:
            plugin["file"] = str(plugins / pathlib.Path(plugin["file"]).name)
            for key, file in (plugin.get("files") or {}).items():
                plugin["files"][key] = str(self.beside(file))
        config.setdefault("dns", {})["servers"] = [f"127.0.0.1:{dns}"]
        config["admin"] = {"address": f"127.0.0.1:{self.admin}"}
        config["cache_directory"] = str(REPOSITORY / "target/effect-cache")
        for store in (config.get("stores") or {}).values():
            if "file" in store:
                store["file"] = str(folder / pathlib.Path(store["file"]).name)
        if "spool" in config:
            config["spool"]["directory"] = str(folder / "spool")
        self.config = config

    @staticmethod
    def upstreams():
        """The example's upstreams: name and protocol."""
        config = yaml.safe_load(EXAMPLE.read_text())
        return {name: settings.get("protocol", "smtp") for name, settings in config["upstreams"].items()}

    def secret(self, _):
        return "0123456789abcdef0123456789abcdef"

    def beside(self, file):
        """The file that the example names, from beside the example or beside this."""
        for place in (EXAMPLE.parent, HERE / "files"):
            found = place / pathlib.Path(file).name
            if found.exists():
                return found
        raise FileNotFoundError(file)

    def plugin(self, name):
        """The settings of a plugin, or nothing."""
        found = [plugin for plugin in self.config["plugins"] if plugin["name"] == name]
        return (found[0].get("settings") or {}) if found else None

    def score_header(self):
        scores = self.config["listeners"][0].get("scores") or {}
        return scores.get("header", "X-Portcullis-Score")

    def write(self):
        file = self.folder / "portcullis.yaml"
        file.write_text(json.dumps(self.config, indent=1))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=mx.example.org", "-keyout", str(self.folder / "key.pem"),
                        "-out", str(self.folder / "certificate.pem")], check=True, capture_output=True)
        return file


@contextlib.contextmanager
def process(command, log, **options):
    """A process as long as the block lasts."""
    with open(log, "wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for(what, child, log, look):
    start = time.monotonic()
    while True:
        with contextlib.suppress(OSError):
            if look():
                return
        if child.poll() is not None or time.monotonic() - start > PATIENCE:
            raise RuntimeError(f"{what} does not start: {log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def name_server(folder, port, zone):
    """nsd, with one zone: the root."""
    program = shutil.which("nsd") or "/usr/sbin/nsd"
    (folder / "root.zone").write_text(zone)
    (folder / "nsd.conf").write_text(f"""
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  xfrdir: "{folder}"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "root.zone"
""")
    log = folder / "nsd.log"
    with process([program, "-d", "-c", str(folder / "nsd.conf")], log) as child:
        def answers():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.settimeout(0.2)
                # The SOA of the root.
                probe.sendto(bytes.fromhex("000100000001000000000000" "00" "00060001"), ("127.0.0.1", port))
                return probe.recv(512)[7] & 1
        wait_for("nsd", child, log, answers)
        yield child


@contextlib.contextmanager
def gateway(program, configuration, clock_file):
    """The gateway, with a clock that can be put forward."""
    folder = configuration.folder
    library = folder / "clock.so"
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library),
                    str(HERE / "clock.c"), "-ldl"], check=True)
    log = folder / "gateway.log"
    environment = {"LD_PRELOAD": str(library), "EFFECT_CLOCK": str(clock_file), "PATH": "/usr/bin:/bin",
                   "HOME": str(folder)}
    command = [program, "run", "--config", str(configuration.write())]
    with process(command, log, env=environment) as child:
        def started():
            url = f"http://127.0.0.1:{configuration.admin}/startupz"
            return urllib.request.urlopen(url, timeout=5).status == 200
        wait_for("the gateway", child, log, started)
        yield child


def scenarios(program, configuration):
    """What is not as the example's scenarios say; nothing, if all is."""
    command = [program, "test", "--config", str(configuration.folder / "portcullis.yaml"), str(SCENARIOS)]
    played = subprocess.run(command, capture_output=True, text=True, check=False,
                            env={"PATH": "/usr/bin:/bin", "HOME": str(configuration.folder)})
    return played.stdout + played.stderr if played.returncode else ""


def is_busy(children):
    """Whether a thread of theirs runs, or wants to."""
    for child in children:
        for file in pathlib.Path(f"/proc/{child.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                if file.read_text().rpartition(")")[2].split()[0] in "RD":
                    return True
    return False


class Sink:
    """An upstream that says yes to everything and keeps it, by the gateway's name for it."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.letters = {}

    async def serve(self):
        server = await asyncio.start_server(self.converse, "127.0.0.1", 0, limit=1 << 27)
        return server.sockets[0].getsockname()[1]

    async def converse(self, reader, writer):
        """One connection, until either side ends it or the run does."""
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            await self.keep_all(reader, writer)
        writer.close()

    async def keep_all(self, reader, writer):
        def say(text):
            writer.write(text.encode() + b"\r\n")
        say("220 sink.example ESMTP")
        recipients = []
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb in (b"EHLO", b"LHLO"):
                say("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000")
            elif verb == b"DATA":
                say("354 go on")
                content = await reader.readuntil(b"\r\n.\r\n") if recipients else b""
                self.keep(content, recipients)
                for _ in recipients if self.protocol == "lmtp" else recipients[:1]:
                    say("250 2.0.0 kept")
                recipients = []
            elif verb == b"QUIT":
                say("221 2.0.0 bye")
                break
            else:
                if verb == b"RCPT":
                    recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
                if verb in (b"MAIL", b"RSET"):
                    recipients = []
                say("250 2.1.0 fine")

    def keep(self, content, recipients):
        name = re.search(rb"\bid ([\w.-]+)", content)
        key = name.group(1).decode() if name else ""
        self.letters.setdefault(key, []).append((recipients, content))


def records(log):
    """The records of transactions in the gateway's log, by the client's port; and everything else."""
    found, events = {}, []
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("target") == "transaction":
                found.setdefault(entry["client"].get("port"), []).append(entry)
            else:
                events.append(entry)
    return found, events
