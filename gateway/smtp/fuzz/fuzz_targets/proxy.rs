//! Reads a header of the PROXY protocol.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| oracle::proxy(octets));
