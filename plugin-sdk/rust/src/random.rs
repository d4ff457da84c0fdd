//! Chance, from the operating system's generator.

/// So many random bytes, at most 64 KiB. Not in `configure`: what was drawn there would be the same
/// in every copy, so the gateway stops a plugin that tries.
pub fn bytes(count: u32) -> Vec<u8> {
    backend::bytes(count)
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::random as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::random as backend;
