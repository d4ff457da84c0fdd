"""Fakes of all that the gateway gives to a plugin, for tests without wasm.

They speak the contract, so that what is tested goes through the same code as in the gateway.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

from .content import Message
from .envelope import Credentials, Session, Transaction
from .host import octets, offer, text
from .http import Request, Response
from .mail_auth import Finding
from .plugin import Plugin, make
from .verdict import Reply

P = TypeVar("P", bound=Plugin)


class Err(Exception):
    """What the contract answers as an error."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def _variant(name: str, *payload: Any) -> Any:
    return type(name, (), {"value": payload[0]} if payload else {})()


def _fail(reason: str) -> Err:
    return Err(SimpleNamespace(name=reason))


def _must(condition: bool, reason: str) -> None:
    if not condition:
        raise _fail(reason)


def configure(kind: type[P], settings: Mapping[str, Any] | None = None) -> P:
    """Makes a plugin as the gateway does: JSON in, and the operator's error out."""
    plugin: P = make(kind, json.loads(json.dumps(settings or {})))
    list(plugin.skip())
    return plugin


@dataclass
class Line:
    """A line of the log."""

    level: str
    text: str
    fields: dict[str, str]


class FakeGateway:
    """What log, metrics, clock, random, dns, kv, http, streams, upstreams and mail_auth answer from now on.

    `dns` is `{"a": {"name": ["192.0.2.1"]}, "txt": {"name": "timed-out"}}`; other names do not exist.
    `stores` are names with what is in them. `http` is a function from a request to a response.
    `streams` are addresses with a function from all that a stream has told to all that it is told, or to None
    for a time-out; `streamed` is what each has told. `upstreams` are names with what they say: `{"store": {"nobody@example.org": (550, (5, 1, 1), "no")}}`,
    or in place of it all `timed-out`, `unsupported` or `unavailable`; `states` are their numbers.
    """

    def __init__(
        self,
        *,
        dns: Mapping[str, Mapping[str, list[str] | str]] | None = None,
        stores: Mapping[str, Mapping[str, str | bytes]] | None = None,
        http: Callable[[Request], Response] | None = None,
        streams: Mapping[str, Callable[[bytes], bytes | None]] | None = None,
        upstreams: Mapping[str, Mapping[str, tuple[Any, ...]] | str] | None = None,
        states: Mapping[str, Mapping[str, int]] | None = None,
        sender_findings: list[Finding] | None = None,
        content_findings: list[Finding] | None = None,
        now: int = 0,
    ) -> None:
        self.logged: list[Line] = []
        self.counted: Counter[str] = Counter()
        self.observed: dict[str, list[float]] = {}
        self.streamed: list[bytearray] = []
        self.stores = {
            name: {key: (octets(value), 1) for key, value in entries.items()}
            for name, entries in (stores or {}).items()
        }
        self.now = now
        self._dns = dns or {}
        offer(
            {
                "types": SimpleNamespace(Reply=Reply),
                "log": SimpleNamespace(Level=_Level, enabled=lambda level: True, write=self._log),
                "metrics": SimpleNamespace(add=self._add, observe=self._observe),
                "clock": SimpleNamespace(
                    now=lambda: self.now, monotonic=lambda: self.now * 1_000_000
                ),
                "random": SimpleNamespace(bytes=os.urandom),
                "dns": SimpleNamespace(Query=_Query, Kind=_Kind, lookup=self._look_up),
                "kv": SimpleNamespace(Store=SimpleNamespace(open=self._open)),
                "http": _http(http),
                "streams": SimpleNamespace(
                    Connection=SimpleNamespace(
                        open=lambda address, _: _Stream((streams or {}).get(address), self.streamed)
                    )
                ),
                "upstreams": _upstreams(upstreams or {}, states or {}),
                "mail_auth": SimpleNamespace(
                    sender=lambda *_: _found(sender_findings),
                    content=lambda *_: _found(content_findings),
                ),
            }
        )

    def _log(self, level: _Level, line: str, fields: list[tuple[str, str]]) -> None:
        self.logged.append(Line(level.name.lower(), line, dict(fields)))

    def _add(self, name: str, by: int, label: tuple[str, str] | None) -> None:
        self.counted[f'{name}{{{label[0]}="{label[1]}"}}' if label else name] += by

    def _observe(self, name: str, value: float) -> None:
        self.observed.setdefault(name, []).append(value)

    def _look_up(self, queries: list[_Query]) -> list[Any]:
        return [self._answer(query) for query in queries]

    def _answer(self, query: _Query) -> Any:
        known = self._dns.get(query.kind.name.lower(), {})
        found = known.get(query.name.rstrip("."), "no-such-name")
        if not isinstance(found, str):
            return _variant("Answer_Records", list(found))
        name = "Answer_" + "".join(word.capitalize() for word in found.split("-"))
        return _variant(name, "a fake failure") if found == "failed" else _variant(name)

    def _open(self, name: str) -> _Store:
        if name not in self.stores:
            raise Err(_variant("KvError_Denied"))
        return _Store(self.stores[name])


