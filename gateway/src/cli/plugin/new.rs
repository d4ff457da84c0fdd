//! `portcullis plugin new`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::language::Language;
use crate::cli::MISCONFIGURED;

/// The project has all that it needs in it, the SDK too. Nothing is overwritten.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis plugin new --lang rust closed
  portcullis plugin new --lang python spam-trap filters/spam-trap")]
pub(in crate::cli) struct New {
    /// What to write it in.
    #[arg(long, value_enum)]
    lang: Language,
    /// What it is called: small letters, digits, "-" and "_".
    #[arg(value_parser = name)]
    name: String,
    /// Where to put it; by default a folder of its name.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl New {
    pub(super) fn execute(self) -> ExitCode {
        let folder = self.folder.clone().unwrap_or_else(|| self.name.clone().into());
        let files = project(self.lang, &self.name);
        if let Err(error) = write(&folder, &files) {
            eprintln!("error: {error}");
            return MISCONFIGURED.into();
        }
        let source = self.lang.source(&self.name);
        let folder = folder.display();
        super::print(&format!(
            "{folder} is a plugin in {}: {source}\n\n  cd {folder}\n  portcullis plugin build\n  \
             portcullis plugin test .\n",
            self.lang.title(),
        ));
        ExitCode::SUCCESS
    }
}

/// One file of a new project.
struct File {
    path: String,
    octets: Vec<u8>,
}

/// The files of a new project, by this name.
fn project(language: Language, name: &str) -> Vec<File> {
    let found = PROJECTS.iter().find(|(known, _)| *known == language.label());
    let files = found.map(|(_, files)| *files).unwrap_or_default();
    let file = |(path, octets): &(&str, &[u8])| {
        // The SDK is the same for all.
        if is_vendored(path) {
            return File { path: (*path).to_owned(), octets: octets.to_vec() };
        }
        let path = path.replace(WORD, &language.identifier(name));
        let octets = match std::str::from_utf8(octets) {
            Ok(text) => renamed(text, language, name).into_bytes(),
            Err(_) => octets.to_vec(),
        };
        File { path, octets }
    };
    files.iter().map(file).collect()
}

fn is_vendored(path: &str) -> bool {
    ["sdk/", "portcullis/"].iter().any(|folder| path.starts_with(folder))
}

/// A file of the template for a plugin of another name. What the template refuses stays what it is.
fn renamed(text: &str, language: Language, name: &str) -> String {
    let (file, identifier) = (language.identifier(name), name.replace('-', "_"));
    let kind: String = identifier.split('_').map(capitalized).collect();
    let mut text = text
        .replace("{source}", &language.source(name))
        .replace("{unit tests}", language.unit_tests())
        .replace("{language}", language.title())
        .replace("{sdk}", language.sdk());
    for (from, to) in [
        ("# closed\n", format!("# {name}\n")),
        ("\"closed\"", format!("\"{name}\"")),
        ("[closed]", format!("[{name}]")),
        ("name: closed\n", format!("name: {name}\n")),
        ("NAME = closed\n", format!("NAME = {name}\n")),
        ("module closed\n", format!("module {name}\n")),
        ("use closed::", format!("use {identifier}::")),
        ("from closed import", format!("from {identifier} import")),
        ("closed.wasm", format!("{name}.wasm")),
        ("closed.js", format!("{file}.js")),
        ("closed.c", format!("{file}.c")),
        ("closed_test.c", format!("{file}_test.c")),
        // Where the SDK lies.
        ("path = \"..\"", "path = \"sdk/rust\"".to_owned()),
        ("SDK = ..\n", "SDK = sdk\n".to_owned()),
        ("=> ..\n", "=> ./sdk\n".to_owned()),
    ] {
        text = text.replace(from, &to);
    }
    // The type, and not an address in capitals.
    text.replace("@Closed", "@\0").replace("Closed", &kind).replace("@\0", "@Closed")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// Writes all files, or none if one is there.
fn write(folder: &Path, files: &[File]) -> Result<(), String> {
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    for File { path, .. } in files {
        let path = folder.join(path);
        if path.exists() {
            return Err(format!("{} is there already, and nothing is overwritten", path.display()));
        }
    }
    for File { path, octets } in files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| told(parent, error))?;
        fs::write(&path, octets).map_err(|error| told(&path, error))?;
    }
    Ok(())
}

/// A name that all tools take.
fn name(text: &str) -> Result<String, String> {
    let fits = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !begins || text.len() > 64 || !text.bytes().all(fits) {
        return Err(
            "a name has small letters, digits, \"-\" and \"_\", and begins with a letter".into()
        );
    }
    if TAKEN.contains(&text) {
        return Err("something else in the project is called so".into());
    }
    Ok(text.to_owned())
}

/// What files, modules and packages of the templates are called.
const TAKEN: &[&str] = &[
    "core",
    "main",
    "packages",
    "plugin",
    "portcullis",
    "proc_macro",
    "scenarios",
    "sdk",
    "std",
    "test",
];

/// What the template's plugin is called.
const WORD: &str = "closed";

/// The files of a language, by their paths in a project.
type Project = (&'static str, &'static [(&'static str, &'static [u8])]);

include!(concat!(env!("OUT_DIR"), "/projects.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_changes_the_plugin_and_not_what_it_does() {
        let files = project(Language::Rust, "spam-trap");
        let text = |path: &str| {
            let file = files.iter().find(|file| file.path == path).expect("it is there");
            String::from_utf8(file.octets.clone()).expect("text")
        };
        assert!(text("Cargo.toml").contains("name = \"spam-trap\""));
        assert!(text("Cargo.toml").contains("path = \"sdk/rust\""));
        assert!(text("src/lib.rs").contains("impl SpamTrap"));
        assert!(text("src/lib.rs").contains("closed for good"));
        assert!(text("tests/spam_trap.rs").contains("use spam_trap::SpamTrap;"));
        assert!(text("tests/spam_trap.rs").contains("a@Closed.example"));
        assert!(text("scenarios.yaml").contains("file: spam-trap.wasm"));
        assert!(text("portcullis.yaml").contains("plugins: [spam-trap]"));
        assert!(!text("README.md").contains('{'));
    }

    #[test]
    fn names_that_some_tool_would_not_take_are_refused() {
        for bad in ["", "9a", "A", "a.b", "a/b", "../a", "std", "portcullis", "ä"] {
            assert!(name(bad).is_err(), "{bad}");
        }
        for good in ["a", "spam-trap", "no_reply", "a1"] {
            assert!(name(good).is_ok(), "{good}");
        }
    }
}
