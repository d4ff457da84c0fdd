//! The plugin as operators configure it and messages meet it, with a clamd that the test makes up.

use clamav::Clamav;
use portcullis_plugin::streams::StreamError;
use portcullis_plugin::testing::{
    Grant, answer_stream, configure, grant_store, settings_in, stop_clock, streamed,
};
use portcullis_plugin::{Message, Plugin, Question, Session, Transaction, Verdict};

const CLAMD: &str = "unix:/run/clamav/clamd.ctl";

fn clamav(yaml: &str) -> Result<Clamav, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn ask(yaml: &str, message: &Message) -> (Verdict, Vec<(String, f64)>) {
    let (session, transaction) = (Session::fake(), Transaction::fake());
    let mut plugin = clamav(yaml).expect("settings");
    let verdict = plugin.ask(Question::Message(&session, &transaction, message));
    (verdict, transaction.scores())
}

fn message() -> Message {
    Message::fake("Subject: a\nX-Virus-Status: clean\n\nbody\n").with_grant(Grant::RewriteHeaders)
}

fn answer(answer: &'static [u8]) {
    answer_stream(CLAMD, move |_| Ok(answer.to_vec()));
}

fn deferred() -> Verdict {
    Verdict::defer(451, "4.7.1", "cannot be scanned for malware now")
}

#[test]
fn the_whole_message_goes_to_clamd_in_one_chunk() {
    answer(b"stream: OK\0");
    assert_eq!(ask("{}", &message()), (Verdict::Next, vec![]));
    let text = b"Subject: a\r\nX-Virus-Status: clean\r\n\r\nbody\r\n";
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    let heard = [&b"zINSTREAM\0"[..], &length, text, &[0; 4]].concat();
    assert_eq!(streamed(CLAMD), [heard]);
}

#[test]
fn what_is_found_is_refused_by_its_name() {
    answer(b"stream: Eicar-Test-Signature FOUND\0");
    let refused = Verdict::reject(550, "5.7.1", "malware found: Eicar-Test-Signature");
    assert_eq!(ask("{}", &message()).0, refused);
    let quarantined = Verdict::quarantine("malware: Eicar-Test-Signature");
    assert_eq!(ask("infected: quarantine", &message()).0, quarantined);
    let (verdict, scores) = ask("infected: score", &message());
    assert_eq!(verdict, Verdict::Next);
    assert_eq!(scores, [("CLAMAV_INFECTED".to_owned(), 20.0)]);
    let (verdict, scores) = ask("suspicious: [eicar-*]", &message());
    assert_eq!(verdict, Verdict::Next);
    assert_eq!(scores, [("CLAMAV_SUSPICIOUS".to_owned(), 4.0)]);
}

#[test]
fn the_header_is_ours() {
    answer(b"stream: PUA.Doc FOUND\0");
    let marked = message();
    assert_eq!(ask("header: true", &marked).0, Verdict::Next);
    let expected = "X-Virus-Status: infected (PUA.Doc)\r\nSubject: a\r\n\r\nbody\r\n";
    assert_eq!(marked.edited_text(), expected);
    let many = Message::fake("X-Virus-Status: clean\n".repeat(2_000) + "\nbody\n");
    let refused = Verdict::reject(554, "5.6.0", "too many X-Virus-Status fields");
    assert_eq!(ask("header: true", &many.with_grant(Grant::RewriteHeaders)).0, refused);
}

#[test]
fn who_cannot_tell_is_no_yes() {
    for said in [
        &b""[..],
        b"stream: OK",
        b"stream: OK\r\n",
        b"stream: ERROR\0",
        b"OK\0",
        b"\0",
        b"HTTP/1.1 200 OK\r\n\r\n",
        &[0xff; 5000],
    ] {
        answer_stream(CLAMD, |_| Ok(said.to_vec()));
        // Without the zero at its end an answer may be half of one, and OK is too short to tell.
        let clean = said == b"stream: OK";
        let verdict = if clean { Verdict::Next } else { deferred() };
        assert_eq!(ask("{}", &message()).0, verdict, "{said:?}");
    }
    for error in [StreamError::TimedOut, StreamError::Unavailable(String::new())] {
        answer_stream(CLAMD, move |_| Err(error.clone()));
        assert_eq!(ask("{}", &message()).0, deferred());
        assert_eq!(ask("on_error: pass", &message()), (Verdict::Next, vec![]));
        let (verdict, scores) = ask("on_error: score", &message());
        assert_eq!(verdict, Verdict::Next);
        assert_eq!(scores, [("CLAMAV_UNSCANNED".to_owned(), 1.0)]);
    }
}

#[test]
fn without_the_grant_mail_waits() {
    assert_eq!(ask("{}", &message()).0, deferred());
}

#[test]
fn a_second_server_is_asked_when_the_first_is_away() {
    answer_stream("a:1", |_| Err(StreamError::Unavailable(String::new())));
    answer_stream("b:1", |_| Ok(b"stream: OK\0".to_vec()));
    assert_eq!(ask("servers: ['a:1', 'b:1']", &message()).0, Verdict::Next);
    answer_stream("a:1", |_| Err(StreamError::TimedOut));
    assert_eq!(ask("servers: ['a:1', 'b:1']", &message()).0, deferred());
    assert_eq!(streamed("b:1").len(), 1);
}

#[test]
fn what_is_too_large_is_told_and_passes() {
    answer(b"stream: Eicar FOUND\0");
    let large = || Message::fake(format!("A: b\n\n{}\n", "x".repeat(1024)));
    let (verdict, scores) = ask("max_size: 1KiB", &large());
    assert_eq!(verdict, Verdict::Next);
    assert_eq!(scores, [("CLAMAV_UNSCANNED".to_owned(), 1.0)]);
    assert_eq!(streamed(CLAMD).len(), 0);
    answer(b"INSTREAM size limit exceeded. ERROR\0");
    assert_eq!(ask("{}", &large()).0, Verdict::Next);
}

#[test]
fn nobody_waits_for_good() {
    let _store = grant_store("clamav");
    let yaml = "{store: clamav, defer_for: 4h}";
    for (hours, verdict) in [(0, deferred()), (3, deferred()), (4, Verdict::Next)] {
        stop_clock(hours * 3_600_000 + 1_000_000_000_000);
        assert_eq!(ask(yaml, &message()).0, verdict, "after {hours} hours");
    }
    let other = Message::fake("Subject: a\n\nanother\n");
    assert_eq!(ask(yaml, &other).0, deferred());
}

#[test]
fn the_readme_shows_what_works() {
    let settings = settings_in(include_str!("../README.md"));
    clamav(settings).expect("the README's settings are right");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("servers: []", "servers: at least one, such as unix:/run/clamav/clamd.ctl"),
        ("servers: [clamd]", "servers[0]: `clamd` is neither host:port nor unix:/path"),
        ("timeout: 2m", "timeout: from 1s to 60s, and less than the plugin's time_limit"),
        ("max_size: 25MB", "max_size: `25MB` is not a size as in `25MiB`, to 2000MiB"),
        ("scores: {infected: 1000}", "scores.infected"),
        ("infected: drop", "infected: unknown variant `drop`"),
        ("on_errors: pass", "on_errors: unknown field `on_errors`"),
    ] {
        let said = clamav(yaml).unwrap_err();
        assert!(said.starts_with(mistake), "{yaml}: {said}");
    }
}
