//! Which upstream a recipient goes to.
//!
//! A plugin's route goes first, then the first of the configuration's routes that fits, then what
//! the listener says, then the default.

mod renewal;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_smtp::ReversePath;

use crate::config::{self, Config, Map, Network, Pattern, Target, fitting, pattern_key};
use crate::message::Recipient;

pub use renewal::Renewal;

/// The routes of one configuration, ready to be asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Routes {
    table: Arc<Table>,
    /// Those of the rules, as they were last read.
    maps: Arc<[Arc<Map>]>,
}

/// Where transactions that begin find the routes as they are now: maps may change at any time.
pub type CurrentRoutes = ArcSwap<Routes>;

/// What changes with the configuration only.
#[derive(Debug)]
struct Table {
    rules: Vec<Rule>,
    /// Rules in their order, by what fits their recipients.
    by_recipient: HashMap<Box<str>, Vec<usize>>,
    /// Rules in their order that ask nothing of the recipient, or a map.
    others: Vec<usize>,
    default_upstream: Option<String>,
    /// The domain of a postmaster who has none (RFC 5321 section 4.5.1).
    hostname: String,
}

/// One route, but for its recipients.
#[derive(Debug)]
struct Rule {
    senders: Option<HashSet<Box<str>>>,
    listeners: Option<Vec<String>>,
    clients: Option<Vec<Network>>,
    users: Option<Vec<String>>,
    leads: Leads,
}

/// Where a rule leads.
#[derive(Debug)]
enum Leads {
    /// The place of a map.
    Map(usize),
    Upstream(String),
}

/// Whose way is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whom the message is for, and what plugins say of that.
    pub recipient: &'a Recipient,
    /// Who sends it.
    pub sender: &'a ReversePath,
    /// The listener's name.
    pub listener: &'a str,
    /// The listener's own upstream.
    pub listener_upstream: Option<&'a str>,
    /// Where the client is; none at a Unix socket, or where nobody knows.
    pub client: Option<IpAddr>,
    /// Who has logged in.
    pub user: Option<&'a str>,
}

/// Where a recipient goes, and who says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Way<'a> {
    /// A name from `upstreams`; a plugin may name one that is not there.
    pub upstream: &'a str,
    /// Who says so.
    pub by: By<'a>,
}

/// Who says where a recipient goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By<'a> {
    /// A plugin.
    Plugin,
    /// A route of the configuration, by its place there, counted from 0; what of it fits the
    /// recipient, if it asks for that; and the line, if that stands in a map.
    Route(usize, Option<&'a str>, Option<usize>),
    /// The listener's `upstream`.
    Listener,
    /// `default_upstream`.
    Default,
}

