"""What has to arrive, by class: all of it, with nothing put on it. Mail servers come again when they are told to."""
import email
import email.utils

import mails
import spam
from mails import Draft, prose, word
from play import SERVER, Mail, Session
from world import OURS

CLASSES = {}
ORGANISATIONS = ["choir", "school", "bakery", "lawyers", "museum", "garden", "dentist", "library", "cycling"]


def kind(count):
    """A class of ham, and how many mails it has in a usual run."""
    def register(make):
        CLASSES[make.__name__.replace("_", " ")] = (count, make)
        return make
    return register


class Maker(spam.Maker):
    """What the functions of one class share."""

    def mail(self, sender, recipients, message):
        made = super().mail(sender, recipients, message)
        made.spam = False
        return made

    def organisation(self, **options):
        """A small organisation with a server of its own, kept as such ones are: most sign, some say with DMARC."""
        rng = self.rng
        name = f"{rng.choice(ORGANISATIONS)}-{word(rng)}.example"
        options.setdefault("key", rng.random() < 0.8)
        options.setdefault("spf", rng.choice(["-all", "~all", "~all", None]))
        if options["key"]:
            options.setdefault("dmarc", rng.choice([None, "none", "quarantine", "reject"]))
        return self.server(name, **options)

    def sent(self, domain, address, helo, author, to, message, **options):
        """One message from a server that comes again."""
        if domain.has_key:
            message = domain.sign(message)
        return Session(address, helo, [self.mail(author, to, message)], SERVER, **options)

    def letter(self, change=lambda draft: None, subject=None, **options):
        """A letter of somebody at a small organisation to one of ours."""
        domain, address, helo = self.organisation()
        author, to = f"{word(self.rng, 3, 7)}@{domain.name}", self.user()
        draft = Draft(self.rng, self.world.now, f"{word(self.rng).title()} <{author}>", to,
                      subject or self.rng.choice(mails.SUBJECTS))
        change(draft)
        return self.sent(domain, address, helo, author, to, draft.octets(), **options)

    def provider(self, name, network, **options):
        """A large one: its hosts are in a /16, and each attempt may come from another."""
        domain = self.world.domain(name, [], also=f"ip4:{network}.0.0/16", **options)

        def host():
            address = self.world.address(self.rng, network=f"{network}.{self.rng.randint(1, 60)}.0")
            helo = f"out-{address.replace('.', '-')}.{name}"
            self.world.host(helo, address)
            self.world.blame(self.rng, address, "known")
            return address, helo
        return domain, host


@kind(50)
def personal(make):
    """People at small organisations, in words of their own; every second one under TLS."""
    for number in range(make.count):
        yield make.letter(tls=number % 2 == 0)


@kind(30)
def large_providers(make):
    """People at a large provider, whose attempts come from changing hosts of changing networks."""
    domain, host = make.provider("bigmail.example", "40.92", dmarc="none")
    for _ in range(make.count):
        author, to = f"{word(make.rng)}@{domain.name}", make.user()
        draft = Draft(make.rng, make.world.now, f"{word(make.rng).title()} <{author}>", to,
                      make.rng.choice(mails.SUBJECTS))
        first, *others = [host() for _ in range(4)]
        yield make.sent(domain, *first, author, to, draft.octets(), hosts=tuple(others), tls=True)


@kind(24)
def notifications(make):
    """Shops and services that write once: a password, a receipt; from changing hosts. Greylisting must not lose them."""
    domain, host = make.provider("shop-mail.example", "54.240", dmarc="reject")
    for number in range(make.count):
        to = make.user()
        first, *others = [host() for _ in range(4)]
        sender = f"{make.rng.getrandbits(48):012x}-{make.rng.getrandbits(24):06x}@{domain.name}"
        link = f"https://account.shop-mail.example/verify?token={make.rng.getrandbits(128):x}"
        draft = Draft(make.rng, make.world.now, f"The Shop <no-reply@{domain.name}>", to,
                      ["Confirm your address", "Your receipt", "Your parcel is on its way"][number % 3],
                      f"Hello,\n\n{link}\n", f'<html><body><a href="{link}">here</a></body></html>')
        draft.add("Auto-Submitted", "auto-generated")
        yield make.sent(domain, *first, sender, to, draft.octets(), hosts=tuple(others), tls=True)


