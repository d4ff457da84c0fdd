//! Where lines and contents end, beside readers without any cleverness.

use std::sync::Arc;

use portcullis_smtp::Reply;
use portcullis_smtp::server::{Channel, Event, Question, Session, Step, Verdict};
use portcullis_smtp::stuffing::Stuffer;

use super::{PATIENT, Script};

/// Content by DATA, by chunks, and as it is passed on: a first octet that says where it is cut, then
/// the content.
pub(crate) fn body(octets: &[u8]) {
    let Some((&cut, wire)) = octets.split_first() else { return };
    // The session refuses what has too many fields or hops; those are no matter of framing.
    let Some(content) = received(wire) else { return };
    if read_slowly(wire).as_ref() != Some(&content) {
        panic!("{} was read as {}", wire.escape_ascii(), content.escape_ascii());
    }
    let (mut stuffer, mut next) = (Stuffer::new(), Vec::new());
    for piece in content.chunks(usize::from(cut) + 1) {
        stuffer.encode(piece, &mut next);
    }
    stuffer.finish(&mut next);
    assert_eq!(received(&next), Some(content), "the next server reads the same");
    let cuts = [usize::from(cut / 16), usize::from(cut % 16)];
    assert_eq!(received_in_chunks("", wire, &cuts), read_chunks_slowly(wire));
    assert_eq!(received_in_chunks(" BODY=BINARYMIME", wire, &cuts), wire);
}

/// One command for each CRLF, wherever the pieces end: a first octet that says where, then lines.
pub(crate) fn lines(octets: &[u8]) {
    let Some((&cut, wire)) = octets.split_first() else { return };
    // What follows a BDAT is swallowed, allowed or not.
    if wire.to_ascii_uppercase().windows(4).any(|word| word == b"BDAT") {
        return;
    }
    let script = Script { flags: PATIENT, choices: vec![0], wire: Vec::new() };
    let mut session = Session::new(Arc::new(script.settings()), Channel::default());
    let mut commands = 0;
    let mut open = true;
    for piece in wire.chunks(usize::from(cut) + 1) {
        session.receive(piece);
        open = loop {
            match session.poll() {
                Step::Ask(Question::Connect) => session.decide(Verdict::Accept),
                // Without a hello there is neither content nor a chunk, and all is lines.
                Step::Ask(_) => session.decide(Verdict::Reply(Reply::fixed(550, (5, 7, 1), "no"))),
                Step::Read => break true,
                Step::Close => break false,
                step => panic!("{step:?} without a hello"),
            }
        };
        let events = session.take_events();
        commands += events.iter().filter(|event| matches!(event, Event::Command(_))).count();
        session.take_output();
    }
    let ends = wire.windows(2).filter(|octets| octets == b"\r\n").count();
    assert!(commands == ends || commands < ends && !open, "{}", wire.escape_ascii());
}

/// What the session makes of octets after DATA, if they hold the end.
pub(crate) fn received(wire: &[u8]) -> Option<Vec<u8>> {
    let mut session = begun("");
    session.receive(b"DATA\r\n");
    session.receive(wire);
    content_of(&mut session)
}

/// What the session makes of the same octets in chunks.
pub(crate) fn received_in_chunks(parameters: &str, content: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut session = begun(parameters);
    let mut rest = content;
    for cut in cuts {
        let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
        session.receive(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        session.receive(chunk);
        rest = tail;
    }
    session.receive(format!("BDAT {} LAST\r\n", rest.len()).as_bytes());
    session.receive(rest);
    content_of(&mut session).expect("the last chunk is there")
}

/// A session with a sender and a recipient.
fn begun(parameters: &str) -> Session {
    let script = Script { flags: 0, choices: vec![0], wire: Vec::new() };
    let mut settings = script.settings();
    (settings.limits.received_hops, settings.limits.header_fields) = (usize::MAX, u32::MAX);
    let mut session = Session::new(Arc::new(settings), Channel::default());
    let mail = format!("EHLO a\r\nMAIL FROM:<>{parameters}\r\nRCPT TO:<a@b.example>\r\n");
    session.receive(mail.as_bytes());
    session
}

fn content_of(session: &mut Session) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        match session.poll() {
            Step::Ask(Question::Message) => return Some(content),
            Step::Ask(_) => session.decide(Verdict::Accept),
            Step::Content(octets) => content.extend(octets),
            Step::Read => return None,
            step => panic!("{step:?}"),
        }
    }
}

/// Content by DATA without any cleverness.
pub(crate) fn read_slowly(wire: &[u8]) -> Option<Vec<u8>> {
    let wire = [b"\r\n", wire].concat();
    let end = wire.windows(5).position(|octets| octets == b"\r\n.\r\n")?;
    let text = text(&wire[2..(end + 2).max(2)]);
    let unstuffed: Vec<&str> =
        text.split("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
    Some(octets(&normalized(unstuffed)))
}

/// The same for chunks: normalized, with a CRLF at its end.
pub(crate) fn read_chunks_slowly(content: &[u8]) -> Vec<u8> {
    let mut text = normalized(text(content).split("\r\n"));
    if !text.is_empty() && !text.ends_with("\r\n") {
        text.push_str("\r\n");
    }
    octets(&text)
}

/// Lines whose bare newlines and NULs are dealt with.
fn normalized<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines = lines.into_iter().map(|line| line.replace(['\r', '\0'], " ").replace('\n', "\r\n"));
    lines.collect::<Vec<_>>().join("\r\n")
}

/// A character for each octet.
fn text(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("made of octets")).collect()
}
