#!/usr/bin/env python3
"""Plays labelled mail sessions against the gateway under config/examples/inbound-mx.yaml, and tells what it
caught, what it missed and what it should have let through.

    effect.py PORTCULLIS [--plugins FOLDER] [--seed N] [--scale N] [--only CLASS] [--write] [-v]

Fails if any ham is refused, lost or marked, and if a class of spam is caught less than floors.yaml says.
"""
import argparse
import asyncio
import collections
import contextlib
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

import yaml

import ham
import house
import spam
from play import MINUTE, Clock, Player
from real import hams, spams
from tables import Table
from world import World

HERE = pathlib.Path(__file__).resolve().parent
FLOORS = HERE / "floors.yaml"
# Sessions come within so many quarters of an hour.
QUARTERS = 12
SEED = 7
MARGIN = 25


def classes(world, scale, only):
    """Each class of mail: its name and its sessions."""
    for registered, maker in ((spam.CLASSES, spam.Maker), (ham.CLASSES, ham.Maker)):
        for name, (count, make) in registered.items():
            if re.search(only, name):
                yield name, list(make(maker(world, name, max(2, round(count * scale)))))
    for name, sessions in (("real spam", ham.real(ham.Maker(world, "real spam", 0), spams(), True)),
                           ("real spam of bots", spam.real(spam.Maker(world, "real spam of bots", 0), spams())),
                           ("real ham", ham.real(ham.Maker(world, "real ham", 0), hams(), False))):
        if re.search(only, name):
            yield name, list(sessions)


def scheduled(world, sessions):
    """Sessions of a class come at different times; those that have one keep it."""
    rng = world.random("times")
    for session in sessions:
        if session.at is None:
            session.at = rng.randrange(QUARTERS) * 15 * MINUTE
    return sessions


async def played(options, folder):
    """All mails with what became of them."""
    world = World(options.seed, time.time())
    sinks = {name: house.Sink(protocol) for name, protocol in house.Configuration.upstreams().items()}
    ports = {name: await sink.serve() for name, sink in sinks.items()}
    dns = house.free_port()
    configuration = house.Configuration(folder, options.plugins.resolve(), dns, ports)
    world.learn(configuration)
    sessions = []
    for _, made in classes(world, options.scale, options.only):
        sessions += scheduled(world, made)
    clock = Clock(folder / "clock")
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(house.name_server(folder, dns, world.zone()))
        child = stack.enter_context(house.gateway(options.portcullis, configuration, folder / "clock"))
        player = Player(("127.0.0.1", configuration.port), clock, lambda: house.is_busy([child, names]))
        await player.play(sessions)
        child.terminate()
        child.wait()
        scenarios = house.scenarios(options.portcullis, configuration)
    mails = [mail for session in sessions for mail in session.mails]
    return mails, configuration, sinks, house.records(folder / "gateway.log"), scenarios


def judge(mails, configuration, sinks, records):
    """Says of each mail in `fate` what became of it, and in `by` who decided."""
    quarantine = configuration.config["listeners"][0].get("quarantine")
    header = configuration.score_header().lower().encode() + b":"
    for mail in mails:
        entries = [entry for port in mail.ports for entry in records.get(port, []) if is_its(entry, mail)]
        mail.entry = entries[-1] if entries else {}
        letters = [(name, content) for entry in entries for name, sink in sinks.items()
                   for _, content in sink.letters.get(entry["id"], [])]
        decided = mail.entry.get("decided_by") or {}
        mail.by = decided.get("plugin", "")
        head = [content.split(b"\r\n\r\n", 1)[0].lower() for _, content in letters]
        if not letters and mail.taken:
            mail.fate = "lost"
        elif not letters:
            mail.fate = "refused" if mail.code >= 500 or mail.refused else "deferred"
        elif quarantine and all(name == quarantine for name, _ in letters):
            mail.fate = "quarantined"
        elif all(any(line.startswith(header) for line in text.split(b"\r\n")) for text in head):
            mail.fate, mail.by = "marked", "scores"
        else:
            mail.fate = "passed"
        if not mail.spam and mail.fate == "passed" and len(mail.refused) + len(mail.taken) < len(mail.recipients):
            mail.fate = "deferred"
        if not mail.spam and mail.fate == "passed" and mail.refused:
            mail.fate = "refused"


