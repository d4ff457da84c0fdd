"""Makes mails that dkimpy signed and sealed, with keys of openssl that live as long as this program does.

Prints {"zone": lines of a zone file, "mails": {name: message}} as JSON. ann@author.example writes, her domain has
p=reject; what breaks her signature afterwards is a mailing list, which seals what it found before.
"""

import base64
import json
import subprocess

import dkim

COVERED = [b"from", b"to", b"subject", b"date", b"message-id"]
ZONE = []
KEYS = {}
PASSES = "dkim=pass header.d=author.example; dmarc=pass (p=reject) header.from=author.example"


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True).stdout


def domain(name, *records):
    KEYS[name] = openssl("genrsa", "-traditional", "2048")
    public = openssl("rsa", "-pubout", "-outform", "DER", given=KEYS[name])
    text("key._domainkey." + name, "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode())
    ZONE.append(f"{name}. A 192.0.2.80")
    for owner, record in records:
        text(f"{owner}{name}", record)


def text(name, value):
    # A string of a TXT record has at most 255 octets.
    strings = [value[at:at + 250] for at in range(0, len(value), 250)]
    ZONE.append(f"{name}. TXT " + " ".join(f'"{string}"' for string in strings))


def sign(message, name):
    return dkim.sign(message, b"key", name.encode(), KEYS[name], include_headers=COVERED) + message


def seal(message, name, found):
    field = f"Authentication-Results: {name}; {found}\r\n".encode()
    lines = dkim.arc_sign(field + message, b"key", name.encode(), KEYS[name], srv_id=name.encode(),
                          include_headers=COVERED)
    assert lines, "no set was made"
    return b"".join(lines) + message


def mail(body="Hello,\r\n\r\nthis is a mail.\r\n"):
    return ("From: Ann <ann@author.example>\r\nTo: talk@list.example\r\nSubject: A question\r\n"
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@author.example>\r\n"
            f"\r\n{body}").encode()


def through_the_list(message):
    return message.replace(b"Subject: ", b"Subject: [talk] ", 1) + b"-- \r\nhttps://list.example/talk\r\n"


domain("author.example", ("_dmarc.", "v=DMARC1; p=reject"))
domain("list.example")
domain("relay.example")
domain("evil.example")
signed = sign(mail(), "author.example")
changed = through_the_list(signed)
listed = seal(changed, "list.example", PASSES)
# Old sets, true each, above what their sealer never saw.
replayed = listed.replace(b"this is a mail", b"send us money", 1)
mails = {
    "signed": signed,
    "unsigned": mail(),
    "changed": changed,
    "listed": listed,
    "relayed": seal(listed, "relay.example", "arc=pass; dmarc=fail header.from=author.example"),
    "replayed": seal(replayed, "evil.example", "arc=pass"),
    "changed after the seal": replayed,
    "by somebody else": seal(changed, "evil.example", PASSES),
    "not passed": seal(changed, "list.example", "dmarc=fail (; dmarc=pass header.from=author.example;) "
                       "header.from=author.example"),
    "about another": seal(changed, "list.example", "dmarc=pass header.from=evil.example"),
    "without DMARC": seal(changed, "list.example", "dkim=pass header.d=author.example"),
    "forged": (b"Authentication-Results: mx.example.net; dmarc=pass header.from=bank.example\r\n"
               b"Authentication-Results: (x) \"MX.example\".net 1; dkim=pass\r\n"
               b"Authentication-Results: elsewhere.example; spf=pass smtp.mailfrom=a.example\r\n") + signed,
}
print(json.dumps({"zone": "\n".join(ZONE), "mails": {name: text.decode() for name, text in mails.items()}}))
