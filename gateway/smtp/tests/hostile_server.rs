//! Whatever a server says, the client's session stays within its bounds and its protocol.

#[path = "hostile/oracle.rs"]
mod oracle;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use oracle::{Beginning, Turn};

/// Pieces of what servers say, right and wrong.
const PIECES: &[&str] = &[
    "220 hi\r\n",
    "235 2.7.0 welcome\r\n",
    "250 ok\r\n",
    "250-x\r\n",
    "250-PIPELINING\r\n",
    "250-STARTTLS\r\n",
    "250-CHUNKING\r\n",
    "250-AUTH PLAIN LOGIN\r\n",
    "250-AUTH CRAM-MD5\r\n",
    "250-AUTH SCRAM-SHA-1 SCRAM-SHA-256\r\n",
    "250-XCLIENT NAME ADDR\r\n",
    "250-XFORWARD NAME IDENT\r\n",
    "250 SIZE 10\r\n",
    "334 \r\n",
    "334 PDE4OTYuNjk3QHg+\r\n",
    "334 cj1Cd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0h4LHM9VzIyWixpPTQwOTY=\r\n",
    "354 go\r\n",
    "421 bye\r\n",
    "451 4.7.1 later\r\n",
    "503 5.5.1 what\r\n",
    "535 5.7.8 no\r\n",
    "550 5.1.1 no\r\n",
    "250",
    "-",
    " ",
    "\r\n",
    "\n",
    "\r",
    "\0\u{ff}",
];

/// What a server offers that the session gets to talk to.
const GREETED: &str = "250-hi\r\n250-PIPELINING\r\n250-AUTH CRAM-MD5 PLAIN\r\n250-XCLIENT ADDR\r\n\
                       250 XFORWARD IDENT\r\n";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_session_survives_any_server(
        bits in any::<u8>(),
        greeted in any::<bool>(),
        said in vec(vec(select(PIECES), 1..4), 0..30),
        turns in vec(select(Turn::ALL.to_vec()), 0..30),
    ) {
        let greeting = ["220 hi\r\n", GREETED].map(str::to_owned);
        let said = greeting
            .into_iter()
            .filter(|_| greeted)
            .chain(said.into_iter().map(|pieces| pieces.concat()))
            .map(String::into_bytes);
        oracle::play(Beginning::of(bits), said, turns);
    }
}
