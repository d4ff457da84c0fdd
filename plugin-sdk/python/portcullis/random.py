"""Octets from the operating system's generator."""

from __future__ import annotations

from .host import host


def octets(count: int) -> bytes:
    """At most 64 KiB; not while the plugin is made."""
    return host("random").bytes(count)
