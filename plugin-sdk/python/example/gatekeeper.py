"""Refuses mail by the recipient's domain and by a DNS list, and stamps and counts the rest."""

from dataclasses import dataclass

from portcullis import GatewayError, Message, Plugin, Recipient, Session, Verdict
from portcullis import dns, kv, log, metrics, reversed_ip


@dataclass
class Gatekeeper(Plugin):
    refuse: frozenset[str]
    list: str | None = None
    store: str | None = None
    header: str = "X-Gatekeeper"

    def __post_init__(self) -> None:
        self.refused = {domain.lower() for domain in self.refuse}

    def skip(self) -> tuple[str, ...]:
        return () if self.list else ("connect",)

    def connect(self, session: Session) -> Verdict:
        address = session.client_ip
        if address is None or address.version != 4 or not self._is_listed(address):
            return Verdict.NEXT
        return Verdict.reject(554, "5.7.1", f"{address} is listed by {self.list}")

    def rcpt(self, recipient: Recipient) -> Verdict:
        if recipient.domain not in self.refused:
            return Verdict.NEXT
        return Verdict.reject(550, "5.7.1", f"no mail for {recipient.domain} here")

    def message(self, message: Message) -> Verdict:
        count = self._count()
        message.add_header(self.header, f"message {count}" if count else "checked", at=0)
        metrics.add("messages")
        return Verdict.NEXT

    def _is_listed(self, address) -> bool:
        name = f"{reversed_ip(address)}.{self.list}"
        try:
            answer = dns.lookup(name)
        except GatewayError as error:
            log.warn(f"no answer from {self.list}", name=name, error=error)
            return False
        if answer.failed:
            log.warn(f"no answer from {self.list}", name=name, status=answer.status)
        return bool(answer.records)

    def _count(self) -> int | None:
        if self.store is None:
            return None
        try:
            return kv.Store(self.store).add("messages")
        except GatewayError as error:
            log.warn("the message is not counted", error=error)
            return None
