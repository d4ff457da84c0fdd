//! The shape of the house: imports look down, and a library has one owner.
//!
//! The floors are those that the documentation of `src/lib.rs` draws.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which module alone may name these crates; two are the owners of what stands at both.
const OWNERS: &[(&str, &[&str])] = &[
    ("admin", &["http_body_util", "hyper", "hyper_util"]),
    ("cli", &["clap_complete", "clap_mangen", "quick_junit", "ratatui"]),
    ("authenticity", &["mail_auth"]),
    ("config", &["serde_yaml"]),
    ("explain", &["similar"]),
    ("gateway", &["sd_notify"]),
    ("listener", &["listenfd"]),
    ("message", &["encoding_rs", "mail_parser"]),
    ("metrics", &["prometheus"]),
    ("plugins", &["wasi_preview1_component_adapter_provider", "wasmtime", "wit_component"]),
    ("plugins", &["http_body_util", "hyper", "hyper_util", "rustls_native_certs"]),
    ("plugins", &["wasmparser", "wasmtime_wasi", "wasmtime_wasi_http", "wasmtime_wizer"]),
    ("resolver", &["hickory_proto", "hickory_resolver", "moka"]),
    ("store", &["redb", "redis"]),
    ("telemetry", &["tracing_subscriber"]),
    ("tls", &["rcgen", "rustls_native_certs", "webpki"]),
    ("traces", &["http_body_util", "hyper", "hyper_util"]),
    ("traces", &["opentelemetry", "opentelemetry_http", "opentelemetry_otlp", "opentelemetry_sdk"]),
    ("upstream", &["rustls_native_certs"]),
    ("users", &["argon2"]),
];

