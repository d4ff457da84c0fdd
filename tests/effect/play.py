"""Plays attempts against the gateway, hour by hour, and notes what it said.

A mail is one message of one sender to some recipients. An attempt is one connection that brings some mails.
Who is told to come again does, or not, by its `retries`; so do mail servers, and bots mostly do not.
"""
import asyncio
import dataclasses
import os
import ssl
import struct
import time

# How long a session waits for an answer before it gives up, if it is a mail server (RFC 5321 section 4.5.3.2).
PATIENT = 300
MINUTE, HOUR = 60, 3600
# What real servers do when they are told to come again: Postfix, Exim and Exchange lie within this.
SERVER = (5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR)


@dataclasses.dataclass
class Mail:
    """One message with its envelope, and what became of it."""

    kind: str
    spam: bool
    sender: str
    recipients: list
    message: bytes
    # What the gateway said at last: step, code, text. And on the way there.
    step: str = ""
    code: int = 0
    text: str = ""
    deferrals: int = 0
    # Of the recipients: those for whom somebody has it, and those who were refused for good.
    taken: list = dataclasses.field(default_factory=list)
    refused: list = dataclasses.field(default_factory=list)
    ports: list = dataclasses.field(default_factory=list)
    delivered_after: int = 0


@dataclasses.dataclass
class Session:
    """One connection, and how its client behaves."""

    client: str
    helo: str
    mails: list
    # Seconds after the first attempt; () never comes again.
    retries: tuple = ()
    # Where it comes from then: one after the other, for who has many outgoing hosts: (address, HELO).
    hosts: tuple = ()
    # Talks before the banner; sends everything at once; says HELO; uses STARTTLS.
    early: bool = False
    blasts: bool = False
    old: bool = False
    tls: bool = False
    patience: int = PATIENT
    # When it comes, in seconds after the start; any time, if that is not said.
    at: int | None = None
    attempts: int = 0


class Clock:
    """The gateway's time: it can be put forward (clock.c)."""

    def __init__(self, file):
        self.file = file
        self.ahead = 0.0
        self.start = time.time()
        self.write()

    def write(self):
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as out:
            out.write(struct.pack("=q", int(self.ahead * 1e9)))

    def elapsed(self):
        return time.time() - self.start + self.ahead

    def forward(self, seconds):
        self.ahead += seconds
        self.write()

    def reach(self, moment):
        self.forward(max(0.0, moment - self.elapsed()))


class Hangup(Exception):
    """The connection is over, or the client is tired of it."""


class Line:
    """A conversation over one connection."""

    def __init__(self, player, reader, writer, patience):
        self.player, self.reader, self.writer, self.patience = player, reader, writer, patience

    async def say(self, octets):
        self.player.stir()
        self.writer.write(octets)
        try:
            await self.writer.drain()
        except OSError as error:
            raise Hangup from error

    async def hear(self):
        """A reply: its code and its text."""
        lines = []
        while True:
            line = await self.hear_line()
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), " ".join(lines)

    async def hear_line(self):
        since, task = self.player.clock.elapsed(), asyncio.ensure_future(self.reader.readline())
        while not (await asyncio.wait({task}, timeout=0.02))[0]:
            if self.player.clock.elapsed() - since > self.patience:
                task.cancel()
                raise Hangup
        self.player.stir()
        try:
            line = task.result()
        except (OSError, ValueError) as error:
            raise Hangup from error
        if not line[:3].isdigit():
            raise Hangup
        return line.decode("utf-8", "replace").rstrip("\r\n")

    async def ask(self, command):
        await self.say(command.encode() + b"\r\n")
        return await self.hear()


