//! Reads what follows XCLIENT or XFORWARD.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|text: &str| oracle::xclient(text));
