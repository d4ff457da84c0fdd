"""The gateway's resolver. Grant `dns`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .host import ask, case, host


@dataclass(frozen=True)
class Answer:
    """What DNS answered."""

    status: str
    """`records`, `no-such-name`, `no-data`, `failed` or `timed-out`."""
    records: list[str] = field(default_factory=list)
    """As in a zone file; empty unless there are any."""
    detail: str | None = None

    @property
    def failed(self) -> bool:
        """Neither yes nor no."""
        return self.status in ("failed", "timed-out")


def lookup(name: str, kind: str = "a") -> Answer:
    """Looks up one name; kinds: a, aaaa, mx, ns, txt, ptr, cname, srv, tlsa."""
    return lookup_all([(name, kind)])[0]


def lookup_all(queries: Iterable[tuple[str, str]]) -> list[Answer]:
    """Looks up names and kinds all at once; the answers are in the order of the queries."""
    dns = host("dns")
    asked = [dns.Query(name, dns.Kind[kind.upper()]) for name, kind in queries]
    with ask("dns.lookup"):
        return [_answer(raw) for raw in dns.lookup(asked)]


def _answer(raw: object) -> Answer:
    status, value = case(raw)
    if status == "records":
        return Answer(status, value)
    return Answer(status, detail=value)
