//! Stores: what plugins remember longer than a transaction.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::mistake::Place;
use super::section::{Entry, Reader, Section, Text};

/// One store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where it keeps what it is given.
    pub kind: StoreKind,
    /// Whether plugins share its keys; else each has keys of its own.
    pub shared: bool,
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

/// Where a store keeps what it is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreKind {
    /// In the process, until it ends.
    Memory {
        /// Bound of keys, values and what keeping them takes.
        octets: u64,
    },
    /// In a file of this gateway.
    Redb {
        /// The file; made if it is not there.
        file: PathBuf,
        /// Bound of keys and values.
        octets: u64,
        /// For one operation.
        timeout: Duration,
    },
    /// On a server that gateways share.
    Redis {
        /// Where it is.
        url: RedisUrl,
        /// For one operation.
        timeout: Duration,
    },
}

/// Where Redis is and who we are there. Shown without the secret.
#[derive(Clone, Eq, PartialEq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// All of it, with user and password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RedisUrl {
    /// Scheme, host and path; user, password and parameters are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{scheme}://{rest}")
    }
}

impl Store {
    pub(super) const KEYS: &'static [&'static str] =
        &["file", "kind", "shared", "size", "timeout", "url"];

    /// A store, if it can be told what it is.
    pub(super) fn read<'a>(reader: &'a Reader<'a>, entry: &Entry<'a>) -> Option<Self> {
        let section = Section::under(reader, "a store", entry, Self::KEYS);
        section.demand("kind", "memory, redb (a file of this gateway) or redis");
        let kind = section.choice("kind", KINDS);
        let shared = section.choice_or("shared", super::SWITCH, false);
        if let Some(kind) = kind {
            refuse_foreign(&section, kind);
        }
        let timeout = || {
            let range = Duration::from_millis(1)..=Duration::from_secs(30);
            section.duration("timeout", range, TIMEOUT)
        };
        let octets = |default| section.size("size", 64 << 10..=1 << 40, default);
        let kind = match kind? {
            Kind::Memory => StoreKind::Memory { octets: octets(MEMORY_OCTETS) },
            Kind::Redb => {
                let file =
                    section.required("file", "the file to keep it in; made if it is not there");
                StoreKind::Redb {
                    file: reader.path(file?.text),
                    octets: octets(REDB_OCTETS),
                    timeout: timeout(),
                }
            }
            Kind::Redis => {
                let url = section.required("url", URL_HELP)?;
                StoreKind::Redis { url: read_url(reader, url)?, timeout: timeout() }
            }
        };
        Some(Self { kind, shared, place: reader.place(entry.key.mark) })
    }
}

/// What concerns more than one store, or a store and a plugin.
pub(super) fn check(config: &Config, section: &Section<'_>) {
    let mut files: Vec<(&PathBuf, &str)> = Vec::new();
    for (name, store) in &config.stores {
        let StoreKind::Redb { file, .. } = &store.kind else { continue };
        if let Some((_, earlier)) = files.iter().find(|(known, _)| *known == file) {
            let text = format!("the stores \"{earlier}\" and \"{name}\" have the same file");
            section.reader.error_at(
                &store.place,
                text,
                Some("every store needs a file of its own"),
            );
        }
        files.push((file, name));
    }
    for plugin in &config.plugins {
        for (name, timeout) in plugin.stores.iter().filter_map(|name| {
            let (StoreKind::Redb { timeout, .. } | StoreKind::Redis { timeout, .. }) =
                &config.stores.get(name)?.kind
            else {
                return None;
            };
            Some((name, *timeout))
        }) {
            if timeout >= plugin.time_limit {
                let text = format!(
                    "the store \"{name}\" may take as long as the plugin \"{}\" has",
                    plugin.name
                );
                let help =
                    "a \"timeout\" below its \"time_limit\" lets it say what is to happen then";
                section.reader.warn_at(&plugin.place, text, Some(help));
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Memory,
    Redb,
    Redis,
}

/// A key that does nothing for this kind was meant for something.
fn refuse_foreign(section: &Section<'_>, kind: Kind) {
    let (name, own): (_, &[&str]) = match kind {
        Kind::Memory => ("memory", &["size"]),
        Kind::Redb => ("redb", &["file", "size", "timeout"]),
        Kind::Redis => ("redis", &["timeout", "url"]),
    };
    for key in ["file", "size", "timeout", "url"] {
        if !own.contains(&key) && section.entry(key).is_some() {
            let text = format!("\"{key}\" is not for a store of kind {name}");
            let help = format!("it has {}", super::spelling::list(own));
            section.reader.error(section.mark_of(key), text, Some(&help));
        }
    }
}

/// Reads a URL. What is wrong with it is not repeated: it may hold a password.
fn read_url(reader: &Reader<'_>, Text { text, mark }: Text<'_>) -> Option<RedisUrl> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.starts_with("//")) {
        let path = reader.path(path);
        return Some(RedisUrl(format!("redis+unix://{}", path.display())));
    }
    let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && text.is_ascii() => Some(RedisUrl(text.to_owned())),
        _ => {
            reader.error(mark, "this is no URL of a Redis", Some(URL_HELP));
            None
        }
    }
}

const SCHEMES: [&str; 3] = ["redis://", "rediss://", "redis+unix://"];

const URL_HELP: &str = "redis://host:6379/0, rediss:// for TLS, unix:/path for a Unix socket; user and password \
     stand before the host: redis://user:password@host";

const KINDS: &[(&str, Kind)] =
    &[("memory", Kind::Memory), ("redb", Kind::Redb), ("redis", Kind::Redis)];

/// A greylist of some 250,000 triplets.
const MEMORY_OCTETS: u64 = 64 << 20;

/// More than any greylist has, less than a disk.
const REDB_OCTETS: u64 = 1 << 30;

/// A quarter of a plugin's usual time, so that it can still say what is to happen.
const TIMEOUT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secret() {
        for (url, shown) in [
            ("redis://ann:s3cret@redis.example:6379/1", "redis://redis.example:6379/1"),
            ("rediss://:s3cret@[::1]/", "rediss://[::1]/"),
            ("redis+unix:///run/redis.sock?pass=s3cret", "redis+unix:///run/redis.sock"),
            ("redis://127.0.0.1", "redis://127.0.0.1"),
        ] {
            assert_eq!(format!("{:?}", RedisUrl(url.to_owned())), shown);
        }
    }
}
