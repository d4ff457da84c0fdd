//! What the client's side encodes, the server's side decodes: the same content, and no more.

use std::sync::Arc;

use portcullis_smtp::Grammar;
use portcullis_smtp::server::{
    BareNewlines, Channel, Limits, Question, Session, Settings, Step, Verdict,
};
use portcullis_smtp::stuffing::Stuffer;
use proptest::collection::vec;
use proptest::prelude::*;

/// A server that takes no bare newline, and so tells whether one is sent to it.
fn server() -> Session {
    let settings = Settings {
        grammar: Grammar::Strict,
        bare_newlines: BareNewlines::Refuse,
        limits: Limits { message_octets: 1_000_000, errors: 1, ..Limits::default() },
        ..Settings::new("up.example")
    };
    Session::new(Arc::new(settings), Channel::default())
}

/// All that the server takes for content, and how many messages it sees.
fn received(session: &mut Session) -> (Vec<u8>, usize) {
    let (mut content, mut messages) = (Vec::new(), 0);
    loop {
        match session.poll() {
            Step::Ask(question) => {
                messages += usize::from(question == Question::Message);
                session.decide(Verdict::Accept);
            }
            Step::Content(octets) => content.extend(octets),
            Step::Read | Step::Close => return (content, messages),
            step => panic!("{step:?}"),
        }
    }
}

/// What should arrive: CRLF for LF, a space for a CR alone and for NUL, CRLF at the end.
fn normalized(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, octet) in content.iter().enumerate() {
        match octet {
            b'\r' if content.get(at + 1) == Some(&b'\n') => {}
            b'\r' | 0 => out.push(b' '),
            b'\n' => out.extend(b"\r\n"),
            other => out.push(*other),
        }
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend(b"\r\n");
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_server_decodes_what_was_encoded(
        chunks in vec(vec(prop_oneof![
            2 => Just(b'.'), 2 => Just(b'\r'), 2 => Just(b'\n'), 1 => Just(0), 1 => any::<u8>(),
        ], 0..20), 0..10)
    ) {
        let (mut stuffer, mut wire) = (Stuffer::new(), Vec::new());
        for chunk in &chunks {
            stuffer.encode(chunk, &mut wire);
        }
        stuffer.finish(&mut wire);
        let mut session = server();
        session.receive(b"EHLO gw.example\r\nMAIL FROM:<a@a.example>\r\n");
        session.receive(b"RCPT TO:<b@b.example>\r\nDATA\r\n");
        received(&mut session);
        session.receive(&wire);
        let (content, messages) = received(&mut session);
        prop_assert_eq!(messages, 1);
        prop_assert_eq!(content, normalized(&chunks.concat()));
        session.take_output();
        session.receive(b"NOOP\r\n");
        received(&mut session);
        prop_assert!(session.take_output().starts_with(b"250"), "something was left over");
    }
}
