//! Gathers what `portcullis plugin new` writes: for each language its template, what all of them
//! share, and the SDK, so that a new project needs no clone of this repository. And tells the program
//! what it is built by and with, for `portcullis_build_info`.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    fs::write(out.join("projects.rs"), text)?;
    tell_versions(&here.join("../Cargo.lock"))
}

fn tell_versions(lock: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", lock.display());
    let rustc = Command::new(env::var_os("RUSTC").unwrap_or_default()).arg("--version").output()?;
    let rustc = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let rustc = rustc.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=BUILT_BY_RUSTC={rustc}");
    let lock = fs::read_to_string(lock)?;
    for (library, name) in [("rustls", "BUILT_WITH_RUSTLS"), ("wasmtime", "BUILT_WITH_WASMTIME")] {
        let entry = format!("name = \"{library}\"\nversion = \"");
        let version = lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next());
        println!("cargo::rustc-env={name}={}", version.unwrap_or("unknown"));
    }
    Ok(())
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
