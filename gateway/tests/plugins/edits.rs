//! Edits: staged only with a grant, only where they make sense, and only if they are valid.

use portcullis::config::Grant;
use portcullis::message::{Edit, Envelope, HeaderEdit, Message};
use portcullis::policy::{Answer, Hook};

use crate::house::{House, call, envelope, message};
use crate::text;

/// What a call of the host came to, as its result lies in memory.
const OK: u8 = 0xff;
const DENIED: u8 = 0;
const TOO_LATE: u8 = 1;
const OUT_OF_RANGE: u8 = 2;
const MALFORMED: u8 = 3;

const ALL: &[Grant] =
    &[Grant::RewriteBody, Grant::RewriteEnvelope, Grant::RewriteHeaders, Grant::Route];

/// Runs one call of an edit at a hook. `import` and `parameters` are the function of the contract,
/// `arguments` wasm text; what it came to is saved for the session: a tag, and 4 octets on an error.
async fn edit(
    hook: Hook,
    grants: &[Grant],
    import: &str,
    parameters: &str,
    arguments: &str,
) -> (u8, Answer) {
    let imports = format!(
        r#"(import "smtp:filter/types@0.1.0" "[method]{import}" (func $edit (param {parameters})))
        (import "smtp:filter/types@0.1.0" "[method]session.save"
            (func $save (param i32 i32 i32 i32)))"#
    );
    let types = match hook {
        Hook::Rcpt => "i32 i32 i32 i32 i32 i32 i32",
        Hook::Headers | Hook::Message => "i32 i32 i32",
        _ => "i32 i32",
    };
    let code = format!(
        "(func ${hook} (param {types}) (result i32)
            (call $edit {arguments} (i32.const 512))
            (call $save (local.get 0) (i32.const 512) (i32.const 8) (i32.const 528))
            (i32.const 0))
        {} {} {}",
        text::data(1024, b"new@example.net"),
        text::data(1088, b"storeX-Testvalue"),
        text::data(1152, b"a\r\nB: c"),
    );
    let house = House::new();
    let wasm = text::module_importing(&[hook.label()], &imports, &code);
    let grants = grants.to_vec();
    let plugin = house.load_with(&wasm, |plugin| plugin.grants = grants).await;
    let answer = plugin.copy().call(call(hook)).await.unwrap();
    let result = answer.saved.clone().unwrap();
    // The payload is aligned as the larger of value and error.
    let error = if import.ends_with("add-recipient") { result[4] } else { result[1] };
    (if result[0] == 0 { OK } else { error }, answer)
}

const ADDRESS: &str = "(i32.const 1024) (i32.const 15)";
const NO_ADDRESS: &str = "(i32.const 1088) (i32.const 5)";

#[tokio::test]
async fn without_a_grant_every_edit_is_denied_and_nothing_is_staged() {
    for (import, parameters, arguments) in [
        (
            "transaction.set-sender",
            "i32 i32 i32 i32 i32",
            "(local.get 1) (i32.const 0) (i32.const 0) (i32.const 0)",
        ),
        ("transaction.drop-recipient", "i32 i32 i32", "(local.get 1) (i32.const 0)"),
        (
            "transaction.route",
            "i32 i32 i32 i32 i32 i32",
            "(local.get 1) (i32.const 1088) (i32.const 5) (i32.const 0) (i32.const 0)",
        ),
        (
            "message.drop-header",
            "i32 i32 i32 i32 i32",
            "(local.get 2) (i32.const 1088) (i32.const 5) (i32.const 0)",
        ),
        ("message.replace-body", "i32 i32", "(local.get 2)"),
    ] {
        let (result, answer) = edit(Hook::Message, &[], import, parameters, arguments).await;
        let error =
            if import.ends_with("body") { answer.saved.clone().unwrap()[4] } else { result };
        assert_eq!(error, DENIED, "{import}");
        assert!(answer.edits.is_empty(), "{import}");
    }
}

fn applied(answer: &Answer) -> Envelope {
    let mut envelope = envelope();
    envelope.apply(&answer.edits);
    envelope
}