#[test]
fn imports_look_down() {
    let floors = floors();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = floors.get(&source.module) else {
            wrong.push(format!("{} has no floor in src/lib.rs", source.module));
            continue;
        };
        for (line, target) in source.imports(&floors) {
            let place = format!("{}:{line}", source.file.display());
            match floors.get(&target) {
                _ if target == source.module => {}
                None => wrong.push(format!("{place}: {target} has no floor in src/lib.rs")),
                Some(floor) if floor < own => {}
                Some(floor) => wrong.push(format!(
                    "{place}: {} on floor {own} looks at {target} on floor {floor}",
                    source.module
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_library_has_one_owner() {
    let mut wrong = Vec::new();
    for source in sources() {
        for library in OWNERS.iter().flat_map(|(_, libraries)| *libraries) {
            let owns = |(owner, libraries): &&(&str, &[&str])| {
                *owner == source.module && libraries.contains(library)
            };
            if !OWNERS.iter().any(|entry| owns(&entry)) && source.names(library) {
                let owners = OWNERS.iter().filter(|(_, libraries)| libraries.contains(library));
                let owners: Vec<_> = owners.map(|(owner, _)| *owner).collect();
                wrong.push(format!("{}: {library} is for {owners:?}", source.file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "
        use crate::a;
        use crate::b::{self, Thing};
        use crate::{
            c::{Thing, d},
            e as f, g::*,
        };
        pub(crate) fn of(it: crate::h::Thing) -> Thing { crate::i::make(it) }
        // crate::j
        let text = \"crate::k\";
        use super::super::l::Thing;
        use super::super::own_function;
        use portcullis::m;
    ";
    let source = Source { file: PathBuf::new(), module: "x".into(), depth: 2, text: text.into() };
    let floors = BTreeMap::from([("l".to_owned(), 1)]);
    let found: Vec<String> =
        source.imports(&floors).into_iter().map(|(_, target)| target).collect();
    assert_eq!(found, ["a", "b", "c", "e", "g", "h", "i", "l", "m"]);
}

#[test]
fn a_library_is_found_where_it_is_named() {
    let source = |text: &str| Source {
        file: PathBuf::new(),
        module: "x".into(),
        depth: 1,
        text: text.into(),
    };
    assert!(source("use hyper::Method;").names("hyper"));
    assert!(source("fn of(it: &hyper::Request) {}").names("hyper"));
    assert!(source("use hyper as http;").names("hyper"));
    assert!(!source("use hyper_util::rt;").names("hyper"));
    assert!(!source("// hyper::Method").names("hyper"));
}

/// One file of the crate.
struct Source {
    file: PathBuf,
    /// The module of the crate's root that it is or is in.
    module: String,
    /// How many modules deep it is: 1 for `src/module.rs`.
    depth: usize,
    text: String,
}

impl Source {
    /// The modules of the crate's root that it names, with the line.
    fn imports(&self, floors: &BTreeMap<String, u32>) -> Vec<(usize, String)> {
        let text = without_comments_and_strings(&self.text);
        let mut found = Vec::new();
        for root in ["crate::", "portcullis::"] {
            found.extend(imports_from(&text, root));
        }
        // An inline module is deeper than its file, and there the same words lead elsewhere.
        let by_super = imports_from(&text, &"super::".repeat(self.depth));
        found.extend(by_super.into_iter().filter(|(_, target)| floors.contains_key(target)));
        found.sort();
        found
    }

    fn names(&self, library: &str) -> bool {
        let text = without_comments_and_strings(&self.text);
        starts(&text, library).into_iter().any(|start| {
            let before = text[..start].trim_end();
            let after = &text[start + library.len()..];
            after.starts_with("::") && !before.ends_with("::")
                || before.ends_with("use") && !after.starts_with(is_word)
        })
    }
}

/// All floors, by module.
fn floors() -> BTreeMap<String, u32> {
    let root = fs::read_to_string(source_directory().join("lib.rs")).expect("the crate has a root");
    let mut floors = BTreeMap::new();
    for line in root.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((floor, rest)) = line.split_once("  ") else { continue };
        let Ok(floor) = floor.parse() else { continue };
        // What stands behind a wide gap is a remark.
        let modules = rest.split("  ").next().unwrap_or_default();
        floors.extend(modules.split(", ").map(|module| (module.trim().to_owned(), floor)));
    }
    assert!(floors.len() > 5, "the drawing in src/lib.rs cannot be read");
    floors
}

fn sources() -> Vec<Source> {
    let root = source_directory();
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the crate has its sources") {
            let file = entry.expect("a folder that can be read").path();
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|extension| extension == "rs") {
                sources.extend(source(&root, file));
            }
        }
    }
    sources
}

/// The root itself sees everything, so it is left out.
fn source(root: &Path, file: PathBuf) -> Option<Source> {
    let path = file.strip_prefix(root).expect("found below it").with_extension("");
    let module = path.iter().next()?.to_str()?.to_owned();
    let depth = path.iter().count();
    let text = fs::read_to_string(&file).expect("Rust is UTF-8");
    (module != "lib").then_some(Source { file, module, depth, text })
}

fn source_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn imports_from(text: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in starts(text, root) {
        let line = text[..start].matches('\n').count() + 1;
        let targets = targets(&text[start + root.len()..]);
        found.extend(targets.into_iter().map(|target| (line, target)));
    }
    found
}

/// Where this path begins, but not in the middle of a longer word or path.
fn starts(text: &str, path: &str) -> Vec<usize> {
    let begins = |start: &usize| {
        let before = &text[..*start];
        !before.ends_with(is_word) && !before.ends_with("::")
    };
    text.match_indices(path).map(|(start, _)| start).filter(begins).collect()
}

/// The first words of what follows the root of a path: one, or those of a group.
fn targets(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut depth = 0;
    let mut targets = Vec::new();
    let mut at_first_word = true;
    for (position, character) in group.char_indices() {
        match character {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => at_first_word = true,
            _ if at_first_word && is_word(character) => {
                targets.push(word(&group[position..]));
                at_first_word = false;
            }
            _ => {}
        }
    }
    targets
}

fn word(text: &str) -> String {
    text.chars().take_while(|character| is_word(*character)).collect()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Only line comments and plain strings on one line: there is nothing else in this house that could
/// hold a path.
fn without_comments_and_strings(text: &str) -> String {
    text.lines().map(|line| strip(line) + "\n").collect()
}

fn strip(line: &str) -> String {
    let mut kept = String::new();
    let mut in_string = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                characters.next();
            }
            // A quote as a character is no string.
            '"' if !(kept.ends_with('\'') && characters.peek() == Some(&'\'')) => {
                in_string = !in_string;
            }
            _ if in_string => {}
            '/' if characters.peek() == Some(&'/') => break,
            _ => kept.push(character),
        }
    }
    kept
}
