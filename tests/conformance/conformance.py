#!/usr/bin/env python3
"""Plays all cases against the gateway and judges the result.

    conformance.py PORTCULLIS [--only REGEX] [-v]

Starts PORTCULLIS under portcullis.yaml and plays each file of PLAYS. Which profile is where is said
in portcullis.yaml and nowhere else: a listener has its profile's name, and so has its upstream
where that is the player.
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

import yaml

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = HERE / "portcullis.yaml"
SINKS = ["--sink", "smtp=127.0.0.1:12091", "--sink", "lmtp=127.0.0.1:12092",
         "--sink-refuse", "fail@example.com"]
# A file of cases, and whose certificate the player shows where it is the upstream: the stranger has
# the right name, and nobody knows it.
PLAYS = [
    ("cases.yaml", None),
    ("upstream-cases.yaml", "stranger"),
    ("relay-cases.yaml", "stranger"),
    ("trusted-cases.yaml", "upstream"),
]
PATIENCE = 120
# For a reply, in seconds: a machine may be busy.
TIMEOUT = "15"


def is_listening(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


class Gateway:
    """A gateway that runs as long as the `with` block."""

    def __init__(self, program):
        self.command = [program, "run", "--config", str(CONFIG), *SINKS]
        config = yaml.safe_load(CONFIG.read_text())
        self.listeners = {entry["name"]: entry["address"] for entry in config["listeners"]}
        self.upstreams = {name: entry["address"] for name, entry in config["upstreams"].items()
                          if name in self.listeners}
        self.log = tempfile.TemporaryFile()

    def __enter__(self):
        addresses = [*self.listeners.values(), *self.upstreams.values()]
        taken = [address for address in addresses if is_listening(address)]
        if taken:
            sys.exit("somebody listens at " + ", ".join(taken))
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        start = time.monotonic()
        while not all(map(is_listening, self.listeners.values())):
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


def play(cases, certificate, gateway, options):
    """The results of the player, a mapping for each case."""
    profiles = yaml.safe_load((HERE / cases).read_text())["profiles"]
    with tempfile.NamedTemporaryFile(suffix=".json") as results:
        command = [sys.executable, str(HERE / "run.py"), str(HERE / cases), "--json", results.name,
                   "--timeout", TIMEOUT]
        for option, addresses in [("--listener", gateway.listeners),
                                  ("--upstream", gateway.upstreams)]:
            for profile in profiles:
                if profile in addresses:
                    command += [option, profile + "=" + addresses[profile]]
        if certificate:
            command += ["--cert", str(HERE / "tls" / (certificate + ".pem")),
                        "--key", str(HERE / "tls" / (certificate + ".key"))]
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
    results = []
    with Gateway(options.portcullis) as gateway:
        for cases, certificate in PLAYS:
            results += play(cases, certificate, gateway, options)
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