#[tokio::test]
async fn the_sender_can_be_replaced_or_made_null() {
    let parameters = "i32 i32 i32 i32 i32";
    for (arguments, sender) in [
        (format!("(i32.const 1) {ADDRESS}"), "new@example.net"),
        (format!("(i32.const 0) {ADDRESS}"), ""),
    ] {
        let arguments = format!("(local.get 1) {arguments}");
        let (result, answer) =
            edit(Hook::Mail, ALL, "transaction.set-sender", parameters, &arguments).await;
        assert_eq!(result, OK);
        assert_eq!(applied(&answer).reverse_path.to_string(), sender);
    }
    let arguments = format!("(local.get 1) (i32.const 1) {NO_ADDRESS}");
    let (result, answer) =
        edit(Hook::Mail, ALL, "transaction.set-sender", parameters, &arguments).await;
    assert_eq!((result, answer.edits.len()), (MALFORMED, 0));
}

#[tokio::test]
async fn recipients_are_added_from_data_on_with_an_index_of_their_own() {
    let arguments = format!("(local.get 1) {ADDRESS}");
    let add = |hook| edit(hook, ALL, "transaction.add-recipient", "i32 i32 i32 i32", &arguments);
    assert_eq!(add(Hook::Rcpt).await.0, TOO_LATE);
    let (result, answer) = add(Hook::Data).await;
    assert_eq!(result, OK);
    let recipients = applied(&answer).recipients;
    assert_eq!((recipients[1].index, recipients[1].address.as_str()), (2, "new@example.net"));
}

#[tokio::test]
async fn the_recipient_that_is_judged_can_be_named_and_one_that_is_not_there_cannot() {
    for (hook, index, expected) in [
        (Hook::Rcpt, 0, OK),
        (Hook::Rcpt, 1, OK),
        (Hook::Rcpt, 2, OUT_OF_RANGE),
        (Hook::Data, 1, OUT_OF_RANGE),
    ] {
        let arguments = format!("(local.get 1) (i32.const {index})");
        let (result, _) =
            edit(hook, ALL, "transaction.drop-recipient", "i32 i32 i32", &arguments).await;
        assert_eq!(result, expected, "{hook} {index}");
    }
}

#[tokio::test]
async fn routes_lead_to_upstreams_that_exist_and_not_before_rcpt() {
    for (hook, length, expected) in
        [(Hook::Rcpt, 5, OK), (Hook::Mail, 5, TOO_LATE), (Hook::Rcpt, 4, OUT_OF_RANGE)]
    {
        let arguments = format!(
            "(local.get 1) (i32.const 1088) (i32.const {length}) (i32.const 0) (i32.const 0)"
        );
        let parameters = "i32 i32 i32 i32 i32 i32";
        let (result, answer) = edit(hook, ALL, "transaction.route", parameters, &arguments).await;
        assert_eq!(result, expected, "{hook}");
        if expected == OK {
            assert_eq!(applied(&answer).recipients[0].route.as_deref(), Some("store"));
        }
    }
}

#[tokio::test]
async fn recipients_are_refused_after_the_message_was_seen_without_a_grant() {
    // index, code, status (none), text.
    let refuse = |code: u16, text: &str| {
        format!(
            "(local.get 1) (i32.const 0) (i32.const {code})
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) {text}"
        )
    };
    let parameters = "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32";
    for (hook, code, text, expected) in [
        (Hook::Message, 550, ADDRESS, OK),
        (Hook::Data, 550, ADDRESS, TOO_LATE),
        (Hook::Message, 250, ADDRESS, MALFORMED),
        (Hook::Message, 550, "(i32.const 1152) (i32.const 7)", MALFORMED),
    ] {
        let (result, answer) =
            edit(hook, &[], "transaction.refuse-recipient", parameters, &refuse(code, text)).await;
        assert_eq!(result, expected, "{hook} {code}");
        assert_eq!(matches!(answer.edits[..], [Edit::RefuseRecipient(0, _)]), expected == OK);
    }
}

