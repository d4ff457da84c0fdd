//! Plays a client's conversation: an octet for how it begins, one for how many turns the driver
//! takes, those, then what the server says, with 0xFF between the pieces.

#![no_main]

#[path = "../../tests/hostile/oracle.rs"]
mod oracle;

use oracle::{Beginning, Turn};

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let [bits, count, rest @ ..] = octets else { return };
    let (turns, said) = rest.split_at(rest.len().min(usize::from(*count)));
    let turns = turns.iter().map(|octet| Turn::ALL[usize::from(*octet) % Turn::ALL.len()]);
    let said = said.split(|octet| *octet == 0xff).map(<[u8]>::to_owned);
    oracle::play(Beginning::of(*bits), said, turns);
});
