"""Mail addresses and IP addresses."""

from __future__ import annotations

import ipaddress


def domain_of(address: str) -> str:
    """The domain of a mail address in small letters; empty if it has none."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


def local_part_of(address: str) -> str:
    """What is before the last @."""
    return address.rpartition("@")[0] if "@" in address else address


def reversed_ip(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Turned round for DNS lists: `2.0.0.127`, or 32 nibbles."""
    return ip.reverse_pointer.rsplit(".", 2)[0]
