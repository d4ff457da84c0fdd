//! Gathers what `portcullis plugin new` writes: for each language its template, what all of them
//! share, and the SDK, so that a new project needs no clone of this repository.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let sdks = here.join("../plugin-sdk");
    let mut text = String::from("static PROJECTS: &[Project] = &[\n");
    for (language, parts) in LANGUAGES {
        let mut files = BTreeMap::new();
        gather(&sdks.join("template"), "", &[], &mut files)?;
        for (folder, place, without) in *parts {
            gather(&sdks.join(folder), place, without, &mut files)?;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "({language:?}, &[");
        for (name, file) in files {
            let _ = writeln!(text, "({name:?}, include_bytes!({:?})),", file.canonicalize()?);
        }
        text.push_str("]),\n");
    }
    text.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("projects.rs"), text)
}

/// All files below a folder, links followed, by their names in the project.
fn gather(
    folder: &Path,
    place: &str,
    without: &[&str],
    files: &mut BTreeMap<String, PathBuf>,
) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if without.contains(&name) || is_made(name) {
            continue;
        }
        let inside = if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") };
        if fs::metadata(&path)?.is_dir() {
            gather(&path, &inside, &[], files)?;
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
            files.insert(inside, path);
        }
    }
    Ok(())
}

/// What tools have left behind.
fn is_made(name: &str) -> bool {
    matches!(name, "target" | "node_modules" | "__pycache__" | "packages")
        || [".wasm", ".wasm.new", ".test", ".pyc", ".orig"].iter().any(|end| name.ends_with(end))
}

/// Which folder of `plugin-sdk/` lies where in a new project, and what of it is left out.
type Part = (&'static str, &'static str, &'static [&'static str]);

/// What only this repository needs.
const OWN: &[&str] = &["build.sh", "example", "generate.sh", "template", "tests"];

const LANGUAGES: &[(&str, &[Part])] = &[
    ("c", &[("c/template", "", &[]), ("c", "sdk", OWN)]),
    ("go", &[("go/template", "", &[]), ("go", "sdk", OWN)]),
    // The templates of JavaScript and Python have links to their SDKs.
    ("js", &[("js/template", "", &[])]),
    ("python", &[("python/template", "", &[])]),
    (
        "rust",
        &[
            ("rust/template", "", &[]),
            ("rust", "sdk/rust", OWN),
            ("wit", "sdk/wit", &["published"]),
        ],
    ),
];
