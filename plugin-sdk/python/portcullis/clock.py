"""The gateway's clock. `time.time()` and `time.monotonic()` say the same."""

from __future__ import annotations

from .host import host


def now() -> int:
    """Milliseconds since 1970."""
    return host("clock").now()


def monotonic() -> int:
    """Nanoseconds since some moment in the past; never goes back."""
    return host("clock").monotonic()
