"""Stores of the configuration. Grant `kv: [names]`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .host import ask, host, octets


@dataclass(frozen=True)
class Entry:
    """A value, and the version that changes whenever it is written."""

    value: bytes
    version: int


class Store:
    """A store, shared by all copies of the plugin."""

    def __init__(self, name: str) -> None:
        with ask("kv.open"):
            self.raw = host("kv").Store.open(name)

    def get(self, key: str) -> bytes | None:
        entry = self.entries([key])[0]
        return entry.value if entry else None

    def entries(self, keys: Iterable[str]) -> list[Entry | None]:
        """In the order of the keys."""
        with ask("kv.get"):
            found = self.raw.get(list(keys))
        return [entry and Entry(entry.value, entry.version) for entry in found]

    def put(
        self, key: str, value: str | bytes, *, ttl: int | None = None, expect: int | None = None
    ) -> int:
        """The new version. `expect` is the version that has to be there, 0 for none."""
        with ask("kv.put"):
            return self.raw.put(key, octets(value), ttl, expect)

    def add(self, key: str, by: int = 1, *, ttl: int | None = None) -> int:
        """Adds to a counter; the sum."""
        with ask("kv.add"):
            return self.raw.add(key, by, ttl)

    def delete(self, *keys: str) -> None:
        with ask("kv.delete"):
            self.raw.delete(list(keys))
