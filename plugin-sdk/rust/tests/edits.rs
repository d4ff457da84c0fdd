//! Staged edits of the fakes come out as the contract says.

use std::io::{Read, Write};

use portcullis_plugin::testing::{Edit, Grant};
use portcullis_plugin::{EditError, Message, Reply, Session, Transaction};

const MAIL: &str = "Received: a\nTo: b\n\tc\nReceived: d\n\nHello\n";

fn message() -> Message {
    Message::fake(MAIL).with_grant(Grant::RewriteHeaders).with_grant(Grant::RewriteBody)
}

#[test]
fn headers_read_unfolded_and_by_any_case() {
    assert_eq!(message().header_text("received"), ["a", "d"]);
    assert_eq!(message().header_text("to"), ["b\tc"]);
    assert_eq!(message().header_section(), b"Received: a\r\nTo: b\r\n\tc\r\nReceived: d\r\n");
}

#[test]
fn positions_count_what_was_there() {
    let message = message();
    message.add_header(Some(0), "X-Top", b"1").unwrap();
    message.drop_header("Received", 0).unwrap();
    message.set_header("received", 1, b"e").unwrap();
    message.add_header(Some(1), "X-Second", b"2").unwrap();
    message.add_header(None, "X-End", b"3").unwrap();
    assert_eq!(
        message.edited_text(),
        "X-Top: 1\r\nX-Second: 2\r\nTo: b\r\n\tc\r\nReceived: e\r\nX-End: 3\r\n\r\nHello\r\n"
    );
    assert_eq!(message.header_text("received"), ["a", "d"], "reading shows what was there");
}

#[test]
fn what_cannot_be_done_is_said() {
    let message = message();
    assert_eq!(message.add_header(Some(4), "X", b""), Err(EditError::OutOfRange));
    assert_eq!(message.set_header("Received", 2, b""), Err(EditError::OutOfRange));
    assert_eq!(message.add_header(None, "X", b"a\r\nb"), Err(EditError::Malformed));
    assert_eq!(message.add_header(None, "X:", b"a"), Err(EditError::Malformed));
    assert_eq!(Message::fake(MAIL).drop_header("To", 0), Err(EditError::Denied));
    assert_eq!(Message::fake(MAIL).replace_body().unwrap_err(), EditError::Denied);
}

#[test]
fn a_value_may_be_folded() {
    for (value, result) in [
        ("a\r\n b\r\n\tc", Ok(())),
        ("a\r\nb", Err(EditError::Malformed)),
        ("a\n b", Err(EditError::Malformed)),
        ("a\r b", Err(EditError::Malformed)),
        ("a\r\n", Err(EditError::Malformed)),
        ("a\0", Err(EditError::Malformed)),
    ] {
        assert_eq!(message().add_header(None, "X", value.as_bytes()), result, "{value:?}");
    }
}

#[test]
fn a_body_counts_when_it_is_finished() {
    let message = message();
    let mut writer = message.replace_body().unwrap();
    let reader = message.read_body();
    assert_eq!(reader.find(b"lo", 100), Some(3));
    writer.copy(&reader, 4).unwrap();
    writer.write_all(b"!\nBye\n").unwrap();
    assert!(message.edited_text().ends_with("\r\n\r\nHello\r\n"));
    writer.finish().unwrap();
    assert!(message.edited_text().ends_with("\r\n\r\nHell!\r\nBye\r\n"));

    let mut rest = String::new();
    message.read_all().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, MAIL.replace('\n', "\r\n"));
}

#[test]
fn the_envelope_keeps_its_indexes() {
    let transaction = Transaction::fake()
        .with_recipient("a@b.example")
        .with_recipient("c@d.example")
        .with_upstreams(&["inside"])
        .with_grant(Grant::Route)
        .with_grant(Grant::RewriteEnvelope);
    let refusal = Reply::new(550, "5.7.1", "no");
    transaction.drop_recipient(0).unwrap();
    transaction.refuse_recipient(1, &refusal).unwrap();
    assert_eq!(transaction.add_recipient("e@f.example"), Ok(2));
    assert_eq!(transaction.add_recipient("g@h.example"), Ok(3));
    transaction.set_sender(None).unwrap();
    assert_eq!(transaction.route("outside", None), Err(EditError::OutOfRange));
    assert_eq!(transaction.set_recipient(9, "a@b.example"), Err(EditError::OutOfRange));
    assert_eq!(transaction.set_recipient(0, "a b"), Err(EditError::Malformed));
    assert_eq!(
        transaction.edits(),
        [
            Edit::DropRecipient(0),
            Edit::RefuseRecipient(1, refusal),
            Edit::AddRecipient("e@f.example".to_owned()),
            Edit::AddRecipient("g@h.example".to_owned()),
            Edit::SetSender(None),
        ]
    );
}

#[test]
fn a_session_keeps_what_is_saved() {
    let session = Session::fake().with_note("geo.country", "de");
    session.save(b"three strikes").unwrap();
    session.set_note("strikes", "3").unwrap();
    assert_eq!(session.load().as_deref(), Some(&b"three strikes"[..]));
    assert_eq!(session.note("geo.country").as_deref(), Some("de"));
    assert_eq!(session.note("test.strikes").as_deref(), Some("3"));
    assert_eq!(session.save(&[0; 65_537]), Err(EditError::OutOfRange));
}
