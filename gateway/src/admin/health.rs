//! Whether the gateway lives, has started, and is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{Answer, Ask, Offer, Status};
use crate::queue::Queue;

/// Something to be looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Note {
    /// What it is about, in one word of a closed set.
    pub what: &'static str,
    /// For people.
    pub text: String,
}

/// Why the gateway is not ready; ready is who has no reason. Clones are the same readiness.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Standing>>);

#[derive(Debug, Default)]
struct Standing {
    reasons: BTreeSet<&'static str>,
    warnings: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready, for this reason, until it is cleared.
    pub fn hold(&self, reason: &'static str) {
        self.locked(|standing| standing.reasons.insert(reason));
    }

    /// This reason no longer stands.
    pub fn clear(&self, reason: &'static str) {
        self.locked(|standing| standing.reasons.remove(reason));
    }

    /// Ready, but this is to be looked at, until it is [settled](Self::settle).
    pub fn warn(&self, what: &'static str, text: String) {
        self.locked(|standing| standing.warnings.insert(what, text));
    }

    /// What was warned of is over.
    pub fn settle(&self, what: &'static str) {
        self.locked(|standing| standing.warnings.remove(what));
    }

    /// All reasons that stand.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.locked(|standing| standing.reasons.iter().map(ToString::to_string).collect())
    }

    fn notes(&self) -> (Vec<Note>, Vec<Note>) {
        self.locked(|Standing { reasons, warnings }| {
            let reasons = reasons.iter().map(|what| Note { what, text: (*what).to_owned() });
            let warnings = warnings.iter().map(|(what, text)| Note { what, text: text.clone() });
            (reasons.collect(), warnings.collect())
        })
    }

    fn locked<T>(&self, change: impl FnOnce(&mut Standing) -> T) -> T {
        // A set that a panic left behind is still a set.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is looked at whenever somebody asks.
#[derive(Clone)]
pub struct Checks(Arc<dyn Fn() -> Vec<Note> + Send + Sync>);

impl Checks {
    /// What this finds.
    pub fn new(look: impl Fn() -> Vec<Note> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }
}

impl Default for Checks {
    /// Nothing is ever found.
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checks")
    }
}

/// Why no mail should come here.
///
/// A plugin that is not called for now is a warning: its `on_failure` says what its listeners do, and
/// a node that is taken out helps nobody, least of all the other listeners, for the next one has the
/// same plugins. So is an upstream that is down: the next node has the same upstreams. A spool that takes
/// nothing is a reason: the next node has another disk.
pub(super) fn reasons(offer: &Offer) -> Vec<Note> {
    let (mut reasons, _) = offer.readiness.notes();
    let spool = offer.queue.as_deref().and_then(Queue::trouble);
    reasons.extend(spool.map(|text| Note { what: "spool", text }));
    reasons
}

/// What keeps no mail away, and should be looked at.
pub(super) fn warnings(offer: &Offer) -> Vec<Note> {
    let (_, mut warnings) = offer.readiness.notes();
    warnings.extend(offer.metrics.broken_plugins().into_iter().map(|name| {
        let text = format!("plugin {name} keeps failing and is not called for now");
        Note { what: "plugin", text }
    }));
    warnings.extend(offer.metrics.upstreams_down().into_iter().map(|name| {
        let text = format!("upstream {name} is down: no address takes mail");
        Note { what: "upstream", text }
    }));
    let spool = offer.queue.as_deref().map(Queue::warnings).unwrap_or_default();
    warnings.extend(spool.into_iter().map(|text| Note { what: "spool", text }));
    warnings.extend((offer.checks.0)());
    warnings
}

/// `/livez`: that there is an answer is most of the answer; the workers have to get on, too.
pub(super) async fn live(offer: Arc<Offer>, ask: Ask) -> Answer {
    let still = offer.pulse.stillness();
    let stuck = (still > STUCK).then(|| {
        let text = format!("a worker has done nothing for {} seconds", still.as_secs());
        Note { what: "worker", text }
    });
    told(&ask, ["live", "not live"], stuck.into_iter().collect(), Vec::new())
}

/// `/readyz`.
pub(super) async fn ready(offer: Arc<Offer>, ask: Ask) -> Answer {
    told(&ask, ["ready", "not ready"], reasons(&offer), warnings(&offer))
}

/// `/startupz`: plugins may take long to compile.
pub(super) async fn started(offer: Arc<Offer>, ask: Ask) -> Answer {
    let (mut reasons, _) = offer.readiness.notes();
    reasons.retain(|reason| reason.what == STARTING);
    told(&ask, ["started", "not started"], reasons, Vec::new())
}

/// Lines for people, JSON for programs.
fn told(
    ask: &Ask,
    [well, unwell]: [&'static str; 2],
    reasons: Vec<Note>,
    warnings: Vec<Note>,
) -> Answer {
    #[derive(Serialize)]
    struct Report<'a> {
        status: &'a str,
        reasons: &'a [Note],
        warnings: &'a [Note],
    }

    let (status, word) = match reasons.is_empty() {
        true => (Status::OK, well),
        false => (Status::SERVICE_UNAVAILABLE, unwell),
    };
    if ask.wants_json() {
        let report = Report { status: word, reasons: &reasons, warnings: &warnings };
        return Answer::json(&report).with_status(status);
    }
    let mut text: String =
        reasons.iter().map(|reason| format!("{word}: {}\n", reason.text)).collect();
    if text.is_empty() {
        text = format!("{word}\n");
    }
    for warning in warnings {
        text += &format!("warning: {}\n", warning.text);
    }
    Answer::text(text).with_status(status)
}

/// The reason of who has not started yet.
pub const STARTING: &str = "starting";

/// Plugins end in time, and nothing else may hold a worker up at all.
const STUCK: Duration = Duration::from_secs(15);
