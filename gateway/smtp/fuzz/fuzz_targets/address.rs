//! Reads an address, and a path, by both grammars.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| oracle::syntax::address(octets));
