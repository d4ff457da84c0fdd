"""Knows who exists from a file, asks the store about the others, and gives strangers to one address.

The configuration's `files: {users: users.txt}` has an address a line; it is read again when it changes.
"""

from dataclasses import dataclass

from portcullis import GatewayError, Plugin, Recipient, Transaction, Verdict, upstreams


@dataclass
class Variation(Plugin):
    files: dict[str, str]
    domains: list[str]
    ask: str | None = None
    """The upstream that is asked who else is there."""
    catch_all: str | None = None

    def __post_init__(self) -> None:
        lines = self.files.get("users", "").splitlines()
        users = (line.strip().lower() for line in lines)
        self.users = {user for user in users if user and not user.startswith("#")}

    def rcpt(self, transaction: Transaction, recipient: Recipient) -> Verdict:
        address = recipient.address.lower()
        local_part, _, domain = address.rpartition("@")
        if domain not in self.domains:
            return Verdict.reject(550, "5.7.1", "relaying denied")
        if local_part == "postmaster" or address in self.users or self.is_known(recipient.address):
            return Verdict.NEXT
        if transaction.sender is None or self.catch_all is None:
            return Verdict.reject(550, "5.1.1", "no such recipient here")
        transaction.set_recipient(recipient.index, self.catch_all)
        return Verdict.NEXT

    def is_known(self, address: str) -> bool:
        """Whether the store takes mail for somebody, as far as it says; doubt is a yes."""
        if self.ask is None:
            return False
        try:
            return upstreams.verify(self.ask, address).code < 500
        except GatewayError:
            return True
