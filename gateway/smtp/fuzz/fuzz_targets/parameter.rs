//! Reads parameters of MAIL and of RCPT, and writes them for the next server.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    oracle::syntax::command(&[b"MAIL FROM:<> ", octets].concat());
    oracle::syntax::command(&[b"RCPT TO:<postmaster> ", octets].concat());
});
