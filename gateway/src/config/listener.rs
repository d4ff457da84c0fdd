//! Where mail comes in.

use std::time::Duration;

use portcullis_smtp::server::{BareNewlines, FutureRelease, Pipelining, Protocol};
use portcullis_smtp::{Grammar, Offers};

use super::address::ListenerAddress;
use super::auth::Auth;
use super::mistake::Place;
use super::scores::Scores;
use super::section::{Reader, Section};
use super::session::{SessionLimits, SessionTimeouts};
use super::tls::ListenerTls;
use super::tree::Node;
use super::trust::Trust;
use super::upstream::PROTOCOLS;
use super::{extensions, names};

/// One address where mail comes in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// In logs, metrics and the plugins' eyes.
    pub name: String,
    /// Where it listens.
    pub address: ListenerAddress,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Certificate and when TLS starts; none is clear text only.
    pub tls: Option<ListenerTls>,
    /// Who may log in; none is nobody.
    pub auth: Option<Auth>,
    /// Names of the plugins that judge here, in this order; all of them by default.
    pub plugins: Vec<String>,
    /// Goes before `default_upstream`.
    pub upstream: Option<String>,
    /// Where `quarantine` verdicts deliver to; without it they are a failure of the plugin.
    pub quarantine: Option<String>,
    /// Whether upstreams are asked before the client is answered, or afterwards.
    pub delivery: DeliveryMode,
    /// What SMTP tells of recipients that fare differently.
    pub mixed: Mixed,
    /// What follows from the points that plugins give; none is nothing.
    pub scores: Option<Scores>,
    /// How addresses are read.
    pub address_syntax: Grammar,
    /// What happens to a CR or LF that stands alone in content.
    pub bare_newlines: BareNewlines,
    /// What is offered beyond what always is.
    pub extensions: Offers,
    /// How long a message may be held, where FUTURERELEASE is offered.
    pub future_release: Option<FutureRelease>,
    /// How long the banner is held back.
    pub greeting_delay: Duration,
    /// What happens to clients that talk before the banner.
    pub early_talkers: EarlyTalkers,
    /// What happens to clients that do not wait where they must.
    pub pipelining: Pipelining,
    /// Bounds of one session.
    pub limits: SessionLimits,
    /// Deadlines of one session.
    pub timeouts: SessionTimeouts,
    /// Which peers may speak for others.
    pub trust: Trust,
    /// Where its address stands in the configuration, for errors that come up later.
    pub place: Place,
}

/// What happens to a client that talks while the banner is held back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EarlyTalkers {
    /// It is counted and noted in the log.
    Note,
    /// It gets 554.
    #[default]
    Refuse,
}

/// When upstreams are asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DeliveryMode {
    /// While the client waits: what they say is what it hears.
    #[default]
    Relay,
    /// After the message lies on the disk and the client was told yes.
    Spool,
}

/// What a client of SMTP is told, that has one answer for all recipients (no PRDR), where these go
/// to several upstreams or fare differently after the message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mixed {
    /// Recipients of a second upstream are to be sent again by themselves; of mixed answers the
    /// worst is told.
    #[default]
    DeferOthers,
    /// All upstreams at once; a yes where somebody took it, and the others wait in the spool.
    Spool,
    /// All upstreams at once, and the worst answer is told.
    Worst,
}

/// What a listener may refer to.
pub(super) struct Known<'a> {
    pub(super) plugins: &'a [&'a str],
    pub(super) upstreams: &'a [&'a str],
    pub(super) spool: bool,
    pub(super) limits: &'a SessionLimits,
    pub(super) timeouts: &'a SessionTimeouts,
}

