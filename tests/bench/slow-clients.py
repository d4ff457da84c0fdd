#!/usr/bin/env python3
"""slow-clients.py PORTCULLIS: what clients that hardly send anything cost those who send mail.

Starts the gateway with its own sink behind it, on ports of its own, and measures
  1. a normal client by itself: connect, EHLO, one 4 KiB message, QUIT, again and again;
  2. the same while so many connections send an octet every few seconds: a third of them a command
     without an end, a third a header section, a third a body;
  3. connections that are idle under TLS: resident memory for each.
The slow clients come one after the other: a transaction has a connection to the upstream until its
client has paused for a second, and the default configuration has a hundred of them.
Prints both distributions, their ratio, and memory. Exits with 1 if p99 is more than twice what it was.
Nothing here needs more than Python; build with `--release` for figures that mean something.
"""

import argparse
import asyncio
import os
import pathlib
import resource
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TLS = HERE.parent / "conformance" / "tls"
MESSAGE = "Subject: normal\r\n\r\n" + ("0123456789 abcdefghijklmnopqrstuvwxyz " * 2 + "\r\n") * 50

CONFIG = """\
hostname: mx.example
listeners:
  - {{ name: clear, address: "127.0.0.1:{clear}", plugins: [] }}
  - {{ name: tls, address: "127.0.0.1:{tls}", plugins: [],
      tls: {{ mode: implicit, certificate: {folder}/certificate.pem, key: {folder}/key.pem }} }}
upstreams: {{ sink: {{ address: "127.0.0.1:{sink}" }} }}
default_upstream: sink
limits: {{ connections: 10000, exempt: [127.0.0.0/8] }}
admin: {{ address: "127.0.0.1:{admin}" }}
log: {{ level: warn }}
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit("no VmRSS")


class Gateway:
    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory()
        self.clear, self.tls, self.sink, self.admin = free_ports(4)
        config = pathlib.Path(self.folder.name, "portcullis.yaml")
        config.write_text(CONFIG.format(clear=self.clear, tls=self.tls, sink=self.sink,
                                        admin=self.admin, folder=TLS))
        self.process = subprocess.Popen(
            [program, "run", "--config", str(config), "--sink", f"smtp=127.0.0.1:{self.sink}"],
            stdout=subprocess.DEVNULL)
        for port in (self.sink, self.clear, self.tls):
            self.wait(port)

    def wait(self, port):
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(f"the gateway ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the gateway does not start")

    def memory(self):
        return resident_kib(self.process.pid)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.folder.cleanup()


def normal(port, messages):
    """How long each message took, in milliseconds, sorted."""
    times = []
    for _ in range(messages):
        begun = time.perf_counter()
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=60) as client:
            client.sendmail("a@example.org", ["b@example.com"], MESSAGE)
        times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)


def at(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


BEGINNINGS = [
    b"",
    b"EHLO slow.example\r\nMAIL FROM:<s@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nX: ",
    b"EHLO slow.example\r\nMAIL FROM:<s@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\r\n",
]


async def drip(port, number, pause, ready):
    """A slow client, for ever: who is hung up on comes again."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.readline()
            writer.write(BEGINNINGS[number % len(BEGINNINGS)])
            ready[number] = True
            if all(ready):
                print("ready", flush=True)
                ready[number] = False
            while not reader.at_eof():
                await asyncio.sleep(pause * (0.5 + (number * 37 % 100) / 100))
                writer.write(b"x")
                await writer.drain()
            writer.close()
        except OSError:
            await asyncio.sleep(pause)


async def drip_all(port, count, pause, ramp):
    ready = [False] * count
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(drip(port, number, pause, ready)))
        await asyncio.sleep(ramp / count)
    await asyncio.gather(*tasks)


def slow(gateway, arguments):
    before = gateway.memory()
    alone = normal(gateway.clear, arguments.messages)
    # In a process of its own, so that its work is not measured with the normal client's.
    dripping = subprocess.Popen(
        [sys.executable, __file__, "drip", "--port", str(gateway.clear), "--clients",
         str(arguments.clients), "--pause", str(arguments.pause), "--ramp", str(arguments.ramp)],
        stdout=subprocess.PIPE, text=True)
    try:
        if dripping.stdout.readline() != "ready\n":
            raise SystemExit("the slow clients could not all connect")
        loaded = normal(gateway.clear, arguments.messages)
        with_all = gateway.memory()
    finally:
        dripping.kill()
        dripping.wait()
    print(f"a message of {len(MESSAGE)} octets on a new connection, {arguments.messages} times, milliseconds")
    for name, times in (("alone", alone), (f"beside {arguments.clients} slow clients", loaded)):
        print(f"  {name:28} p50 {at(times, 0.5):8.2f}   p99 {at(times, 0.99):8.2f}   max {times[-1]:8.2f}")
    ratio = at(loaded, 0.99) / at(alone, 0.99)
    print(f"  p99 loaded / alone: {ratio:.2f}")
    print(f"memory: {before / 1024:.1f} MiB alone, {with_all / 1024:.1f} MiB with all,"
          f" {(with_all - before) / arguments.clients:.1f} KiB a slow client")
    return ratio


def idle(gateway, arguments):
    """Connections under TLS that have said EHLO."""
    count = arguments.idle
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def connect():
        stream = context.wrap_socket(socket.create_connection(("127.0.0.1", gateway.tls), 60))
        stream.recv(1000)
        stream.sendall(b"EHLO idle.example\r\n")
        stream.recv(1000)
        return stream

    # What the first handshakes bring into memory is not theirs.
    first = [connect() for _ in range(10)]
    before = gateway.memory()
    streams = [connect() for _ in range(count)]
    after = gateway.memory()
    print(f"{count} idle connections under TLS: {(after - before) / count:.1f} KiB each"
          f" ({before / 1024:.1f} to {after / 1024:.1f} MiB)")
    for stream in first + streams:
        stream.close()


def measured(arguments, measure):
    gateway = Gateway(os.path.abspath(arguments.program))
    try:
        normal(gateway.clear, 20)
        return measure(gateway, arguments)
    finally:
        gateway.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="portcullis, built")
    parser.add_argument("--clients", type=int, default=2000, help="slow ones")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two octets of one, on the average")
    parser.add_argument("--ramp", type=float, default=40.0, help="seconds in which the slow clients come")
    parser.add_argument("--messages", type=int, default=500, help="of the normal client, each time")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections under TLS")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if arguments.program == "drip":
        asyncio.run(drip_all(arguments.port, arguments.clients, arguments.pause, arguments.ramp))
        return
    # One each: what the first leaves behind would be memory for the second.
    ratio = measured(arguments, slow)
    measured(arguments, idle)
    if ratio > 2:
        sys.exit("p99 is more than twice what it was")


if __name__ == "__main__":
    main()
