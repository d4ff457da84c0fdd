//! Says messages to a mechanism: an octet for which one, then the messages with 0xFF between them.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| oracle::sasl::exchange(octets));