impl Listener {
    pub(super) const KEYS: &'static [&'static str] = &[
        "address",
        "address_syntax",
        "auth",
        "bare_newlines",
        "delivery",
        "early_talkers",
        "extensions",
        "future_release",
        "greeting_delay",
        "limits",
        "mixed",
        "name",
        "pipelining",
        "plugins",
        "protocol",
        "quarantine",
        "scores",
        "socket_group",
        "socket_mode",
        "timeouts",
        "tls",
        "trust",
        "upstream",
    ];
    pub(super) const FUTURE_RELEASE_KEYS: &'static [&'static str] = extensions::FUTURE_RELEASE_KEYS;

    /// A listener, if it can be told what it is called and where it is.
    pub(super) fn read(reader: &Reader<'_>, node: &Node, known: &Known<'_>) -> Option<Self> {
        let section = Section::of(reader, "a listener", node, Self::KEYS);
        let name = names::name(&section);
        let given = section.entry("address");
        let address = ListenerAddress::read(&section);
        let protocol = section.choice_or("protocol", PROTOCOLS, Protocol::default());
        if let (Some(given), Protocol::Lmtp, Some(25)) =
            (given, protocol, address.as_ref().and_then(ListenerAddress::port))
        {
            let help = "port 24 is LMTP's own";
            reader.error(given.node.mark, "RFC 2033 section 5 forbids LMTP on port 25", Some(help));
        }
        let upstream = |key| {
            let text = section.text(key)?;
            Some(section.known_name("upstream", text, known.upstreams))
        };
        let delivery = section.choice_or("delivery", DELIVERY, DeliveryMode::default());
        for key in ["delivery", "mixed"] {
            if let (false, Some(word)) = (known.spool, section.text(key))
                && word.text == "spool"
            {
                let help = "add one: spool: {directory: /var/spool/portcullis}";
                reader.error(word.mark, "there is no spool to wait in", Some(help));
            }
        }
        let extensions = extensions::read(&section, protocol);
        let limits = section.section("limits", SessionLimits::KEYS).deferring_to("session.limits");
        let timeouts = section.section("timeouts", SessionTimeouts::KEYS);
        let timeouts = timeouts.deferring_to("session.timeouts");
        let tls = ListenerTls::read(&section);
        if matches!(address, Some(ListenerAddress::Unix(_))) && section.entry("tls").is_some() {
            let text = "there is no TLS over a Unix socket";
            reader.error(section.mark_of("tls"), text, Some("leave \"tls\" out"));
        }
        Some(Self {
            tls,
            auth: Auth::read(&section),
            plugins: plugins(&section, known.plugins),
            upstream: upstream("upstream"),
            quarantine: upstream("quarantine"),
            delivery,
            mixed: mixed(&section, protocol, delivery),
            scores: Scores::read(&section),
            address_syntax: section.choice_or("address_syntax", GRAMMARS, Grammar::default()),
            bare_newlines: section.choice_or("bare_newlines", NEWLINES, BareNewlines::default()),
            future_release: extensions::future_release(&section, extensions),
            extensions,
            greeting_delay: section.duration(
                "greeting_delay",
                Duration::ZERO..=Duration::from_mins(1),
                Duration::ZERO,
            ),
            early_talkers: section.choice_or("early_talkers", TALKERS, EarlyTalkers::default()),
            pipelining: section.choice_or("pipelining", PIPELINING, Pipelining::default()),
            limits: SessionLimits::read(&limits, known.limits),
            timeouts: SessionTimeouts::read(&timeouts, known.timeouts),
            trust: Trust::read(&section.section("trust", Trust::KEYS)),
            place: given.map(|entry| reader.place(entry.node.mark)).unwrap_or_default(),
            protocol,
            name: name?,
            address: address?,
        })
    }
}

/// What is taken in to be delivered later has somewhere to wait, and so have those who fare worse.
fn mixed(section: &Section<'_>, protocol: Protocol, delivery: DeliveryMode) -> Mixed {
    if let (Some(entry), Protocol::Lmtp) = (section.entry("mixed"), protocol) {
        let text = "over LMTP each recipient has its own answer, and there is nothing to mix";
        section.reader.error(entry.key.mark, text, Some("leave \"mixed\" out"));
    }
    let default = match delivery {
        DeliveryMode::Relay => Mixed::DeferOthers,
        DeliveryMode::Spool => Mixed::Spool,
    };
    match protocol {
        Protocol::Lmtp => default,
        Protocol::Smtp => section.choice_or("mixed", MIXED, default),
    }
}

fn plugins(section: &Section<'_>, known: &[&str]) -> Vec<String> {
    let plugins: Vec<String> = match section.words("plugins") {
        None => {
            section.by_default("plugins", format!("[{}]", known.join(", ")));
            known.iter().map(|name| (*name).to_owned()).collect()
        }
        Some(words) => {
            words.into_iter().map(|word| section.known_name("plugin", word, known)).collect()
        }
    };
    if plugins.is_empty() {
        let help = "list plugins here, or define some: without them, every mail passes";
        let text = "nobody filters what comes in here";
        section.reader.warn(section.mark_of("plugins"), text, Some(help));
    }
    plugins
}

const DELIVERY: &[(&str, DeliveryMode)] =
    &[("relay", DeliveryMode::Relay), ("spool", DeliveryMode::Spool)];

const MIXED: &[(&str, Mixed)] =
    &[("defer-others", Mixed::DeferOthers), ("spool", Mixed::Spool), ("worst", Mixed::Worst)];

const GRAMMARS: &[(&str, Grammar)] = &[("lenient", Grammar::Lenient), ("strict", Grammar::Strict)];

const NEWLINES: &[(&str, BareNewlines)] =
    &[("normalize", BareNewlines::Normalize), ("refuse", BareNewlines::Refuse)];

const TALKERS: &[(&str, EarlyTalkers)] =
    &[("note", EarlyTalkers::Note), ("refuse", EarlyTalkers::Refuse)];

const PIPELINING: &[(&str, Pipelining)] = &[
    ("lenient", Pipelining::Lenient),
    ("refuse", Pipelining::Refuse),
    ("disconnect", Pipelining::Disconnect),
];