class Player:
    """Plays sessions in the order of their times. `busy` tells whether the gateway has something to do."""

    def __init__(self, address, clock, busy, at_once=64):
        self.address, self.clock, self.busy = address, clock, busy
        self.room = asyncio.Semaphore(at_once)
        self.port = 1024
        self.last = 0.0

    def stir(self):
        self.last = time.monotonic()

    async def play(self, sessions):
        """All of them, and those who come again."""
        agenda = {}
        for session in sessions:
            agenda.setdefault(session.at, []).append(session)
        while agenda:
            moment = min(agenda)
            self.clock.reach(moment)
            due = agenda.pop(moment)
            for again, session in await self.round(due):
                agenda.setdefault(again, []).append(session)

    async def round(self, sessions):
        """One attempt of each; those who come again, and when."""
        tasks = [asyncio.ensure_future(self.attempt(session)) for session in sessions]
        self.stir()
        quiet = 0
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=0.03)
            quiet = quiet + 1 if time.monotonic() - self.last > 0.06 and not self.busy() else 0
            # Everybody waits: for a tarpit or a late banner. So let it be later.
            if quiet == 2:
                self.clock.forward(2)
                self.stir()
                quiet = 0
        later = []
        for session, task in zip(sessions, tasks):
            task.result()
            if any(is_open(mail) for mail in session.mails) and session.attempts <= len(session.retries):
                due = session.at + session.retries[session.attempts - 1]
                # Few rounds: who comes soon comes to the minute, the others to the quarter of an hour.
                step = MINUTE if due - session.at < 5 * MINUTE else 15 * MINUTE
                later.append((-(-due // step) * step, session))
        return later

    async def attempt(self, session):
        async with self.room:
            number, session.attempts = session.attempts, session.attempts + 1
            host = session.hosts[(number - 1) % len(session.hosts)] if number and session.hosts else None
            client, helo = host or (session.client, session.helo)
            self.port += 1
            port = self.port
            mails = [mail for mail in session.mails if is_open(mail)]
            for mail in mails:
                mail.ports.append(port)
                mail.step, mail.code, mail.text = "connect", 0, "hung up"
            reader, writer = await asyncio.open_connection(*self.address, limit=1 << 20)
            line = Line(self, reader, writer, session.patience)
            try:
                await line.say(announced(client, port))
                await (self.blast if session.blasts else self.converse)(line, session, helo, mails)
            except (Hangup, OSError):
                pass
            finally:
                writer.close()

    async def converse(self, line, session, helo, mails):
        if session.early:
            await line.say(f"EHLO {helo}\r\n".encode())
        greeting = await line.hear()
        if greeting[0] != 220:
            return note(mails, "connect", greeting)
        for mail in mails:
            mail.step = "helo"
        if session.early:
            reply = await line.hear()
        else:
            reply = await line.ask(("HELO " if session.old else "EHLO ") + helo)
        if reply[0] != 250:
            return note(mails, "helo", reply)
        if session.tls and "STARTTLS" in reply[1]:
            await self.encrypt(line)
            reply = await line.ask("EHLO " + helo)
        for mail in mails:
            await self.transact(line, mail, reply[1])
            self.last_delivery(mail)
        try:
            await line.ask("QUIT")
        except Hangup:
            pass

    def last_delivery(self, mail):
        if mail.taken and not mail.delivered_after:
            mail.delivered_after = int(self.clock.elapsed())

    async def encrypt(self, line):
        reply = await line.ask("STARTTLS")
        if reply[0] == 220:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            await line.writer.start_tls(context)

    async def transact(self, line, mail, extensions):
        mail.step = "mail"
        body = " BODY=8BITMIME" if "8BITMIME" in extensions and not mail.message.isascii() else ""
        reply = await line.ask(f"MAIL FROM:<{mail.sender}>{body}")
        if reply[0] != 250:
            return note([mail], "mail", reply)
        mail.step = "rcpt"
        accepted = []
        for recipient in [r for r in mail.recipients if r not in mail.taken + mail.refused]:
            reply = await line.ask(f"RCPT TO:<{recipient}>")
            note([mail], "rcpt", reply)
            if reply[0] == 250:
                accepted.append(recipient)
            elif reply[0] >= 500:
                mail.refused.append(recipient)
        if not accepted:
            await line.ask("RSET")
            return None
        mail.step = "data"
        reply = await line.ask("DATA")
        if reply[0] != 354:
            return note([mail], "data", reply)
        mail.step = "message"
        await line.say(stuffed(mail.message))
        reply = await line.hear()
        note([mail], "message", reply)
        if reply[0] == 250:
            mail.taken += accepted
        elif reply[0] >= 500:
            mail.refused += accepted
        return None

    async def blast(self, line, session, helo, mails):
        """Everything at once, as programs do that read no answers."""
        if not session.early:
            reply = await line.hear()
            if reply[0] != 220:
                return note(mails, "connect", reply)
        mail = mails[0]
        commands = [f"HELO {helo}", f"MAIL FROM:<{mail.sender}>",
                    *(f"RCPT TO:<{recipient}>" for recipient in mail.recipients), "DATA"]
        await line.say("".join(command + "\r\n" for command in commands).encode()
                       + stuffed(mail.message) + b"QUIT\r\n")
        steps = ["connect"] * session.early + ["helo", "mail", *["rcpt"] * len(mail.recipients), "data"]
        recipients = iter(mail.recipients)
        taken = []
        for step in steps:
            reply = await line.hear()
            if step == "data" and not taken:
                return None
            note([mail], step, reply)
            if step == "rcpt":
                recipient = next(recipients)
                taken += [recipient] if reply[0] == 250 else []
            if step == "data" and reply[0] == 354:
                reply = await line.hear()
                note([mail], "message", reply)
                mail.taken += taken if reply[0] == 250 else []
            elif reply[0] >= 400 and step != "rcpt":
                return None
        return None


def announced(client, port):
    """The PROXY protocol's line about a client."""
    kind, ours = ("TCP6", "::1") if ":" in client else ("TCP4", "127.0.0.1")
    return f"PROXY {kind} {client} {ours} {port} 25\r\n".encode()


def note(mails, step, reply):
    """What was said last counts."""
    for mail in mails:
        mail.step, (mail.code, mail.text) = step, reply
        mail.deferrals += 400 <= reply[0] < 500


def is_open(mail):
    """Whether its sender has reason to come again: told so, or hung up on, or not answered."""
    if set(mail.taken) | set(mail.refused) >= set(mail.recipients):
        return False
    return not (mail.code >= 500 and mail.step != "rcpt")


def stuffed(message):
    """The message as it goes behind DATA."""
    lines = message.replace(b"\r\n", b"\n").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines) + b".\r\n"
