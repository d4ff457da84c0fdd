#!/usr/bin/env python3
"""Plays all cases against the gateway and judges the result.

    conformance.py PORTCULLIS [--only REGEX] [-v]

Starts PORTCULLIS twice, one after the other: under portcullis.yaml, with a sink of its own, for
cases.yaml; and under upstream.yaml, with the player as its upstream, for upstream-cases.yaml.
A case that is not in not-yet.txt has to pass; one that is there has to fail or be left out, else the
list is out of date: it only shrinks.
"""
import argparse
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LISTENERS = {
    "plain": "127.0.0.1:12025",
    "tls": "127.0.0.1:12026",
    "auth": "127.0.0.1:12027",
    "limits": "127.0.0.1:12028",
    "smtps": "127.0.0.1:12029",
    "lmtp": "127.0.0.1:12030",
    "xclient": "127.0.0.1:12031",
    "strict": "127.0.0.1:12032",
    "submission": "127.0.0.1:12033",
    "idle": "127.0.0.1:12034",
}
SINKS = ["--sink", "smtp=127.0.0.1:12091", "--sink", "lmtp=127.0.0.1:12092",
         "--sink-refuse", "fail@example.com"]
RELAYS = {"relay": "127.0.0.1:12041", "relay-lmtp": "127.0.0.1:12042"}
UPSTREAMS = {"relay": "127.0.0.1:12141", "relay-lmtp": "127.0.0.1:12142"}
PATIENCE = 120


def is_listening(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


class Gateway:
    """A gateway that runs as long as the `with` block."""

    def __init__(self, program, config, arguments, addresses):
        self.command = [program, "run", "--config", str(HERE / config), *arguments]
        self.addresses = addresses
        self.log = tempfile.TemporaryFile()

    def __enter__(self):
        taken = [address for address in self.addresses if is_listening(address)]
        if taken:
            sys.exit("somebody listens at " + ", ".join(taken))
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        start = time.monotonic()
        while not all(map(is_listening, self.addresses)):
            if self.process.poll() is not None or time.monotonic() - start > PATIENCE:
                self.__exit__()
                sys.exit(self.said() + "the gateway does not start")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")


def play(cases, listeners, upstreams, options):
    """The results of the player, a mapping for each case."""
    with tempfile.NamedTemporaryFile(suffix=".json") as results:
        command = [sys.executable, str(HERE / "run.py"), str(HERE / cases), "--json", results.name]
        for profile, address in listeners.items():
            command += ["--listener", profile + "=" + address]
        for profile, address in upstreams.items():
            command += ["--upstream", profile + "=" + address]
        command += ["-v"] if options.verbose else ["-q"]
        command += ["--only", options.only] if options.only else []
        status = subprocess.run(command, check=False).returncode
        if status == 2 and not options.only:
            sys.exit("the player could not play " + cases)
        text = pathlib.Path(results.name).read_text()
        return json.loads(text)["results"] if text else []


def not_yet():
    """Why a case cannot pass yet, by its id."""
    lines = (HERE / "not-yet.txt").read_text().splitlines()
    return dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))


def complaints(results, excused):
    """What is wrong with the results, in words."""
    for result in results:
        name, status, why = result["id"], result["status"], result["why"]
        # The case is about an extension that is absent, and it is there.
        beside_the_point = status == "SKIP" and why.startswith("advertised:")
        if name in excused and status == "PASS":
            yield "%s passes: take it off not-yet.txt" % name
        elif name not in excused and status != "PASS" and not beside_the_point:
            yield "%s: %s %s" % (name, status, why)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portcullis")
    parser.add_argument("--only", help="regular expression on the case's id")
    parser.add_argument("-v", "--verbose", action="store_true", help="show dialogues that failed")
    options = parser.parse_args()
    with Gateway(options.portcullis, "portcullis.yaml", SINKS, LISTENERS.values()):
        results = play("cases.yaml", LISTENERS, {}, options)
    with Gateway(options.portcullis, "upstream.yaml", [], RELAYS.values()):
        results += play("upstream-cases.yaml", RELAYS, UPSTREAMS, options)
    excused = not_yet()
    wrong = list(complaints(results, excused))
    if not options.only:
        known = {result["id"] for result in results}
        wrong += ["%s: no such case" % name for name in excused if name not in known]
    passed = sum(result["status"] == "PASS" for result in results)
    print("conformance: %d of %d pass, %d not yet" % (passed, len(results), len(excused)))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
