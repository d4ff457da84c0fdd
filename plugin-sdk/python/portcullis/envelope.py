"""The session and the envelope."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any

from .address import domain_of, local_part_of
from .host import ask, host, octets
from .verdict import reply


def _named(parameters: list[Any]) -> dict[str, str]:
    return {parameter.keyword: parameter.value or "" for parameter in parameters}


class Session:
    """One connection of one client."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def id(self) -> str:
        """Unique; the same in logs, replies and `Received`."""
        return self.raw.id()

    @property
    def listener(self) -> str:
        return self.raw.listener()

    @property
    def client_address(self) -> str:
        """An IP address; `unix` for a Unix socket, `unknown` where a proxy does not know."""
        return self.raw.client_address()

    @property
    def client_ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        try:
            return ipaddress.ip_address(self.client_address)
        except ValueError:
            return None

    @property
    def client_port(self) -> int:
        return self.raw.client_port()

    @property
    def client_name(self) -> str | None:
        """The client's host name, where a trusted proxy said it."""
        return self.raw.client_name()

    @property
    def helo(self) -> str | None:
        return self.raw.helo()

    @property
    def esmtp(self) -> bool:
        return self.raw.esmtp()

    @property
    def tls(self) -> Any:
        """`version`, `cipher`, `server_name`, `client_subject`; None in clear text."""
        return self.raw.tls()

    @property
    def tls_at_proxy(self) -> bool:
        return self.raw.tls_at_proxy()

    @property
    def user(self) -> str | None:
        """The identity that AUTH established."""
        return self.raw.user()

    @property
    def mechanism(self) -> str | None:
        return self.raw.mechanism()

    @property
    def forwarded(self) -> Any:
        """What a trusted proxy said by XFORWARD: `name`, `address`, `port`, `protocol`, `helo`, …"""
        return self.raw.forwarded()

    def load(self) -> bytes | None:
        """What this plugin saved in this session."""
        return self.raw.load()

    def save(self, state: bytes | str) -> None:
        """At most 64 KiB."""
        with ask("session.save"):
            self.raw.save(octets(state))

    def load_json(self) -> Any:
        saved = self.load()
        return None if saved is None else json.loads(saved)

    def save_json(self, value: Any) -> None:
        self.save(json.dumps(value))

    def note(self, name: str) -> str | None:
        """What a plugin noted in this session, as `plugin.key`."""
        return self.raw.note(name)

    def set_note(self, key: str, value: str) -> None:
        with ask("session.set_note"):
            self.raw.set_note(key, value)

    @property
    def conduct(self) -> dict[str, int]:
        """What the client has done so far against the manners of the protocol, and how often."""
        return dict(self.raw.conduct())

    def delay(self, seconds: float) -> None:
        """Holds the reply of this step back, for at most 60 seconds; the plugin does not run meanwhile."""
        with ask("session.delay"):
            self.raw.delay(round(seconds * 1000))


@dataclass(frozen=True)
class Credentials:
    """Who a client says to be, at `auth`."""

    mechanism: str
    user: str
    authorization: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Recipient:
    """Somebody whom a mail is for."""

    address: str
    index: int = 0
    parameters: dict[str, str] = field(default_factory=dict)
    """Keywords in capitals; a keyword without a value has an empty one."""

    @property
    def domain(self) -> str:
        """In small letters."""
        return domain_of(self.address)

    @property
    def local_part(self) -> str:
        return local_part_of(self.address)

    @classmethod
    def of(cls, raw: Any) -> Recipient:
        return cls(raw.address, raw.index, _named(raw.parameters))


def _index(recipient: Recipient | int) -> int:
    return recipient if isinstance(recipient, int) else recipient.index


class Transaction:
    """One mail: its envelope."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def id(self) -> str:
        return self.raw.id()

    @property
    def sender(self) -> str | None:
        """None is the null reverse-path `<>`."""
        return self.raw.sender()

    @property
    def sender_domain(self) -> str:
        """In small letters; empty if there is none."""
        return domain_of(self.sender or "")

    @property
    def parameters(self) -> dict[str, str]:
        return _named(self.raw.parameters())

    @property
    def recipients(self) -> list[Recipient]:
        return [Recipient.of(raw) for raw in self.raw.recipients()]

    @property
    def scores(self) -> list[tuple[str, float]]:
        """All symbols so far, those of other plugins too."""
        return self.raw.scores()

    def set_sender(self, address: str | None) -> None:
        with ask("transaction.set_sender"):
            self.raw.set_sender(address)

    def add_recipient(self, address: str) -> int:
        """Its index. From `data` on."""
        with ask("transaction.add_recipient"):
            return self.raw.add_recipient(address)

    def set_recipient(self, recipient: Recipient | int, address: str) -> None:
        with ask("transaction.set_recipient"):
            self.raw.set_recipient(_index(recipient), address)

    def drop_recipient(self, recipient: Recipient | int) -> None:
        with ask("transaction.drop_recipient"):
            self.raw.drop_recipient(_index(recipient))

    def refuse_recipient(self, recipient: Recipient | int, code: int, *rest: str) -> None:
        """Refuses one recipient after the message was seen."""
        answer = reply("a refusal", (4, 5), code, *rest)
        raw = host("types").Reply(answer.code, answer.status, answer.text)
        with ask("transaction.refuse_recipient"):
            self.raw.refuse_recipient(_index(recipient), raw)

    def route(self, upstream: str, recipient: Recipient | int | None = None) -> None:
        """Sends one recipient, or all, to a named upstream."""
        with ask("transaction.route"):
            self.raw.route(upstream, None if recipient is None else _index(recipient))

    def score(self, symbol: str, points: float) -> None:
        """Adds to the score under the name of a symbol."""
        with ask("transaction.score"):
            self.raw.score(symbol, float(points))
