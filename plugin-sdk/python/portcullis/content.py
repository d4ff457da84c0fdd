"""The message and its parts."""

from __future__ import annotations

import io
from typing import Any

from .host import ask, octets, text

_EVERYTHING = 2**64 - 1
_CHUNK = 65536


class Message:
    """The message: complete at `message`, its headers only at `headers`."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def size(self) -> int:
        return self.raw.size()

    @property
    def header_section(self) -> bytes:
        return self.raw.header_section()

    def header(self, name: str) -> str | None:
        """The first value of this header, unfolded."""
        values = self.headers(name)
        return values[0] if values else None

    def headers(self, name: str) -> list[str]:
        """Every value of this header; what is no UTF-8 is kept as surrogates, as in `email`."""
        return [text(value) for value in self.raw.header(name)]

    def read(self) -> Reader:
        """The whole message."""
        return Reader(self.raw.read_all())

    def read_body(self) -> Reader:
        return Reader(self.raw.read_body())

    @property
    def parts(self) -> list[Part]:
        """The MIME parts, depth first, the message itself first; none at `headers`."""
        return [Part(raw, self.raw) for raw in self.raw.parts()]

    def add_header(self, name: str, value: str | bytes, *, at: int | None = None) -> None:
        """At the end, or after the first `at` headers; 0 is the top."""
        with ask("message.add_header"):
            self.raw.add_header(at, name, octets(value))

    def set_header(self, name: str, value: str | bytes, *, nth: int = 0) -> None:
        with ask("message.set_header"):
            self.raw.set_header(name, nth, octets(value))

    def drop_header(self, name: str, *, nth: int = 0) -> None:
        with ask("message.drop_header"):
            self.raw.drop_header(name, nth)

    def replace_body(self) -> Writer:
        """A file for the new body; closed, it takes effect."""
        with ask("message.replace_body"):
            return Writer(self.raw.replace_body())

    def splice_body(self, at: int, length: int, content: str | bytes = b"") -> None:
        """Replaces `length` octets of the body from `at` on."""
        with ask("message.splice_body"):
            self.raw.splice_body(at, length, octets(content))


class Part:
    """One part of a MIME message."""

    def __init__(self, raw: Any, message: Any) -> None:
        self._message = message
        self.index: int = raw.index
        self.parent: int | None = raw.parent
        self.content_type: str = raw.content_type
        self.charset: str | None = raw.charset
        self.disposition: str | None = raw.disposition
        self.file_name: str | None = raw.file_name
        self.size: int = raw.size
        self.encoded: tuple[int, int] | None = raw.encoded
        """Offset and length of its body in the message's body, for `splice_body`."""

    @property
    def is_multipart(self) -> bool:
        return self.content_type.startswith("multipart/")

    def read(self) -> Reader | None:
        """Its decoded content; None for a multipart."""
        raw = self._message.read_part(self.index)
        return None if raw is None else Reader(raw)

    def text(self) -> str | None:
        reader = self.read()
        if reader is None:
            return None
        with reader:
            return text(reader.read())


class Reader(io.RawIOBase):
    """Content, read from its beginning to its end; the gateway holds it."""

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self.raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self.raw.read(min(len(buffer), _CHUNK))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def readall(self) -> bytes:
        chunks = []
        while chunk := self.raw.read(_CHUNK):
            chunks.append(chunk)
        return b"".join(chunks)

    def skip(self, count: int) -> int:
        """How many octets were skipped: fewer than asked at the end."""
        return self.raw.skip(count)

    def find(self, needle: str | bytes, within: int | None = None) -> int | None:
        """Offset from here of the first occurrence; the gateway searches."""
        return self.raw.find(octets(needle), _EVERYTHING if within is None else within)

    def sha256(self) -> bytes:
        """Of the rest; the position stays where it is."""
        return self.raw.sha256()

    def close(self) -> None:
        if not self.closed:
            _release(self.raw)
        super().close()


class Writer:
    """A new body. Without `close` it is forgotten; `with` closes it unless there was an error."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def write(self, content: str | bytes) -> None:
        content = octets(content)
        for at in range(0, len(content), _CHUNK):
            with ask("writer.write"):
                self.raw.write(content[at : at + _CHUNK])

    def copy(self, reader: Reader, count: int | None = None) -> int:
        """Copies without passing through the plugin; the octets copied."""
        with ask("writer.copy"):
            return self.raw.copy(reader.raw, _EVERYTHING if count is None else count)

    def close(self) -> None:
        with ask("writer.finish"):
            self.raw.finish()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            self.close()
        _release(self.raw)


def _release(raw: Any) -> None:
    leave = getattr(raw, "__exit__", None)
    if leave is not None:
        leave(None, None, None)
