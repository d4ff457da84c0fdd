"""What strangers try, by class. Each function makes the sessions of one class; `count` is about how many mails.

None of it is made to be caught: bots are known to some lists and not to others, some come again, and what is
sent by well-kept servers is well-kept.
"""
import functools

import mails
from mails import HOOKS, PITCHES, Draft, prose
from play import MINUTE, SERVER, Mail, Session
from world import GATEWAY, OURS, reverse

USERS = ["alice", "bob", "info"]
# Programs take a word for a link only if it ends like a name that there may be.
SUFFIXES = ["top", "xyz", "info", "co.uk", "com.br"]
CLASSES = {}


def kind(count):
    """A class of spam, and how many mails it has in a usual run."""
    def register(make):
        CLASSES[make.__name__.replace("_", " ")] = (count, make)
        return make
    return register


class Maker:
    """What the functions of one class share: their chance, and the world."""

    def __init__(self, world, name, count):
        self.world, self.name, self.count, self.rng = world, name, count, world.random(name)

    def user(self):
        return f"{self.rng.choice(USERS)}@{OURS}"

    def pitch(self, author, to, link=None, **fields):
        """A message that wants to sell something."""
        rng = self.rng
        text = prose(rng, PITCHES)
        if link:
            text += f"\n{link}\n"
        draft = Draft(rng, self.world.now, author, to, rng.choice(HOOKS), text)
        for name, value in fields.items():
            draft.set(name.replace("_", "-"), value)
        return draft

    def mail(self, sender, recipients, message):
        recipients = [recipients] if isinstance(recipients, str) else recipients
        return Mail(self.name, True, sender, recipients, message)

    def innocent(self):
        """Somebody whose address is used without asking: no SPF, no DMARC, no fault of theirs."""
        name = f"{mails.word(self.rng)}.example"
        self.world.domain(name, [], spf=None, key=False)
        return f"{mails.word(self.rng, 3, 7)}@{name}"

    def bot(self, listed=True):
        """A machine at home that its owner does not know to send mail."""
        address = self.world.household(self.rng)
        if listed:
            self.world.blame(self.rng, address, "bot")
        return address

    def server(self, domain, **options):
        """A server of somebody who knows how it is done: names, SPF, key."""
        address = self.world.address(self.rng, "hosting")
        helo = f"mail.{domain}"
        self.world.host(helo, address)
        return self.world.domain(domain, [address], **options), address, helo

    def hijacked(self):
        """A well-kept server of somebody else, who does not know what it sends."""
        name = f"{mails.word(self.rng)}-web.example"
        return self.server(name, dmarc=None)

    def bot_retries(self):
        """A few come again, most of them at once."""
        return self.rng.choices([(), (1 * MINUTE,), (1 * MINUTE, 6 * MINUTE, 20 * MINUTE)], [70, 15, 15])[0]

    def bot_patience(self):
        return self.rng.choice([5, 10, 20, 60])


@kind(60)
def listed_bots(make):
    """Bots that one or the other list may know, with a made-up sender."""
    for _ in range(make.count):
        address, to, author = make.bot(), make.user(), make.innocent()
        helo = make.rng.choice([f"{mails.word(make.rng)}.example", mails.word(make.rng).upper(),
                                f"{address.replace('.', '-')}.dyn.cablenet.example"])
        message = make.pitch(author, to).octets()
        yield Session(address, helo, [make.mail(author, to, message)], make.bot_retries(),
                      patience=make.bot_patience())


@kind(30)
def fresh_bots(make):
    """Bots that no list knows yet, with a name that fits their address; nearly none comes again."""
    for _ in range(make.count):
        address, to, author = make.bot(listed=False), make.user(), make.innocent()
        helo = next(data for kind, data in make.world.records[reverse(address) + ".in-addr.arpa."]
                    if kind == "PTR").rstrip(".")
        retries = make.rng.choices([(), (1 * MINUTE,), (30 * MINUTE,)], [80, 15, 5])[0]
        yield Session(address, helo, [make.mail(author, to, make.pitch(author, to).octets())], retries,
                      patience=make.bot_patience())


