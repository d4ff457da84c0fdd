"""What messages are made of: header, text, attachments. The attachments are harmless: they have the
right first octets and the right names, and nothing that anybody could run."""
import base64
import email.policy
import email.utils
import io
import struct
import zipfile
from email.message import EmailMessage

SUBJECTS = ["lunch on Thursday", "minutes of the meeting", "the roof", "your question about the lease",
            "photos from Sunday", "invoice for October", "Re: offer for the printer", "train tickets",
            "Fwd: draft of the contract", "choir practice is moved", "thank you", "school trip"]
SENTENCES = ["We meet at noon in front of the library.", "The second page is missing in my copy.",
             "Please tell me by Friday whether that suits you.", "Grandmother sends her love.",
             "I have put the numbers of last year beside it.", "The plumber comes on Tuesday at eight.",
             "Could you bring the blue folder?", "They have moved the deadline by a week.",
             "The children liked the museum more than we had thought.", "See you then!",
             "I will be on the train until four and have no signal there.",
             "The meeting room on the third floor is free.", "Let me know if anything is unclear."]
FOREIGN = [
    ("de", "utf-8", "Grüße aus Köln", "Schöne Grüße, wir müssen über die Öffnungszeiten sprechen."),
    ("fr", "iso-8859-1", "Réunion déplacée", "La réunion est déplacée à jeudi, à très bientôt."),
    ("ru", "koi8-r", "Встреча в среду", "Добрый день, встреча перенесена на среду, до свидания."),
    ("ru", "windows-1251", "Документы", "Отправляю вам документы по договору аренды."),
    ("ja", "iso-2022-jp", "会議のお知らせ", "明日の会議は三時からです。よろしくお願いします。"),
    ("ja", "utf-8", "資料の件", "資料をお送りします。ご確認ください。"),
    ("zh", "gb2312", "会议通知", "请查收附件中的会议记录。谢谢。"),
    ("zh", "big5", "會議通知", "請查收會議記錄,謝謝。"),
    ("ar", "utf-8", "موعد الاجتماع", "تم تأجيل الاجتماع إلى يوم الخميس."),
    ("he", "utf-8", "פגישה", "הפגישה נדחתה ליום חמישי."),
    ("el", "iso-8859-7", "Συνάντηση", "Η συνάντηση μεταφέρεται την Πέμπτη."),
    ("ko", "euc-kr", "회의 안내", "회의는 목요일 오후 세 시입니다."),
]
PITCHES = ["You have been selected for our exclusive offer.", "Lose weight without any effort.",
           "Act now, this price is valid for today only.", "Our pharmacy delivers discreetly.",
           "Earn 5000 a week from home.", "Your account will be closed unless you confirm your data.",
           "100% free trial, no risk.", "Meet singles in your town tonight."]
HOOKS = ["Exclusive offer inside", "You are a winner", "Confirm your account", "Last warning",
         "Cheap watches", "Your parcel could not be delivered", "Invoice overdue", "RE: order"]
# Characters that no mail server of the kind has in its names are left out.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(rng, low=5, high=10):
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(low, high)))


def prose(rng, sentences=SENTENCES, count=None):
    """A few sentences, and a number that is in no other message."""
    chosen = rng.sample(sentences, count or rng.randint(2, 5))
    return " ".join(chosen) + f"\n\n(ref. {rng.getrandbits(40):010x})\n"


class Draft:
    """A message in the making; `fields` may be changed until it is written."""

    def __init__(self, rng, now, author, to, subject, text=None, html=None):
        self.rng = rng
        self.body = EmailMessage(policy=email.policy.SMTP.clone(max_line_length=76))
        domain = author.rsplit("@", 1)[1].rstrip(">")
        self.fields = [
            ("From", author), ("To", to), ("Subject", subject),
            ("Date", email.utils.formatdate(now - rng.randint(1, 40), localtime=False)),
            ("Message-ID", f"<{rng.getrandbits(64):016x}@{domain}>"),
        ]
        if text is not None or html is None:
            self.body.set_content(prose(rng) if text is None else text)
        if html is not None and text is not None:
            self.body.add_alternative(html, subtype="html")
        elif html is not None:
            self.body.set_content(html, subtype="html")

    def set(self, name, value):
        """Sets a field, or drops it (None)."""
        self.fields = [field for field in self.fields if field[0] != name]
        return self.add(name, value) if value is not None else self

    def add(self, name, value):
        self.fields.append((name, value))
        return self

    def attach(self, name, content, kind="application/octet-stream"):
        maintype, subtype = kind.split("/")
        self.body.add_attachment(content, maintype=maintype, subtype=subtype, filename=name)
        return self

    def octets(self):
        """The message, with CRLF."""
        head = "".join(f"{name}: {encoded(value)}\r\n" for name, value in self.fields)
        return head.encode() + self.body.as_bytes()


def encoded(value):
    """A field's value as it goes over the wire: words beyond ASCII encoded (RFC 2047)."""
    if value.isascii():
        return value
    phrase, mark, address = value.partition(" <")
    word64 = "=?utf-8?B?%s?=" % base64.b64encode(phrase.encode()).decode()
    return word64 + mark + address


