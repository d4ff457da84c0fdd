//! Plays a whole conversation: flags, sixteen choices (verdicts, sizes of pieces), then the wire.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Some(script) = oracle::Script::from_octets(octets) {
        oracle::session(&script);
    }
});
