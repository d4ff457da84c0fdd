#!/usr/bin/env python3
"""Signs the samples anew, with keys that nobody keeps: writes *.eml and zone.json beside itself.

    python3 -m venv /some/where && /some/where/bin/pip install dkimpy==1.1.8 pynacl==1.6.2 authres==1.2.0
    /some/where/bin/python3 tests/signed/sign.py
"""

import base64
import json
import pathlib
import subprocess
import tempfile

import dkim
import nacl.signing

HERE = pathlib.Path(__file__).parent
# 2026-01-01T00:00:00Z: samples do not depend on when they were made.
NOW = 1767225600
ZONE = {}


def rsa(domain, selector, bits=2048):
    """A new RSA key, published; the private one as PEM."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "key")
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", file, str(bits)], check=True,
                       capture_output=True)
        public = subprocess.run(["openssl", "rsa", "-in", file, "-pubout", "-outform", "DER"],
                                check=True, capture_output=True).stdout
        private = file.read_bytes()
    publish(domain, selector, "rsa", public)
    return private


def ed25519(domain, selector):
    """A new Ed25519 key, published; the private one as dkimpy wants it."""
    key = nacl.signing.SigningKey.generate()
    publish(domain, selector, "ed25519", bytes(key.verify_key))
    return base64.b64encode(bytes(key))


def publish(domain, selector, kind, public):
    text = f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"
    ZONE[f"{selector}._domainkey.{domain}"] = text


def message(author, subject="A sample", body="Hello,\r\n\r\nthis is  a sample. \r\nBye\r\n"):
    return (f"From: Ann <{author}>\r\nTo: bob@example.net\r\nSubject: {subject}\r\n"
            f"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@{author.split('@')[1]}>\r\n"
            f"MIME-Version: 1.0\r\n\r\n{body}").encode()


def sign(text, domain, selector, key, algorithm="rsa-sha256", expires=None, **options):
    """The message with one more signature above it."""
    signer = dkim.DKIM(text, signature_algorithm=algorithm.encode())
    make = signer.gen_header

    def dated(fields, *rest):
        fields = [(name, str(NOW).encode() if name == b"t" else value) for name, value in fields]
        if expires:
            fields.insert(-1, (b"x", str(expires).encode()))
        return make(fields, *rest)

    signer.gen_header = dated
    return signer.sign(selector.encode(), domain.encode(), key, **options) + text


def seal(text, domain, selector, key, found):
    """The message with one more set of ARC above it."""
    results = f"Authentication-Results: {domain}; {found}\r\n".encode()
    names = [b"from", b"to", b"subject", b"date", b"message-id"]
    lines = dkim.arc_sign(results + text, selector.encode(), domain.encode(), key, domain.encode(),
                          include_headers=names, timestamp=NOW)
    return b"".join(lines) + text


def main():
    org = rsa("example.org", "rsa")
    net = rsa("example.net", "rsa")
    small = ed25519("example.org", "ed")
    write = lambda name, text: (HERE / f"{name}.eml").write_bytes(text)
    plain = message("ann@example.org")
    both = (b"relaxed", b"relaxed")
    signed = sign(plain, "example.org", "rsa", org, canonicalize=both)
    write("unsigned", plain)
    write("rsa", signed)
    write("ed25519", sign(plain, "example.org", "ed", small, "ed25519-sha256", canonicalize=both))
    write("several", sign(signed, "example.net", "rsa", net))
    body = "\r\n".join(f"line {number} of  many \t" for number in range(4000)) + "\r\n\r\n\r\n"
    large = message("ann@example.org", body=body)
    write("simple", sign(large, "example.org", "rsa", org, canonicalize=(b"simple", b"simple")))
    write("expired", sign(plain, "example.org", "rsa", org, expires=NOW + 60))
    write("partial", sign(plain, "example.org", "rsa", org, length=True))
    write("below", sign(message("ann@news.example.org"), "example.org", "rsa", org))
    write("foreign", sign(message("ann@example.com"), "example.net", "rsa", net))
    once = seal(signed, "example.net", "rsa", net, "dkim=pass header.d=example.org; arc=none")
    write("arc-once", once)
    twice = seal(once, "example.org", "rsa", org, "arc=pass")
    write("arc-twice", twice)
    (HERE / "zone.json").write_text(json.dumps(ZONE, indent=1) + "\n")


main()
