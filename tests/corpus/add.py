#!/usr/bin/env python3
"""Adds messages to the corpus: add.py SET FILE...

Each FILE is one message, or an mbox if it begins with "From ". A message is kept as it is, byte for
byte, under the first twelve digits of its SHA-256, unless the corpus has it already (line ends
apart). Prints what was added. The licence goes beside the messages by hand, the row for the README's
table too.
"""
import hashlib
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent


def digest(octets):
    """The same for a message with LF and with CRLF."""
    return hashlib.sha256(octets.replace(b"\r\n", b"\n")).hexdigest()[:12]


def messages(octets):
    """The messages of one file."""
    if not octets.startswith(b"From "):
        return [octets] if octets else []
    parts = re.split(rb"(?m)(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]*\r?\n", octets)
    return [re.sub(rb"(?m)^>(>*From )", rb"\1", part) for part in parts if part.strip()]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder = HERE / sys.argv[1]
    folder.mkdir(exist_ok=True)
    known = {path.stem for path in HERE.glob("*/*.eml")}
    for name in sys.argv[2:]:
        for octets in messages(pathlib.Path(name).read_bytes()):
            key = digest(octets)
            if key in known:
                continue
            known.add(key)
            (folder / (key + ".eml")).write_bytes(octets)
            print(key, len(octets), name)


if __name__ == "__main__":
    main()
