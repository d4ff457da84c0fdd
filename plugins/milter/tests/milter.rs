//! The plugin as operators configure it and messages meet it, with a milter that the test makes up.

use milter::Milter;
use portcullis_plugin::streams::StreamError;
use portcullis_plugin::testing::{Edit, Grant, answer_stream, configure, settings_in, streamed};
use portcullis_plugin::{Message, Plugin, Question, Reply, Session, Transaction, Verdict};

const MILTER: &str = "127.0.0.1:8891";

/// No answers wanted but at the end; nothing but connect, mail, rcpt, headers, body wanted.
const QUIET: u32 = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x4_0000 | 0x8_0000;

fn milter(yaml: &str) -> Result<Milter, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn packet(command: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).expect("a short packet").to_be_bytes();
    [&length[..], &[command], data].concat()
}

fn agreed(actions: u32, steps: u32) -> Vec<u8> {
    let words = [6, actions, steps].map(u32::to_be_bytes).concat();
    packet(b'O', &words)
}

/// Answers the negotiation so, and then says this whatever it hears.
fn says(negotiated: Vec<u8>, rest: Vec<u8>) {
    let all = [negotiated, rest].concat();
    answer_stream(MILTER, move |_| Ok(all.clone()));
}

fn transaction() -> Transaction {
    let grant = Transaction::fake().with_grant(Grant::RewriteEnvelope);
    grant.with_recipient("a@example.com").with_recipient("b@example.com")
}

fn message() -> Message {
    let message = Message::fake("Subject: one\nX-A: 1\nX-A: 2\n folded\n\nbody\n");
    message.with_grant(Grant::RewriteHeaders).with_grant(Grant::RewriteBody)
}

fn ask(transaction: &Transaction, message: &Message) -> Verdict {
    let settings =
        "{server: '127.0.0.1:8891', edits: [headers, body, envelope], macros: {j: mx.example.org}}";
    let session = Session::fake().with_helo("client.example");
    let mut plugin = milter(settings).expect("settings");
    plugin.ask(Question::Message(&session, transaction, message))
}

fn deferred() -> Verdict {
    Verdict::defer(451, "4.3.0", "a filter cannot be asked now")
}

/// The commands of what was heard, with their data.
fn heard() -> Vec<(char, Vec<u8>)> {
    let all = streamed(MILTER).pop().expect("a connection");
    let (mut at, mut packets) = (0, Vec::new());
    while at < all.len() {
        let length = u32::from_be_bytes(all[at..at + 4].try_into().expect("four octets")) as usize;
        packets.push((char::from(all[at + 4]), all[at + 5..at + 4 + length].to_vec()));
        at += 4 + length;
    }
    packets
}

#[test]
fn a_filter_hears_the_whole_transaction() {
    let quiet = [0_u8; 0];
    says(agreed(0x7f, QUIET), packet(b'c', &quiet));
    assert_eq!(ask(&transaction(), &message()), Verdict::Next);
    let heard = heard();
    let commands: String = heard.iter().map(|(command, _)| *command).collect();
    assert_eq!(commands, "ODCHDMDRDRTLLLNBEQ");
    let of = |wanted: char| {
        heard.iter().find(|(command, _)| *command == wanted).expect("it was told").1.clone()
    };
    assert_eq!(of('H'), b"client.example\0");
    assert_eq!(of('M'), b"<sender@example.org>\0");
    assert_eq!(of('R'), b"<a@example.com>\0");
    assert_eq!(of('L'), b"Subject\0one\0");
    assert!(heard.contains(&('L', b"X-A\x002\n folded\0".to_vec())), "{heard:?}");
    assert_eq!(of('B'), b"body\r\n");
    let connect = of('C');
    assert!(connect.starts_with(b"[192.0.2.1]\x004"), "{connect:?}");
    let macros = of('D');
    assert!(macros.windows(17).any(|window| window == b"j\0mx.example.org\0"), "{macros:?}");
}

#[test]
fn what_is_not_wanted_is_not_told() {
    says(agreed(0, QUIET | 0x7f | 0x200), packet(b'c', b""));
    assert_eq!(ask(&transaction(), &message()), Verdict::Next);
    let commands: String =
        heard().iter().map(|(command, _)| *command).filter(|command| *command != 'D').collect();
    assert_eq!(commands, "OEQ");
}

#[test]
fn verdicts_are_the_filters() {
    let cases: &[(&[u8], Verdict)] = &[
        (b"a", Verdict::Next),
        (b"r", Verdict::reject(550, "5.7.1", "command rejected")),
        (b"t", Verdict::defer(451, "4.7.1", "try again later")),
        (b"d", Verdict::discard("the filter discards it")),
        (b"4", Verdict::disconnect(421, "4.7.0", "try again later")),
        (b"y554 5.7.1 spam\0", Verdict::reject(554, "5.7.1", "spam")),
    ];
    for (said, verdict) in cases {
        // At the end, and at the first step that it answers.
        for steps in [QUIET, 0] {
            let progress = packet(b'p', b"");
            says(agreed(0, steps), [progress, packet(said[0], &said[1..])].concat());
            assert_eq!(ask(&transaction(), &message()), *verdict, "{said:?}");
        }
    }
}

