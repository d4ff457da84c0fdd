//! Messages to send: real ones, and such that no package has.

use std::fs;
use std::path::PathBuf;

/// A message and its name.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The file below `tests/corpus`, or what is special about it.
    pub name: String,
    /// As a client hands it over: every LF has its CR.
    pub octets: Vec<u8>,
}

/// The messages in `tests/corpus`, in the order of their names.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn real() -> Vec<Sample> {
    let root = crate::repository().join("tests/corpus");
    let mut files: Vec<PathBuf> = Vec::new();
    for set in fs::read_dir(&root).expect("the corpus is in the repository").flatten() {
        if let Ok(entries) = fs::read_dir(set.path()) {
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    files
        .into_iter()
        .map(|file| Sample {
            name: file.strip_prefix(&root).unwrap_or(&file).display().to_string(),
            octets: with_crlf(&fs::read(&file).expect("a file that was just listed")),
        })
        .collect()
}

/// Edge cases.
#[must_use]
pub fn synthetic() -> Vec<Sample> {
    let every_octet: Vec<u8> = (1..=255).filter(|octet| !b"\r\n".contains(octet)).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty body", b"Subject: t\r\n\r\n".to_vec()),
        ("header section only", b"Subject: t\r\nFrom: a@example.org\r\n".to_vec()),
        ("no final line end", b"Subject: t\r\n\r\nno end".to_vec()),
        ("no header section", b"\r\nonly a body\r\n".to_vec()),
        ("no header at all, no empty line", b"just a line\r\nand another\r\n".to_vec()),
        ("one empty line", b"\r\n".to_vec()),
        ("two empty lines", b"\r\n\r\n".to_vec()),
        ("many empty lines", b"\r\n".repeat(1000)),
        ("one dot", b"Subject: t\r\n\r\n.\r\n".to_vec()),
        ("only dots", [b"Subject: t\r\n\r\n".as_slice(), &b".\r\n".repeat(500)].concat()),
        ("dots from the first line on", b".\r\n..\r\n...\r\n".to_vec()),
        ("dots of every length", dots()),
        ("a line of 998 octets", long_line(998)),
        ("a line of 999 octets", long_line(999)),
        ("a line of 64 KiB", long_line(64 * 1024)),
        ("a line of 300 KiB", long_line(300 * 1024)),
        ("a header line of 4 KiB", field("X-Long", &"x".repeat(4096))),
        ("a header section of 200 KiB", huge_header(200 * 1024)),
        ("a field folded 500 times", field("X-Folded", &"x\r\n y".repeat(500))),
        ("a field of white space", b"X-White: \t \r\n \t\r\nSubject: t\r\n\r\nx\r\n".to_vec()),
        ("a field without a name", b": x\r\nSubject: t\r\n\r\nx\r\n".to_vec()),
        ("a continuation first", b" folded\r\nSubject: t\r\n\r\nx\r\n".to_vec()),
        ("space before the colon", b"Subject : t\r\n\r\nx\r\n".to_vec()),
        ("eight bits in a header", b"Subject: \xfc\xf6\xe4\r\n\r\nx\r\n".to_vec()),
        ("every octet but NUL, CR and LF", body(&every_octet)),
        ("octets that look like commands", body(b"QUIT\r\nMAIL FROM:<a@example.org>\r\nRSET")),
        ("UTF-8", body("grüße — ваш сервер — 日本語".as_bytes())),
        ("UTF-16", body(b"\xff\xfeh\x01i\x01\x20\x01")),
        (
            "mbox From lines",
            b"From a@example.org\r\nSubject: t\r\n\r\n>From b\r\nFrom c\r\n".to_vec(),
        ),
        ("ends in a space and a tab", body(b"x \r\ny\t")),
        (
            "one megabyte of text",
            body(&b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(28_000)),
        ),
    ];
    cases.into_iter().map(|(name, octets)| Sample { name: name.to_owned(), octets }).collect()
}

/// What comes out of the gateway for a message that went in: the last line is ended, and a CR that
/// stands alone, or a NUL, has become a space.
#[must_use]
pub fn expected(sample: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sample.len() + 2);
    for (index, &octet) in sample.iter().enumerate() {
        let alone = octet == b'\r' && sample.get(index + 1) != Some(&b'\n');
        out.push(if alone || octet == 0 { b' ' } else { octet });
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 64);
    for &octet in octets {
        if octet == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(octet);
    }
    out
}

fn body(octets: &[u8]) -> Vec<u8> {
    [b"Subject: t\r\n\r\n", octets, b"\r\n"].concat()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    format!("{name}: {value}\r\nSubject: t\r\n\r\nx\r\n").into_bytes()
}

fn long_line(octets: usize) -> Vec<u8> {
    body(&vec![b'x'; octets])
}

fn dots() -> Vec<u8> {
    let lines: Vec<_> = (0..200).map(|count| ".".repeat(count)).collect();
    body(lines.join("\r\n").as_bytes())
}

fn huge_header(octets: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for number in 0.. {
        if message.len() >= octets {
            break;
        }
        message.extend(format!("X-Field-{number}: {}\r\n", "v".repeat(120)).into_bytes());
    }
    message.extend_from_slice(b"Subject: t\r\n\r\nx\r\n");
    message
}