@kind(30)
def newsletters(make):
    """Newsletters that people have asked for, sent by a provider for such, with both signatures."""
    service, host = make.provider("newsletter-service.example", "54.174", dmarc="none")
    for _ in range(make.count):
        name = f"{make.rng.choice(ORGANISATIONS)}-{word(make.rng)}.example"
        author = make.world.domain(name, [], spf="~all", also="include:newsletter-service.example",
                                   dmarc=make.rng.choice(["none", "quarantine", "reject"]))
        to = make.user()
        page = f"https://www.{name}/news/{make.rng.randint(1, 99)}"
        html = (f"<html><head><title>News</title></head><body><img src='https://img.{name}/a.png'>"
                f"<p>{prose(make.rng)}</p><a href='{page}'>Read on</a> "
                f"<a href='https://click.newsletter-service.example/u/{make.rng.getrandbits(60):x}'>"
                "Unsubscribe</a></body></html>")
        draft = Draft(make.rng, make.world.now, f"News <news@{name}>", to, "Our news in November",
                      f"{prose(make.rng)}\n{page}\n", html)
        draft.add("List-Unsubscribe", "<https://click.newsletter-service.example/u/1>")
        draft.add("List-Unsubscribe-Post", "List-Unsubscribe=One-Click").add("Precedence", "bulk")
        message = author.sign(draft.octets())
        first, *others = [host() for _ in range(3)]
        sender = f"bounce-{make.rng.getrandbits(40):x}@newsletter-service.example"
        yield make.sent(service, *first, sender, to, message, hosts=tuple(others), tls=True)


def listed(make, policy, sealer):
    """Mail of a mailing list that changes subject and text: the author's signature breaks, SPF is the list's."""
    name = sealer or f"lists-{word(make.rng)}.example"
    address = make.world.address(make.rng, "hosting")
    helo = make.world.host(f"mail.{name}", address) and f"mail.{name}"
    domain = make.world.domain(name, [address], dmarc="none")
    domain.addresses.append(address)
    for _ in range(make.count):
        writer, writers_address, _ = make.organisation(key=True, spf="~all", dmarc=policy)
        author = f"{word(make.rng, 3, 7)}@{writer.name}"
        draft = Draft(make.rng, make.world.now, f"{word(make.rng).title()} <{author}>", f"talk@{name}",
                      make.rng.choice(mails.SUBJECTS))
        original = writer.sign(draft.octets())
        results = (f"dkim=pass header.d={writer.name}; spf=pass smtp.mailfrom={writer.name}; "
                   f"dmarc=pass header.from={writer.name}")
        message = original.replace(b"Subject: ", b"Subject: [talk] ", 1)
        message = message.rstrip(b"\r\n") + b"\r\n-- \r\ntalk mailing list\r\n"
        fields = (f"List-Id: <talk.{name}>\r\nList-Post: <mailto:talk@{name}>\r\n"
                  f"List-Unsubscribe: <mailto:leave@{name}>\r\nPrecedence: list\r\n")
        message = fields.encode() + message
        message = domain.seal(message, results) if sealer else domain.sign(message)
        to = make.user()
        yield Session(address, helo, [make.mail(f"talk-bounces+{to.replace('@', '=')}@{name}", to, message)],
                      SERVER, tls=True)


@kind(20)
def lists_without_ARC(make):
    """Mailing lists, authors whose domain asks for nothing (p=none)."""
    yield from listed(make, "none", None)


@kind(16)
def lists_with_a_trusted_seal(make):
    """Mailing lists, authors with p=reject, and an ARC seal of somebody whom the example trusts."""
    yield from listed(make, "reject", make.world.trusted_sealer)


