//! What `portcullis check` finds: the preparations of `run`, up to the last mistake instead of the first,
//! and what an operator wants to see before mail depends on it.

use std::path::Path;

use crate::config::{
    self, Config, Hop, ListenerAddress, Mistake, Mistakes, Severity, Upstream, UpstreamTlsMode,
};
use crate::policy::{Hook, Plugin};

use super::{Parts, StartError, certificates, sockets};

/// All that is to be said of a configuration.
#[derive(Debug, Default)]
pub struct Examination {
    /// What is wrong, and what is legal but dangerous, in the order of the file.
    pub mistakes: Mistakes,
    /// Whether the configuration, or a file that it names, is at fault; otherwise it is the machine, where
    /// an address is taken.
    pub misconfigured: bool,
    /// What went wrong that is not in any file.
    pub troubles: Vec<String>,
    /// What is as it should be, and good to know.
    pub notes: Vec<String>,
    /// Where mail comes in: name, address, protocol and TLS.
    pub listeners: Vec<ExaminedListener>,
    /// The certificates of the listeners.
    pub certificates: Vec<ExaminedCertificate>,
    /// Where mail goes.
    pub upstreams: Vec<ExaminedUpstream>,
    /// What judges it.
    pub plugins: Vec<ExaminedPlugin>,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ExaminedListener {
    /// Its name.
    pub name: String,
    /// Where it listens, as the configuration has it.
    pub address: String,
    /// `smtp` or `lmtp`.
    pub protocol: String,
    /// `starttls`, `implicit` or `none`.
    pub tls: &'static str,
}

/// A certificate of a listener.
#[derive(Clone, Debug)]
pub struct ExaminedCertificate {
    /// The listener's name.
    pub listener: String,
    /// The file.
    pub file: String,
    /// Whom it is for.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// Whole days until then.
    pub days: i64,
}

/// An upstream.
#[derive(Clone, Debug)]
pub struct ExaminedUpstream {
    /// Its name.
    pub name: String,
    /// `smtp`, `lmtp`, `maildir` or `discard`.
    pub protocol: String,
    /// Where it is.
    pub addresses: Vec<String>,
    /// When there is TLS on the way.
    pub tls: String,
}

/// A plugin that was loaded.
#[derive(Clone, Debug)]
pub struct ExaminedPlugin {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// When it is asked.
    pub hooks: Vec<&'static str>,
    /// What it may do, as the configuration has it.
    pub grants: serde_json::Value,
    /// The files whose texts it gets: name, path, lines.
    pub files: Vec<(String, String, usize)>,
    /// Whether its file is pinned by a digest.
    pub pinned: bool,
}

fn examined(file: &config::PluginFile) -> (String, String, usize) {
    (file.name.clone(), file.path.display().to_string(), file.text.lines().count())
}

impl Examination {
    /// Whether it could be served as it is.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        self.troubles.is_empty() && !self.has_errors()
    }

    fn has_errors(&self) -> bool {
        self.mistakes.iter().any(|mistake| mistake.severity == Severity::Error)
    }

    fn prepared(&mut self, parts: &Parts) {
        let config = &parts.config;
        let entries = config.effective.entries();
        for plugin in &parts.plugins {
            let name = plugin.name();
            let Some(configured) = config.plugins.iter().find(|one| one.name == name) else {
                continue;
            };
            let grants =
                entries.iter().find(|entry| entry.key == format!("plugins[{name}].grants"));
            self.plugins.push(ExaminedPlugin {
                name: name.to_owned(),
                file: configured.file.display().to_string(),
                hooks: Hook::ALL
                    .into_iter()
                    .filter(|hook| plugin.answers(*hook))
                    .map(Hook::label)
                    .collect(),
                grants: grants.map(|entry| entry.value.clone()).unwrap_or_default(),
                files: configured.files.iter().map(examined).collect(),
                pinned: !configured.pins.is_empty(),
            });
        }
        for (listener, facts) in parts.certificates() {
            let days = certificates::days_left(&facts);
            self.certificates.push(ExaminedCertificate {
                listener: listener.to_owned(),
                file: facts.file.display().to_string(),
                names: facts.names.clone(),
                not_after: facts.not_after,
                days,
            });
        }
    }

    /// What needs no preparation.
    fn named(&mut self, config: &Config) {
        for listener in &config.listeners {
            self.listeners.push(ExaminedListener {
                name: listener.name.clone(),
                address: listener.address.to_string(),
                protocol: format!("{:?}", listener.protocol).to_lowercase(),
                tls: match listener.tls.as_ref().map(|tls| tls.mode) {
                    None => "none",
                    Some(config::TlsMode::Implicit) => "implicit",
                    Some(config::TlsMode::Starttls) => "starttls",
                },
            });
        }
        for (name, upstream) in &config.upstreams {
            let (protocol, addresses, tls) = match upstream {
                Upstream::Discard => ("discard".to_owned(), Vec::new(), "none"),
                Upstream::Maildir(maildir) => {
                    let root = maildir.root.display().to_string();
                    ("maildir".to_owned(), vec![root], "none")
                }
                Upstream::Hop(hop) => (
                    format!("{:?}", hop.protocol).to_lowercase(),
                    hop.members.iter().map(|member| member.address.to_string()).collect(),
                    way(hop),
                ),
            };
            let (name, tls) = (name.clone(), tls.to_owned());
            self.upstreams.push(ExaminedUpstream { name, protocol, addresses, tls });
        }
    }
}

fn way(hop: &Hop) -> &'static str {
    match hop.tls.mode {
        UpstreamTlsMode::Implicit => "implicit",
        UpstreamTlsMode::None => "none",
        UpstreamTlsMode::Opportunistic => "opportunistic",
        UpstreamTlsMode::Required => "required",
        UpstreamTlsMode::Starttls => "starttls",
    }
}