@kind(30)
def early_talkers(make):
    """Programs that throw their lines at whatever answers: before the banner, or all at once."""
    for number in range(make.count):
        address, to, author = make.bot(listed=number % 3 == 0), make.user(), make.innocent()
        yield Session(address, f"{mails.word(make.rng)}.example",
                      [make.mail(author, to, make.pitch(author, to).octets())], make.bot_retries(),
                      early=number % 2 == 0, blasts=number % 4 > 0, patience=make.bot_patience())


@kind(40)
def fake_HELO(make):
    """Who says a name that cannot be its own."""
    for number in range(make.count):
        address, to, author = make.bot(listed=False), make.user(), make.innocent()
        helo = [GATEWAY, OURS, "localhost", "127.0.0.1", "[127.0.0.1]", "[192.0.2.25]", "user-pc",
                "mx1.bigmail.example", "friend_pc.example", "mail." + OURS][number % 10]
        yield Session(address, helo, [make.mail(author, to, make.pitch(author, to).octets())],
                      make.rng.choice([(), (), (15 * MINUTE, 60 * MINUTE)]), patience=make.bot_patience())


@kind(60)
def snowshoe(make):
    """New domains with SPF, DKIM and DMARC in order, and many addresses that each send a little."""
    domains = max(3, make.count // 5)
    for number in range(domains):
        name = f"{mails.word(make.rng, 4, 6)}{mails.word(make.rng, 4, 6)}-deals.example"
        network = make.world.address(make.rng, "hosting")
        addresses = [make.world.address(make.rng, network=network) for _ in range(5)]
        domain = make.world.domain(name, addresses, dmarc="none")
        make.world.shame(make.rng, name, "spam")
        for index, address in enumerate(addresses):
            helo = make.world.host(f"out{index}.{name}", address) and f"out{index}.{name}"
            make.world.blame(make.rng, address, "snowshoe")
            if number * 5 + index < make.count:
                to, link = make.user(), f"http://www.{name}/{make.rng.getrandbits(24):x}"
                draft = make.pitch(f"Daily Deals <news@{name}>", to, link)
                draft.add("List-Unsubscribe", f"<{link}/u>")
                yield Session(address, helo, [make.mail(f"bounce@{name}", to, domain.sign(draft.octets()))],
                              SERVER)


def forged(make, policy, authenticated=False):
    """Mail that says to be from a bank whose DMARC record has this policy, from servers of somebody else."""
    for number in range(make.count):
        bank = make.world.domain(f"bank{number % 5}-{policy.split(';')[0]}-{make.name[-3:].strip()}.example",
                                 [make.world.address(make.rng, "mail")], dmarc=policy)
        other, address, helo = make.hijacked()
        to = make.user()
        author = f"Bank <service@{'secure.' * (number % 4 == 3)}{bank.name}>"
        if number % 4 == 3:
            make.world.publish("secure." + bank.name, "A", "192.0.2.80")
        message = make.pitch(author, to).octets()
        # Some are signed, and pass SPF: for another domain than the one that people see.
        if number % 2:
            message = other.sign(message)
        sender = f"x@{other.name}" if number % 3 else f"service@{bank.name}"
        yield Session(address, helo, [make.mail(sender, to, message)], SERVER)


@kind(40)
def forged_DMARC_reject(make):
    """The domain says: reject."""
    yield from forged(make, "reject")


@kind(30)
def forged_DMARC_quarantine(make):
    """The domain says: quarantine."""
    yield from forged(make, "quarantine")


@kind(30)
def forged_DMARC_pct(make):
    """The domain says: reject half of it, and thereby: quarantine the other half."""
    yield from forged(make, "reject; pct=50")


@kind(30)
def SPF_fail(make):
    """Senders whose domain says with SPF that this is not its server, and has no DMARC."""
    for _ in range(make.count):
        victim = make.world.domain(f"{mails.word(make.rng)}.example", [make.world.address(make.rng, "mail")])
        address, to = make.bot(listed=False), make.user()
        author = f"{mails.word(make.rng, 3, 6)}@{victim.name}"
        helo = next(data for kind, data in make.world.records[reverse(address) + ".in-addr.arpa."]
                    if kind == "PTR").rstrip(".")
        yield Session(address, helo, [make.mail(author, to, make.pitch(author, to).octets())],
                      make.rng.choice([(), SERVER]))


@kind(30)
def own_domain(make):
    """Strangers who say they are us: in the envelope, in From, or in both."""
    for number in range(make.count):
        to = make.user()
        author = to if number % 2 else f"admin@{OURS}"
        other, address, helo = make.hijacked()
        sender = [author, f"x@{other.name}", author][number % 3]
        text = "I have hacked you. Pay 2000 in bitcoin.\n\n" + prose(make.rng, PITCHES)
        draft = Draft(make.rng, make.world.now, f"Administrator <{author}>", to, "account alert", text)
        yield Session(address, helo, [make.mail(sender, to, draft.octets())], SERVER)


@kind(16)
def display_names(make):
    """A well-kept stranger who has somebody else's address for a name."""
    for number in range(make.count):
        domain, address, helo = make.hijacked()
        to = make.user()
        name = [f"bob@{OURS}", "service@bank0-reject.example"][number % 2]
        draft = make.pitch(f'"{name}" <{mails.word(make.rng)}@{domain.name}>', to)
        yield Session(address, helo, [make.mail(f"x@{domain.name}", to, domain.sign(draft.octets()))], SERVER)


@kind(24)
def senders_that_do_not_exist(make):
    """Senders of domains that nobody has, from machines at homes; some come again."""
    for _ in range(make.count):
        address, to = make.bot(listed=False), make.user()
        author = f"{mails.word(make.rng)}@{mails.word(make.rng, 12, 14)}.example"
        yield Session(address, f"{mails.word(make.rng)}.example",
                      [make.mail(author, to, make.pitch(author, to).octets())],
                      make.rng.choice([(), (), SERVER]), patience=make.bot_patience())


@kind(12)
def dictionary_attack(make):
    """One connection that tries names, until it finds some who get its mail. A mail is missed if anybody gets it."""
    for number in range(make.count):
        author = make.innocent()
        address = make.bot(listed=number % 2 == 0)
        names = [f"{mails.word(make.rng, 4, 8)}@{OURS}" for _ in range(40)]
        names[make.rng.randrange(8, 38)] = f"{make.rng.choice(USERS)}@{OURS}"
        yield Session(address, f"{mails.word(make.rng)}.example",
                      [make.mail(author, names, make.pitch(author, f"you@{OURS}").octets())],
                      make.bot_retries(), patience=make.bot_patience())


@kind(40)
def backscatter(make):
    """Reports on mail that we never sent, from honest servers: somebody forged our addresses (joe job)."""
    for _ in range(make.count):
        domain, address, helo = make.server(f"{mails.word(make.rng)}.example", dmarc="none")
        to = make.user()
        message = mails.report(make.rng, make.world.now, f"MAILER-DAEMON@{domain.name}", to,
                               f"{mails.word(make.rng)}@{domain.name}")
        yield Session(address, helo, [make.mail("", to, message)], SERVER)


def attached(make, attachments):
    """Mail with these attachments in turn, from servers that nobody has anything against."""
    for number in range(make.count):
        domain, address, helo = make.hijacked()
        to = make.user()
        author = f"Accounting <billing@{domain.name}>"
        draft = Draft(make.rng, make.world.now, author, to, "invoice", prose(make.rng))
        attachments[number % len(attachments)](draft)
        yield Session(address, helo, [make.mail(f"billing@{domain.name}", to, domain.sign(draft.octets()))],
                      SERVER)


@kind(40)
def executables(make):
    """Programs and scripts, by name or by what they are."""
    rng = make.rng
    exe = functools.partial(mails.program, rng)
    script = b"WScript.Echo('harmless')\r\n"
    yield from attached(make, [
        lambda draft: draft.attach("invoice.exe", exe()),
        lambda draft: draft.attach("invoice.pdf", exe(), "application/pdf"),
        lambda draft: draft.attach("invoice.pdf.scr", exe()),
        lambda draft: draft.attach("scan.js", script, "text/javascript"),
        lambda draft: draft.attach("scan.vbs", script),
        lambda draft: draft.attach("document.lnk", bytes.fromhex("4c0000000114020000000000c0000000") + exe()),
        lambda draft: draft.attach("réponse.com", exe()),
        lambda draft: draft.attach("image.iso", bytes(32769) + b"CD001" + bytes(2000)),
        lambda draft: draft.attach("setup.msi", mails.compound(["Property"])),
        lambda draft: draft.attach("order.hta", b"<script>1</script>", "text/html"),
        lambda draft: draft.attach("help.chm", b"ITSF\3\0\0\0" + bytes(200)),
    ])


@kind(24)
def macros(make):
    """Office documents with macros, under their own names and under others."""
    rng = make.rng
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    yield from attached(make, [
        lambda draft: draft.attach("order.docm", mails.office(rng, macros=True)),
        lambda draft: draft.attach("order.docx", mails.office(rng, macros=True), word),
        lambda draft: draft.attach("table.xlsm", mails.office(rng, macros=True, kind="xl")),
        lambda draft: draft.attach("order.doc", mails.compound(["VBA", "_VBA_PROJECT", "ThisDocument"]),
                                   "application/msword"),
    ])


@kind(24)
def archives(make):
    """Programs within archives."""
    rng = make.rng
    exe = functools.partial(mails.program, rng)
    yield from attached(make, [
        lambda draft: draft.attach("invoice.zip", mails.zipped({"invoice.exe": exe()}), "application/zip"),
        lambda draft: draft.attach("invoice.zip", mails.zipped({"invoice.pdf.js": b"//"}), "application/zip"),
        lambda draft: draft.attach("a.zip", mails.zipped({"b.zip": mails.zipped({"c.exe": exe()})}),
                                   "application/zip"),
        lambda draft: draft.attach("secret.zip", mails.zipped({"invoice.scr": exe()}, encrypted=True),
                                   "application/zip"),
        lambda draft: draft.attach("photos.pdf", mails.zipped({"photo.jpg.exe": exe()}), "application/pdf"),
        lambda draft: draft.attach("bomb.zip", mails.zipped({"zeros.txt": bytes(8 << 20), "run.exe": exe()}),
                                   "application/zip"),
    ])


@kind(64)
def listed_links(make):
    """Links to domains that some list knows, from servers that nobody has anything against; half of them hidden."""
    rng = make.rng
    shapes = [
        lambda link, host: (link, None),
        lambda link, host: (None, f'<p>Look <a href="{link}">here</a></p>'),
        lambda link, host: (f"visit www.{host} today", None),
        lambda link, host: (None, f'<a href="{"".join(f"&#{ord(c)};" for c in link)}">shop</a>'),
        lambda link, host: (None, f'<a href="http://bank.example@{host}/x">bank.example</a>'),
        lambda link, host: (link.upper(), None),
        lambda link, host: (None, f'<img src="https://cdn.{host}/pixel.gif"><p>hello</p>'),
        lambda link, host: (None, f'<a href="http://{host.replace("e", "%65", 1)}/x">shop</a>'),
        lambda link, host: (f"h t t p : / / {host} (without the spaces)", None),
        lambda link, host: (None, f'<a href="https://bank.example/go?u=http%3A%2F%2F{host}%2F">more</a>'),
        lambda link, host: (None, f'<a\nhref = \'http:\\\\{host}/x\'>shop</a>'),
        lambda link, host: (None, f'<a href="{link}">shop</a>'.replace(".", "\uff0e")),
    ]
    for number in range(make.count):
        victim = f"{mails.word(rng, 8, 10)}-{mails.word(rng, 8, 10)}.{rng.choice(SUFFIXES)}"
        make.world.shame(rng, victim, rng.choice(["spam", "phish", "hacked"]))
        text, html = shapes[number % len(shapes)](f"http://shop.{victim}/{rng.getrandbits(20):x}", victim)
        domain, address, helo = make.hijacked()
        to = make.user()
        draft = Draft(rng, make.world.now, f"Offers <news@{domain.name}>", to, rng.choice(HOOKS),
                      prose(rng, PITCHES) + (text or "") + "\n",
                      html and f"<html><body>{html}<p>{rng.getrandbits(40):x}</p></body></html>")
        yield Session(address, helo, [make.mail(f"news@{domain.name}", to, domain.sign(draft.octets()))],
                      SERVER)


@kind(240)
def flood(make):
    """Three machines that nobody knows, each with as many mails at once as it can."""
    for _ in range(3):
        domain, address, helo = make.hijacked()
        batch = []
        for _ in range(make.count // 3):
            to, author = make.user(), f"{mails.word(make.rng)}@{domain.name}"
            batch.append(make.mail(author, to, make.pitch(author, to).octets()))
        for start in range(0, len(batch), 10):
            yield Session(address, helo, batch[start:start + 10], (15 * MINUTE,), at=45 * MINUTE)


@kind(30)
def careless(make):
    """Messages that no mail program would write, from servers that nobody has anything against."""
    faults = [{"Message_ID": None, "Date": None}, {"Date": "Tue, 01 Jan 2036 10:00:00 +0000", "Message_ID": None},
              {"Subject": "URGENT!!! CLAIM YOUR PRIZE NOW!!!", "Message_ID": None, "To": None},
              {"X_Spam_Status": "No, score=-10", "X_Spam_Flag": "NO", "Message_ID": None},
              {"From": None}, {"Precedence": "bulk", "To": "undisclosed-recipients:;", "Message_ID": None}]
    for number in range(make.count):
        domain, address, helo = make.hijacked()
        to = make.user()
        draft = make.pitch(f"news@{domain.name}", to, **faults[number % len(faults)])
        yield Session(address, helo, [make.mail(f"news@{domain.name}", to, draft.octets())], SERVER)


@kind(12)
def fraud_by_hand(make):
    """People who write from a mailbox at a large provider, signed and without a link: only who reads it can tell."""
    provider = make.world.domain("bigmail.example", [], also="ip4:40.92.0.0/16", dmarc="none")
    for _ in range(make.count):
        address = make.world.address(make.rng, network="40.92.7.0")
        make.world.host(f"out-{address.replace('.', '-')}.bigmail.example", address)
        to = make.user()
        author = f"{mails.word(make.rng)}{make.rng.randint(10, 99)}@bigmail.example"
        text = "Dear friend, my late client has left you 10,500,000.\n\n" + prose(make.rng)
        draft = Draft(make.rng, make.world.now, f"Barrister James <{author}>", to, "Inheritance", text)
        yield Session(address, f"out-{address.replace('.', '-')}.bigmail.example",
                      [make.mail(author, to, provider.sign(draft.octets()))], SERVER)


def real(make, messages):
    """Real spam, from where most of it comes."""
    for message in messages:
        address, to, author = make.bot(), make.user(), make.innocent()
        mail = make.mail(author, to, mails.redated(message, make.world.now))
        yield Session(address, f"{mails.word(make.rng)}.example", [mail], make.bot_retries(),
                      patience=make.bot_patience())
