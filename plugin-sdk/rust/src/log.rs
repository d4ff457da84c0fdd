//! Lines in the gateway's log, under the plugin's name and the transaction's id.
//!
//! At most 100 lines a hook call; text and fields are cut at 4 KiB.

pub use crate::bindings::smtp::filter::log::Level;

/// Whether the operator wants to see this level: ask before building an expensive text.
pub fn enabled(at: Level) -> bool {
    backend::enabled(at)
}

/// Writes one line.
pub fn write(at: Level, text: &str, fields: &[(&str, &str)]) {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    backend::write(at, text, &fields);
}

/// Writes one line at level trace.
pub fn trace(text: &str, fields: &[(&str, &str)]) {
    write(Level::Trace, text, fields);
}

/// Writes one line at level debug.
pub fn debug(text: &str, fields: &[(&str, &str)]) {
    write(Level::Debug, text, fields);
}

/// Writes one line at level info.
pub fn info(text: &str, fields: &[(&str, &str)]) {
    write(Level::Info, text, fields);
}

/// Writes one line at level warn.
pub fn warn(text: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, text, fields);
}

/// Writes one line at level error.
pub fn error(text: &str, fields: &[(&str, &str)]) {
    write(Level::Error, text, fields);
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::log as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::log as backend;
