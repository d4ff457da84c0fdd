//! Which recipients go where.

mod reach;

use std::sync::Arc;

use super::map::{Map, MapFile};
use super::mistake::Place;
use super::network::Network;
use super::pattern::Pattern;
use super::section::{Reader, Section, Text};
use super::tree::{Mark, Node};

/// One rule of where recipients go. All conditions that it has must hold.
#[derive(Clone, Debug)]
pub struct Route {
    /// What fits the recipient; none is anybody.
    pub recipients: Option<Vec<Pattern>>,
    /// What fits the sender; none is anybody, `*` any address, `<>` the null reverse-path.
    pub senders: Option<Vec<Pattern>>,
    /// The listeners that it is for; none is all.
    pub listeners: Option<Vec<String>>,
    /// Where the client is; none is anywhere, a Unix socket, too.
    pub clients: Option<Vec<Network>>,
    /// Who has logged in; none is anybody and nobody, `*` anybody.
    pub users: Option<Vec<String>>,
    /// Where they go.
    pub target: Target,
    /// Where it stands in the configuration.
    pub place: Place,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// A map says it, if it has an entry for the recipient.
    Map(RouteMap),
    /// A name from `upstreams`.
    Upstream(String),
}

/// A map, and where it is read again.
#[derive(Clone, Debug)]
pub struct RouteMap {
    /// Where it is read.
    pub file: MapFile,
    /// As it was read with the configuration.
    pub map: Arc<Map>,
}

/// What a route may refer to.
pub(super) struct Known<'a> {
    pub(super) listeners: &'a [&'a str],
    pub(super) upstreams: &'a [&'a str],
}

/// A route with the marks of what it says.
struct Draft<'a> {
    route: Route,
    recipients: Vec<Text<'a>>,
    /// Of the map, or of the route.
    mark: Mark,
}

impl Route {
    pub(super) const KEYS: &'static [&'static str] =
        &["clients", "domains", "listeners", "map", "recipients", "senders", "upstream", "users"];

    /// All routes. What can never be reached is a mistake: somebody expects it to be.
    pub(super) fn read_all(reader: &Reader<'_>, nodes: &[Node], known: &Known<'_>) -> Vec<Self> {
        let upstreams: Arc<[Arc<str>]> =
            known.upstreams.iter().map(|name| (*name).into()).collect();
        let read = |node| Draft::read(reader, node, known, &upstreams);
        let drafts: Vec<_> = nodes.iter().filter_map(read).collect();
        reach::check(reader, &drafts);
        drafts.into_iter().map(|draft| draft.route).collect()
    }

    /// Whether it is for anything that comes in at a listener.
    pub(super) fn is_for(&self, listener: &str) -> bool {
        let listed = |listeners: &Vec<String>| listeners.iter().any(|name| name == listener);
        self.listeners.as_ref().is_none_or(listed)
    }

    /// Whether it takes every recipient of the listeners that it is for.
    pub(super) fn takes_all(&self) -> bool {
        let recipients = match (&self.recipients, &self.target) {
            (Some(patterns), _) => patterns.iter().any(|pattern| pattern.as_str() == "*"),
            (None, Target::Map(map)) => map.map.is_complete(),
            (None, Target::Upstream(_)) => true,
        };
        recipients && self.senders.is_none() && self.clients.is_none() && self.users.is_none()
    }

    /// Whether anything goes to this upstream by it.
    pub(super) fn leads_to(&self, upstream: &str) -> bool {
        match &self.target {
            Target::Map(map) => map.map.names(upstream),
            Target::Upstream(name) => name == upstream,
        }
    }
}

