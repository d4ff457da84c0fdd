import codecs
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parseaddr

from portcullis import Message, Plugin, Session, Transaction, Verdict

# Later there is no file system to load codecs from.
for codec in ("raw_unicode_escape", "ascii", "utf-8", "iso8859-1", "iso8859-15", "cp1252"):
    codecs.lookup(codec)


def decoded(value: str) -> str:
    """Encoded words as text (RFC 2047); what is wrongly encoded stays as it is."""
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value


@dataclass
class Variation(Plugin):
    """Refuses words in subjects, and marks strangers who call themselves like one of ours."""

    domains: list[str]
    refuse: list[str] = field(default_factory=list)
    mark: str = "[EXTERNAL]"
    points: float = 3

    def headers(self, session: Session, transaction: Transaction, message: Message) -> Verdict:
        if session.user:
            return Verdict.NEXT
        subject = decoded(message.header("Subject") or "")
        for word in self.refuse:
            if word.lower() in subject.lower():
                return Verdict.reject(550, "5.7.1", "we do not want to read this")
        name, address = parseaddr(message.header("From") or "")
        domain = address.rpartition("@")[2].lower()
        if domain not in self.domains and any(one in decoded(name).lower() for one in self.domains):
            transaction.score("POSES_AS_US", self.points)
            # What is encoded stays so: the mark is put before it.
            message.set_header("Subject", f"{self.mark} {message.header('Subject') or ''}".rstrip())
        return Verdict.NEXT
