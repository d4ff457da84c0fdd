"""The table of effect."""
import collections

BEGIN, END = "<!-- the table -->\n", "<!-- end of the table -->\n"
EARLY = ("connect", "helo", "mail", "rcpt")


class Row:
    """What became of the mails of one class."""

    def __init__(self, mails):
        self.mails = mails

    def count(self, fate, steps=None):
        return sum(mail.fate == fate and (steps is None or mail.step in steps) for mail in self.mails)

    def caught(self):
        return sum(mail.fate != "passed" for mail in self.mails)

    def share(self):
        return 100 * self.caught() / len(self.mails)

    def by(self):
        """Who decided, the most frequent first."""
        named = collections.Counter(decider(mail) for mail in self.mails if mail.fate != "passed")
        return ", ".join(f"{name} {number}" for name, number in named.most_common(4))

    def late(self):
        return sum(mail.deferrals > 0 and mail.fate == "passed" for mail in self.mails)


def decider(mail):
    if mail.by:
        return mail.by
    if mail.code == 0:
        return "waited in vain"
    return "the gateway"


class Table:
    """All classes, spam and ham."""

    def __init__(self, mails):
        self.spam, self.ham = {}, {}
        for mail in mails:
            rows = self.spam if mail.spam else self.ham
            rows.setdefault(mail.kind, Row([])).mails.append(mail)

    def false_positives(self):
        return [mail for row in self.ham.values() for mail in row.mails if mail.fate != "passed"]

    def missed(self):
        return [mail for row in self.spam.values() for mail in row.mails if mail.fate == "passed"]

    def text(self):
        return "\n".join([*self.spam_lines(), "", *self.ham_lines()])

    def spam_lines(self):
        yield ("| spam | sent | refused early | refused at the end | gave up | marked | missed | caught | by whom |")
        yield "|---|--:|--:|--:|--:|--:|--:|--:|---|"
        rows = [*self.spam.items(), ("**all**", Row([m for row in self.spam.values() for m in row.mails]))]
        for name, row in rows:
            if row.mails:
                end = row.count("refused") - row.count("refused", EARLY)
                yield (f"| {name} | {len(row.mails)} | {row.count('refused', EARLY)} | {end} | "
                       f"{row.count('deferred')} | {row.count('marked') + row.count('quarantined')} | "
                       f"{row.count('passed')} | {row.share():.0f} % | {row.by()} |")

    def ham_lines(self):
        yield "| ham | sent | arrived | of them later | false positives | by whom |"
        yield "|---|--:|--:|--:|--:|---|"
        rows = [*self.ham.items(), ("**all**", Row([m for row in self.ham.values() for m in row.mails]))]
        for name, row in rows:
            if row.mails:
                yield (f"| {name} | {len(row.mails)} | {row.count('passed')} | {row.late()} | "
                       f"{row.caught()} | {row.by()} |")

    def write(self, file):
        """Puts the table where the last one stood."""
        text = file.read_text()
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        file.write_text(before + BEGIN + "\n" + self.text() + "\n\n" + END + after)
