//! Texts that a plugin gets with its settings: lists and maps that others write.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use super::map::Stamp;
use super::quantity;
use super::section::{Entry, Section, absence};
use super::tree::Value;

/// A file that a plugin gets the text of.
#[derive(Clone)]
pub struct PluginFile {
    /// What the plugin calls it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it held when it was read.
    pub text: String,
    /// What tells whether that is still so.
    pub stamp: Stamp,
}

/// Without the text, which is long, and the operator's own.
impl fmt::Debug for PluginFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, path, text, stamp } = self;
        f.debug_struct("PluginFile")
            .field("name", name)
            .field("path", path)
            .field("octets", &text.len())
            .field("stamp", stamp)
            .finish()
    }
}

impl PluginFile {
    /// Reads `files` of a plugin.
    pub(super) fn read_all(plugin: &Section<'_>) -> Vec<Self> {
        let files = plugin.names("files", &[]);
        let reader = plugin.reader;
        let read = |Entry { key, node }: &Entry<'_>| {
            let Value::Scalar { text, .. } = &node.value else {
                if !matches!(node.value, Value::Broken) {
                    let text = format!("\"{}\" must be the path of a file", key.text);
                    reader.error(node.mark, text, Some("files: {aliases: aliases.txt}"));
                }
                return None;
            };
            if node.is_null() {
                let text = format!("\"{}\" has no value", key.text);
                reader.error(key.mark, text, Some("files: {aliases: aliases.txt}"));
                return None;
            }
            let path = reader.path(text);
            let file = Self::read(key.text, path.clone());
            let told = |failure: &FileFailure| {
                let help = match failure {
                    FileFailure::Unreadable(error) => absence(&path, text, error),
                    failure => failure.help().to_owned(),
                };
                let what = format!("cannot read \"{text}\": {failure}");
                reader.error(node.mark, what, Some(&help));
            };
            file.inspect_err(told).ok()
        };
        files.entries.iter().filter_map(read).collect()
    }

    /// The same file as it is now.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not what a plugin could be given.
    pub fn again(&self) -> Result<Self, FileFailure> {
        Self::read(&self.name, self.path.clone())
    }

    fn read(name: &str, path: PathBuf) -> Result<Self, FileFailure> {
        // Before the file is read: what changes meanwhile is read again.
        let stamp = Stamp::of(&path);
        let mut octets = Vec::new();
        // Before it is opened: a pipe would wait for somebody who writes.
        if !fs::metadata(&path)?.is_file() {
            return Err(FileFailure::NoFile);
        }
        File::open(&path)?.take(FILE_OCTETS + 1).read_to_end(&mut octets)?;
        if octets.len() as u64 > FILE_OCTETS {
            return Err(FileFailure::TooLarge);
        }
        let text = String::from_utf8(octets).map_err(|error| {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to());
            let line = before.unwrap_or_default().iter().filter(|&&octet| octet == b'\n').count();
            FileFailure::NotUtf8 { line: line + 1 }
        })?;
        Ok(Self { name: name.to_owned(), path, text, stamp })
    }
}

/// Why a plugin cannot have a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFailure {
    /// A folder, or something else.
    #[error("it is not a file")]
    NoFile,
    /// Not text.
    #[error("line {line} is not UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// More than a plugin is to be configured with.
    #[error("it is larger than {}", quantity::show_size(FILE_OCTETS))]
    TooLarge,
    /// As the system says.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
}

impl FileFailure {
    fn help(&self) -> &'static str {
        match self {
            Self::NoFile | Self::Unreadable(_) => "files: {aliases: aliases.txt}",
            Self::NotUtf8 { .. } => "save the file as UTF-8",
            Self::TooLarge => "what is that large belongs in a store (grant kv), or behind HTTP",
        }
    }
}

/// A hundred thousand addresses: what a plugin can be configured with in a moment.
const FILE_OCTETS: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pipe_to_which_nobody_writes_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let read = PluginFile::read("users", path);
        assert!(matches!(read, Err(FileFailure::NoFile)), "{read:?}");
    }
}
