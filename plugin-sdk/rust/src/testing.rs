//! Tests of a plugin without a gateway and without wasm.
//!
//! `Session::fake()`, `Credentials::fake(…)`, `Transaction::fake()`, `Recipient::fake(…)` and
//! `Message::fake(…)` stand in for what the gateway shows; `with_…` sets them up. Edits are staged as in the gateway: reading
//! shows what was there before, [`Transaction::edits`] and [`Message::edited`] what would come of
//! it. No grant is given unless the test gives it. When an edit comes too early or too late in the
//! transaction is the one thing that only the gateway checks.
//!
//! [`Transaction::edits`]: crate::Transaction::edits
//! [`Message::edited`]: crate::Message::edited

use serde_json::Value;

use crate::Plugin;
pub use crate::fakes::{
    Edit, Grant, answer_dns, answer_http, answer_stream, answer_upstream, counted, fail_upstream,
    find, grant_store, logged, requested, set_unavailable, set_upstream, stop_clock, streamed,
    verified,
};

/// Configures a plugin as the gateway does. The error is what the operator would read.
pub fn configure<P: Plugin>(settings: &Value) -> Result<P, String> {
    P::configure(&settings.to_string())
}

/// The hooks that the gateway would call with these settings.
pub fn subscribed<P: Plugin>(plugin: &P) -> Vec<crate::Hook> {
    let skip = plugin.skip();
    P::HOOKS.iter().copied().filter(|hook| !skip.contains(hook)).collect()
}

/// The YAML under `settings:` of the first example in a README, so that a test can keep it honest.
///
/// # Panics
///
/// When there is none.
pub fn settings_in(readme: &str) -> &str {
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let settings = example.and_then(|example| example.split_once("settings:\n"));
    settings.expect("the README has a YAML example with `settings:`").1
}
