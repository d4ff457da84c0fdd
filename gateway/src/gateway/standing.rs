//! What runs, and how a reload puts another configuration in its place.

use std::path::Path;
use std::sync::Arc;

use tokio::task::{JoinSet, spawn_blocking};
use tracing::{error, info, warn};

use crate::config::{self, Config, Mistakes, Place};
use crate::listener::CurrentTerms;
use crate::pipeline::Site;
use crate::queue::Spooling;
use crate::shutdown::Watcher;
use crate::tls::{Certificates, Renewal};
use crate::upstream::Upstreams;

use super::{Parts, StartError, certificates, logging, supervisor};

/// The configuration that is served, and where the next one takes its place.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) parts: Parts,
    /// For each listener.
    pub(super) stands: Vec<Stand>,
    /// For each worker.
    pub(super) upstreams: Vec<Arc<Upstreams>>,
    /// The same queue for each worker; empty where there is no spool.
    pub(super) spooling: Vec<Spooling>,
    /// Tasks that look after the certificates and maps of this configuration, and of no other.
    pub(super) renewals: JoinSet<()>,
}

/// Where the connections of one listener find what they need.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) listener: String,
    /// Everywhere it listens.
    pub(super) places: Vec<String>,
    /// What it shows to clients under TLS.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// For connections that come.
    pub(super) terms: Arc<CurrentTerms>,
    /// For transactions that begin; one for each worker.
    pub(super) sites: Vec<Arc<Site>>,
}

impl Standing {
    /// Looks after certificates and maps of routes until the shutdown, or until a reload.
    pub(super) fn renew(&mut self, renewals: Vec<Renewal>, watcher: &Watcher) {
        for renewal in renewals {
            self.renewals.spawn(renewal.run(watcher.clone()));
        }
        if let Some(maps) = self.parts.maps() {
            self.renewals.spawn(maps.run(watcher.clone()));
        }
    }

    /// Reads the configuration anew and serves it, if it has no mistake; otherwise nothing changes.
    /// What comes back is for whoever asked: warnings, or why not.
    pub(super) async fn reload(
        &mut self,
        file: &Path,
        watcher: &Watcher,
    ) -> Result<Mistakes, StartError> {
        supervisor::reloading();
        let reloaded = self.try_reload(file, watcher).await;
        supervisor::ready();
        self.parts.foundation.metrics.reloaded(reloaded.is_ok());
        self.show_reload(&reloaded);
        match &reloaded {
            Ok(_) => info!(file = %file.display(), "configuration reloaded"),
            Err(StartError::Configuration(mistakes)) => {
                for mistake in mistakes {
                    error!(place = %mistake.place, help = mistake.help, "{}", mistake.text);
                }
                error!(mistakes = mistakes.len(), "reload refused, the configuration stays");
            }
            Err(error) => error!(%error, "reload failed, the configuration stays"),
        }
        reloaded
    }

    async fn try_reload(&mut self, file: &Path, watcher: &Watcher) -> Result<Mistakes, StartError> {
        let path = file.to_owned();
        let read = spawn_blocking(move || config::load(&path)).await;
        let config = read.map_err(|_| unreadable(file))??;
        fixed(&self.parts.config, &config, file).or_fail()?;
        for warning in &config.warnings {
            warn!(place = %warning.place, "{}", warning.text);
        }
        let parts = Parts::after(Some(&self.parts), config).await?;
        self.replace(parts, watcher);
        self.show(Some(file));
        Ok(self.parts.warnings().clone())
    }

    /// From here on nothing can fail and nothing waits. Who began before ends with what was; that is
    /// dropped with the last of them.
    fn replace(&mut self, mut parts: Parts, watcher: &Watcher) {
        self.renewals = JoinSet::new();
        logging::renew(&self.parts.config.log, &parts.config.log);
        let among = self.upstreams.len();
        let share =
            |earlier: &Arc<Upstreams>| Arc::new(parts.upstreams.share(among, Some(earlier)));
        let upstreams: Vec<_> = self.upstreams.iter().map(share).collect();
        // First: what is accepted for an upstream that is new finds it there.
        if let Some(spooling) = self.spooling.first() {
            spooling.queue.replace(parts.conditions(), &upstreams);
        }
        let secured = std::mem::take(&mut parts.secured);
        let mut renewals = Vec::new();
        for (listener, secured) in parts.config.listeners.iter().zip(secured) {
            let named = |stand: &&mut Stand| stand.listener == listener.name;
            let Some(stand) = self.stands.iter_mut().find(named) else { continue };
            let (certificate, renewal) = secured.map(|one| (one.config, one.renewal)).unzip();
            stand.certificates = renewal.as_ref().map(Renewal::certificates).cloned();
            renewals.extend(renewal);
            stand.terms.store(Arc::new(parts.terms(listener, certificate)));
            for (worker, (site, upstreams)) in stand.sites.iter().zip(&upstreams).enumerate() {
                let spool = self.spooling.get(worker).cloned();
                site.rebuild(parts.house(listener, upstreams, spool));
            }
        }
        certificates::forget(&self.parts.config, Some(&parts.config), &parts.foundation.metrics);
        self.parts.forget_maps(&parts.config);
        parts.foundation.stores().start();
        parts.foundation.metrics.configuration_loaded(parts.bounds());
        (self.parts, self.upstreams) = (parts, upstreams);
        self.renew(renewals, watcher);
    }

