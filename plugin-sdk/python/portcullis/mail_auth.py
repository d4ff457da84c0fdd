"""What the gateway found out about who sent the message. Grant `mail-auth`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .content import Message
from .envelope import Session, Transaction
from .host import ask, host


@dataclass(frozen=True)
class Finding:
    """One result, in the words of RFC 8601."""

    method: str
    """`iprev`, `spf`, `dkim`, `dmarc` or `arc`."""
    outcome: str
    """`pass`, `fail`, `softfail`, `neutral`, `none`, `temperror`, `permerror` or `policy`."""
    reason: str | None
    properties: dict[str, str]


def _findings(raw: list[Any]) -> list[Finding]:
    return [Finding(one.method, one.outcome, one.reason, dict(one.properties)) for one in raw]


def sender(session: Session, transaction: Transaction) -> list[Finding]:
    """iprev and SPF; from the hook `mail` on."""
    with ask("mail_auth.sender"):
        return _findings(host("mail_auth").sender(session.raw, transaction.raw))


def content(session: Session, transaction: Transaction, message: Message) -> list[Finding]:
    """DKIM, ARC and DMARC; at the hook `message`."""
    with ask("mail_auth.content"):
        return _findings(host("mail_auth").content(session.raw, transaction.raw, message.raw))
