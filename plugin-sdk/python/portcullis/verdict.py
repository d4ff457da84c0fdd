"""What hooks answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Reply:
    """An SMTP reply: code, enhanced status, text."""

    code: int
    status: tuple[int, int, int] | None
    text: str


def reply(name: str, classes: tuple[int, ...], code: int, *rest: str) -> Reply:
    """A reply, if its code is of one of these classes."""
    if code // 100 not in classes:
        wanted = " or ".join(f"{first}xx" for first in classes)
        raise ValueError(f"{name} takes a code {wanted}, not {code}")
    if len(rest) == 1:
        return Reply(code, None, rest[0])
    status, text = rest
    return Reply(code, _enhanced(status), text)


def _enhanced(status: str) -> tuple[int, int, int]:
    parts = re.fullmatch(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})", status)
    if parts is None:
        raise ValueError(f"{status!r} is no enhanced status such as '5.7.1'")
    first, second, third = map(int, parts.groups())
    return first, second, third


@dataclass(frozen=True)
class Verdict:
    """What a hook answers. Replies are `code, "status", "text"`, or `code, "text"`."""

    kind: str
    reply: Reply | None = None
    reason: str | None = None

    NEXT: ClassVar[Verdict]
    """No opinion: the next plugin is asked."""
    ACCEPT: ClassVar[Verdict]
    """Yes, and no later plugin is asked at this hook."""

    @classmethod
    def reject(cls, code: int, *rest: str) -> Verdict:
        """Permanent refusal, 5xx."""
        return cls("reject", reply("reject", (5,), code, *rest))

    @classmethod
    def defer(cls, code: int, *rest: str) -> Verdict:
        """Temporary refusal, 4xx."""
        return cls("defer", reply("defer", (4,), code, *rest))

    @classmethod
    def disconnect(cls, code: int, *rest: str) -> Verdict:
        """Answers, then closes the connection."""
        return cls("disconnect", reply("disconnect", (4, 5), code, *rest))

    @classmethod
    def discard(cls, reason: str) -> Verdict:
        """Says yes to the client and delivers nothing; the reason is for the log."""
        return cls("discard", reason=reason)

    @classmethod
    def quarantine(cls, reason: str) -> Verdict:
        """Says yes to the client and delivers to the quarantine; the reason is for the log."""
        return cls("quarantine", reason=reason)


Verdict.NEXT = Verdict("next")
Verdict.ACCEPT = Verdict("accept")


@dataclass(frozen=True)
class Authentication:
    """What the hook `auth` answers."""

    kind: str
    identity: str | None = None
    reply: Reply | None = None

    NEXT: ClassVar[Authentication]
    """Not mine to tell: the next plugin is asked."""

    @classmethod
    def authenticated(cls, identity: str) -> Authentication:
        """The client is this identity."""
        return cls("authenticated", identity=identity)

    @classmethod
    def refused(cls, code: int, *rest: str) -> Authentication:
        """It is not who it says to be; usually 535 5.7.8."""
        return cls("refused", reply=reply("refused", (5,), code, *rest))

    @classmethod
    def unavailable(cls, code: int, *rest: str) -> Authentication:
        """Nobody can tell now; usually 454 4.7.0."""
        return cls("unavailable", reply=reply("unavailable", (4,), code, *rest))


Authentication.NEXT = Authentication("next")
