//! The listeners' certificates at the start: loaded, and looked at for what an operator should know.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use tracing::warn;

use crate::config::{Config, Listener, ListenerTls, Mistake, Mistakes};
use crate::metrics::Metrics;
use crate::tls::{self, CertificateFacts, Certificates, Renewal};

use super::desk::{self, Admittance};

/// TLS of a listener, ready for use.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) config: Arc<ServerConfig>,
    pub(super) renewal: Renewal,
}

/// TLS of each listener, in their order; what is wrong goes to the mistakes.
pub(super) fn load(
    config: &Config,
    metrics: &Metrics,
    mistakes: &mut Mistakes,
) -> Vec<Option<Secured>> {
    let listeners = config.listeners.iter();
    listeners
        .map(|listener| {
            let tls = listener.tls.as_ref()?;
            secure(listener, tls, metrics, mistakes)
        })
        .collect()
}

/// How certificates are shown to clients.
pub(super) type Shown = (Arc<ServerConfig>, Arc<Certificates>);

/// What looks after certificates, and how each listener shows them.
pub(super) fn divide(secured: Vec<Option<Secured>>) -> (Vec<Renewal>, Vec<Option<Shown>>) {
    let mut renewals = Vec::new();
    let shown = secured.into_iter().map(|secured| {
        let Secured { config, renewal } = secured?;
        let certificates = renewal.certificates().clone();
        renewals.push(renewal);
        Some((config, certificates))
    });
    let shown = shown.collect();
    (renewals, shown)
}

/// All that are shown, by listener.
pub(super) fn all(
    config: &Config,
    secured: &[Option<Secured>],
    admittance: Option<&Admittance>,
) -> Vec<(String, Arc<Certificates>)> {
    let listeners = config.listeners.iter().zip(secured).filter_map(|(listener, secured)| {
        Some((listener.name.clone(), secured.as_ref()?.renewal.certificates().clone()))
    });
    let admin = admittance.and_then(|admittance| admittance.renewal.as_ref());
    let admin = admin.map(|renewal| (desk::NAME.to_owned(), renewal.certificates().clone()));
    listeners.chain(admin).collect()
}

fn secure(
    listener: &Listener,
    tls: &ListenerTls,
    metrics: &Metrics,
    mistakes: &mut Mistakes,
) -> Option<Secured> {
    let metrics = metrics.listener(&listener.name);
    let renewal = match Renewal::begin(&listener.name, &tls.certificates, metrics) {
        Ok(renewal) => renewal,
        Err(errors) => {
            for (place, error) in errors {
                mistakes.at(&place, error.to_string(), None);
            }
            return None;
        }
    };
    match tls::server_config(renewal.certificates().clone(), tls.minimum, &tls.clients) {
        Ok(config) => Some(Secured { config, renewal }),
        Err(error) => {
            mistakes.at(&listener.place, error.to_string(), None);
            None
        }
    }
}

/// Certificates that end soon, have ended, or are for somebody else.
pub(super) fn warn_of(config: &mut Config, secured: &[Option<Secured>]) {
    let now = now();
    for (listener, secured) in config.listeners.iter().zip(secured) {
        let (Some(tls), Some(secured)) = (&listener.tls, secured) else { continue };
        let all = secured.renewal.certificates().facts();
        for (files, facts) in tls.certificates.iter().zip(&all) {
            let days = days(facts.not_after - now);
            let text = match days {
                ..0 => format!("{OVER} {} days ago", -days),
                DAYS.. => continue,
                _ => format!("this certificate ends in {days} days"),
            };
            warn!(place = %files.place, "{text}");
            let help = "replace both files; the gateway reads them again by itself";
            config.warnings.warn(&files.place, text, Some(help));
        }
        let covered = all.iter().any(|facts| facts.covers(&config.hostname));
        if let (false, Some(files)) = (covered, tls.certificates.first()) {
            let text =
                format!("no certificate of \"{}\" is for \"{}\"", listener.name, config.hostname);
            let names = all.iter().flat_map(|facts| &facts.names);
            let names: Vec<&str> = names.map(String::as_str).collect();
            let help = format!("clients that verify go elsewhere; they are for {}", list(&names));
            warn!(place = %files.place, "{text}");
            config.warnings.warn(&files.place, text, Some(&help));
        }
    }
}

/// Whether this is about a certificate that has ended. Mail still comes and goes with it where nobody
/// verifies, so that a gateway serves rather than not; a check need not be so lenient.
pub(super) fn is_over(mistake: &Mistake) -> bool {
    mistake.text.starts_with(OVER)
}

/// Takes certificates out of the metrics that one configuration names and the one that runs does not.
pub(super) fn forget(gone: &Config, runs: Option<&Config>, metrics: &Metrics) {
    let here: Vec<_> = runs.into_iter().flat_map(files).collect();
    for (listener, file) in files(gone).filter(|file| !here.contains(file)) {
        metrics.listener(listener).certificate_gone(&file.to_string_lossy());
    }
}

/// The certificates of all listeners, by the listener's name.
fn files(config: &Config) -> impl Iterator<Item = (&str, &Path)> {
    let listeners = config.listeners.iter().flat_map(|listener| {
        let pairs = listener.tls.iter().flat_map(|tls| &tls.certificates);
        pairs.map(|files| (&*listener.name, &*files.certificate))
    });
    let admin = config.admin.tls.iter().map(|tls| (desk::NAME, &*tls.certificate.certificate));
    listeners.chain(admin)
}

/// Whole days until it ends.
pub(super) fn days_left(facts: &CertificateFacts) -> i64 {
    days(facts.not_after - now())
}

/// Whether an operator should know that so few days are left.
pub(super) fn ends_soon(days: i64) -> bool {
    days < DAYS
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Whole days, rounded down.
fn days(seconds: i64) -> i64 {
    seconds.div_euclid(24 * 60 * 60)
}

const OVER: &str = "this certificate ended";

/// From how many days on there is nothing to say: those who renew by machine do it a month before the
/// end, so that this means that something does not work.
const DAYS: i64 = 14;
