//! Metrics that the plugin names, exported as `portcullis_plugin_<plugin>_<name>`.
//!
//! At most 64 names a plugin and 32 label values a name; what goes beyond is counted as dropped.

/// Adds to a counter; the gateway puts `_total` behind its name.
pub fn add(name: &str, by: u64, label: Option<(&str, &str)>) {
    backend::add(name, by, label);
}

/// Puts a value into a histogram.
pub fn observe(name: &str, value: f64) {
    backend::observe(name, value);
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::metrics as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::metrics as backend;