#[tokio::test]
async fn headers_are_added_where_there_is_room_and_never_two_at_once() {
    let name = "(i32.const 1093) (i32.const 6)";
    for (hook, at, value, expected) in [
        (Hook::Headers, 0, "(i32.const 1099) (i32.const 5)", OK),
        (Hook::Message, 3, "(i32.const 1099) (i32.const 5)", OK),
        (Hook::Message, 4, "(i32.const 1099) (i32.const 5)", OUT_OF_RANGE),
        (Hook::Message, 0, "(i32.const 1152) (i32.const 7)", MALFORMED),
    ] {
        let arguments = format!("(local.get 2) (i32.const 1) (i32.const {at}) {name} {value}");
        let parameters = "i32 i32 i32 i32 i32 i32 i32 i32";
        let (result, answer) = edit(hook, ALL, "message.add-header", parameters, &arguments).await;
        assert_eq!(result, expected, "{at} {value}");
        if expected == OK {
            let mut edited: Message = message();
            edited.apply(&answer.edits);
            assert_eq!(edited.header.values("x-test").next().as_deref(), Some(&b"value"[..]));
        }
    }
}

#[tokio::test]
async fn headers_that_are_not_there_cannot_be_dropped() {
    for (nth, expected) in [(0, OUT_OF_RANGE), (1, OUT_OF_RANGE)] {
        let arguments = format!("(local.get 2) (i32.const 1093) (i32.const 6) (i32.const {nth})");
        let (result, _) =
            edit(Hook::Message, ALL, "message.drop-header", "i32 i32 i32 i32 i32", &arguments)
                .await;
        assert_eq!(result, expected, "{nth}");
    }
}

/// Copies the body behind some text into a new one, and sets a header on the way.
#[tokio::test]
async fn a_body_is_replaced_when_its_writer_was_finished() {
    let imports = r#"
        (import "smtp:filter/types@0.1.0" "[method]message.read-body"
            (func $read (param i32) (result i32)))
        (import "smtp:filter/types@0.1.0" "[method]message.replace-body" (func $replace (param i32 i32)))
        (import "smtp:filter/types@0.1.0" "[method]message.set-header"
            (func $set (param i32 i32 i32 i32 i32 i32 i32)))
        (import "smtp:filter/types@0.1.0" "[method]reader.find"
            (func $find (param i32 i32 i32 i64 i32)))
        (import "smtp:filter/types@0.1.0" "[method]reader.skip"
            (func $skip (param i32 i64) (result i64)))
        (import "smtp:filter/types@0.1.0" "[method]writer.write" (func $write (param i32 i32 i32 i32)))
        (import "smtp:filter/types@0.1.0" "[method]writer.copy"
            (func $copy (param i32 i32 i64 i32)))
        (import "smtp:filter/types@0.1.0" "[method]writer.finish" (func $finish (param i32 i32)))"#;
    let code = |finish: &str| {
        format!(
            r#"(func $message (param i32 i32 i32) (result i32)
                (local $reader i32) (local $writer i32)
                (local.set $reader (call $read (local.get 2)))
                (call $replace (local.get 2) (i32.const 512))
                (local.set $writer (i32.load (i32.const 516)))
                (call $write (local.get $writer) (i32.const 1024) (i32.const 5) (i32.const 512))
                (call $find (local.get $reader) (i32.const 1040) (i32.const 3) (i64.const 1000)
                    (i32.const 512))
                (drop (call $skip (local.get $reader) (i64.load (i32.const 520))))
                (call $copy (local.get $writer) (local.get $reader) (i64.const 1000) (i32.const 512))
                {finish}
                (call $set (local.get 2) (i32.const 1056) (i32.const 7) (i32.const 1)
                    (i32.const 1064) (i32.const 3) (i32.const 512))
                (i32.const 0))
            (data (i32.const 1024) "new\n\r")
            (data (i32.const 1040) "two")
            (data (i32.const 1056) "subject")
            (data (i32.const 1064) "2nd")"#
        )
    };
    let house = House::new();
    for (finish, body) in [
        ("(call $finish (local.get $writer) (i32.const 512))", &b"new\r\n\r\ntwo\r\n"[..]),
        ("", b"line one\r\nline two\r\n"),
    ] {
        let wasm = text::module_importing(&["message"], imports, &code(finish));
        let plugin = house.load_with(&wasm, |plugin| plugin.grants = ALL.to_vec()).await;
        let answer = plugin.copy().call(call(Hook::Message)).await.unwrap();
        let mut edited = message();
        edited.apply(&answer.edits);
        let body_now = edited.body.segments().expect("in memory").collect::<Vec<_>>().concat();
        assert_eq!(body_now, body);
        let subjects: Vec<_> = edited.header.values("subject").collect();
        assert_eq!(subjects, [b"one".to_vec(), b"2nd".to_vec()]);
        assert!(
            answer.edits.iter().any(|edit| matches!(edit, Edit::Header(HeaderEdit::Set { .. })))
        );
    }
}

