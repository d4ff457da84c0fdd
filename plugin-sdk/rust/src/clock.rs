//! The time.

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now() -> u64 {
    backend::now()
}

/// Nanoseconds since some moment in the past; never goes back. Compare only what two calls of one
/// transaction said.
pub fn monotonic() -> u64 {
    backend::monotonic()
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::clock as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::clock as backend;