@kind(10)
def lists_that_take_over_From(make):
    """Mailing lists that write their own address into From, as they do for authors with p=reject."""
    name = "takeover-lists.example"
    address = make.world.address(make.rng, "hosting")
    helo = make.world.host(f"mail.{name}", address) and f"mail.{name}"
    domain = make.world.domain(name, [address], dmarc="reject")
    for _ in range(make.count):
        to, author = make.user(), make.rng.choice([f"{word(make.rng)}@strict.example", make.user()])
        draft = Draft(make.rng, make.world.now, f'"{author} via talk" <talk@{name}>', f"talk@{name}",
                      f"[talk] {make.rng.choice(mails.SUBJECTS)}")
        draft.add("Reply-To", author).add("List-Id", f"<talk.{name}>").add("Precedence", "list")
        yield make.sent(domain, address, helo, f"talk-bounces@{name}", to, draft.octets())


@kind(16)
def forwarded(make):
    """Mail to an old address that goes on under the author's name: SPF breaks, the signature holds."""
    address = make.world.address(make.rng, "hosting")
    helo = make.world.host("relay.alumni.example", address) and "relay.alumni.example"
    make.world.domain("alumni.example", [address])
    for _ in range(make.count):
        writer, _, _ = make.organisation(key=True, spf="-all", dmarc=make.rng.choice(["none", "reject"]))
        author, to = f"{word(make.rng, 3, 7)}@{writer.name}", make.user()
        draft = Draft(make.rng, make.world.now, author, f"{word(make.rng)}@alumni.example",
                      make.rng.choice(mails.SUBJECTS))
        message = b"Received: from mail by relay.alumni.example\r\n" + writer.sign(draft.octets())
        yield Session(address, helo, [make.mail(author, to, message)], SERVER)


@kind(12)
def forwarded_with_SRS(make):
    """The same by a forwarder that rewrites the sender."""
    address = make.world.address(make.rng, "hosting")
    helo = make.world.host("srs.forwarder.example", address) and "srs.forwarder.example"
    make.world.domain("forwarder.example", [address])
    for _ in range(make.count):
        writer, _, _ = make.organisation(key=True, dmarc="none")
        author, to = f"{word(make.rng, 3, 7)}@{writer.name}", make.user()
        draft = Draft(make.rng, make.world.now, author, to, make.rng.choice(mails.SUBJECTS))
        sender = f"SRS0=x{make.rng.getrandbits(12):03x}=TT={writer.name}={author.split('@')[0]}@forwarder.example"
        yield Session(address, helo, [make.mail(sender, to, writer.sign(draft.octets()))], SERVER)


@kind(16)
def bounces(make):
    """Reports on mail that we did send: to the address that its sender's signature is in."""
    for number in range(make.count):
        domain, address, helo = make.organisation()
        user = make.user()
        to = make.world.signed(user, number)
        message = mails.report(make.rng, make.world.now, f"MAILER-DAEMON@{domain.name}", user,
                               f"{word(make.rng)}@{domain.name}")
        yield make.sent(domain, address, helo, "", to, message)


@kind(30)
def documents(make):
    """Attachments that offices send."""
    rng = make.rng
    word_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    kinds = [
        lambda draft: draft.attach("offer.docx", mails.office(rng), word_type),
        lambda draft: draft.attach("table.xlsx", mails.office(rng, kind="xl")),
        lambda draft: draft.attach("scan.pdf", mails.pdf(rng), "application/pdf"),
        lambda draft: draft.attach("old.doc", mails.compound(["WordDocument", "1Table"]), "application/msword"),
        lambda draft: draft.attach("photos.zip", mails.zipped({"a.jpg": b"\xff\xd8\xff\xe0" + rng.randbytes(99),
                                                               "b.png": mails.png(rng)}), "application/zip"),
        lambda draft: draft.attach("Bild.png", mails.png(rng), "image/png"),
        lambda draft: draft.attach("Übersicht 2026.v2.pdf", mails.pdf(rng), "application/pdf"),
        lambda draft: draft.attach("source.tar.gz", b"\x1f\x8b\x08\0" + rng.randbytes(90), "application/gzip"),
        lambda draft: draft.attach("key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END", "text/plain"),
        lambda draft: draft.attach("winmail.dat", mails.tnef(rng), "application/ms-tnef"),
        lambda draft: draft.attach("smime.p7s", bytes.fromhex("3080") + rng.randbytes(200),
                                   "application/pkcs7-signature"),
        lambda draft: draft.attach("page.html", b"<html><body><p>report</p></body></html>", "text/html"),
        lambda draft: draft.attach("fix.patch", b"--- a/x.js\n+++ b/x.js\n@@ -1 +1 @@\n-a\n+b\n", "text/x-diff"),
        lambda draft: draft.attach("secret.zip", mails.zipped({"contract.pdf": mails.pdf(rng)}, encrypted=True),
                                   "application/zip"),
    ]
    for number in range(make.count):
        yield make.letter(kinds[number % len(kinds)])


