//! Real messages, beside what Python's email package finds in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::hostile::check;
use super::*;

/// For each file the types of all parts in their order, and the octets of those in base64.
const PYTHON: &str = r#"
import email, json, sys
from email import policy

def size(part):
    encoding = part.get("content-transfer-encoding", "").strip().lower()
    text = part.get_content_maintype() == "text"
    if part.is_multipart() or text or encoding != "base64":
        return None
    return len(part.get_payload(decode=True))

# What holds no message is not looked into.
def walk(part):
    yield part
    if part.get_content_maintype() == "multipart" or part.get_content_type() in ("message/rfc822", "message/global"):
        for one in part.get_payload() if part.is_multipart() else []:
            yield from walk(one)

found = {}
for path in sys.argv[1:]:
    octets = open(path, "rb").read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    message = email.message_from_bytes(octets, policy=policy.compat32)
    found[path] = [[part.get_content_type(), size(part)] for part in walk(message)]
json.dump(found, sys.stdout)
"#;

/// Where both see something else, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("5b3f5e5eaab1", "a multipart has its parent's boundary: what follows its end is more here"),
    ("8f1c4f13d767", "the same"),
    (
        "35869c6139ad",
        "no empty line: the first boundary is in what the gateway has as header section",
    ),
    ("3cb442b7618f", "no semicolon behind the type, which Python takes for a part of it"),
    ("ffa397204e2d", "the same"),
    ("713f7737b301", "the same"),
    ("a18560bd431d", "garbage before the base64: one octet more or less"),
    ("0a349a7d2712", "a boundary over two lines is one line here"),
    ("0a9a2a5b9f9a", "a message in base64, which Python does not look into"),
    ("af961f1635d2", "the same"),
    ("5890507921d5", "boundaries that end with hyphens: more is found here"),
    ("b436f63021a2", "a header section that a line without a colon ends for Python"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn corpus() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in std::fs::read_dir(root().join("tests/corpus")).expect("the corpus").flatten() {
        let Ok(entries) = std::fs::read_dir(directory.path()) else { continue };
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    assert!(files.len() > 400, "{}", files.len());
    files
}

/// A Python, if there is one; in CI there must be.
fn python() -> Option<String> {
    let found = Command::new("sh").arg(root().join("tests/python.sh")).arg("email").output();
    let found = found.expect("a shell");
    if !found.status.success() {
        eprintln!("SKIPPED: no Python: {}", String::from_utf8_lossy(&found.stderr));
        assert!(std::env::var_os("CI").is_none(), "there is no Python");
        return None;
    }
    Some(String::from_utf8(found.stdout).expect("a path").trim().to_owned())
}

#[tokio::test]
async fn real_messages_have_the_parts_that_python_finds() {
    let files = corpus();
    let Some(python) = python() else { return };
    let told = Command::new(python).arg("-c").arg(PYTHON).args(&files).output();
    let told = told.expect("Python runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: BTreeMap<PathBuf, Vec<(String, Option<u64>)>> =
        serde_json::from_slice(&told.stdout).expect("JSON");
    let (mut different, mut told_apart) = (BTreeSet::new(), String::new());
    for file in &files {
        let message = message(&with_crlf(&std::fs::read(file).expect("readable")));
        let parts = message.parts(&budget()).await.expect("room");
        check(parts, &message);
        let agrees = |(part, (name, size)): (&Part, &(String, Option<u64>))| {
            part.content_type == *name && size.is_none_or(|size| size == part.size)
        };
        let theirs = &told[file];
        let same = parts.iter().len() == theirs.len();
        if !same || !parts.iter().zip(theirs).all(agrees) {
            let own: Vec<_> = parts.iter().map(|part| (&*part.content_type, part.size)).collect();
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            told_apart += &format!("{name}\n  {own:?}\n  {theirs:?}\n");
            different.insert(name);
        }
    }
    let known = DIFFERENT.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(different, known, "{told_apart}");
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        lines.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
        if line.ends_with(b"\n") {
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines
}
