"""The gateway's log."""

from __future__ import annotations

from .host import host


def enabled(level: str) -> bool:
    """Whether lines of this level are kept."""
    log = host("log")
    return log.enabled(log.Level[level.upper()])


def write(level: str, text: str, /, **fields: object) -> None:
    """Writes a line; at most 100 a hook call."""
    log = host("log")
    all_fields = [(name, str(value)) for name, value in fields.items()]
    log.write(log.Level[level.upper()], str(text), all_fields)


def trace(text: str, /, **fields: object) -> None:
    write("trace", text, **fields)


def debug(text: str, /, **fields: object) -> None:
    write("debug", text, **fields)


def info(text: str, /, **fields: object) -> None:
    write("info", text, **fields)


def warn(text: str, /, **fields: object) -> None:
    write("warn", text, **fields)


def error(text: str, /, **fields: object) -> None:
    write("error", text, **fields)
