//! What is told, in both formats, whatever was said.

use crate::telemetry::Format;
use crate::telemetry::tests::logged;

use super::*;

const HOSTILE: &str = "x\r\noutcome=accepted \"q\" \u{1b}[2J\u{85}\u{2028}\\";

/// A record with everything in it.
pub(in crate::telemetry) fn record(words: &str) -> Arc<TransactionRecord> {
    Arc::new(TransactionRecord {
        time: "2026-11-22T15:52:11.123456Z".parse().unwrap(),
        started: "2026-11-22T15:52:09.623Z".parse().unwrap(),
        id: "s1.1".to_owned(),
        session: "s1".to_owned(),
        listener: "mx".to_owned(),
        protocol: "ESMTPSA",
        client: client(words),
        forwarded: Some(Box::new(ForwardedRecord {
            name: Some(words.to_owned()),
            address: Some("198.51.100.7".to_owned()),
            ..ForwardedRecord::default()
        })),
        helo: Some(words.to_owned()),
        tls: None,
        user: Some(words.to_owned()),
        mechanism: Some("PLAIN".to_owned()),
        sender: words.to_owned(),
        parameters: vec!["SIZE=1234".to_owned()],
        recipients: recipients(words),
        recipients_left_out: 0,
        octets: 1234,
        outcome: "rejected",
        code: Some(550),
        reply: Some(format!("550 5.7.1 {words}")),
        decided_by: Some(Decision { plugin: "access".to_owned(), hook: "rcpt" }),
        score: Some(7.5),
        thresholds: Some(Box::new(ThresholdsRecord {
            reject: Some(15.0),
            ..ThresholdsRecord::default()
        })),
        scores: vec![ScoreRecord {
            plugin: "access".to_owned(),
            symbol: "BAD".to_owned(),
            points: 7.5,
        }],
        edits: vec![EditRecord::new(
            ("headers", "message"),
            "header Subject",
            Some(words),
            Some("new"),
        )],
        calls: vec![call("helo", words, None), call("rcpt", words, Some(Duration::from_millis(3)))],
        calls_left_out: 0,
        deliveries: vec![delivery()],
        duration: Duration::from_micros(1_500_000),
        plugins_duration: Duration::from_nanos(12_345),
        upstream_duration: Duration::ZERO,
        stages: StagesRecord { client: Duration::from_secs(1), ..StagesRecord::default() },
        generation: 3,
    })
}

impl TransactionRecord {
    /// One of a mail that went well or badly, for others' tests.
    pub(crate) fn sample() -> Self {
        Arc::unwrap_or_clone(record("x"))
    }
}

fn client(words: &str) -> ClientRecord {
    ClientRecord {
        address: "192.0.2.1".to_owned(),
        port: Some(4711),
        name: Some(words.to_owned()),
        via: Some(PeerRecord { address: "127.0.0.1".to_owned(), port: Some(4712) }),
    }
}

fn recipients(words: &str) -> Vec<RecipientRecord> {
    let first = RecipientRecord {
        address: words.to_owned(),
        changed_to: Some("c@example.org".to_owned()),
        upstream: Some("store".to_owned()),
        route: Some(RouteRecord::Route { number: 2, map_line: Some(14) }),
        reply: Some(words.to_owned()),
        ..RecipientRecord::default()
    };
    let address = "b@example.org".to_owned();
    vec![first, RecipientRecord { address, ..RecipientRecord::default() }]
}

fn call(hook: &'static str, words: &str, at: Option<Duration>) -> CallRecord {
    CallRecord {
        hook,
        plugin: "access".into(),
        recipient: None,
        verdict: "reject",
        text: Some(words.into()),
        failure: None,
        at,
        duration: Duration::from_micros(12),
    }
}

fn delivery() -> DeliveryRecord {
    DeliveryRecord {
        upstream: "store".to_owned(),
        what: Errand::Rcpt,
        address: Some("192.0.2.9:24".to_owned()),
        recipients: 2,
        at: Duration::from_millis(4),
        duration: Duration::from_millis(2),
        connecting: Duration::from_millis(1),
    }
}

#[test]
fn a_record_is_one_object_of_json_with_all_that_was_told() {
    let text = logged(Format::Json, "info", || record("a b").emit());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(text.starts_with(
        "{\"time\":\"2026-11-22T15:52:11.123Z\",\"level\":\"info\",\"target\":\"transaction\",\
         \"started\":\"2026-11-22T15:52:09.623Z\",\"id\":\"s1.1\","
    ));
    assert_eq!(json["client"]["port"], 4711);
    assert_eq!(json["client"]["via"]["address"], "127.0.0.1");
    assert_eq!((&json["octets"], &json["code"]), (&1234.into(), &550.into()));
    assert_eq!(json["duration_seconds"], 1.5);
    assert_eq!(json["plugins_seconds"], 0.000_012);
    assert_eq!(json["stage_seconds"]["client"], 1.0);
    assert_eq!(json["decided_by"], serde_json::json!({ "plugin": "access", "hook": "rcpt" }));
    assert!(json.get("tls").is_none());
    assert_eq!(json["scores"][0]["points"], 7.5);
    let route = serde_json::json!({ "by": "route", "number": 2, "map_line": 14 });
    assert_eq!(json["recipients"][0]["route"], route);
    assert_eq!(json["recipients"][1], serde_json::json!({ "address": "b@example.org" }));
    assert_eq!(
        json["calls"][1],
        serde_json::json!({
            "hook": "rcpt", "plugin": "access", "verdict": "reject", "text": "a b",
            "at_seconds": 0.003, "duration_seconds": 0.000_012,
        })
    );
    assert!(json["calls"][0].get("at_seconds").is_none());
    assert_eq!(json["deliveries"][0]["connect_seconds"], 0.001);
}

#[test]
fn a_record_is_one_line_of_text_for_people() {
    let text = logged(Format::Text, "info", || record("a@b").emit());
    let (_, line) = text.split_once(" INFO  transaction: ").expect("the line's beginning");
    assert_eq!(
        line,
        "rejected s1.1 mx 192.0.2.1 user a@b a@b -> a@b as c@example.org via store \"a@b\", \
         b@example.org by access at rcpt score 7.5: \"550 5.7.1 a@b\" (1234 octets, 1.5 s, \
         plugins 12 µs)\n"
    );
}

#[test]
fn what_a_peer_said_stays_within_its_field() {
    let text = logged(Format::Text, "info", || record(HOSTILE).emit());
    assert!(!text.trim_end_matches('\n').chars().any(char::is_control), "{text:?}");
    // Nothing that splits at quotes is led astray.
    assert!(!unquoted(&text).contains("outcome="), "{text}");

    let text = logged(Format::Json, "info", || record(HOSTILE).emit());
    assert!(!text.trim_end_matches('\n').chars().any(char::is_control), "{text:?}");
    assert!(!text.contains('\u{2028}'));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["outcome"], "rejected");
    for said in [&json["helo"], &json["user"], &json["edits"][0]["old"], &json["calls"][0]["text"]]
    {
        assert_eq!(said, HOSTILE);
    }
}

#[test]
fn long_values_of_edits_are_cut_at_a_character() {
    let edit = EditRecord::new(("headers", "message"), "body", None, Some(&"é".repeat(1000)));
    assert_eq!(edit.new.unwrap(), format!("{}... (2000 octets)", "é".repeat(128)));
}

fn unquoted(text: &str) -> String {
    let mut quoted = false;
    let mut kept = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => drop(characters.next()),
            '"' => quoted = !quoted,
            _ if quoted => {}
            _ => kept.push(character),
        }
    }
    kept
}
