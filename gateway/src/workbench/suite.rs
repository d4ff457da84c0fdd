//! A scenario file: a plugin, what is given to it, what is expected of it.

use std::path::{Path, PathBuf};

use super::doubles::Doubles;
use super::expected::{Difference, Expected};
use super::given::Given;
use super::play::{Workbench, WorkbenchError};
use super::world::World;
use crate::config::grant::Grantable;
use crate::config::section::{Reader, Section, distinct};
use crate::config::tree::{self, Mark, Node, Source, Value};
use crate::config::{self, Mistakes, Place};
use crate::plugins::{LoadError, LoadFailure};

/// One scenario file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Where it lies.
    pub file: PathBuf,
    /// In the order of the file.
    pub scenarios: Vec<Scenario>,
    /// What is legal but strange.
    pub warnings: Mistakes,
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it tells.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// The plugin, as this scenario wants it.
    pub plugin: config::Plugin,
    /// Where it may route to, and whom it may ask.
    pub upstreams: Doubles,
    /// What is given.
    pub given: Given,
    /// Names, and what stores hold.
    pub world: World,
    /// What is expected.
    pub expected: Expected,
}

impl Scenario {
    /// Plays it. `cache` is where compiled plugins are kept; for `snapshots` see [`Workbench::new`].
    ///
    /// # Errors
    ///
    /// If there is no engine, or the plugin cannot be loaded.
    pub async fn play(
        &self,
        cache: &Path,
        snapshots: bool,
    ) -> Result<Vec<Difference>, WorkbenchError> {
        let (plugin, upstreams) = (&self.plugin, self.upstreams.clone());
        match Workbench::new(plugin, upstreams, &self.world, cache, snapshots).await {
            Ok(workbench) => {
                let played = workbench.play(&self.given).await;
                let mut differences = self.expected.differences(&played);
                self.expected.compare_stored(&workbench, &mut differences).await;
                Ok(differences)
            }
            Err(WorkbenchError::Load(LoadError {
                failure: LoadFailure::Configure(why), ..
            })) => Ok(self.expected.refused(&why)),
            Err(error) => Err(error),
        }
    }
}

impl Suite {
    const KEYS: &'static [&'static str] =
        &["auth", "dns", "kv", "mail", "message", "plugin", "scenarios", "session", "upstreams"];
    const SCENARIO_KEYS: &'static [&'static str] = &[
        "auth",
        "dns",
        "expect",
        "kv",
        "mail",
        "message",
        "name",
        "plugin",
        "session",
        "upstreams",
    ];

    /// Reads a scenario file. `plugin` goes before the file that it names.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn read(file: &Path, plugin: Option<&Path>) -> Result<Self, Mistakes> {
        Self::parse(file, octets(file)?, plugin)
    }

    /// Reads scenarios that need not be a file; `file` is for messages and for relative paths.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub fn parse(file: &Path, octets: Vec<u8>, plugin: Option<&Path>) -> Result<Self, Mistakes> {
        let (scenarios, warnings) =
            decode(file, octets, |reader, root| read_all(reader, root, plugin))?;
        Ok(Self { file: file.to_owned(), scenarios, warnings })
    }
}

/// The octets of a file of scenarios.
pub(crate) fn octets(file: &Path) -> Result<Vec<u8>, Mistakes> {
    std::fs::read(file).map_err(|error| {
        let mut mistakes = Mistakes::default();
        mistakes.at(&Place::file(file), format!("cannot read the scenarios: {error}"), None);
        mistakes
    })
}

/// What is read from a file of scenarios, and what is strange in it; or all that is wrong with it.
pub(crate) fn decode<T>(
    file: &Path,
    octets: Vec<u8>,
    read: impl FnOnce(&Reader<'_>, &Node) -> T,
) -> Result<(T, Mistakes), Mistakes> {
    let source = Source::new(file, octets)?;
    let mut mistakes = Mistakes::default();
    let root = tree::parse(&source, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let root = root.unwrap_or_else(empty);
    let reader = Reader::new(&source, mistakes);
    let decoded = read(&reader, &root);
    let Reader { mistakes, warnings, .. } = reader;
    let (mistakes, warnings) = (mistakes.into_inner(), warnings.into_inner());
    once(&mistakes).or_fail()?;
    Ok((decoded, once(&warnings)))
}

/// The scenarios of a file.
pub(crate) fn items<'a>(section: &Section<'a>, help: &str) -> &'a [Node] {
    if section.entry("scenarios").is_none() {
        section.missing("scenarios", help);
    }
    let nodes = section.list("scenarios");
    if nodes.is_some_and(<[Node]>::is_empty) {
        section.reader.error(section.mark_of("scenarios"), "there are no scenarios", Some(help));
    }
    nodes.unwrap_or_default()
}

