"""What the gateway knows of its upstreams, and what they say of recipients. Grant `upstreams: [names]`."""

from __future__ import annotations

from collections.abc import Iterable

from .host import GatewayError, ask, host
from .verdict import Reply


def verify(upstream: str, recipient: str, *, sender: str | None = None) -> Reply:
    """Whether an upstream would take mail for somebody. No sender is the null reverse-path."""
    return verify_all(upstream, [recipient], sender=sender)[0]


def verify_all(
    upstream: str, recipients: Iterable[str], *, sender: str | None = None
) -> list[Reply]:
    """The same for several, at most 100; a reply each, in their order."""
    with ask("upstreams.verify"):
        raw = host("upstreams").verify(upstream, sender, list(recipients))
        return [Reply(one.code, one.status, one.text) for one in raw]


def state(upstream: str) -> dict[str, int]:
    """Numbers of how it is: `available` (0 or 1), `connections`, `busy`, `waiting`, `limit`."""
    with ask("upstreams.state"):
        return dict(host("upstreams").state(upstream))


__all__ = ["GatewayError", "state", "verify", "verify_all"]