#[test]
fn recipients_are_refused_one_by_one() {
    let steps = QUIET & !0x8000;
    let (yes, no) = (packet(b'c', b""), packet(b'y', b"550 5.1.1 nobody\0"));
    says(agreed(0, steps), [&*no, &*yes, &*yes].concat());
    let one = transaction();
    assert_eq!(ask(&one, &message()), Verdict::Next);
    let reply = Reply::new(550, "5.1.1", "nobody");
    assert_eq!(one.edits(), [Edit::RefuseRecipient(0, reply)]);
    says(agreed(0, steps), [&*no, &*packet(b't', b"")].concat());
    assert_eq!(ask(&transaction(), &message()), Verdict::defer(451, "4.7.1", "try again later"));
}

#[test]
fn edits_take_effect_once_it_has_said_its_last_word() {
    let edits = [
        packet(b'h', b"X-New\0at the end\0"),
        packet(b'i', b"\0\0\0\x01X-Top\0folded\n\there\0"),
        packet(b'm', b"\0\0\0\x02X-A\0changed\0"),
        packet(b'm', b"\0\0\0\x01Subject\0\0"),
        packet(b'm', b"\0\0\0\x09X-B\0added\0"),
        packet(b'm', b"\0\0\0\x09X-C\0\0"),
        packet(b'b', b"new "),
        packet(b'b', b"body\n"),
        packet(b'e', b"<new@example.org>\0"),
        packet(b'+', b"<c@example.com>\0"),
        packet(b'-', b"<B@example.com>\0"),
    ]
    .concat();
    says(agreed(0x7f, QUIET), [&*edits, &*packet(b'c', b"")].concat());
    let (transaction, edited) = (transaction(), message());
    assert_eq!(ask(&transaction, &edited), Verdict::Next);
    let expected = "X-Top: folded\r\n\there\r\nX-A: 1\r\nX-A: changed\r\nX-New: at the end\r\nX-B: added\r\n\r\nnew body\r\n";
    assert_eq!(edited.edited_text(), expected);
    assert_eq!(transaction.edits().len(), 3, "{:?}", transaction.edits());
    // It breaks off: nothing is done.
    says(agreed(0x7f, QUIET), edits);
    let edited = message();
    assert_eq!(ask(&transaction, &edited), deferred());
    assert_eq!(edited.edited_text(), message().edited_text());
}

#[test]
fn quarantine_has_its_reason() {
    says(agreed(0x20, QUIET), [packet(b'q', b"odd\r\n one\0"), packet(b'c', b"")].concat());
    assert_eq!(ask(&transaction(), &message()), Verdict::quarantine("odd one"));
}

#[test]
fn who_breaks_the_protocol_is_not_obeyed() {
    for said in [
        vec![],
        vec![0; 4],
        vec![0xff; 4],
        b"220 mx.example.org ESMTP\r\n".to_vec(),
        packet(b'O', b"\0\0"),
        packet(b'c', b""),
        agreed(0x80, 0),
        agreed(0, 0x800),
        [7_u32, 0, 0].map(u32::to_be_bytes).concat(),
        [agreed(0, QUIET), packet(b'h', b"X-A\0not agreed upon\0"), packet(b'c', b"")].concat(),
        [agreed(0x7f, QUIET), packet(b'h', b"no zero"), packet(b'c', b"")].concat(),
        [agreed(0x7f, QUIET), packet(b'm', b"\0\0"), packet(b'c', b"")].concat(),
        [agreed(0x7f, QUIET), packet(b'?', b"")].concat(),
        [agreed(0x7f, QUIET), packet(b's', b"")].concat(),
        [agreed(0x7f, QUIET), packet(b'p', b"").repeat(6_000)].concat(),
        [agreed(0x7f, 0), packet(b's', b"")].concat(),
    ] {
        let shown = String::from_utf8_lossy(&said[..said.len().min(40)]).into_owned();
        says(said, Vec::new());
        assert_eq!(ask(&transaction(), &message()), deferred(), "{shown:?}");
    }
    for error in [StreamError::TimedOut, StreamError::Unavailable(String::new())] {
        answer_stream(MILTER, move |_| Err(error.clone()));
        assert_eq!(ask(&transaction(), &message()), deferred());
    }
}

#[test]
fn the_readme_shows_what_works() {
    milter(settings_in(include_str!("../README.md"))).expect("the README's settings are right");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "missing field `server`"),
        ("server: 'inet:8891@localhost'", "server: did you mean `localhost:8891`?"),
        ("server: 'local:/run/a.sock'", "server: did you mean `unix:/run/a.sock`?"),
        ("server: opendkim", "server: `opendkim` is neither"),
        ("{server: 'a:1', timeout: 2m}", "timeout: from 1s to 60s"),
        ("{server: 'a:1', edits: [header]}", "edits[0]: unknown variant `header`"),
        ("{server: 'a:1', macros: {'{j}': x}}", "macros.{j}: a name without braces"),
    ] {
        let said = milter(yaml).unwrap_err();
        assert!(said.starts_with(mistake), "{yaml}: {said}");
    }
}
