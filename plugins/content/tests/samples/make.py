#!/usr/bin/env python3
"""Makes the archives beside it with Python's own zipfile and tarfile, and with py7zr (pip install py7zr).

The documents (macros.docm, excel4.xlsm, encrypted.docx, clean.docx, clean.doc, embedded.doc) are from the tests of
oletools 0.60.2 (BSD, Philippe Lagadec), the RAR archives from those of rarfile 4.5 (ISC, Marko Kreen).
"""
import io
import lzma
import pathlib
import struct
import tarfile
import zipfile
import zlib

here = pathlib.Path(__file__).parent
PROGRAM = b"MZ" + bytes(200)
DATE = (2026, 1, 1, 0, 0, 0)


def zipped(name, entries, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(here / name, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(zipfile.ZipInfo(entry, DATE), content, compression)


zipped("plain.zip", [("minutes.txt", b"text"), ("folder/picture.png", b"\x89PNG")])
zipped("program.zip", [("readme.txt", b"text"), ("folder/Setup.EXE", PROGRAM)])
zipped("script.zip", [("invoice.js", b"x()")])
zipped("many.zip", [(f"{number}.txt", b"x") for number in range(300)])
zipped("nested.zip", [("inner.zip", b"PK")])
zipped("bomb.zip", [("zeros", bytes(1024))])
zipped("disguised.zip", [("invoice\u202efdp.exe", PROGRAM)])

# What it says of its size is enough to judge it; nobody has to unpack a gigabyte for that.
bomb = bytearray((here / "bomb.zip").read_bytes())
central = bomb.index(b"PK\x01\x02")
struct.pack_into("<I", bomb, central + 24, 1 << 30)
(here / "bomb.zip").write_bytes(bomb)

# The directory and the front of an entry have different names for it.
lying = bytearray((here / "program.zip").read_bytes())
at = lying.rindex(b"folder/Setup.EXE")
lying[at : at + 16] = b"folder/Setup.TXT"
(here / "lying.zip").write_bytes(lying)

# Two archives in one file: from the back it has a text, from the front a program.
(here / "two.zip").write_bytes((here / "program.zip").read_bytes() + (here / "plain.zip").read_bytes())

# Cut off before its directory.
whole = (here / "program.zip").read_bytes()
(here / "cut.zip").write_bytes(whole[: whole.index(b"PK\x01\x02")])

# Each entry is the same octets (Fifield, "A better zip bomb").
overlap = bytearray((here / "plain.zip").read_bytes())
central = overlap.index(b"PK\x01\x02")
second = overlap.index(b"PK\x01\x02", central + 1)
struct.pack_into("<I", overlap, second + 42, 0)
(here / "overlap.zip").write_bytes(overlap)

# The flag is what readers go by.
encrypted = bytearray((here / "plain.zip").read_bytes())
for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    at = -1
    while (at := encrypted.find(signature, at + 1)) >= 0:
        encrypted[at + offset] |= 1
(here / "encrypted.zip").write_bytes(encrypted)


def tarred(name, mode, form):
    with tarfile.open(here / name, mode, format=form) as archive:
        for entry in ("text.txt", "a" * 150 + "/setup.exe"):
            info = tarfile.TarInfo(entry)
            info.size = 600
            archive.addfile(info, io.BytesIO(bytes(600)))


tarred("gnu.tar", "w", tarfile.GNU_FORMAT)
tarred("pax.tar", "w", tarfile.PAX_FORMAT)
name = b"setup.exe\0"
header = b"\x1f\x8b\x08\x08" + bytes(4) + b"\x00\xff"
(here / "named.gz").write_bytes(header + name + zlib.compress(PROGRAM)[2:-4] + bytes(8))

# The first chunk of LZMA2: two million zeros in 300 octets.
chunks = lzma.compress(bytes(4 << 20), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
(here / "zeros.lzma2").write_bytes(chunks[: 6 + int.from_bytes(chunks[3:5], "big") + 1])

import py7zr  # noqa: E402, last, since it is the one that may be missing

for name, options, hidden in (("plain.7z", {}, False), ("encrypted.7z", {"password": "x"}, False), ("hidden.7z", {"password": "x"}, True)):
    with py7zr.SevenZipFile(here / name, "w", header_encryption=hidden, **options) as archive:
        archive.writestr("text", "folder/readme.txt")
        archive.writestr(PROGRAM, "Setup.exe")
