//! The lock file: the plugins that somebody approved, each by its digest.
//!
//! It lies beside the configuration, one line a plugin, to be read and compared by people and kept
//! under version control. Where it is, it holds for all plugins of the configuration.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::mistake::{Mistakes, Place};
use super::plugin::{Pin, PinnedBy};
use super::section::{Entry, Reader, Section};
use super::tree::{self, Source};
use super::{Config, Digest};

/// One line of a lock file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Locked {
    /// The plugin's name in the configuration.
    pub name: String,
    /// Of its file.
    pub sha256: Digest,
    /// Of its file; for people, who see at a glance how large a change is.
    pub octets: u64,
    /// The version of the contract that it was built for; for people, too.
    pub contract: String,
    /// Where its digest stands.
    pub place: Place,
}

/// Where the lock file of a configuration lies: `portcullis.lock` beside `portcullis.yaml`.
#[must_use]
pub fn lock_file(configuration: &Path) -> PathBuf {
    configuration.with_extension("lock")
}

/// What a lock file holds; none if there is none.
///
/// # Errors
///
/// All mistakes of the file.
pub fn read_lock(file: &Path) -> Result<Option<Vec<Locked>>, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut octets = Vec::new();
    let read = File::open(file).and_then(|file| file.take(FILE_OCTETS).read_to_end(&mut octets));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            mistakes.at(&Place::file(file), format!("cannot read the lock file: {error}"), None);
            return Err(mistakes);
        }
    }
    let source = Source::new(file, octets)?;
    let root = tree::parse(&source, &mut mistakes);
    mistakes.or_fail()?;
    let root = root.unwrap_or_else(super::empty);
    let reader = Reader::new(&source, Mistakes::default());
    let locked = entries(&Section::of(&reader, "the lock file", &root, KEYS));
    reader.mistakes.into_inner().or_fail()?;
    Ok(Some(locked))
}

fn entries(section: &Section<'_>) -> Vec<Locked> {
    if let Some(version) = section.required("version", AGAIN)
        && version.text != VERSION
    {
        let text = format!(
            "this lock file is of version {}, and version {VERSION} is known here",
            version.text
        );
        section.reader.error(version.mark, text, Some(AGAIN));
        return Vec::new();
    }
    if section.entry("plugins").is_none() {
        section.missing("plugins", AGAIN);
    }
    let entries = section.names("plugins", &[]).entries;
    entries.iter().filter_map(|entry| locked(section.reader, entry)).collect()
}

fn locked(reader: &Reader<'_>, entry: &Entry<'_>) -> Option<Locked> {
    let section = Section::under(reader, "a plugin", entry, PLUGIN_KEYS);
    let octets = section.required("size", AGAIN).map(|_| section.count("size", 0..=u64::MAX, 0));
    let contract = section.required("contract", AGAIN);
    if section.entry("sha256").is_none() {
        section.missing("sha256", AGAIN);
    }
    let (sha256, place) = section.digest("sha256", Some(AGAIN))?;
    Some(Locked {
        name: entry.key.text.to_owned(),
        sha256,
        octets: octets?,
        contract: contract?.text.to_owned(),
        place,
    })
}

/// Pins the plugins of a configuration to what was locked; all of them have to be.
pub(super) fn pin(
    configuration: &Path,
    locked: &[Locked],
    config: &mut Config,
    mistakes: &mut Mistakes,
) {
    let command = lock_command(configuration);
    for plugin in &mut config.plugins {
        let Some(entry) = locked.iter().find(|entry| entry.name == plugin.name) else {
            let text = format!("the plugin \"{}\" is not in the lock file", plugin.name);
            let file = lock_file(configuration);
            let help = format!("if {} should approve of it: {command}", file.display());
            mistakes.at(&plugin.place, text, Some(&help));
            continue;
        };
        plugin.pins.push(Pin {
            sha256: entry.sha256,
            by: PinnedBy::Lock { octets: entry.octets },
            place: entry.place.clone(),
        });
    }
    for entry in locked {
        if !config.plugins.iter().any(|plugin| plugin.name == entry.name) {
            let text = format!("the configuration has no plugin \"{}\"", entry.name);
            let help = format!("leave the line out: {command}");
            config.warnings.warn(&entry.place, text, Some(&help));
        }
    }
}

/// Who pins one plugin means all of them. Who pins none is writing one, most likely, and is not
/// asked for a new digest with every build.
pub(super) fn warn_of_unpinned(config: &mut Config) {
    if config.plugins.iter().all(|plugin| plugin.pins.is_empty()) {
        return;
    }
    for plugin in config.plugins.iter().filter(|plugin| plugin.pins.is_empty()) {
        let text = format!("the plugin \"{}\" may be any file, and others are pinned", plugin.name);
        let help =
            format!("give it a \"sha256\", or lock all: {}", lock_command(&plugin.place.file));
        config.warnings.warn(&plugin.place, text, Some(&help));
    }
}

/// What to type to write the lock file of a configuration anew.
#[must_use]
pub fn lock_command(configuration: &Path) -> String {
    format!("portcullis plugin lock --config {}", configuration.display())
}

/// Writes a lock file; whoever reads it has the old or the new one, also after a power failure.
///
/// # Errors
///
/// What the system says; then the file is as it was.
pub fn write_lock(file: &Path, locked: &[Locked]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new()
        .prefix(".portcullis-lock-")
        // Nothing in it is secret, and who runs the gateway is not always who writes this.
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    new.write_all(text(locked).as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(folder)?.sync_all()
}

/// Sorted, so that a comparison shows what changed and nothing else.
fn text(locked: &[Locked]) -> String {
    let mut locked: Vec<_> = locked.iter().collect();
    locked.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = format!("{HEAD}version: {VERSION}\nplugins:");
    if locked.is_empty() {
        text += " {}";
    }
    text.push('\n');
    for Locked { name, sha256, octets, contract, .. } in locked {
        text += &format!(
            "  {name}: {{sha256: \"{sha256}\", size: {octets}, contract: \"{contract}\"}}\n"
        );
    }
    text
}

const KEYS: &[&str] = &["plugins", "version"];
const PLUGIN_KEYS: &[&str] = &["contract", "sha256", "size"];

/// Of the file's form.
const VERSION: &str = "1";

const HEAD: &str = "\
# The plugins that may run, written by \"portcullis plugin lock\". A file with another digest is refused,
# and so is a plugin that is not here. Keep it with the configuration.
";

/// Nobody writes this file by hand.
const AGAIN: &str = "\"portcullis plugin lock\" writes the file anew";

/// More than any number of plugins takes.
const FILE_OCTETS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str) -> Locked {
        Locked {
            name: name.into(),
            sha256: Digest::of(name.as_bytes()),
            octets: 7,
            contract: "0.1.0".into(),
            place: Place::default(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_sorted_one_line_each() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.lock");
        assert_eq!(read_lock(&file), Ok(None));
        // Names that YAML would take for something else.
        write_lock(&file, &[locked("true"), locked("12"), locked("access")]).unwrap();
        let mut found = read_lock(&file).unwrap().unwrap();
        let lines: Vec<_> = found.iter().map(|entry| entry.place.line).collect();
        assert_eq!(lines, [5, 6, 7]);
        found.iter_mut().for_each(|entry| entry.place = Place::default());
        assert_eq!(found, [locked("12"), locked("access"), locked("true")]);
        write_lock(&file, &[]).unwrap();
        assert_eq!(read_lock(&file), Ok(Some(Vec::new())));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.lock");
        // A file cannot take a folder's place.
        std::fs::create_dir(&file).unwrap();
        assert!(write_lock(&file, &[]).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
