"""What gateway/benches/cost.rs measures: the same as ../rust."""

from dataclasses import dataclass

from portcullis import Message, Plugin, Verdict


@dataclass
class Cost(Plugin):
    look: bool = True
    scan: bool = False

    def skip(self) -> tuple[str, ...]:
        return () if self.look else ("headers",)

    def rcpt(self) -> Verdict:
        return Verdict.NEXT

    def headers(self, message: Message) -> Verdict:
        if any("cheap watches" in subject for subject in message.headers("Subject")):
            return Verdict.reject(550, "5.7.1", "no watches")
        return Verdict.NEXT

    def message(self, message: Message) -> Verdict:
        if self.scan and exclamations(message) > 1000:
            return Verdict.reject(550, "5.7.1", "no shouting")
        return Verdict.NEXT


def exclamations(message: Message) -> int:
    reader, count = message.read_body(), 0
    while chunk := reader.read(65536):
        count += chunk.count(b"!")
    return count
