//! Where one recipient goes.

use std::fmt;
use std::path::PathBuf;

use portcullis_smtp::{Mailbox, ReversePath};
use serde::Serialize;

use super::{Inquiry, Stage, protocol};
use crate::config::{Config, Target, Upstream};
use crate::message::Recipient;
use crate::routing::{Asked, By, Routes};
use crate::upstream::mailbox_folder;

/// Where a recipient goes.
#[derive(Clone, Debug, Serialize)]
pub struct Way {
    /// The address, as plugins have left it.
    pub recipient: String,
    /// The address that the client said, if that is another one; none where plugins added it, too.
    pub said: Option<String>,
    /// Whether a plugin added it.
    pub added: bool,
    /// Who says where it goes.
    pub decision: Decision,
    /// Where; none is nowhere.
    pub upstream: Option<Destination>,
    /// What is said of it: at RCPT where that is a no, or in the end.
    pub reply: Option<String>,
    /// Whether that is a no.
    pub refused: bool,
    /// Whether the conversation came to it.
    pub asked: bool,
}

/// Who says where a recipient goes.
#[derive(Clone, Debug, Serialize)]
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
    /// A plugin took it out: the client hears yes.
    Dropped,
    /// Nobody: a plugin refused it first.
    Refused {
        /// Its name.
        plugin: String,
    },
    /// A plugin.
    Plugin,
    /// A plugin that put the message into quarantine.
    Quarantine,
}

/// An upstream.
#[derive(Clone, Debug, Serialize)]
pub struct Destination {
    /// Its name in the configuration.
    pub name: String,
    /// What is spoken there.
    pub protocol: &'static str,
    /// Where it is: an address, or of a mailbox its folder.
    pub address: Option<String>,
}

impl Way {
    /// The way of a recipient as it is now, of a message from this sender.
    pub(super) fn of(
        stage: &Stage<'_>,
        routes: &Routes,
        inquiry: &Inquiry,
        sender: &ReversePath,
        recipient: &Recipient,
    ) -> Self {
        let Stage { config, listener, .. } = stage;
        let way = routes.way(&Asked {
            recipient,
            sender,
            listener: &listener.name,
            listener_upstream: listener.upstream.as_deref(),
            client: inquiry.client,
            user: inquiry.user.as_deref(),
        });
        let address = &recipient.address;
        let upstream = way.and_then(|way| Destination::of(config, way.upstream, Some(address)));
        Self {
            recipient: address.to_string(),
            said: None,
            added: false,
            decision: way.map_or(Decision::Nobody, |way| Decision::of(config, way.by)),
            reply: None,
            refused: false,
            asked: false,
            upstream,
        }
    }
}

impl Decision {
    fn of(config: &Config, by: By<'_>) -> Self {
        match by {
            By::Plugin => Self::Plugin,
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
        write!(f, "<{}>", self.recipient)?;
        match (&self.said, self.added) {
            (_, true) => f.write_str(", added by a plugin")?,
            (Some(said), false) => write!(f, ", for <{said}>")?,
            (None, false) => {}
        }
        writeln!(f, "\n  {}", self.decision)?;
        match &self.upstream {
            Some(upstream) if self.refused || !self.asked => {
                writeln!(f, "  would go to {upstream}")?
            }
            Some(upstream) => writeln!(f, "  goes to {upstream}")?,
            None if matches!(self.decision, Decision::Refused { .. }) => {}
            None => writeln!(f, "  goes nowhere")?,
        }
        match &self.reply {
            Some(reply) => writeln!(f, "  {reply}"),
            None => Ok(()),
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
            Self::Dropped => f.write_str("a plugin took it out, and the client hears yes"),
            Self::Refused { plugin } => write!(f, "refused by the plugin \"{plugin}\""),
            Self::Plugin => f.write_str("a plugin says where"),
            Self::Quarantine => f.write_str("the message is put into quarantine"),
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