def foreign(rng, now, author, to, raw):
    """Text in another language: in its charset as it is (8BITMIME), or encoded as email.message does."""
    _, charset, subject, text = rng.choice(FOREIGN)
    draft = Draft(rng, now, author, to, subject, text="")
    text = f"{text}\n{rng.getrandbits(40):010x}\n"
    if not raw:
        draft.body.set_content(text, charset=charset)
        return draft.octets()
    head = "".join(f"{name}: {encoded(value)}\r\n" for name, value in draft.fields)
    kind = f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n"
    kind += "Content-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + kind).encode() + text.replace("\n", "\r\n").encode(charset, "replace")


def zipped(entries, encrypted=False):
    """A zip with these names and contents; with `encrypted`, marked as such."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6)), content, zipfile.ZIP_DEFLATED)
    octets = bytearray(out.getvalue())
    if encrypted:
        for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            at = octets.find(signature)
            while at >= 0:
                octets[at + flags] |= 1
                at = octets.find(signature, at + 4)
    return bytes(octets)


def program(rng):
    """The first octets of a Windows program, and then nothing that runs."""
    head = bytearray(b"MZ" + bytes(58) + struct.pack("<I", 128) + bytes(64) + b"PE\0\0")
    return bytes(head) + b"This is harmless.\0" + rng.randbytes(600)


def office(rng, macros=False, kind="word"):
    """A document of the zip kind, as Word and Excel write them."""
    part = {"word": "word/document.xml", "xl": "xl/workbook.xml", "ppt": "ppt/presentation.xml"}[kind]
    entries = {"[Content_Types].xml": b"<?xml version='1.0'?><Types/>",
               "_rels/.rels": b"<?xml version='1.0'?><Relationships/>",
               part: b"<?xml version='1.0'?><w>" + rng.randbytes(80).hex().encode() + b"</w>"}
    if macros:
        entries[f"{kind}/vbaProject.bin"] = compound(["VBA", "_VBA_PROJECT", "ThisDocument"])
    return zipped(entries)


def compound(names):
    """A compound file (MS-CFB), as Word 97 writes them, with storages of these names."""
    sector = 512
    header = bytearray(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
                       + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
                       + struct.pack("<IIIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0))
    header += struct.pack("<I", 0xFFFFFFFF) * ((sector - len(header)) // 4)
    table = struct.pack("<II", 0xFFFFFFFD, 0xFFFFFFFE) + struct.pack("<I", 0xFFFFFFFF) * 126
    entries = b""
    for number, name in enumerate(["Root Entry", *names][:4]):
        text = name.encode("utf-16-le")
        entry = text + bytes(64 - len(text)) + struct.pack("<HBB", len(text) + 2, 5 if not number else 1, 1)
        links = (0xFFFFFFFF, 0xFFFFFFFF if number in (0, 3) or number + 1 > len(names) else number + 1,
                 1 if not number else 0xFFFFFFFF)
        entries += entry + struct.pack("<III", *links) + bytes(128 - 64 - 4 - 12)
    # The start of each is nowhere, its size nothing.
    return bytes(header) + table + entries.ljust(sector, b"\0")


def pdf(rng):
    return (b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%" + rng.randbytes(300).hex().encode()
            + b"\ntrailer<</Root 1 0 R>>\n%%EOF\n")


def png(rng):
    return bytes.fromhex("89504e470d0a1a0a0000000d49484452") + rng.randbytes(300)


def tnef(rng):
    """What Outlook calls winmail.dat."""
    return bytes.fromhex("789f3e22") + rng.randbytes(200)


def calendar(rng, organizer):
    return ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
            f"UID:{rng.getrandbits(64):x}\r\nORGANIZER:mailto:{organizer}\r\n"
            "DTSTAMP:20261101T100000Z\r\nDTSTART:20261201T100000Z\r\nDTEND:20261201T110000Z\r\n"
            "SUMMARY:Planning\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")


def report(rng, now, reporter, to, about, reason="550 5.1.1 no such user"):
    """A delivery status notification (RFC 3464)."""
    boundary = f"{rng.getrandbits(64):x}"
    domain = reporter.rsplit("@", 1)[1]
    return (f"From: Mail Delivery System <{reporter}>\r\nTo: {to}\r\n"
            "Subject: Undelivered Mail Returned to Sender\r\n"
            f"Date: {email.utils.formatdate(now)}\r\nAuto-Submitted: auto-replied\r\n"
            f"Message-ID: <{rng.getrandbits(64):016x}@{domain}>\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: multipart/report; report-type=delivery-status; boundary=\"{boundary}\"\r\n\r\n"
            f"--{boundary}\r\nContent-Type: text/plain\r\n\r\n"
            f"Your message to {about} could not be delivered ({rng.getrandbits(40):010x}).\r\n"
            f"--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"
            f"Reporting-MTA: dns; mail.{domain}\r\n\r\nFinal-Recipient: rfc822; {about}\r\n"
            f"Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; {reason}\r\n"
            f"--{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n"
            f"From: {to}\r\nTo: {about}\r\nSubject: hello\r\n\r\n--{boundary}--\r\n").encode()


def redated(message, now):
    """A real message as if it had just been written."""
    lines = message.replace(b"\r\n", b"\n").split(b"\n")
    for number, line in enumerate(lines):
        if not line:
            break
        if line[:5].lower() == b"date:":
            lines[number] = b"Date: " + email.utils.formatdate(now - 30).encode()
    return b"\n".join(lines)
