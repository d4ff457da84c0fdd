from dataclasses import dataclass

from portcullis import Plugin, Recipient, Verdict


@dataclass
class Closed(Plugin):
    """Refuses mail for domains that take none."""

    domains: list[str]

    def rcpt(self, recipient: Recipient) -> Verdict:
        if recipient.domain in (domain.lower() for domain in self.domains):
            return Verdict.reject(550, "5.7.1", "closed for good")
        return Verdict.NEXT