/// Examines a configuration and everything that it names. With `network`, whether its listeners could
/// be opened now.
pub async fn examine(file: &Path, network: bool) -> Examination {
    let mut examination = Examination::default();
    let config::Survey { config, mistakes } = config::survey(file);
    let flawless = mistakes.is_empty();
    let mut found: Vec<Mistake> = mistakes.iter().cloned().collect();
    let mut elsewhere: Vec<Mistake> = Vec::new();
    if let Some(config) = config {
        examination.named(&config);
        if network {
            let sockets::Found { mistakes, notes } = sockets::examine(&config).await;
            examination.notes = notes;
            elsewhere.extend(mistakes.iter().cloned());
        }
        found.extend(config.warnings.iter().cloned());
        let secrets = config.secrets.clone();
        match Parts::prepare(config).await {
            Ok(parts) => {
                examination.prepared(&parts);
                let earlier = found.clone();
                let warnings = parts.warnings().iter().filter(|one| !earlier.contains(one));
                found.extend(warnings.cloned());
                if flawless {
                    found.extend(dangers(&parts).iter().cloned());
                }
            }
            Err(StartError::Configuration(mistakes)) => {
                found.extend(secrets.hidden_in(&mistakes).iter().cloned());
            }
            Err(error) => examination.troubles.push(with_causes(&error)),
        }
    }
    found
        .iter_mut()
        .filter(|one| certificates::is_over(one))
        .for_each(|one| one.severity = Severity::Error);
    examination.misconfigured = found.iter().any(|one| one.severity == Severity::Error);
    let mut all = Mistakes::default();
    for mistake in found.into_iter().chain(elsewhere) {
        if !all.iter().any(|known| *known == mistake) {
            all.push(mistake);
        }
    }
    examination.mistakes = all;
    examination
}

/// What only somebody who has loaded everything can warn of.
fn dangers(parts: &Parts) -> Mistakes {
    let mut dangers = Mistakes::default();
    unpinned(parts, &mut dangers);
    open_relays(parts, &mut dangers);
    dangers
}

/// An error with its causes, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn unpinned(parts: &Parts, dangers: &mut Mistakes) {
    let config = &parts.config;
    let free: Vec<_> = config.plugins.iter().filter(|plugin| plugin.pins.is_empty()).collect();
    let [first, ..] = free[..] else { return };
    if free.len() < config.plugins.len() {
        return;
    }
    let names: Vec<_> = free.iter().map(|plugin| format!("\"{}\"", plugin.name)).collect();
    let text = format!("whoever can write the files of {} decides about mail", names.join(", "));
    let command = config::lock_command(&first.place.file);
    let help = format!("pin them by their digests: {command}; or give each a \"sha256\"");
    dangers.warn(&first.place, text, Some(&help));
}

/// Listeners through which anybody can write to anybody.
fn open_relays(parts: &Parts, dangers: &mut Mistakes) {
    let config = &parts.config;
    for listener in &config.listeners {
        let loopback = match &listener.address {
            ListenerAddress::Ip(address) => address.ip().to_canonical().is_loopback(),
            ListenerAddress::Unix(_) => true,
            ListenerAddress::Systemd(_) => false,
        };
        let asked = |name: &str| listener.plugins.iter().any(|asked| asked == name);
        let known = listener.auth.as_ref().is_some_and(|auth| auth.required);
        let judges = |name| config.plugins.iter().any(|one| one.name == name && may_judge(one));
        let mut asked_at_rcpt = parts.plugins.iter().filter(|plugin| plugin.answers(Hook::Rcpt));
        let limited = asked_at_rcpt.any(|plugin| asked(plugin.name()) && judges(plugin.name()));
        if loopback || known || limited || !config.sends_on(listener) {
            continue;
        }
        let text = format!("anybody can send mail to anybody through \"{}\"", listener.name);
        let help = "no plugin there judges recipients, and nobody has to log in: ask the plugin \
                    \"recipients\", give routes for your own domains instead of an upstream for all, \
                    or \"auth: {required: true}\". Right only if the upstream itself refuses strangers";
        dangers.warn(&listener.place, text, Some(help));
    }
}

/// Whether a plugin that is asked about recipients may be there to say whose mail is taken.
fn may_judge(plugin: &config::Plugin) -> bool {
    plugin.file.file_stem().is_none_or(|name| !TAKE_FOR_ANYBODY.iter().any(|known| name == *known))
}

/// The bundled plugins that are asked about recipients, and refuse nobody because the domain is a stranger's.
const TAKE_FOR_ANYBODY: [&str; 6] =
    ["bounces", "dnsbl", "greylist", "ratelimit", "routing", "tarpit"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_bundled_plugin_that_is_asked_about_recipients_it_is_known_whether_it_judges_them() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/README.md");
        let table = std::fs::read_to_string(table).unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| [`")?.split_once("`]"));
        let asked = |row: &str| row.split('|').nth(1).is_some_and(|hooks| hooks.contains("rcpt"));
        let asked: Vec<_> = rows.filter(|(_, row)| asked(row)).map(|(name, _)| name).collect();
        let plugin = |name: &str| config::Plugin::new("own", format!("plugins/{name}.wasm").into());
        let judges = asked.iter().filter(|name| may_judge(&plugin(name)));
        assert_eq!(judges.collect::<Vec<_>>(), [&"recipients", &"webhook"]);
        assert_eq!(asked.len(), TAKE_FOR_ANYBODY.len() + 2);
        assert!(may_judge(&plugin("ours")));
    }
}