@kind(12)
def invitations(make):
    """Invitations to meetings."""
    for _ in range(make.count):
        def invite(draft):
            draft.body.add_alternative(mails.calendar(make.rng, draft.fields[0][1]), subtype="calendar",
                                       params={"method": "REQUEST"})
        yield make.letter(invite, "Invitation: planning")


@kind(36)
def other_languages(make):
    """Not English: encoded, and as 8-bit octets."""
    for number in range(make.count):
        domain, address, helo = make.organisation()
        author, to = f"{word(make.rng, 3, 7)}@{domain.name}", make.user()
        message = mails.foreign(make.rng, make.world.now, author, to, raw=number % 2 == 0)
        yield make.sent(domain, address, helo, author, to, message)


@kind(30)
def ill_kept_servers(make):
    """Honest servers with names that nobody has, without PTR, or with another name than they say."""
    for number in range(make.count):
        domain = make.world.domain(f"{make.rng.choice(ORGANISATIONS)}-{word(make.rng)}.example", [],
                                   spf="~all" if number % 2 else None, key=number % 3 == 0)
        address = make.world.address(make.rng, "hosting")
        helo = ["exchange.corp.local", f"mail.{domain.name}", f"web17.{word(make.rng)}-hosting.example",
                "SERVER01", f"{word(make.rng)}.lan"][number % 5]
        if number % 5 != 1:
            make.world.host(f"static-{address.replace('.', '-')}.hosting.example", address,
                            forth=number % 2 == 0)
        author, to = f"{word(make.rng, 3, 7)}@{domain.name}", make.user()
        draft = Draft(make.rng, make.world.now, author, to, make.rng.choice(mails.SUBJECTS))
        yield make.sent(domain, address, helo, author, to, draft.octets(), old=number % 7 == 3)


@kind(24)
def ill_kept_domains(make):
    """Honest domains with mistakes in what they publish and sign."""
    for number in range(make.count):
        fault = number % 6
        domain, address, helo = make.organisation(spf="~all", key=True, dmarc="none" if fault < 4 else None)
        if fault == 0:
            make.world.text(domain.name, "v=spf1 a mx -all")
        elif fault == 1:
            make.world.records[f"s1._domainkey.{domain.name}."] = []
        elif fault == 2:
            make.world.text("_dmarc." + domain.name, "v=DMARC1; p=bogus; rua=nobody")
        elif fault == 3:
            make.world.records[f"{domain.name}."] = [
                entry for entry in make.world.records[f"{domain.name}."] if entry[0] != "TXT"]
            make.world.text(domain.name, "v=spf1 include:nowhere.example ~all")
        author, to = f"{word(make.rng, 3, 7)}@{domain.name}", make.user()
        draft = Draft(make.rng, make.world.now, author, to, make.rng.choice(mails.SUBJECTS))
        message = domain.sign(draft.octets())
        if fault == 4:
            # A scanner on the way out adds a line behind the signature.
            message += b"-- \r\nscanned\r\n"
        if fault == 5:
            # The server has moved, SPF has not: ~all.
            address = make.world.address(make.rng, "hosting")
            make.world.host(f"new.{domain.name}", address)
            helo = f"new.{domain.name}"
        yield Session(address, helo, [make.mail(author, to, message)], SERVER)


