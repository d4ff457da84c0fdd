//! The spool: messages that were accepted and are not delivered yet.

use std::path::{Path, PathBuf};

use super::Redelivery;
use super::mistake::Place;
use super::section::Section;
use super::{Config, DeliveryMode, Listener, Mixed, Route, StoreKind};

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
    use_of_it(config, section, spool);
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

/// Somebody has to fill it, and who sent what fails is to be told, whoever that is.
fn use_of_it(config: &Config, section: &Section<'_>, spool: &Spool) {
    let keeps = |one: &Listener| one.delivery == DeliveryMode::Spool || one.mixed == Mixed::Spool;
    let is_used = config.listeners.iter().any(keeps);
    let has_way = spool.redelivery.reports.is_some()
        || config.default_upstream.is_some()
        || config.routes.iter().any(Route::takes_all);
    if !is_used {
        let help = "a listener with \"delivery: spool\" or \"mixed: spool\" does";
        section.reader.warn_at(&spool.place, "no listener uses the spool", Some(help));
    } else if !has_way {
        let text = "reports to senders that no route takes mail to have nowhere to go";
        let help = "they are held in the spool: give it \"reports\", an upstream for them";
        section.reader.warn_at(&spool.place, text, Some(help));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config;

    #[test]
    fn who_keeps_mail_has_to_be_able_to_report() {
        let warnings = |delivery: &str, spool: &str| {
            let text = format!(
                "hostname: mx.example.org\n\
                 listeners: [{{name: a, address: \"127.0.0.1:25\", delivery: {delivery}}}]\n\
                 upstreams: {{up: {{address: \"127.0.0.1:26\"}}}}\n\
                 routes: [{{domains: [a.example], upstream: up}}]\n\
                 spool: {{directory: spool{spool}}}\n"
            );
            let config = config::parse(Path::new("a.yaml"), text).expect("it is legal");
            let of_the_spool = |one: &&config::Mistake| one.place.line == 5;
            let warnings = config.warnings.iter().filter(of_the_spool);
            warnings.map(|one| one.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(warnings("relay", ""), ["no listener uses the spool"]);
        let nowhere = "reports to senders that no route takes mail to have nowhere to go";
        assert_eq!(warnings("spool", ""), [nowhere]);
        assert!(warnings("spool", ", reports: up").is_empty());
    }
}