fn read_all(reader: &Reader<'_>, root: &Node, plugin: Option<&Path>) -> Vec<Scenario> {
    let section = Section::of(reader, "a scenario file", root, Suite::KEYS);
    let help = "scenarios: [{name: what it tells, expect: {connect: next}}]";
    let nodes = items(&section, help).iter();
    nodes.filter_map(|node| read_one(reader, root, node, plugin)).collect()
}

/// One scenario: what it says goes before what the file says for all of them.
fn read_one(
    reader: &Reader<'_>,
    root: &Node,
    node: &Node,
    plugin: Option<&Path>,
) -> Option<Scenario> {
    let own = Section::of(reader, "a scenario", node, Suite::SCENARIO_KEYS);
    let name = own.required("name", "it tells what is shown: name: a listed client is refused");
    let node = merged(reader, root, node);
    let section = Section::part(reader, "a scenario", &node, Suite::SCENARIO_KEYS);
    let plugin = read_plugin(&section, plugin);
    let given = Given::read(&section);
    let expected = Expected::read(&section);
    Some(Scenario {
        name: name?.text.to_owned(),
        place: reader.place(name?.mark),
        plugin: plugin?,
        upstreams: Doubles::read(&section),
        given,
        world: World::read(&section),
        expected,
    })
}

/// The plugin as a configuration has it, except that its name may be left out.
pub(super) fn read_plugin(section: &Section<'_>, file: Option<&Path>) -> Option<config::Plugin> {
    const HELP: &str = "plugin: {file: plugin.wasm}, or --plugin FILE on the command line";
    let plugin = section.section("plugin", config::Plugin::KEYS);
    let file = match file {
        Some(file) => Some(file.to_owned()),
        None => plugin.file("file", HELP),
    }?;
    let stem = || file.file_stem().map(|stem| stem.to_string_lossy().replace('.', "-"));
    let name = match plugin.text("name") {
        Some(name) => config::names::check(&plugin, name).then(|| name.text.to_owned())?,
        None => stem().unwrap_or_else(|| "plugin".to_owned()),
    };
    let named = |word| plugin.entry("grants").map_or_else(Vec::new, |it| named(it.node, word));
    let (stores, upstreams) = (named("kv"), named("upstreams"));
    let grantable = Grantable { stores: &stores, upstreams: &upstreams };
    Some(config::Plugin::of(&plugin, name, file, grantable))
}

/// The names in `{kv: [...]}`, if `kv` is the word: each of them is a store of the scenario.
fn named<'a>(grants: &'a Node, word: &str) -> Vec<&'a str> {
    let Value::Sequence(grants) = &grants.value else { return Vec::new() };
    let entries = grants.iter().filter_map(|grant| match &grant.value {
        Value::Mapping(entries) => Some(entries),
        _ => None,
    });
    let named = entries.flatten().filter(|(key, _)| is_word(key, word));
    let lists = named.filter_map(|(_, node)| match &node.value {
        Value::Sequence(names) => Some(names),
        _ => None,
    });
    let names = lists.flatten().filter_map(|name| match &name.value {
        Value::Scalar { text, .. } => Some(&**text),
        _ => None,
    });
    names.collect()
}

fn is_word(node: &Node, word: &str) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text == word)
}

/// A mapping whose entries come from `node`, and where it has none from `under`; to a depth, so
/// that settings are one thing.
pub(crate) fn merged(reader: &Reader<'_>, under: &Node, node: &Node) -> Node {
    merged_to(reader, under, node, DEPTH)
}

fn merged_to(reader: &Reader<'_>, under: &Node, node: &Node, depth: usize) -> Node {
    let (Value::Mapping(base), Value::Mapping(own), 1..) = (&under.value, &node.value, depth)
    else {
        return node.clone();
    };
    let mut entries: Vec<(Node, Node)> = Vec::new();
    for (key, value) in own {
        let Value::Scalar { text, .. } = &key.value else { continue };
        let below = distinct(reader, base).into_iter().find(|entry| entry.key.text == text);
        let value = match below {
            Some(below) => merged_to(reader, below.node, value, depth - 1),
            None => value.clone(),
        };
        entries.push((key.clone(), value));
    }
    for (key, value) in base {
        let Value::Scalar { text, .. } = &key.value else { continue };
        if !entries.iter().any(|(own, _)| is_word(own, text)) {
            entries.push((key.clone(), value.clone()));
        }
    }
    Node::new(node.mark, Value::Mapping(entries))
}

/// What is wrong with what all scenarios share, once.
fn once(mistakes: &Mistakes) -> Mistakes {
    let mut kept = Mistakes::default();
    for mistake in mistakes {
        if !kept.iter().any(|earlier| earlier == mistake) {
            kept.push(mistake.clone());
        }
    }
    kept
}

pub(super) fn empty() -> Node {
    let mark = Mark { line: 1, column: 1, ..Mark::default() };
    Node::new(mark, Value::Mapping(Vec::new()))
}

/// The scenario, its sections, and what stands directly in them.
const DEPTH: usize = 2;