@kind(12)
def by_IPv6(make):
    """Small organisations whose server has IPv6."""
    for number in range(make.count):
        name = f"{make.rng.choice(ORGANISATIONS)}-{word(make.rng)}.example"
        address = make.world.address6(make.rng)
        make.world.host(f"mail.{name}", address, back=number % 4 > 0)
        domain = make.world.domain(name, [address], dmarc="none")
        author, to = f"{word(make.rng, 3, 7)}@{name}", make.user()
        draft = Draft(make.rng, make.world.now, author, to, make.rng.choice(mails.SUBJECTS))
        yield make.sent(domain, address, f"mail.{name}", author, to, draft.octets())


@kind(12)
def shared_outgoing_hosts(make):
    """Mail from a host that one careless list has, because of a neighbour."""
    for _ in range(make.count):
        session = make.letter()
        make.world.blame(make.rng, session.client, "shared", ["dnsbl-1.uceprotect.net"])
        yield session


@kind(16)
def several_recipients(make):
    """One message to all of us, one to a sub-address, and one with a typing error among them."""
    for number in range(make.count):
        session = make.letter()
        session.mails[0].recipients = [[f"{user}@{OURS}" for user in spam.USERS],
                                       [f"alice+shop@{OURS}"],
                                       [f"bob@{OURS}", f"Alice@{OURS.upper()}"],
                                       [f"postmaster@{OURS}", f"info@{OURS}"]][number % 4]
        yield session


@kind(20)
def many_in_one_session(make):
    """A server with several mails for us at once."""
    for _ in range(max(1, make.count // 5)):
        domain, address, helo = make.organisation()
        session = None
        for _ in range(5):
            author, to = f"{word(make.rng, 3, 7)}@{domain.name}", make.user()
            draft = Draft(make.rng, make.world.now, author, to, make.rng.choice(mails.SUBJECTS))
            one = make.sent(domain, address, helo, author, to, draft.octets())
            if session:
                session.mails += one.mails
            session = session or one
        yield session


@kind(10)
def automatic_answers(make):
    """Receipts (MDN) and answers of those who are away: without a sender, to whom they answer."""
    for number in range(make.count):
        domain, address, helo = make.organisation()
        user = make.user()
        draft = Draft(make.rng, make.world.now, f"{word(make.rng)}@{domain.name}", user,
                      "Out of office" if number % 2 else "Read: offer")
        draft.add("Auto-Submitted", "auto-replied").add("In-Reply-To", f"<1@{OURS}>")
        yield make.sent(domain, address, helo, "", make.world.signed(user, number), draft.octets())


@kind(2)
def large(make):
    """Some megabytes."""
    for _ in range(make.count):
        yield make.letter(lambda draft: draft.attach("film.mp4", bytes(8) + make.rng.randbytes(4 << 20),
                                                     "video/mp4"))


@kind(10)
def short(make):
    """One word, a link alone, a picture alone, nothing at all."""
    for number in range(make.count):
        def little(draft):
            if number % 4 == 0:
                draft.body.set_content(f"ok {make.rng.getrandbits(20):x}\n")
            elif number % 4 == 1:
                draft.body.set_content(f"https://www.museum.example/{make.rng.getrandbits(30):x}\n")
            elif number % 4 == 2:
                draft.body.set_content(mails.png(make.rng), "image", "png", filename="p.png")
            else:
                draft.body.set_content(f"{' ' * make.rng.randint(1, 60)}\n")
        yield make.letter(little, ["Re:", "ok", "photo", "(no subject)"][number % 4])


def real(make, messages, is_spam):
    """Real messages, from a small organisation's server each."""
    for message in messages:
        author = email.utils.parseaddr(str(email.message_from_bytes(message).get("From", "")))[1]
        _, _, home = author.rpartition("@")
        if home.isascii() and home.replace("-", "").replace(".", "").isalnum():
            make.world.publish(home, "A", "192.0.2.80")
        domain, address, helo = make.organisation(dmarc=None, key=False)
        to = make.user()
        mail = make.mail(f"{word(make.rng, 3, 8)}@{domain.name}", to, mails.redated(message, make.world.now))
        mail.spam = is_spam
        yield Session(address, helo, [mail], SERVER)