_Level = enum.Enum("_Level", "TRACE DEBUG INFO WARN ERROR")
_Kind = enum.Enum("_Kind", "A AAAA MX NS TXT PTR CNAME SRV TLSA")


@dataclass
class _Query:
    name: str
    kind: Any


class _Store:
    def __init__(self, entries: dict[str, tuple[bytes, int]]) -> None:
        self._entries = entries

    def get(self, keys: list[str]) -> list[Any]:
        found = (self._entries.get(key) for key in keys)
        return [entry and SimpleNamespace(value=entry[0], version=entry[1]) for entry in found]

    def put(self, key: str, value: bytes, ttl: int | None, expect: int | None) -> int:
        if len(value) > 65536:
            raise Err(_variant("KvError_TooLarge"))
        version = self._entries.get(key, (b"", 0))[1]
        if expect is not None and expect != version:
            raise Err(_variant("KvError_Conflict"))
        self._entries[key] = (value, version + 1)
        return version + 1

    def add(self, key: str, by: int, ttl: int | None) -> int:
        value, version = self._entries.get(key, (b"0", 0))
        if not re.fullmatch(rb"-?[0-9]+", value):
            raise Err(_variant("KvError_NotACounter"))
        total = int(value) + by
        self._entries[key] = (b"%d" % total, version + 1)
        return total

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._entries.pop(key, None)


class _Stream:
    def __init__(
        self, says: Callable[[bytes], bytes | None] | None, streamed: list[bytearray]
    ) -> None:
        if says is None:
            raise Err(_variant("StreamError_Denied"))
        self._says, self._heard, self._read = says, bytearray(), 0
        streamed.append(self._heard)

    def write(self, data: bytes) -> None:
        if len(data) > 1 << 20:
            raise Err(_variant("StreamError_TooMany"))
        self._heard += data

    def write_content(self, reader: Any, most: int) -> int:
        data = reader.read(most)
        self._heard += data
        return len(data)

    def read(self, most: int) -> bytes:
        said = self._says(bytes(self._heard))
        if said is None:
            raise Err(_variant("StreamError_TimedOut"))
        piece = said[self._read : self._read + most]
        self._read += len(piece)
        return piece

    def __exit__(self, *_: Any) -> None:
        pass


def _upstreams(
    known: Mapping[str, Mapping[str, tuple[Any, ...]] | str],
    states: Mapping[str, Mapping[str, int]],
) -> SimpleNamespace:
    def fail(reason: str) -> Any:
        name = "UpstreamError_" + "".join(word.title() for word in reason.split("-"))
        raise Err(_variant(name, "a fake failure") if reason == "unavailable" else _variant(name))

    def verify(upstream: str, _: str | None, recipients: list[str]) -> list[Reply]:
        answers = known.get(upstream, "denied")
        if isinstance(answers, str):
            return fail(answers)
        if len(recipients) > 100:
            return fail("too-many")
        usual = (250, (2, 1, 5), "ok")
        return [Reply(*answers.get(recipient, usual)) for recipient in recipients]

    def state(upstream: str) -> list[tuple[str, int]]:
        return list(states[upstream].items()) if upstream in states else fail("denied")

    return SimpleNamespace(verify=verify, state=state)