#[tokio::test]
async fn a_body_larger_than_a_message_may_be_is_out_of_range() {
    let imports = r#"
        (import "smtp:filter/types@0.1.0" "[method]message.replace-body" (func $replace (param i32 i32)))
        (import "smtp:filter/types@0.1.0" "[method]writer.write" (func $write (param i32 i32 i32 i32)))
        (import "smtp:filter/types@0.1.0" "[method]session.save"
            (func $save (param i32 i32 i32 i32)))"#;
    let code = "(func $message (param i32 i32 i32) (result i32)
            (call $replace (local.get 2) (i32.const 512))
            (call $write (i32.load (i32.const 516)) (i32.const 1024) (i32.const 1000) (i32.const 512))
            (call $save (local.get 0) (i32.const 512) (i32.const 2) (i32.const 528))
            (i32.const 0))";
    let house = House::new();
    let wasm = text::module_importing(&["message"], imports, code);
    let plugin = house.load_with(&wasm, |plugin| plugin.grants = ALL.to_vec()).await;
    let answer = plugin.copy().call(call(Hook::Message)).await.unwrap();
    assert_eq!(answer.saved, Some(vec![1, OUT_OF_RANGE]));
}

#[tokio::test]
async fn splices_lie_within_the_body_and_need_a_grant_and_the_whole_message() {
    let splice = |at: i64, length: i64| {
        format!(
            "(local.get 2) (i64.const {at}) (i64.const {length}) (i32.const 1152) (i32.const 2)"
        )
    };
    let parameters = "i32 i64 i64 i32 i32 i32";
    for (hook, grants, at, length, expected) in [
        (Hook::Message, ALL, 0, 20, OK),
        (Hook::Message, ALL, 20, 0, OK),
        (Hook::Message, ALL, 0, 21, OUT_OF_RANGE),
        (Hook::Message, ALL, 21, 0, OUT_OF_RANGE),
        (Hook::Message, ALL, -1, 1, OUT_OF_RANGE),
        (Hook::Headers, ALL, 0, 0, TOO_LATE),
        (Hook::Message, &[], 0, 1, DENIED),
    ] {
        let (result, answer) =
            edit(hook, grants, "message.splice-body", parameters, &splice(at, length)).await;
        assert_eq!(result, expected, "{hook} {at} {length}");
        assert_eq!(answer.edits.len(), usize::from(expected == OK));
    }
    let (_, answer) =
        edit(Hook::Message, ALL, "message.splice-body", parameters, &splice(0, 10)).await;
    let mut edited = message();
    edited.apply(&answer.edits);
    let mut body = vec![0; edited.body.octets() as usize];
    edited.body.read_at(0, &mut body).unwrap();
    // The replacement ends with a CR alone, which is a line end.
    assert_eq!(body, b"a\r\nline two\r\n");
}

#[tokio::test]
async fn scores_need_a_symbol_and_a_number_and_no_grant() {
    let name = "(local.get 1) (i32.const 1093) (i32.const 6)";
    let odd = "(local.get 1) (i32.const 1152) (i32.const 3)";
    let parameters = "i32 i32 i32 f64 i32";
    for (hook, symbol, points, expected) in [
        (Hook::Mail, name, "7.5", OK),
        (Hook::Message, name, "-10000", OK),
        (Hook::Message, name, "10000.5", OUT_OF_RANGE),
        (Hook::Message, name, "nan", MALFORMED),
        (Hook::Message, name, "inf", MALFORMED),
        (Hook::Rcpt, odd, "1", MALFORMED),
    ] {
        let arguments = format!("{symbol} (f64.const {points})");
        let (result, answer) = edit(hook, &[], "transaction.score", parameters, &arguments).await;
        assert_eq!(result, expected, "{hook} {points}");
        assert_eq!(applied(&answer).scores.iter().len(), usize::from(expected == OK));
    }
}
