//! Makes a reply from parts as a plugin or an upstream may give them: `550 5.7.1 text`.

#![no_main]
#![expect(dead_code, reason = "each target uses its part of the oracle")]

#[path = "../../tests/invariants/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let mut words = text.splitn(3, ' ');
    let code = words.next().and_then(|word| word.parse().ok()).unwrap_or(550);
    let mut numbers = words.next().unwrap_or_default().split('.').map(|part| part.parse().ok());
    let mut number = || numbers.next().flatten().unwrap_or(0_u16);
    let status = (u8::try_from(number()).unwrap_or(0), number(), number());
    oracle::reply(code, status, words.next().unwrap_or_default());
});
