//! Where one recipient goes.

use std::fmt;
use std::path::PathBuf;

use portcullis_smtp::Mailbox;
use serde::Serialize;

use super::{Inquiry, protocol};
use crate::config::{Config, Listener, Target, Upstream};
use crate::message::Recipient;
use crate::routing::{Asked, By, Routes};
use crate::upstream::mailbox_folder;

/// Where a recipient goes, as far as the configuration says it.
#[derive(Debug, Serialize)]
pub struct Way {
    /// The address.
    pub recipient: String,
    /// Who says where.
    pub decision: Decision,
    /// Where; none is nowhere.
    pub upstream: Option<Destination>,
    /// What the client is told where it is nowhere.
    pub reply: Option<&'static str>,
}

/// Who says where a recipient goes.
#[derive(Debug, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Decision {
    /// A route.
    Route {
        /// Counted from 1.
        number: usize,
        /// The configuration.
        file: PathBuf,
        /// Where the route begins there.
        line: usize,
        /// What of it fits the recipient, if it asks for that.
        pattern: Option<String>,
        /// The map that says it.
        map: Option<PathBuf>,
        /// Where it says so.
        map_line: Option<usize>,
    },
    /// The listener's `upstream`.
    Listener,
    /// `default_upstream`.
    Default,
    /// Nobody.
    Nobody,
}

/// An upstream.
#[derive(Debug, Serialize)]
pub struct Destination {
    /// Its name in the configuration.
    pub name: String,
    /// What is spoken there.
    pub protocol: &'static str,
    /// Where it is: an address, or of a mailbox its folder.
    pub address: Option<String>,
}

impl Way {
    pub(super) fn of(
        config: &Config,
        routes: &Routes,
        listener: &Listener,
        inquiry: &Inquiry,
        recipient: &Mailbox,
    ) -> Self {
        let asked =
            Recipient { index: 0, address: recipient.clone(), parameters: Vec::new(), route: None };
        let way = routes.way(&Asked {
            recipient: &asked,
            sender: &inquiry.sender,
            listener: &listener.name,
            listener_upstream: listener.upstream.as_deref(),
            client: inquiry.client,
            user: inquiry.user.as_deref(),
        });
        let upstream = way.and_then(|way| Destination::of(config, way.upstream, Some(recipient)));
        Self {
            recipient: recipient.to_string(),
            decision: way.map_or(Decision::Nobody, |way| Decision::of(config, way.by)),
            reply: upstream.is_none().then_some(NO_ROUTE),
            upstream,
        }
    }
}

impl Decision {
    fn of(config: &Config, by: By<'_>) -> Self {
        match by {
            // Nobody has asked a plugin.
            By::Plugin => Self::Nobody,
            By::Listener => Self::Listener,
            By::Default => Self::Default,
            By::Route(place, pattern, map_line) => {
                let route = config.routes.get(place);
                let map = route.and_then(|route| match &route.target {
                    Target::Map(map) => Some(map.file.path.clone()),
                    Target::Upstream(_) => None,
                });
                let place_in_file = route.map(|route| route.place.clone()).unwrap_or_default();
                Self::Route {
                    number: place + 1,
                    file: place_in_file.file,
                    line: place_in_file.line,
                    pattern: pattern.map(str::to_owned),
                    map,
                    map_line,
                }
            }
        }
    }
}

impl Destination {
    /// The upstream of this name, and there the mailbox of a recipient.
    pub(super) fn of(config: &Config, name: &str, recipient: Option<&Mailbox>) -> Option<Self> {
        let (protocol, address) = match config.upstreams.get(name)? {
            Upstream::Discard => ("discard", None),
            Upstream::Hop(hop) => {
                let addresses: Vec<_> =
                    hop.members.iter().map(|member| member.address.to_string()).collect();
                (protocol(hop.protocol), Some(addresses.join(", ")))
            }
            Upstream::Maildir(maildir) => {
                let folder = recipient.map(|to| mailbox_folder(maildir, to, &config.hostname));
                ("maildir", folder.map(|folder| folder.display().to_string()))
            }
        };
        Some(Self { name: name.to_owned(), protocol, address })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "<{}>", self.recipient)?;
        writeln!(f, "  {}", self.decision)?;
        match (&self.upstream, self.reply) {
            (Some(upstream), _) => writeln!(f, "  goes to {upstream}"),
            (None, reply) => writeln!(f, "  goes nowhere: {}", reply.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { number, file, line, pattern, map, map_line } => {
                write!(f, "route {number} ({}:{line})", file.display())?;
                if let Some(pattern) = pattern {
                    write!(f, ", by \"{pattern}\"")?;
                }
                if let (Some(map), Some(line)) = (map, map_line) {
                    write!(f, " ({}:{line})", map.display())?;
                }
                Ok(())
            }
            Self::Listener => f.write_str("no route fits: the listener's \"upstream\""),
            Self::Default => f.write_str("no route fits: \"default_upstream\""),
            Self::Nobody => f.write_str(
                "no route fits, and there is neither the listener's \"upstream\" nor a default",
            ),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.name, self.protocol)?;
        match &self.address {
            Some(address) if self.protocol == "maildir" => write!(f, " {address}"),
            Some(address) => write!(f, " at {address}"),
            None => Ok(()),
        }
    }
}

/// What the client hears of a recipient that goes nowhere.
const NO_ROUTE: &str = "550 5.7.1 no route to this recipient";
