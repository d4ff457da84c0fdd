//! Whatever a server says, the client's session stays within its bounds and its protocol.

use portcullis_smtp::client::{Session, Settings, Stage, StartTls, Step};
use portcullis_smtp::sasl::ChannelBindings;
use portcullis_smtp::server::Protocol;
use portcullis_smtp::{Mailbox, ReversePath};
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of what servers say, right and wrong.
const PIECES: &[&str] = &[
    "220 hi\r\n",
    "250 ok\r\n",
    "250-x\r\n",
    "250-PIPELINING\r\n",
    "250-STARTTLS\r\n",
    "250 SIZE 10\r\n",
    "354 go\r\n",
    "421 bye\r\n",
    "451 4.7.1 later\r\n",
    "550 5.1.1 no\r\n",
    "250",
    "-",
    " ",
    "\r\n",
    "\n",
    "\r",
    "\0\u{ff}",
];

/// What a driver may do when it is its turn.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Data,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
}

fn act(session: &mut Session, turn: Turn) {
    let mailbox = Mailbox::parse("a@a.example").expect("a mailbox");
    match turn {
        Turn::Data => session.data(),
        Turn::Mail => session.mail(&ReversePath::Mailbox(mailbox), &[]),
        Turn::Noop => session.noop(),
        Turn::Quit => session.quit(),
        Turn::Rcpt => session.rcpt(&mailbox, &[]),
        Turn::Rset => session.rset(),
    }
}

/// Whether octets that the session writes are whole commands, and nothing of the server's.
fn are_commands(output: &[u8]) -> bool {
    let verbs =
        ["DATA", "EHLO ", "HELO ", "LHLO ", "MAIL ", "NOOP", "QUIT", "RCPT ", "RSET", "STARTTLS"];
    let Ok(text) = std::str::from_utf8(output) else { return false };
    (text.is_empty() || text.ends_with("\r\n"))
        && text.split_terminator("\r\n").all(|line| {
            verbs.iter().any(|verb| line.starts_with(verb)) && !line.contains(['\r', '\n'])
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_session_survives_any_server(
        lmtp in any::<bool>(),
        starttls in prop_oneof![
            Just(StartTls::IfOffered), Just(StartTls::Never), Just(StartTls::Required),
        ],
        greeted in any::<bool>(),
        said in vec(vec(prop::sample::select(PIECES), 1..4), 0..30),
        turns in vec(prop_oneof![
            Just(Turn::Data), Just(Turn::Mail), Just(Turn::Noop), Just(Turn::Quit),
            Just(Turn::Rcpt), Just(Turn::Rset),
        ], 0..30),
    ) {
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let mut session = Session::new(Settings { starttls, ..Settings::new(protocol, "gw.example") });
        let greeting = ["220 hi\r\n", "250-hi\r\n250 PIPELINING\r\n"].map(str::to_owned);
        let mut said = greeting
            .into_iter()
            .filter(|_| greeted)
            .chain(said.into_iter().map(|pieces| pieces.concat()));
        let mut turns = turns.into_iter();
        let (mut asked, mut answered) = (0, 0);
        for _ in 0..1000 {
            let step = session.poll();
            prop_assert!(are_commands(&session.take_output()));
            match step {
                Step::Answer(Stage::Banner | Stage::Hello | Stage::StartTls, _) => {}
                Step::Answer(stage, _) => answered += usize::from(stage != Stage::Content),
                Step::Closed | Step::Failed(_) => {
                    prop_assert!(answered <= asked, "more answers than commands");
                    prop_assert_eq!(session.poll(), Step::Closed);
                    return Ok(());
                }
                Step::Content => session.content_sent(),
                Step::StartTls => session.tls_established(ChannelBindings::default()),
                Step::Read => match said.next() {
                    Some(text) => session.receive(text.as_bytes()),
                    None => return Ok(()),
                },
                Step::Ready => match turns.next() {
                    Some(turn) => {
                        asked += 1;
                        act(&mut session, turn);
                    }
                    None => return Ok(()),
                },
            }
        }
        prop_assert!(false, "the session never waits");
    }
}
