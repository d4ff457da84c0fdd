//! From a file to a component: components are used as they are, core modules that wit-bindgen
//! made are wrapped.

use std::io::Read;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

use super::load::LoadFailure;
use crate::config::{Digest, Pin};

/// Reads a plugin's file, which has to be the one that it is pinned to.
///
/// It is read once: what is compared is what is used, whatever becomes of the file meanwhile.
pub(super) fn read(file: &Path, pins: &[Pin]) -> Result<(Digest, Vec<u8>), LoadFailure> {
    let octets = octets(file)?;
    let found = Digest::of(&octets);
    if let Some(pin) = pins.iter().find(|pin| pin.sha256 != found) {
        let octets = octets.len() as u64;
        return Err(LoadFailure::Pinned { found, octets, pin: Box::new(pin.clone()) });
    }
    Ok((found, named(file, component(octets))?))
}

/// Reads a file, which is not to be trusted with its length.
pub(super) fn octets(file: &Path) -> Result<Vec<u8>, LoadFailure> {
    let unreadable = |source| LoadFailure::File { file: file.into(), source };
    let mut octets = Vec::new();
    let open = std::fs::File::open(file).map_err(unreadable)?;
    open.take(FILE_OCTETS + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > FILE_OCTETS {
        return Err(LoadFailure::TooLarge { file: file.into(), most: FILE_OCTETS });
    }
    Ok(octets)
}

/// The failure with the name of the file.
pub(super) fn named(
    file: &Path,
    read: Result<Vec<u8>, LoadFailure>,
) -> Result<Vec<u8>, LoadFailure> {
    read.map_err(|failure| match failure {
        LoadFailure::NotWasm { .. } => LoadFailure::NotWasm { file: file.into() },
        other => other,
    })
}

/// A component, whatever the file holds.
pub(super) fn component(octets: Vec<u8>) -> Result<Vec<u8>, LoadFailure> {
    if !Parser::is_component(&octets) && !Parser::is_core_wasm(&octets) {
        return Err(LoadFailure::NotWasm { file: "".into() });
    }
    // All that follows takes valid wasm for granted.
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&octets)
        .map_err(LoadFailure::broken)?;
    if Parser::is_component(&octets) { Ok(octets) } else { wrap(&octets) }
}

fn wrap(module: &[u8]) -> Result<Vec<u8>, LoadFailure> {
    let found = Found::in_module(module).map_err(LoadFailure::broken)?;
    if found.start {
        return Err(LoadFailure::Command);
    }
    if !found.contract {
        return Err(LoadFailure::NoContract);
    }
    let encode = || {
        let mut encoder = ComponentEncoder::default().module(module)?;
        if found.preview1 {
            let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
            encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?;
        }
        encoder.validate(true).encode()
    };
    encode().map_err(|error| LoadFailure::unfit(format!("{error:#}")))
}

/// What tells a module of wit-bindgen from others.
#[derive(Default)]
struct Found {
    /// The section that says which contract it was made for.
    contract: bool,
    /// Imports of WASI as it was before components.
    preview1: bool,
    /// A command is started, does its work and ends; a plugin is called.
    start: bool,
}

impl Found {
    fn in_module(module: &[u8]) -> wasmparser::Result<Self> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) => {
                    found.contract |= section.name().starts_with("component-type");
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        found.start |= export?.name == "_start";
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        found.preview1 |= import?.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Twice what the largest known plugins (Python) have.
const FILE_OCTETS: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(octets: &[u8]) -> LoadFailure {
        component(octets.to_vec()).expect_err("not a plugin")
    }

    #[test]
    fn what_is_no_plugin_is_told_apart() {
        assert!(matches!(failure(b""), LoadFailure::NotWasm { .. }));
        assert!(matches!(failure(b"#!/bin/sh\n"), LoadFailure::NotWasm { .. }));
        assert!(matches!(failure(b"\0asm\x01\0\0\0\x05"), LoadFailure::Broken(_)));
        assert!(matches!(failure(b"\0asm\x0d\0\x01\0\x05"), LoadFailure::Broken(_)));
        let module = b"\0asm\x01\0\0\0";
        assert!(matches!(failure(module), LoadFailure::NoContract));
        // (module (func (export "_start")))
        let command = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
        assert!(matches!(failure(command), LoadFailure::Command));
    }
}