impl Routes {
    /// The routes of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut table = Table {
            rules: Vec::with_capacity(config.routes.len()),
            by_recipient: HashMap::new(),
            others: Vec::new(),
            default_upstream: config.default_upstream.clone(),
            hostname: config.hostname.to_ascii_lowercase(),
        };
        let mut maps = Vec::new();
        for route in &config.routes {
            table.add(route, &mut maps);
        }
        Self { table: Arc::new(table), maps: maps.into() }
    }

    /// The same with other maps in the places of these.
    fn with(&self, maps: Vec<Arc<Map>>) -> Self {
        Self { table: self.table.clone(), maps: maps.into() }
    }

    /// The upstream of a recipient: the one that a plugin named, else the first route that fits,
    /// else the listener's, else the default.
    #[must_use]
    pub fn way<'a>(&'a self, asked: &Asked<'a>) -> Option<Way<'a>> {
        if let Some(upstream) = asked.recipient.route.as_deref() {
            return Some(Way { upstream, by: By::Plugin });
        }
        let last = || {
            let listener = asked.listener_upstream.map(|upstream| (upstream, By::Listener));
            let default = || self.table.default_upstream.as_deref().zip(Some(By::Default));
            let (upstream, by) = listener.or_else(default)?;
            Some(Way { upstream, by })
        };
        if self.table.rules.is_empty() { last() } else { self.route(asked).or_else(last) }
    }

    /// The first route that fits.
    fn route<'a>(&'a self, asked: &Asked<'a>) -> Option<Way<'a>> {
        let table = &*self.table;
        let key = pattern_key(&asked.recipient.address, &table.hostname);
        let sender = OnceCell::new();
        let by_recipient = fitting(&key).filter_map(|key| table.by_recipient.get_key_value(key));
        let by_recipient = by_recipient.map(|(key, places)| (Some(&**key), places));
        let mut first: Option<(usize, Way<'a>)> = None;
        for (pattern, places) in by_recipient.chain([(None, &table.others)]) {
            for &place in places {
                if first.is_some_and(|(before, _)| before <= place) {
                    break;
                }
                let rule = &table.rules[place];
                if rule.fits(asked, &sender, &table.hostname)
                    && let Some(way) = self.end(place, rule, pattern, &key)
                {
                    first = Some((place, way));
                    break;
                }
            }
        }
        first.map(|(_, way)| way)
    }

    /// Where a rule leads that fits, if not to a map that says nothing.
    fn end<'a>(
        &'a self,
        place: usize,
        rule: &'a Rule,
        pattern: Option<&'a str>,
        key: &str,
    ) -> Option<Way<'a>> {
        match &rule.leads {
            Leads::Upstream(upstream) => {
                Some(Way { upstream, by: By::Route(place, pattern, None) })
            }
            Leads::Map(map) => {
                let entry = self.maps.get(*map)?.entry(key)?;
                let by = By::Route(place, Some(entry.pattern), Some(entry.line));
                Some(Way { upstream: entry.upstream, by })
            }
        }
    }
}

impl Table {
    fn add(&mut self, route: &config::Route, maps: &mut Vec<Arc<Map>>) {
        let place = self.rules.len();
        match &route.recipients {
            None => self.others.push(place),
            Some(patterns) => {
                for pattern in patterns {
                    let places = self.by_recipient.entry(pattern.as_str().into()).or_default();
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
            }
        }
        let set =
            |patterns: &Vec<Pattern>| patterns.iter().map(|one| one.as_str().into()).collect();
        self.rules.push(Rule {
            senders: route.senders.as_ref().map(set),
            listeners: route.listeners.clone(),
            clients: route.clients.clone(),
            users: route.users.clone(),
            leads: match &route.target {
                Target::Upstream(upstream) => Leads::Upstream(upstream.clone()),
                Target::Map(map) => {
                    maps.push(map.map.clone());
                    Leads::Map(maps.len() - 1)
                }
            },
        });
    }
}

impl Rule {
    /// Whether its conditions hold, but for that of the recipient.
    fn fits<'a>(&self, asked: &Asked<'a>, sender: &OnceCell<Cow<'a, str>>, hostname: &str) -> bool {
        let listener = |names: &Vec<String>| names.iter().any(|name| name == asked.listener);
        let client = |networks: &Vec<Network>| {
            asked.client.is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
        };
        let user = |users: &Vec<String>| {
            asked.user.is_some_and(|user| users.iter().any(|name| name == user || name == "*"))
        };
        let from = |senders: &HashSet<Box<str>>| {
            let key = sender.get_or_init(|| match asked.sender {
                ReversePath::Mailbox(mailbox) => {
                    Cow::Owned(pattern_key(mailbox, hostname).into_owned())
                }
                ReversePath::Null => Cow::Borrowed("<>"),
            });
            fitting(key).any(|key| senders.contains(key))
        };
        self.listeners.as_ref().is_none_or(listener)
            && self.clients.as_ref().is_none_or(client)
            && self.users.as_ref().is_none_or(user)
            && self.senders.as_ref().is_none_or(from)
    }
}

#[cfg(test)]
mod tests;
