//! What concerns more than one section.

use std::net::{IpAddr, SocketAddr};

use portcullis_smtp::server::Protocol;

use super::section::{Entry, Section};
use super::{
    Config, Grant, Listener, ListenerAddress, Place, Route, Target, Upstream, UpstreamAddress,
    quantity,
};

/// Checks a configuration as a whole.
pub(super) fn check(config: &Config, section: &Section<'_>, upstreams: &[Entry<'_>]) {
    addresses(config, section);
    for listener in &config.listeners {
        destination(config, section, listener);
        dead_ends(config, section, listener);
        storage(config, section, listener);
        passwords(section, listener);
    }
    strangers(config, section);
    unused(config, section, upstreams);
    loops(config, section, upstreams);
    copies(config, section);
    super::store::check(config, section);
    super::spool::check(config, section);
}

/// Nobody can listen twice at an address.
fn addresses(config: &Config, section: &Section<'_>) {
    let admin = config.admin.addresses.iter().chain(&config.admin.metrics);
    let admin = admin.map(|address| (address.at.clone(), &address.place, "admin"));
    let listeners = config.listeners.iter();
    let listeners =
        listeners.map(|listener| (listener.address.clone(), &listener.place, &*listener.name));
    let mut seen: Vec<(ListenerAddress, &Place, &str)> = Vec::new();
    for (address, place, name) in listeners.chain(admin) {
        if let Some((other, _, earlier)) = seen.iter().find(|(seen, ..)| same(seen, &address)) {
            let text = format!("\"{earlier}\" listens at {other} already");
            let help = match address {
                ListenerAddress::Ip(_) => "every listener needs a port of its own",
                ListenerAddress::Unix(_) | ListenerAddress::Systemd(_) => {
                    "every listener needs a socket of its own"
                }
            };
            section.reader.error_at(place, text, Some(help));
        }
        seen.push((address, place, name));
    }
}

fn same(a: &ListenerAddress, b: &ListenerAddress) -> bool {
    match (a, b) {
        (ListenerAddress::Ip(a), ListenerAddress::Ip(b)) => overlap(*a, *b),
        (ListenerAddress::Unix(a), ListenerAddress::Unix(b)) => a.path == b.path,
        (a, b) => a == b,
    }
}

/// Whether the system would refuse the second of two addresses. Port 0 is a new one each time;
/// `[::]` takes IPv4, too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let takes = |a: SocketAddr, b: SocketAddr| {
        a.ip().is_unspecified() && (a.is_ipv6() || a.is_ipv4() == b.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}

/// Clients that open transactions and wait hold copies of plugins; they must not get all of them.
fn copies(config: &Config, section: &Section<'_>) {
    let limits = &config.limits;
    let wanted = limits.connections.saturating_mul(config.plugins.len());
    if wanted <= limits.plugin_copies as usize {
        return;
    }
    let text = format!(
        "{} connections with {} plugins may need {wanted} copies, and \"plugin_copies\" is {}",
        limits.connections,
        config.plugins.len(),
        limits.plugin_copies
    );
    let help = "idle transactions could use them up, and all others would get 451: \
                more \"plugin_copies\" or fewer \"connections\"";
    section.reader.warn(section.mark_of("limits"), text, Some(help));
}

/// Mail that comes in must be able to leave.
fn destination(config: &Config, section: &Section<'_>, listener: &Listener) {
    let routed = config.plugins.iter().any(|plugin| {
        plugin.grants.contains(&Grant::Route) && listener.plugins.contains(&plugin.name)
    });
    let name = &listener.name;
    let mut routes = config.routes.iter().filter(|route| route.is_for(name)).peekable();
    let leads_nowhere = routes.peek().is_none() && !routed;
    let complete = listener.upstream.is_some()
        || config.default_upstream.is_some()
        || routes.any(Route::takes_all);
    if complete || config.upstreams.is_empty() {
        return;
    }
    let help = "give the listener an \"upstream\", or a \"default_upstream\" for all of them";
    if leads_nowhere {
        let text = format!("what comes in at \"{name}\" has nowhere to go");
        section.reader.error_at(&listener.place, text, Some(help));
    } else {
        let text = format!("recipients at \"{name}\" that no route takes get 550 5.7.1");
        let help = format!("right where only your own domains are taken; else {help}");
        section.reader.warn_at(&listener.place, text, Some(&help));
    }
}

impl Config {
    /// Whether a listener hands on what no route takes, to another server that may hand it on in turn.
    #[must_use]
    pub fn sends_on(&self, listener: &Listener) -> bool {
        let last = listener.upstream.as_ref().or(self.default_upstream.as_ref());
        let routes = self.routes.iter().filter(|route| route.is_for(&listener.name));
        let open = routes.filter(|route| route.takes_all());
        let routed = open.filter_map(|route| match &route.target {
            Target::Upstream(name) => Some(name),
            Target::Map(_) => None,
        });
        let hands_on = |name: &String| matches!(self.upstreams.get(name), Some(Upstream::Hop(hop)) if hop.protocol == Protocol::Smtp);
        last.into_iter().chain(routed).any(hands_on)
    }
}