    /// Says QUIT on what is idle.
    pub(super) fn close(&self) {
        self.upstreams.iter().for_each(|upstreams| upstreams.close());
    }
}

/// What only a restart changes. A reload that took the rest and left these would serve what stands
/// in no file.
fn fixed(now: &Config, wanted: &Config, file: &Path) -> Mistakes {
    let mut mistakes = Mistakes::default();
    let mut refuse = |place: &Place, what: &str| {
        let text = format!("{what} takes a restart, and the reload is refused as a whole");
        let help = "restart the gateway, or put it back and reload";
        mistakes.at(place, text, Some(help));
    };
    for listener in &wanted.listeners {
        let name = &listener.name;
        match now.listeners.iter().find(|other| other.name == *name) {
            None => refuse(&listener.place, &format!("the new listener \"{name}\"")),
            Some(other) if other.address != listener.address => {
                refuse(&listener.place, &format!("the new address of the listener \"{name}\""));
            }
            Some(other) if other.protocol != listener.protocol => {
                refuse(&listener.place, &format!("the new protocol of the listener \"{name}\""));
            }
            Some(_) => {}
        }
    }
    let whole = Place::file(file);
    for listener in &now.listeners {
        if !wanted.listeners.iter().any(|other| other.name == listener.name) {
            refuse(&whole, &format!("leaving out the listener \"{}\"", listener.name));
        }
    }
    if now.admin.address != wanted.admin.address {
        refuse(&wanted.admin.place, "a change of \"admin\"");
    }
    if kept(now) != kept(wanted) {
        let place = wanted.spool.as_ref().map_or(&whole, |spool| &spool.place);
        refuse(place, "a change of the spool's directory or bounds");
    }
    for (changed, key) in [
        (now.cache_directory != wanted.cache_directory, "cache_directory"),
        (now.limits != wanted.limits, "limits"),
    ] {
        if changed {
            refuse(&whole, &format!("a change of \"{key}\""));
        }
    }
    mistakes
}

/// What of the spool is made once.
fn kept(config: &Config) -> Option<(&Path, u64, u64, u64)> {
    let spool = config.spool.as_ref()?;
    Some((&spool.directory, spool.octets, spool.messages, spool.free_octets))
}

fn unreadable(file: &Path) -> StartError {
    let mut mistakes = Mistakes::default();
    mistakes.at(&Place::file(file), "reading the configuration failed", None);
    mistakes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl Fn(&str) -> String) -> Vec<String> {
        let text = "
hostname: mx.example.org
listeners:
  - {name: inbound, address: \"127.0.0.1:2525\"}
  - {name: local, address: \"unix:lmtp.sock\", protocol: lmtp}
upstreams: {next: {address: \"127.0.0.1:2526\"}}
default_upstream: next
limits: {connections: 10}
";
        let file = Path::new("portcullis.yaml");
        let now = config::parse(file, text).unwrap();
        let wanted = config::parse(file, change(text)).unwrap();
        fixed(&now, &wanted, file).iter().map(|mistake| mistake.text.clone()).collect()
    }

    #[test]
    fn what_takes_a_restart_is_named_and_the_rest_is_not() {
        let same = told(|text| {
            text.replace("next", "other")
                .replace("{name: inbound,", "{extensions: [], name: inbound,")
        });
        assert_eq!(same, [""; 0]);
        for (old, new, what) in [
            ("127.0.0.1:2525", "127.0.0.1:2524", "the new address of the listener \"inbound\""),
            (", protocol: lmtp", "", "the new protocol of the listener \"local\""),
            ("connections: 10", "connections: 11", "a change of \"limits\""),
            ("limits:", "admin: {address: none}\nlimits:", "a change of \"admin\""),
            ("limits:", "cache_directory: x\nlimits:", "a change of \"cache_directory\""),
            (
                "limits:",
                "spool: {directory: x}\nlimits:",
                "a change of the spool's directory or bounds",
            ),
        ] {
            let told = told(|text| text.replace(old, new));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("{what} takes a restart")), "{told:?}");
        }
        let renamed = told(|text| text.replace("inbound", "outbound"));
        assert!(renamed.iter().any(|text| text.contains("the new listener \"outbound\"")));
        assert!(renamed.iter().any(|text| text.contains("leaving out the listener \"inbound\"")));
    }
}
