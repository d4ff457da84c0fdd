//! What a plugin finds beyond the mail: names, and what stores hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::authenticity::Authenticator;
use crate::config::section::{Entry, Reader, Section};
use crate::config::spelling;
use crate::config::tree::{Node, Value};
use crate::config::{self, Place, StoreKind};
use crate::metrics::Metrics;
use crate::plugins::Services;
use crate::resolver::{Answer, Kind, Record, Resolver, ResolverError, Zone};
use crate::store::{Keys, StoreError, Stores};

/// What there is at the beginning.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Who answers questions for names.
    pub names: Names,
    /// By store and key.
    pub stored: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// Who answers questions for names.
#[derive(Clone, Debug)]
pub enum Names {
    /// Nobody: this is all there is.
    Fixed(Zone),
    /// The name servers of the system.
    System,
}

impl Default for Names {
    fn default() -> Self {
        Self::Fixed(Zone::default())
    }
}

impl World {
    /// Reads `dns` and `kv` from a scenario.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let mut zone = Zone::default();
        for entry in section.names("dns", &[]).entries {
            read_name(section.reader, &mut zone, &entry);
        }
        let mut stored = BTreeMap::new();
        for store in section.names("kv", &[]).entries {
            let keys = Section::open(section.reader, "a store", &store).entries;
            let keys = keys.iter().filter_map(|Entry { key, node }| {
                let value = value(section.reader, node)?;
                Some((key.text.to_owned(), value.as_bytes().to_vec()))
            });
            stored.insert(store.key.text.to_owned(), keys.collect());
        }
        Self { names: Names::Fixed(zone), stored }
    }

    /// Makes it for a plugin: each store that it may open, and all names.
    pub(super) async fn services(
        &self,
        plugin: &config::Plugin,
        metrics: &Metrics,
    ) -> Result<Services, WorldError> {
        let resolver = match &self.names {
            Names::Fixed(zone) => Resolver::fixed(zone.clone(), metrics.dns()),
            Names::System => Resolver::new(&config::Dns::default(), metrics.dns())?,
        };
        let store = || config::Store {
            kind: StoreKind::Memory { octets: STORE_OCTETS },
            shared: false,
            place: Place::default(),
        };
        let named = plugin.stores.iter().chain(self.stored.keys());
        let stores = named.map(|name| (name.clone(), store())).collect();
        let stores = Stores::open(&stores, None, metrics);
        for (name, entries) in &self.stored {
            let Some(keys) = keys(&stores, name, &plugin.name) else { continue };
            for (key, value) in entries {
                keys.put(key, value.clone(), None, None).await?;
            }
        }
        let authenticator = Authenticator::new(resolver.clone(), "")?;
        Ok(Services::new(resolver, authenticator, Arc::new(stores)))
    }
}

/// What a plugin sees of a store.
pub(super) fn keys(stores: &Stores, store: &str, plugin: &str) -> Option<Keys> {
    Some(Keys::of(stores.get(store)?, plugin))
}

/// Why there is no such world.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The machine's fault.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// A key or a value that no store takes.
    #[error("what the stores are to hold does not fit: {0}")]
    Store(#[from] StoreError),
}

fn read_name(reader: &Reader<'_>, zone: &mut Zone, entry: &Entry<'_>) {
    let Entry { key, node } = entry;
    let put = match &node.value {
        Value::Broken => return,
        Value::Mapping(_) => {
            let kinds = Section::open(reader, "a name", entry).entries;
            kinds.iter().all(|of| match (kind(reader, of), answer(reader, of)) {
                (Some(kind), Some(answer)) => zone.put(key.text, kind, answer),
                _ => true,
            })
        }
        Value::Scalar { text, .. } => match FAILURES.iter().find(|(word, _)| word == text) {
            Some((_, failure)) => zone.put_any(key.text, failure()),
            None => {
                let words = FAILURES.iter().map(|(word, _)| *word);
                let help =
                    format!("{{A: 192.0.2.1}}, or one word: {}", spelling::help(text, words));
                let text = format!("\"{text}\" is no answer of DNS");
                return reader.error(node.mark, text, Some(&help));
            }
        },
        Value::Sequence(_) => {
            let help = "{A: [192.0.2.1, 192.0.2.2]}";
            return reader.error(node.mark, "records have a kind", Some(help));
        }
    };
    if !put {
        reader.error(key.mark, format!("\"{}\" is no name of DNS", key.text), None);
    }
}

fn kind(reader: &Reader<'_>, Entry { key, .. }: &Entry<'_>) -> Option<Kind> {
    let found = Kind::ALL.iter().find(|(word, _)| *word == key.text);
    if found.is_none() {
        let help = spelling::help(key.text, Kind::ALL.iter().map(|(word, _)| *word));
        let text = format!("\"{}\" is no kind of records", key.text);
        reader.error(key.mark, text, Some(&help));
    }
    found.map(|(_, kind)| *kind)
}

fn answer(reader: &Reader<'_>, entry: &Entry<'_>) -> Option<Answer> {
    let (_, kind) = Kind::ALL.iter().find(|(word, _)| *word == entry.key.text)?;
    let nodes = match &entry.node.value {
        Value::Sequence(nodes) => nodes,
        Value::Scalar { text, .. } => {
            if let Some((_, failure)) = FAILURES.iter().find(|(word, _)| word == text) {
                return Some(failure());
            }
            std::slice::from_ref(entry.node)
        }
        Value::Broken | Value::Mapping(_) => std::slice::from_ref(entry.node),
    };
    let record = |node| {
        let text = value(reader, node)?;
        let record = Record::parse(*kind, text);
        if record.is_none() {
            let text = format!("\"{text}\" is no {} record", entry.key.text);
            reader.error(node.mark, text, Some("as in a zone file: 192.0.2.1, 10 mail.example"));
        }
        record
    };
    let records: Vec<_> = nodes.iter().filter_map(record).collect();
    Some(if records.is_empty() { Answer::NoData } else { Answer::Records(records) })
}

/// A single value.
fn value<'a>(reader: &Reader<'_>, node: &'a Node) -> Option<&'a str> {
    match &node.value {
        Value::Scalar { text, .. } => return Some(text),
        Value::Broken => {}
        Value::Mapping(_) | Value::Sequence(_) => {
            reader.error(node.mark, "one value is expected here", None);
        }
    }
    None
}

type Failure = (&'static str, fn() -> Answer);

const FAILURES: &[Failure] = &[
    ("failure", || Answer::Failed("the name server says Server Failure".to_owned())),
    ("no-such-name", || Answer::NoSuchName),
    ("timeout", || Answer::TimedOut),
];

/// As much as any scenario writes.
const STORE_OCTETS: u64 = 64 << 20;