def _http(answer: Callable[[Request], Response] | None) -> SimpleNamespace:
    def one(raw: _Request) -> Any:
        if answer is None:
            return _variant("Err_", _variant("HttpError_Denied"))
        headers = {name: text(value) for name, value in raw.headers}
        given = answer(Request(raw.url, raw.method, headers, raw.body, raw.timeout_ms))
        encoded = [(name, octets(value)) for name, value in given.headers]
        return SimpleNamespace(status=given.status, headers=encoded, body=given.body)

    def send(requests: list[_Request]) -> list[Any]:
        answers = []
        for request in requests:
            found = one(request)
            answers.append(found if hasattr(found, "value") else type("Ok", (), {"value": found})())
        return answers

    def send_content(request: _Request, reader: Any) -> Any:
        request.body = reader.rest()
        found = one(request)
        if hasattr(found, "value"):
            raise Err(found.value)
        return found

    return SimpleNamespace(Request=_Request, send=send, send_content=send_content)


@dataclass
class _Request:
    method: str
    url: str
    headers: list[tuple[str, bytes]]
    body: bytes
    timeout_ms: int | None


def _found(findings: list[Finding] | None) -> list[Any]:
    if findings is None:
        raise _fail("DENIED")
    return [
        SimpleNamespace(
            method=one.method,
            outcome=one.outcome,
            reason=one.reason,
            properties=list(one.properties.items()),
        )
        for one in findings
    ]


