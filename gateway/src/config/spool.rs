//! The spool: messages that were accepted and are not delivered yet.

use std::path::{Path, PathBuf};

use super::Redelivery;
use super::mistake::Place;
use super::section::Section;
use super::{Config, StoreKind};

/// Where messages wait, and how many may.
#[derive(Clone, Debug)]
pub struct Spool {
    /// Where they lie; made if it is not there. Nobody else may use it.
    pub directory: PathBuf,
    /// Octets of all that wait.
    pub octets: u64,
    /// How many may wait.
    pub messages: u64,
    /// Octets that stay free on the disk.
    pub free_octets: u64,
    /// When what waits is tried again, and who is told.
    pub redelivery: Redelivery,
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

impl Spool {
    pub(super) const KEYS: &'static [&'static str] = &[
        "concurrency",
        "delay_notice",
        "directory",
        "free",
        "lifetime",
        "messages",
        "postmaster",
        "reports",
        "retry",
        "returned",
        "size",
    ];

    /// A spool with the defaults. The reasons stand in `config/portcullis.yaml`.
    #[must_use]
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            octets: 10 << 30,
            messages: 100_000,
            free_octets: 1 << 30,
            redelivery: Redelivery::default(),
            place: Place::default(),
        }
    }

    /// The spool, if there is one.
    pub(super) fn read(configuration: &Section<'_>, upstreams: &[&str]) -> Option<Self> {
        let entry = configuration.entry("spool")?;
        let section = configuration.section("spool", Self::KEYS);
        let help = "the directory that messages wait in; made if it is not there, such as \
                    /var/lib/portcullis/spool";
        let directory = section.required("directory", help)?;
        let default = Self::in_directory(section.reader.path(directory.text));
        Some(Self {
            octets: section.size("size", 1 << 20..=1 << 50, default.octets),
            messages: section.count("messages", 1..=10_000_000, default.messages),
            free_octets: section.size("free", 0..=1 << 50, default.free_octets),
            redelivery: Redelivery::read(&section, upstreams),
            place: section.reader.place(entry.key.mark),
            directory: default.directory,
        })
    }
}

/// A directory is for one thing.
pub(super) fn check(config: &Config, section: &Section<'_>) {
    let Some(spool) = &config.spool else { return };
    let own = &spool.directory;
    let within = |other: &Path| own.starts_with(other) || other.starts_with(own);
    let refuse = |what: &str, help| {
        let text = format!("\"directory\" of \"spool\" and {what} are one in the other");
        section.reader.error_at(&spool.place, text, Some(help));
    };
    if within(&config.cache_directory) {
        refuse("\"cache_directory\"", "a cache may be emptied by anybody; mail may not");
    }
    for (name, store) in &config.stores {
        if let StoreKind::Redb { file, .. } = &store.kind
            && file.starts_with(own)
        {
            let what = format!("the file of the store \"{name}\"");
            refuse(&what, "what the spool does not know it puts aside");
        }
    }
}