impl<'a> Draft<'a> {
    fn read(
        reader: &'a Reader<'a>,
        node: &'a Node,
        known: &Known<'_>,
        upstreams: &Arc<[Arc<str>]>,
    ) -> Option<Self> {
        let section = Section::of(reader, "a route", node, Route::KEYS);
        let (recipients, patterns) = recipients(&section);
        let senders = patterns_of(&section, "senders", "pattern for senders", Pattern::sender);
        let listeners = words(&section, "listeners").map(|words| {
            let listener = |word| section.known_name("listener", word, known.listeners);
            words.into_iter().map(listener).collect()
        });
        let clients = words(&section, "clients").map(|_| section.networks("clients"));
        let users = words(&section, "users")
            .map(|users| users.iter().map(|user| user.text.to_owned()).collect());
        let conditions =
            ["clients", "domains", "listeners", "map", "recipients", "senders", "users"];
        if conditions.iter().all(|key| section.entry(key).is_none()) {
            section.missing("domains", CONDITION);
        }
        let target = target(&section, known, upstreams)?;
        let mark = section.entry("map").map_or(section.mark, |entry| entry.node.mark);
        let route = Route {
            recipients: patterns,
            senders: senders.map(|(_, patterns)| patterns),
            listeners,
            clients,
            users,
            target,
            place: reader.place(section.mark),
        };
        Some(Self { route, recipients, mark })
    }
}

/// `recipients`, or `domains`.
fn recipients<'a>(section: &Section<'a>) -> (Vec<Text<'a>>, Option<Vec<Pattern>>) {
    let domains = patterns_of(section, "domains", "domain", Pattern::domain);
    let recipients = patterns_of(section, "recipients", "pattern for recipients", Pattern::address);
    for (one, other, help) in [
        ("domains", "recipients", "\"recipients\" takes domains, too"),
        ("domains", "map", "the map's lines say which recipients the route is for"),
        ("recipients", "map", "the map's lines say which recipients the route is for"),
    ] {
        if section.entry(one).is_some() && section.entry(other).is_some() {
            let text = format!("a route has \"{one}\" or \"{other}\", not both");
            section.reader.error(section.mark_of(other), text, Some(help));
        }
    }
    recipients.or(domains).map_or((Vec::new(), None), |(texts, all)| (texts, Some(all)))
}

/// The patterns of a list that is given, and as they were written.
fn patterns_of<'a>(
    section: &Section<'a>,
    key: &'static str,
    what: &str,
    read: impl Fn(&str) -> Result<Pattern, String>,
) -> Option<(Vec<Text<'a>>, Vec<Pattern>)> {
    let one = |word: Text<'a>| match read(word.text) {
        Ok(pattern) => Some((word, pattern)),
        Err(help) => {
            let text = format!("\"{}\" is no {what}", word.text);
            section.reader.error(word.mark, text, Some(&help));
            None
        }
    };
    Some(words(section, key)?.into_iter().filter_map(one).unzip())
}

/// A list that is given and must not be empty.
fn words<'a>(section: &Section<'a>, key: &'static str) -> Option<Vec<Text<'a>>> {
    let words = section.words(key)?;
    if words.is_empty() {
        let help = match key {
            "domains" => "[\"*\"] fits all domains",
            "recipients" => "[\"*\"] fits all recipients",
            _ => "leave the key out, and the route is for all",
        };
        section.reader.error(section.mark_of(key), format!("\"{key}\" is empty"), Some(help));
    }
    Some(words)
}

fn target(section: &Section<'_>, known: &Known<'_>, upstreams: &Arc<[Arc<str>]>) -> Option<Target> {
    const HELP: &str = "one of the names in \"upstreams\"";
    let upstream = match section.entry("map") {
        None => section.required("upstream", HELP),
        Some(_) => section.text("upstream"),
    };
    let upstream = upstream.map(|text| section.known_name("upstream", text, known.upstreams));
    let Some(entry) = section.entry("map") else { return upstream.map(Target::Upstream) };
    let path = section.reader.path(section.text("map")?.text);
    let fallback = upstream.and_then(|name| upstreams.iter().position(|known| **known == *name));
    let file = MapFile { path, upstreams: upstreams.clone(), fallback };
    let shown = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
    match file.read() {
        Ok(map) => Some(Target::Map(RouteMap { file, map: Arc::new(map) })),
        Err(mistakes) => {
            for mut mistake in &mistakes {
                let whole = super::Mistake {
                    place: section.reader.place(entry.node.mark),
                    help: Some(format!("looked for {}", shown.display())),
                    ..mistake.clone()
                };
                if mistake.place.line == 0 {
                    mistake = &whole;
                }
                section.reader.mistakes.borrow_mut().push(mistake.clone());
            }
            None
        }
    }
}

const CONDITION: &str = "a list of recipient domains, or [\"*\"] for all; or another condition: recipients, senders, \
     listeners, clients, users, or a map";