class _Facts:
    """Methods without arguments that say what is known."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        for name, value in facts.items():
            setattr(self, name, lambda value=value: value)


class _Session(_Facts):
    def __init__(self, facts: Mapping[str, Any], saved: bytes | None, notes: dict[str, str]) -> None:
        super().__init__(facts)
        self.delayed = 0.0
        self._saved = saved
        self._notes = notes

    def load(self) -> bytes | None:
        return self._saved

    def save(self, state: bytes) -> None:
        _must(len(state) <= 65536, "OUT_OF_RANGE")
        self._saved = state

    def note(self, name: str) -> str | None:
        return self._notes.get(name)

    def set_note(self, key: str, value: str) -> None:
        _must(len(value.encode()) <= 1024, "OUT_OF_RANGE")
        self._notes[f"fake.{key}"] = value

    def delay(self, milliseconds: int) -> None:
        _must(0 <= milliseconds <= 60_000, "OUT_OF_RANGE")
        self.delayed = max(self.delayed, milliseconds / 1000)


def fake_session(
    *, saved: bytes | None = None, notes: Mapping[str, str] | None = None, **facts: Any
) -> Session:
    """A session; what is not said is plain: 192.0.2.1, in clear text, nobody logged in."""
    known: dict[str, Any] = {
        "id": "fake-session",
        "listener": "mx",
        "client_address": "192.0.2.1",
        "client_port": 50000,
        "client_name": None,
        "helo": "client.example",
        "esmtp": True,
        "tls": None,
        "tls_at_proxy": False,
        "user": None,
        "mechanism": None,
        "forwarded": None,
        "conduct": {},
    }
    unknown = facts.keys() - known.keys()
    if unknown:
        raise TypeError(f"a session has no {min(unknown)}")
    known.update(facts)
    known["conduct"] = list(known["conduct"].items())
    return Session(_Session(known, saved, dict(notes or {})))


def fake_credentials(
    user: str,
    *,
    mechanism: str = "PLAIN",
    authorization: str | None = None,
    secret: str | None = None,
) -> Credentials:
    """What a client says at `auth`."""
    return Credentials(mechanism, user, authorization, secret)


def _parameters(given: Mapping[str, str] | None) -> list[Any]:
    return [
        SimpleNamespace(keyword=keyword, value=value or None)
        for keyword, value in (given or {}).items()
    ]


class FakeTransaction(Transaction):
    """A mail; `edits` tells what was changed. Grants: `rewrite-envelope`, `route`."""

    def __init__(
        self,
        *,
        sender: str | None = None,
        recipients: Iterable[str] = (),
        parameters: Mapping[str, str] | None = None,
        grants: Iterable[str] = (),
    ) -> None:
        self.edits: list[tuple[Any, ...]] = []
        super().__init__(_Transaction(self.edits, sender, list(recipients), parameters, grants))


class _Transaction:
    def __init__(
        self,
        edits: list[tuple[Any, ...]],
        sender: str | None,
        recipients: list[str],
        parameters: Mapping[str, str] | None,
        grants: Iterable[str],
    ) -> None:
        self._edits, self._sender, self._grants = edits, sender, set(grants)
        self._parameters = _parameters(parameters)
        self._recipients = [
            SimpleNamespace(index=index, address=address, parameters=[])
            for index, address in enumerate(recipients)
        ]
        self._added = 0
        self._scores: dict[str, float] = {}

    def id(self) -> str:
        return "fake-session.1"

    def sender(self) -> str | None:
        return self._sender

    def parameters(self) -> list[Any]:
        return self._parameters

    def recipients(self) -> list[Any]:
        return self._recipients

    def scores(self) -> list[tuple[str, float]]:
        return list(self._scores.items())

    def _edit(self, grant: str, *what: Any) -> None:
        _must(grant in self._grants, "DENIED")
        self._edits.append(what)

    def _known(self, index: int) -> None:
        _must(index < len(self._recipients) + self._added, "OUT_OF_RANGE")

    def set_sender(self, address: str | None) -> None:
        _must(address is None or _is_address(address), "MALFORMED")
        self._edit("rewrite-envelope", "set_sender", address)

    def add_recipient(self, address: str) -> int:
        _must(_is_address(address), "MALFORMED")
        self._edit("rewrite-envelope", "add_recipient", address)
        self._added += 1
        return len(self._recipients) + self._added - 1

    def set_recipient(self, index: int, address: str) -> None:
        self._known(index)
        _must(_is_address(address), "MALFORMED")
        self._edit("rewrite-envelope", "set_recipient", index, address)

    def drop_recipient(self, index: int) -> None:
        self._known(index)
        self._edit("rewrite-envelope", "drop_recipient", index)

    def refuse_recipient(self, index: int, answer: Reply) -> None:
        self._known(index)
        self._edits.append(("refuse_recipient", index, answer))

    def route(self, upstream: str, index: int | None) -> None:
        self._edit("route", "route", upstream, index)

    def score(self, symbol: str, points: float) -> None:
        _must(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", symbol) is not None, "MALFORMED")
        _must(abs(points) <= 10_000, "OUT_OF_RANGE")
        self._scores[symbol] = points


def _is_address(address: str) -> bool:
    return re.fullmatch(r"[^@\s]+@[^@\s]+", address) is not None


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def rest(self) -> bytes:
        return self._content[self._at :]

    def read(self, most: int) -> bytes:
        chunk = self.rest()[:most]
        self._at += len(chunk)
        return chunk

    def skip(self, count: int) -> int:
        skipped = min(count, len(self.rest()))
        self._at += skipped
        return skipped

    def find(self, needle: bytes, within: int) -> int | None:
        at = self.rest()[:within].find(needle)
        return None if at < 0 else at

    def sha256(self) -> bytes:
        return hashlib.sha256(self.rest()).digest()


@dataclass
class FakePart:
    """A part of a message."""

    content_type: str = "text/plain"
    content: str | bytes | None = None
    parent: int | None = None
    charset: str | None = None
    disposition: str | None = None
    file_name: str | None = None
    encoded: tuple[int, int] | None = None
    index: int = field(default=0, init=False)

    @property
    def size(self) -> int:
        return len(octets(self.content or b""))


class FakeMessage(Message):
    """A message; lines may end with LF. Grants: `rewrite-headers`, `rewrite-body`.

    Parts are given, the fake does not look for them itself. `edits` tells what was changed, `edited`
    is the message with all edits.
    """

    def __init__(
        self,
        content: str | bytes = "\n",
        *,
        grants: Iterable[str] = (),
        parts: Iterable[FakePart] = (),
    ) -> None:
        self._fake = _Message(_crlf(octets(content)), set(grants), list(parts))
        self.edits = self._fake.edits
        super().__init__(self._fake)

    @property
    def edited(self) -> str:
        return text(self._fake.edited())


def _crlf(content: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)


class _Message:
    def __init__(self, content: bytes, grants: set[str], parts: list[FakePart]) -> None:
        section, _, self._body = (b"\r\n" + content).partition(b"\r\n\r\n")
        self._fields = re.findall(rb"[^\r]+(?:\r\n[ \t][^\r]*)*\r\n", section[2:] + b"\r\n")
        self._grants, self._parts = grants, parts
        for index, part in enumerate(parts):
            part.index = index
        self.edits: list[tuple[Any, ...]] = []

    def _edit(self, grant: str, *what: Any) -> None:
        _must(grant in self._grants, "DENIED")
        self.edits.append(what)

    def _named(self, name: str) -> list[int]:
        wanted = name.lower().encode() + b":"
        return [at for at, line in enumerate(self._fields) if line.lower().startswith(wanted)]

    def size(self) -> int:
        return len(self.header_section()) + 2 + len(self._body)

    def header_section(self) -> bytes:
        return b"".join(self._fields)

    def header(self, name: str) -> list[bytes]:
        lines = (self._fields[at] for at in self._named(name))
        return [line.partition(b":")[2].replace(b"\r\n", b"").strip() for line in lines]

    def read_all(self) -> _Reader:
        return _Reader(self.header_section() + b"\r\n" + self._body)

    def read_body(self) -> _Reader:
        return _Reader(self._body)

    def parts(self) -> list[FakePart]:
        return self._parts

    def read_part(self, index: int) -> _Reader | None:
        content = self._parts[index].content
        return None if content is None else _Reader(octets(content))

    def add_header(self, at: int | None, name: str, value: bytes) -> None:
        well = re.fullmatch(r"[!-9;-~]+", name) and not re.search(rb"[\r\n\0]", value)
        _must(bool(well), "MALFORMED")
        _must(at is None or at <= len(self._fields), "OUT_OF_RANGE")
        self._edit("rewrite-headers", "add_header", at, name, text(value))

    def set_header(self, name: str, nth: int, value: bytes) -> None:
        _must(nth < len(self._named(name)), "OUT_OF_RANGE")
        _must(not re.search(rb"[\r\n\0]", value), "MALFORMED")
        self._edit("rewrite-headers", "set_header", name, nth, text(value))

    def drop_header(self, name: str, nth: int) -> None:
        _must(nth < len(self._named(name)), "OUT_OF_RANGE")
        self._edit("rewrite-headers", "drop_header", name, nth)

    def replace_body(self) -> _Writer:
        _must("rewrite-body" in self._grants, "DENIED")
        return _Writer(lambda body: self.edits.append(("replace_body", text(_crlf(body)))))

    def splice_body(self, at: int, length: int, content: bytes) -> None:
        _must(at + length <= len(self._body), "OUT_OF_RANGE")
        self._edit("rewrite-body", "splice_body", at, length, text(_crlf(content)))

    def edited(self) -> bytes:
        fields, body = dict(enumerate(self._fields)), self._body
        added: dict[int, bytes] = {}
        splices = []
        for what, *rest in self.edits:
            if what == "add_header":
                at = len(self._fields) if rest[0] is None else rest[0]
                line = rest[1].encode() + b": " + octets(rest[2]) + b"\r\n"
                added[at] = added.get(at, b"") + line
            elif what == "set_header":
                at = self._named(rest[0])[rest[1]]
                fields[at] = self._fields[at].partition(b":")[0] + b": " + octets(rest[2]) + b"\r\n"
            elif what == "drop_header":
                fields[self._named(rest[0])[rest[1]]] = b""
            elif what == "replace_body":
                body = octets(rest[0])
            else:
                splices.append(rest)
        for at, length, content in sorted(splices, reverse=True):
            body = body[:at] + octets(content) + body[at + length :]
        lines = [added.get(at, b"") + line for at, line in fields.items()]
        return b"".join([*lines, added.get(len(self._fields), b""), b"\r\n", body])


class _Writer:
    def __init__(self, finished: Callable[[bytes], None]) -> None:
        self._written, self._finished = b"", finished

    def write(self, chunk: bytes) -> None:
        self._written += chunk

    def copy(self, reader: _Reader, count: int) -> int:
        chunk = reader.read(count)
        self._written += chunk
        return len(chunk)

    def finish(self) -> None:
        self._finished(self._written)
