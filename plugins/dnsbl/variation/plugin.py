from dataclasses import dataclass

from portcullis import Plugin, Recipient, Session, Transaction, Verdict
from portcullis import dns, metrics, reversed_ip


@dataclass
class Variation(Plugin):
    """Asks lists of addresses at MAIL, adds their points up, and refuses at RCPT."""

    lists: dict[str, float]
    refuse: float = 5

    def __post_init__(self) -> None:
        self.refused: tuple[str, str] | None = None

    def mail(self, session: Session, transaction: Transaction) -> Verdict:
        address = session.client_ip
        if address is None or address.version != 4 or session.user:
            return Verdict.NEXT
        answers = dns.lookup_all((f"{reversed_ip(address)}.{zone}", "a") for zone in self.lists)
        total, listed = 0.0, ""
        for zone, answer in zip(self.lists, answers):
            if not any(self.is_listing(record) for record in answer.records):
                continue
            total += self.lists[zone]
            transaction.score("LIST_" + zone.upper().replace(".", "_"), self.lists[zone])
            metrics.add("listings", list=zone)
            listed = zone
        # With the mail that it is about: a pooled copy sees others.
        self.refused = (transaction.id, listed) if total >= self.refuse else None
        return Verdict.NEXT

    def rcpt(self, transaction: Transaction, recipient: Recipient) -> Verdict:
        refused, zone = self.refused or ("", "")
        if refused != transaction.id or recipient.local_part.lower() == "postmaster":
            return Verdict.NEXT
        return Verdict.reject(550, "5.7.1", f"your address is listed by {zone}")

    @staticmethod
    def is_listing(record: str) -> bool:
        """Errors of lists are outside of 127.0.0.0/8, or 127.255.255.0/24."""
        return record.startswith("127.") and not record.startswith("127.255.255.")
