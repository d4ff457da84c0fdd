//! What a part is by its first octets, whatever it is called.

use serde::Deserialize;

/// What stands at the front of a file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// PE, ELF, Mach-O, DOS, Java classes.
    Program,
    /// A text with an interpreter's name (`#!`).
    UnixScript,
    /// A Windows shell link.
    Shortcut,
    /// The compound file of older Office documents, of MSI and of Outlook.
    Ole,
    Zip,
    Rar,
    SevenZip,
    Gzip,
    Tar,
    /// bzip2, xz, zstd: one file within, whose name is that of the part.
    Compressed,
    /// CAB, ACE, ARJ, LZH: old, and not listed.
    OldArchive,
    /// ISO 9660 and UDF, VHD, VHDX, DMG.
    DiskImage,
    OneNote,
    Pdf,
    Rtf,
    Html,
    Svg,
    Image,
    Media,
    Text,
    Unknown,
}

/// Signatures at the very front.
const FRONT: &[(&[u8], Kind)] = &[
    (b"\x7fELF", Kind::Program),
    (b"\xfe\xed\xfa\xce", Kind::Program),
    (b"\xfe\xed\xfa\xcf", Kind::Program),
    (b"\xce\xfa\xed\xfe", Kind::Program),
    (b"\xcf\xfa\xed\xfe", Kind::Program),
    (b"\xca\xfe\xba\xbe", Kind::Program),
    (b"L\0\0\0\x01\x14\x02\0", Kind::Shortcut),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::Ole),
    (b"PK\x03\x04", Kind::Zip),
    (b"PK\x05\x06", Kind::Zip),
    (b"PK00PK\x03\x04", Kind::Zip),
    (b"Rar!\x1a\x07", Kind::Rar),
    (b"7z\xbc\xaf\x27\x1c", Kind::SevenZip),
    (b"\x1f\x8b\x08", Kind::Gzip),
    (b"BZh", Kind::Compressed),
    (b"\xfd7zXZ\0", Kind::Compressed),
    (b"\x28\xb5\x2f\xfd", Kind::Compressed),
    (b"MSCF\0\0\0\0", Kind::OldArchive),
    (b"\x60\xea", Kind::OldArchive),
    (b"conectix", Kind::DiskImage),
    (b"vhdxfile", Kind::DiskImage),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", Kind::OneNote),
    (b"{\\rt", Kind::Rtf),
    (b"\xff\xd8\xff", Kind::Image),
    (b"\x89PNG\r\n\x1a\n", Kind::Image),
    (b"GIF8", Kind::Image),
    (b"II*\0", Kind::Image),
    (b"MM\0*", Kind::Image),
    (b"ID3", Kind::Media),
    (b"OggS", Kind::Media),
    (b"fLaC", Kind::Media),
    (b"\x1aE\xdf\xa3", Kind::Media),
];

/// Signatures at some other place.
const WITHIN: &[(usize, &[u8], Kind)] = &[
    (257, b"ustar", Kind::Tar),
    (7, b"**ACE**", Kind::OldArchive),
    (2, b"-lh", Kind::OldArchive),
    (8, b"WEBP", Kind::Image),
    (8, b"WAVE", Kind::Media),
    (8, b"AVI ", Kind::Media),
    (4, b"ftyp", Kind::Media),
];

impl Kind {
    /// Judges by the first octets; [`HEAD`] of them are enough.
    pub(crate) fn of(head: &[u8]) -> Self {
        if is_pe_or_dos(head) {
            return Self::Program;
        }
        if head.starts_with(b"#!") {
            return Self::UnixScript;
        }
        if let Some((_, kind)) = FRONT.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *kind;
        }
        let at = |place: usize, magic: &[u8]| {
            head.get(place..).is_some_and(|rest| rest.starts_with(magic))
        };
        if let Some((_, _, kind)) = WITHIN.iter().find(|(place, magic, _)| at(*place, magic)) {
            return *kind;
        }
        // Readers look for it in the first 1,024 octets.
        if window(head, 1024).windows(5).any(|window| window == b"%PDF-") {
            return Self::Pdf;
        }
        Self::of_text(head)
    }

    fn of_text(head: &[u8]) -> Self {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        if text.contains(&0) && !text.starts_with(b"\xff\xfe") && !text.starts_with(b"\xfe\xff") {
            return Self::Unknown;
        }
        // UTF-16 is read by browsers, too: without its NULs it looks like the rest.
        let small: Vec<u8> =
            text.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase).collect();
        let has = |word: &[u8]| small.windows(word.len()).any(|window| window == word);
        let markup = small.iter().find(|byte| byte.is_ascii_graphic()) == Some(&b'<');
        if markup && has(b"<svg") {
            Self::Svg
        } else if [
            b"<html".as_slice(),
            b"<!doctype html",
            b"<script",
            b"<body",
            b"<head",
            b"<iframe",
        ]
        .iter()
        .any(|word| has(word))
        {
            Self::Html
        } else if text.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()) {
            Self::Text
        } else {
            Self::Unknown
        }
    }

    /// Whether it holds other files.
    pub(crate) fn is_archive(self) -> bool {
        matches!(
            self,
            Self::Zip
                | Self::Rar
                | Self::SevenZip
                | Self::Gzip
                | Self::Tar
                | Self::Compressed
                | Self::OldArchive
        )
    }
}

/// `MZ` alone begins texts, too: a program has its PE header, or octets that are no text.
fn is_pe_or_dos(head: &[u8]) -> bool {
    if !head.starts_with(b"MZ") && !head.starts_with(b"ZM") {
        return false;
    }
    let place = head.get(0x3c..0x40).and_then(|at| at.try_into().ok()).map(u32::from_le_bytes);
    let pe = place.and_then(|at| head.get(at as usize..));
    pe.is_some_and(|rest| rest.starts_with(b"PE\0\0")) || window(head, 64).contains(&0)
}

fn window(head: &[u8], length: usize) -> &[u8] {
    &head[..head.len().min(length)]
}

/// How many octets of a part are read for its kind.
pub(crate) const HEAD: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_front() {
        let mut pe = vec![0; 0x90];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, kind) in [
            (pe.as_slice(), Kind::Program),
            (b"MZ is the beginning of a text", Kind::Text),
            (b"\x7fELF\x02\x01", Kind::Program),
            (b"#!/bin/sh\n", Kind::UnixScript),
            (b"PK\x03\x04\x14\0", Kind::Zip),
            (b"Rar!\x1a\x07\x01\0", Kind::Rar),
            (&tar, Kind::Tar),
            (b"\n\n%PDF-1.7", Kind::Pdf),
            (b"<?xml version='1.0'?>\n<SVG onload=x>", Kind::Svg),
            (b"  <!DOCTYPE HTML>", Kind::Html),
            (b"\xff\xfe<\0h\0t\0m\0l\0>\0", Kind::Html),
            (b"\xef\xbb\xbfhello <script>", Kind::Html),
            (b"hello\r\n", Kind::Text),
            (b"\x01\x02\x03", Kind::Unknown),
            (b"", Kind::Text),
        ] {
            assert_eq!(Kind::of(head), kind, "{head:?}");
        }
    }
}
