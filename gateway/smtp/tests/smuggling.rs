//! One message in, one message out, whatever looks like its end and however its octets are cut.
//!
//! The same matrix over real sockets is in `tests/gateway/smuggling.rs` of the repository.

use std::sync::Arc;

use portcullis_smtp::server::{BareNewlines, Channel, Question, Session, Settings, Step, Verdict};
use portcullis_smtp::stuffing::Stuffer;
use portcullis_smtp::{Extension, Offers};

/// What some server has taken for the end of the content, or might.
const LOOKALIKES: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\r\n.\n\r\n",
    b"\r\n\0.\r\n",
    b"\r\n\0\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
    b"\r\n ..\r\n",
    b"\r\n.\x0b\r\n",
    b"\r\n.\xc2\x85",
];

/// What an attacker hopes to have run as commands.
const SMUGGLED: &[u8] = b"MAIL FROM:<eve@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n\
    Subject: smuggled\r\n\r\nsmuggled\r\n";

#[test]
fn one_message_by_data_however_it_is_cut() {
    play(|content| [b"DATA\r\n", content, b"\r\n.\r\nQUIT\r\n"].concat());
}

#[test]
fn one_message_by_bdat_however_it_is_cut() {
    play(|content| {
        let command = format!("BDAT {} LAST\r\n", content.len());
        [command.as_bytes(), content, b"QUIT\r\n"].concat()
    });
}

fn play(wire: impl Fn(&[u8]) -> Vec<u8>) {
    for rule in [BareNewlines::Normalize, BareNewlines::Refuse] {
        for lookalike in LOOKALIKES {
            let wire = wire(&[b"Subject: first\r\n\r\nbody", *lookalike, SMUGGLED].concat());
            let whole = converse(rule, &[&wire]);
            for cut in 1..wire.len() {
                let (head, tail) = wire.split_at(cut);
                assert_eq!(converse(rule, &[head, tail]), whole, "{}", wire.escape_ascii());
            }
            let octets: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(converse(rule, &octets), whole, "{}", wire.escape_ascii());
            if let Some(content) = whole {
                assert_eq!(gullible_messages(&content), 1, "{}", wire.escape_ascii());
            }
        }
    }
}

/// The content of the one message; none if it was refused. The conversation ends with it.
fn converse(rule: BareNewlines, pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let offers = Offers::from_iter([Extension::Chunking]);
    let settings = Settings { bare_newlines: rule, offers, ..Settings::new("mx.example") };
    let mut session = Session::new(Arc::new(settings), Channel::default());
    session.receive(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n");
    let (mut content, mut senders, mut message) = (Vec::new(), 0, None);
    for piece in [&b""[..]].iter().chain(pieces) {
        session.receive(piece);
        loop {
            match session.poll() {
                Step::Ask(Question::Message) => {
                    assert_eq!(message.replace(std::mem::take(&mut content)), None, "another one");
                    session.decide(Verdict::Accept);
                }
                Step::Ask(question) => {
                    senders += usize::from(matches!(question, Question::Mail { .. }));
                    session.decide(Verdict::Accept);
                }
                Step::Content(octets) => content.extend(octets),
                Step::Read | Step::Close => break,
                Step::Refused(_) => content.clear(),
                step => panic!("{step:?}"),
            }
        }
    }
    assert_eq!(session.poll(), Step::Close, "QUIT is the next command behind the message");
    assert_eq!(senders, 1, "one envelope");
    message
}

/// How many ends of content a server sees that falls for all of them, behind this gateway.
fn gullible_messages(content: &[u8]) -> usize {
    let (mut stuffer, mut wire) = (Stuffer::new(), b"\r\n".to_vec());
    stuffer.encode(content, &mut wire);
    stuffer.finish(&mut wire);
    let without_nuls: Vec<u8> = wire.iter().copied().filter(|octet| *octet != 0).collect();
    let ends: [&[u8]; 5] = [b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n"];
    let count = |wire: &[u8]| (0..wire.len()).filter(|at| starts(&wire[*at..], &ends)).count();
    count(&wire).max(count(&without_nuls))
}

fn starts(octets: &[u8], ends: &[&[u8]]) -> bool {
    ends.iter().any(|end| octets.starts_with(end))
}