def is_its(entry, mail):
    """Whether this record is about this mail: several may come by one connection."""
    return entry.get("sender", "") == mail.sender or mail.sender == "" or "prvs" in entry.get("sender", "")


def floors_of(options):
    """What has to be caught of each class, in a hundred. They were reached with the usual seed and number; with
    others chance may be less kind."""
    floors = yaml.safe_load(FLOORS.read_text()) or {}
    usual = options.seed == SEED and options.scale == 1
    return {name: floor if usual else max(0, floor - MARGIN) for name, floor in floors.items()}


def complaints(table, floors, full):
    """What is wrong with the outcome."""
    for mail in table.false_positives():
        yield (f"ham of the class «{mail.kind}» was {mail.fate} at {mail.step} by {mail.by or '?'}: "
               f"{mail.code} {mail.text} {symbols(mail)}")
    for name, row in table.spam.items():
        floor = floors.get(name, 0)
        if row.share() < floor:
            yield f"{row.share():.0f} % of «{name}» were caught, and it used to be {floor} %"
    if full:
        yield from (f"floors.yaml has the class «{name}», which nobody makes"
                    for name in floors if name not in table.spam)


def symbols(mail):
    return " ".join(f"{score['symbol']}={score['points']:g}" for score in mail.entry.get("scores", []))


def show_missed(table, limit=6):
    """A few of what got through, for who tunes."""
    by_kind = collections.defaultdict(list)
    for mail in table.missed():
        by_kind[mail.kind].append(mail)
    for kind, mails in by_kind.items():
        print(f"{kind}: {len(mails)} missed")
        for mail in mails[:limit]:
            entry = mail.entry
            print("   ", entry.get("client", {}).get("address"), entry.get("helo"), mail.sender,
                  f"{entry.get('score', 0):g}", symbols(mail))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portcullis")
    parser.add_argument("--plugins", type=pathlib.Path, default=house.REPOSITORY / "target/plugins")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("PORTCULLIS_SEED", SEED)))
    parser.add_argument("--scale", type=float, default=float(os.environ.get("PORTCULLIS_EFFECT", "1")))
    parser.add_argument("--only", default="", help="regular expression on the name of a class")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    parser.add_argument("--keep", type=pathlib.Path, help="copy log and zone to this folder")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what was missed, and why")
    return parser.parse_args()


def need(programs):
    """Skips all of this where something is not installed; with CI set that is a failure."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = [program for program in programs if not shutil.which(program, path=path)]
    if missing:
        print("SKIPPED: not installed:", ", ".join(missing))
        sys.exit("CI" in os.environ)


def main():
    options = arguments()
    need(["nsd", "cc", "openssl"])
    start = time.monotonic()
    # In memory, where there is such a thing: the disk of a busy machine is not what is measured.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = pathlib.Path(name)
        mails, configuration, sinks, (records, _), scenarios = asyncio.run(played(options, folder))
        if options.keep:
            shutil.copytree(folder, options.keep, dirs_exist_ok=True)
    judge(mails, configuration, sinks, records)
    table = Table(mails)
    print(table.text())
    print(f"{len(mails)} mails, seed {options.seed}, {time.monotonic() - start:.0f} s")
    if options.verbose:
        show_missed(table)
    wrong = list(complaints(table, floors_of(options), not options.only))
    if scenarios:
        wrong.append(f"scenarios of the example are not as they say:\n{scenarios}")
    if options.write:
        table.write(HERE / "README.md")
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
