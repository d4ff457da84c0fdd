//! The languages that plugins are written in, and how their tools are called.

use std::path::Path;

use clap::ValueEnum;

/// A language that has an SDK.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Language {
    C,
    Go,
    Js,
    Python,
    Rust,
}

impl Language {
    /// As on the command line.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Go => "go",
            Self::Js => "js",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    /// For people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Go => "Go",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::Rust => "Rust",
        }
    }

    /// The language of the project in a folder, by the files that its tools want.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let signs = [
            ("Cargo.toml", Self::Rust),
            ("go.mod", Self::Go),
            ("package.json", Self::Js),
            ("pyproject.toml", Self::Python),
            ("Makefile", Self::C),
        ];
        signs.into_iter().find(|(file, _)| folder.join(file).exists()).map(|(_, language)| language)
    }

    /// What a plugin is called in the names of source files.
    pub(super) fn identifier(self, name: &str) -> String {
        match self {
            Self::C | Self::Go | Self::Js => name.to_owned(),
            Self::Python | Self::Rust => name.replace('-', "_"),
        }
    }

    /// The file to edit.
    pub(super) fn source(self, name: &str) -> String {
        match self {
            Self::C => format!("{name}.c"),
            Self::Go => "main.go".to_owned(),
            Self::Js => format!("{name}.js"),
            Self::Python => format!("{}.py", self.identifier(name)),
            Self::Rust => "src/lib.rs".to_owned(),
        }
    }

    /// What runs the tests that are written in it.
    pub(super) fn unit_tests(self) -> &'static str {
        match self {
            Self::C => "make test",
            Self::Go => "go test ./...",
            Self::Js => "npm test",
            Self::Python => "python3 -m unittest",
            Self::Rust => "cargo test",
        }
    }

    /// Where the SDK lies in a project.
    pub(super) fn sdk(self) -> &'static str {
        match self {
            Self::Python => "portcullis",
            Self::C | Self::Go | Self::Js | Self::Rust => "sdk",
        }
    }
}
