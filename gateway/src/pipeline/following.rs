//! What the pipeline shows of itself to those who follow a session.

use super::Pipeline;
use crate::live::{Presence, What};
use crate::message::TlsFacts;
use crate::policy::Calls;
use crate::telemetry::CallRecord;

impl Pipeline {
    pub(super) fn show_tls(&self, tls: &TlsFacts) {
        let text = || tls.words().collect::<Vec<_>>().join(" ");
        self.presence().step(|| What::Tls { text: text() });
    }

    /// What plugins said of the session alone.
    pub(super) fn show_calls(&self, calls: &Calls) {
        calls.after_the_first(0).iter().for_each(|call| show(self.presence(), call));
    }
}

/// A call of a plugin.
pub(super) fn show(presence: &Presence, call: &CallRecord) {
    presence.step(|| What::Hook {
        plugin: call.plugin.to_string(),
        hook: call.hook,
        verdict: call.verdict,
        text: call.text.as_ref().map(ToString::to_string),
        seconds: call.duration.as_secs_f64(),
    });
}
