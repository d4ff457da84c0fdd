"""Connections to services that the configuration names. Grant `streams: [addresses]`."""

from __future__ import annotations

from typing import Any

from .content import Reader
from .host import ask, host, octets


class Stream:
    """A connection to a service that does not speak HTTP. It ends with the hook that opened it."""

    def __init__(self, address: str, *, timeout_ms: int | None = None) -> None:
        """To `host:port` or `unix:/path`, letter by letter as it is granted."""
        with ask("streams.open"):
            self.raw = host("streams").Connection.open(address, timeout_ms)

    def write(self, data: str | bytes) -> None:
        """All of it, at most 1 MiB."""
        with ask("streams.write"):
            self.raw.write(octets(data))

    def write_content(self, reader: Reader, max: int = 2**64 - 1) -> int:
        """What a reader has left, at most so much; how much it was."""
        with ask("streams.write_content"):
            return self.raw.write_content(reader.raw, max)

    def read(self, max: int = 65536) -> bytes:
        """Waits for something, and gives at most so much; nothing is the end."""
        with ask("streams.read"):
            return self.raw.read(max)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None:
        """Ends it before the hook does."""
        self.raw.__exit__(*error)
