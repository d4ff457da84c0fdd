//! What is put on the bench at the command line, without a scenario file.

use std::path::{Path, PathBuf};

use super::doubles::Doubles;
use super::fact::quoted;
use super::given::Given;
use super::suite::{self, read_plugin};
use super::world::World;
use crate::config::section::{Reader, Section};
use crate::config::settings::to_json;
use crate::config::tree::{self, Node, Source, Value};
use crate::config::{self, Mistakes, Place};

/// A plugin and what is given to it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The plugin.
    pub plugin: config::Plugin,
    /// Where it may route to, and whom it may ask.
    pub upstreams: Doubles,
    /// Session, envelope, message.
    pub given: Given,
    /// Names, and what stores hold.
    pub world: World,
}

/// How a plugin is to be set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What is given, in a file; the keys of a scenario.
    pub session: Option<PathBuf>,
    /// A file of YAML or JSON, or the settings themselves in JSON.
    pub settings: Option<String>,
    /// As in the configuration; `kv=NAME`, `http=ORIGIN`, `streams=ADDRESS` and `upstreams=NAME` for those
    /// that name something.
    pub grants: Vec<String>,
}

impl Setup {
    const KEYS: &'static [&'static str] =
        &["auth", "dns", "kv", "mail", "message", "plugin", "session", "upstreams"];

    /// Sets up the plugin in a file.
    ///
    /// # Errors
    ///
    /// All that is wrong with what was given.
    pub fn new(file: &Path, options: &Options) -> Result<Self, Mistakes> {
        let (path, octets) = match &options.session {
            Some(path) => (path.clone(), read(path)?),
            None => ("--session".into(), Vec::new()),
        };
        let mut setup = decoded(&path, octets, |reader, root| {
            let section = Section::of(reader, "what is given", root, Self::KEYS);
            Some(Self {
                plugin: read_plugin(&section, Some(file))?,
                upstreams: Doubles::read(&section),
                given: Given::read(&section),
                world: World::read(&section),
            })
        })?;
        if let Some(settings) = &options.settings {
            setup.plugin.settings = read_settings(settings)?;
        }
        if !options.grants.is_empty() {
            let granted = read_grants(file, &options.grants)?;
            (setup.plugin.grants, setup.plugin.stores) = (granted.grants, granted.stores);
            setup.plugin.origins = granted.origins;
            setup.plugin.upstreams = granted.upstreams;
            setup.plugin.services = granted.services;
        }
        Ok(setup)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Mistakes> {
    std::fs::read(path).map_err(|error| {
        let mut mistakes = Mistakes::default();
        mistakes.at(&Place::file(path), format!("cannot read {}: {error}", path.display()), None);
        mistakes
    })
}

fn read_settings(given: &str) -> Result<serde_json::Value, Mistakes> {
    let (path, octets) = if given.trim_start().starts_with('{') {
        ("--settings".into(), given.as_bytes().to_vec())
    } else {
        (PathBuf::from(given), read(given.as_ref())?)
    };
    decoded(&path, octets, |reader, root| {
        if !matches!(root.value, Value::Mapping(_)) {
            reader.error(root.mark, "settings are a section", Some("{\"key\": \"value\"}"));
        }
        Some(to_json(reader, root))
    })
}

/// By the rules of the configuration.
fn read_grants(file: &Path, grants: &[String]) -> Result<config::Plugin, Mistakes> {
    let item = |grant: &String| match grant.split_once('=') {
        Some((word, what)) => format!("{{{}: [{}]}}", quoted(word), quoted(what)),
        None => quoted(grant),
    };
    let items: Vec<_> = grants.iter().map(item).collect();
    let text = format!("plugin: {{grants: [{}]}}", items.join(", "));
    decoded("--grant".as_ref(), text.into_bytes(), |reader, root| {
        read_plugin(&Section::of(reader, "the command line", root, Setup::KEYS), Some(file))
    })
}

/// What `read` makes of a text, if nothing is wrong with it.
fn decoded<T>(
    path: &Path,
    octets: Vec<u8>,
    read: impl FnOnce(&Reader<'_>, &Node) -> Option<T>,
) -> Result<T, Mistakes> {
    let source = Source::new(path, octets)?;
    let mut mistakes = Mistakes::default();
    let root = tree::parse(&source, &mut mistakes);
    mistakes.or_fail()?;
    let reader = Reader::new(&source, Mistakes::default());
    let read = read(&reader, &root.unwrap_or_else(suite::empty));
    let mistakes = reader.mistakes.into_inner();
    match read {
        Some(read) if mistakes.is_empty() => Ok(read),
        _ => Err(mistakes),
    }
}