/// Where mail is forgotten unless somebody says otherwise.
fn dead_ends(config: &Config, section: &Section<'_>, listener: &Listener) {
    let forgets = |name: &&String| matches!(config.upstreams.get(*name), Some(Upstream::Discard));
    let last = listener.upstream.as_ref().or(config.default_upstream.as_ref());
    let name = &listener.name;
    for (upstream, text) in [
        (last, format!("mail at \"{name}\" that no route takes is forgotten")),
        (listener.quarantine.as_ref(), format!("what is quarantined at \"{name}\" is forgotten")),
    ] {
        if let Some(upstream) = upstream.filter(forgets) {
            let help = format!("it goes to \"{upstream}\", which is \"protocol: discard\"");
            section.reader.warn_at(&listener.place, text, Some(&help));
        }
    }
}

/// Routes for users where nobody can log in.
fn strangers(config: &Config, section: &Section<'_>) {
    for route in config.routes.iter().filter(|route| route.users.is_some()) {
        let mut listeners = config.listeners.iter().filter(|one| route.is_for(&one.name));
        if !listeners.any(|listener| listener.auth.is_some()) && !config.listeners.is_empty() {
            let text =
                "nothing ever comes to this route: it is for \"users\", and nobody can log in";
            let help = "listeners whose users it is for need an \"auth\"";
            section.reader.error_at(&route.place, text, Some(help));
        }
    }
}

/// A message as large as is announced must fit somewhere.
fn storage(config: &Config, section: &Section<'_>, listener: &Listener) {
    let room = config.limits.content_disk_octets;
    let memory = config.limits.message_memory_octets;
    let octets = listener.limits.message_octets;
    if octets > room && octets > memory {
        let text = format!(
            "\"{}\" announces messages of {}, and there is room for {}",
            listener.name,
            quantity::show_size(octets),
            quantity::show_size(room),
        );
        let help = "\"content_disk\" in \"limits\" must hold at least one message";
        section.reader.error_at(&listener.place, text, Some(help));
    }
}

/// Passwords in clear text stay on this machine, or else somebody reads them.
fn passwords(section: &Section<'_>, listener: &Listener) {
    let insecure = listener.auth.as_ref().filter(|auth| auth.allow_insecure);
    if let Some(auth) = insecure
        && !matches!(listener.address, ListenerAddress::Unix(_))
        && !listener.address.ip().is_some_and(|address| address.ip().is_loopback())
    {
        let text =
            format!("passwords for \"{}\" may cross the network in clear text", listener.name);
        let help = "leave \"allow_insecure\" out, and clients log in under TLS only";
        section.reader.warn_at(&auth.place, text, Some(help));
    }
}

/// What is defined and never used was meant for something.
fn unused(config: &Config, section: &Section<'_>, upstreams: &[Entry<'_>]) {
    let reader = section.reader;
    for plugin in &config.plugins {
        if !config.listeners.iter().any(|listener| listener.plugins.contains(&plugin.name)) {
            let text = format!("no listener asks the plugin \"{}\"", plugin.name);
            reader.warn_at(&plugin.place, text, Some("add it to a listener's \"plugins\""));
        }
    }
    if config.plugins.iter().any(|plugin| plugin.grants.contains(&Grant::Route)) {
        return;
    }
    for entry in upstreams {
        let name = Some(entry.key.text);
        let used = config.default_upstream.as_deref() == name
            || config.routes.iter().any(|route| route.leads_to(entry.key.text))
            || config.listeners.iter().any(|listener| {
                listener.upstream.as_deref() == name || listener.quarantine.as_deref() == name
            });
        if !used {
            let text = format!("nothing goes to the upstream \"{}\"", entry.key.text);
            let help = "no listener, no route and no plugin with the \"route\" grant uses it";
            reader.warn(entry.key.mark, text, Some(help));
        }
    }
}

/// An upstream that is the gateway itself.
fn loops(config: &Config, section: &Section<'_>, upstreams: &[Entry<'_>]) {
    for (name, upstream) in &config.upstreams {
        let Upstream::Hop(hop) = upstream else { continue };
        let here = |listener: &&Listener| {
            hop.members.iter().any(|member| is_here(&member.address, &listener.address))
        };
        if let Some(listener) = config.listeners.iter().find(here) {
            let text = format!("the upstream \"{name}\" is the listener \"{}\"", listener.name);
            let help = match listener.protocol {
                Protocol::Smtp => "mail may go round until \"received_hops\" ends it",
                Protocol::Lmtp => "mail may go round",
            };
            let entry = upstreams.iter().find(|entry| entry.key.text == name);
            let mark = entry.map_or(section.mark, |entry| entry.key.mark);
            section.reader.warn(mark, text, Some(help));
        }
    }
}

fn is_here(upstream: &UpstreamAddress, listener: &ListenerAddress) -> bool {
    match (upstream, listener) {
        (UpstreamAddress::Tcp { host, port }, ListenerAddress::Ip(address)) => {
            let ip: Option<IpAddr> = match host.as_str() {
                "localhost" => Some([127, 0, 0, 1].into()),
                host => host.parse().ok(),
            };
            let same = ip.is_some_and(|ip| {
                ip == address.ip() || address.ip().is_unspecified() && ip.is_loopback()
            });
            address.port() == *port && same
        }
        (UpstreamAddress::Unix(path), ListenerAddress::Unix(socket)) => *path == socket.path,
        _ => false,
    }
}
