//! What a plugin's file is, without running it.

use std::path::Path;

use wasmparser::{Parser, Payload};

use super::component;
use super::load::LoadFailure;
use super::snapshot::LIFECYCLE;
use crate::config::Digest;

/// What a lock file says of a plugin's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fingerprint {
    /// Of the file.
    pub sha256: Digest,
    /// Of the file.
    pub octets: u64,
    /// The version of the contract that it was built for.
    pub contract: String,
}

impl Fingerprint {
    /// Of a plugin's file.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is no plugin.
    pub fn of(file: &Path) -> Result<Self, LoadFailure> {
        let octets = component::octets(file)?;
        let (sha256, length) = (Digest::of(&octets), octets.len() as u64);
        let component = component::named(file, component::component(octets))?;
        let contract = contract(&component).ok_or(LoadFailure::NoLifecycle)?;
        Ok(Self { sha256, octets: length, contract })
    }
}

/// The version of the lifecycle interface that a component exports.
fn contract(component: &[u8]) -> Option<String> {
    let payloads = Parser::new(0).parse_all(component).map_while(Result::ok);
    let exports = payloads.filter_map(|payload| match payload {
        Payload::ComponentExportSection(exports) => Some(exports),
        _ => None,
    });
    exports.flatten().filter_map(Result::ok).find_map(|export| {
        let version = export.name.name.strip_prefix(LIFECYCLE)?.strip_prefix('@')?;
        Some(version.to_owned())
    })
}
