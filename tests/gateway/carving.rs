//! Plugins that look at the parts of messages, cut some out, and give points.

use std::process::Command;

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::python_with;
use portcullis_tests::process::run;
use portcullis_tests::{Gateway, Running, Sink};
use serde_json::{Value, json};

fn carver(settings: Value) -> Value {
    json!({
        "name": "carver",
        "file": plugin("test-carver"),
        "grants": ["rewrite-body", "rewrite-headers"],
        "settings": settings,
    })
}

/// A mail with a text, a program, a picture, and a mail within.
const MAIL: &str = "Subject: t\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=\"one two\"\r
\r
preamble\r
--one two\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
caf=E9\r
--one two\r
Content-Type: application/octet-stream\r
Content-Disposition: attachment; filename*=utf-8''%c3%a9vil.exe\r
Content-Transfer-Encoding: base64\r
\r
TVqQAAMAAAAEAAAA\r
--one two\r
Content-Type: image/png; name=a.png\r
Content-Transfer-Encoding: base64\r
\r
aVBORw==\r
--one two\r
Content-Type: message/rfc822\r
\r
Subject: within\r
\r
text\r
--one two--\r
";

/// What Python's email package makes of a message: a line a leaf, with what it decodes to.
const PYTHON: &str = r#"
import email, email.policy, sys
message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
for part in message.walk():
    assert not part.defects, part.defects
    if not part.is_multipart():
        print(part.get_content_type(), part.get_filename(), part.get_payload(decode=True))
"#;

fn read_by_python(message: &[u8]) -> Option<String> {
    let python = python_with("email")?;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), message).expect("written");
    let said = run(Command::new(python).args(["-c", PYTHON]).arg(file.path()));
    assert!(said.status.success(), "{}", said.stderr);
    Some(said.stdout)
}

#[test]
fn a_plugin_sees_the_parts_and_what_is_in_them() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).plugin(carver(json!({ "tell": true }))).start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MAIL.as_bytes()).unwrap().expect_code(250);
    let letter = sink.only_letter().text();
    let parts: Vec<Value> = letter
        .lines()
        .filter_map(|line| line.strip_prefix("X-Part: "))
        .map(|part| serde_json::from_str(part).expect("JSON"))
        .collect();
    let part = |parent: Option<u32>, kind: &str, name: Option<&str>, content: Option<&str>| {
        let size = content.map_or(0, str::len);
        json!({ "parent": parent, "type": kind, "name": name, "size": size, "content": content })
    };
    let program = "MZ\u{fffd}\0\u{3}\0\0\0\u{4}\0\0\0";
    assert_eq!(parts[0], part(None, "multipart/mixed", None, None));
    assert_eq!(parts[1], part(Some(0), "text/plain", None, Some("caf\u{e9}")));
    assert_eq!(parts[2]["content"], program);
    assert_eq!((&parts[2]["name"], &parts[2]["size"]), (&json!("\u{e9}vil.exe"), &json!(12)));
    assert_eq!(parts[3], part(Some(0), "image/png", Some("a.png"), Some("iPNG")));
    assert_eq!(parts[4]["type"], "message/rfc822");
    assert_eq!(parts[5], part(Some(4), "text/plain", None, Some("text")));
    assert_eq!(parts.len(), 6);
}

#[test]
fn an_attachment_that_was_cut_out_is_not_there_and_all_else_is() {
    let sink = Sink::smtp();
    let settings = json!({ "cut": ["\u{e9}vil.exe"] });
    let gateway = Gateway::before(&sink).plugin(carver(settings)).start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MAIL.as_bytes()).unwrap().expect_code(250);
    let letter = sink.only_letter();
    let (start, end) =
        (MAIL.find("\r\n--one two\r\nContent-Type: app"), MAIL.find("AAAA\r\n--one"));
    let (start, end) = (start.expect("its boundary"), end.expect("its end") + 4);
    let want = format!("{}{}", &MAIL[..start], &MAIL[end..]);
    assert_eq!(String::from_utf8_lossy(letter.without_received()), want);
    if let Some(read) = read_by_python(letter.without_received()) {
        let want =
            "text/plain None b'caf\\xe9'\nimage/png a.png b'iPNG'\ntext/plain None b'text'\n";
        assert_eq!(read, want);
    }
    let record = gateway.log.wait_for("a record", |record| !record.field("outcome").is_empty());
    let octets = end - start;
    assert!(record.field("edits").contains(&format!("{octets} octets")), "{record:?}");
}

#[test]
fn large_attachments_are_cut_out_of_files_too() {
    let sink = Sink::smtp();
    let settings = json!({ "cut": ["\u{e9}vil.exe"], "last": "<with CR LF in it>\n." });
    let gateway = Gateway::before(&sink)
        .set("limits", json!({ "message_memory": "64KiB" }))
        .plugin(carver(settings))
        .start();
    let long = "TVqQAAMAAAAEAAAA\r\n".repeat(100_000);
    let mail = MAIL.replace("TVqQAAMAAAAEAAAA\r\n", &long);
    let mut client = gateway.client();
    for _ in 0..2 {
        let reply = client.deliver("a@example.org", &["b@example.com"], mail.as_bytes());
        reply.unwrap().expect_code(250);
    }
    let letters = sink.wait_for(2);
    let letter = String::from_utf8_lossy(letters[1].without_received()).into_owned();
    assert!(letter.len() < MAIL.len(), "{letter}");
    assert!(letter.ends_with("Subject: within\r\n\r\n<with CR LF in it>\r\n.\r\n--one two--\r\n"));
    assert_eq!(letters[0].without_received(), letters[1].without_received());
}

/// Thresholds at 2, 4, 6 and 8.
fn scoring(sink: &Sink, quarantine: &Sink) -> Running {
    let settings = json!({
        "quarantine": "quarantine",
        "upstream": "store",
        "scores": {
            "add_header": 2, "quarantine": 4, "defer": 6, "reject": 8.5,
            "header": "X-Score", "text": "too many points",
        },
    });
    Gateway::new()
        .listener("mx", settings)
        .upstream("store", "smtp", &sink.address().to_string())
        .upstream("quarantine", "smtp", &quarantine.address().to_string())
        .plugin(carver(json!({ "points": true, "recipients": { "odd": 1.5 } })))
        .plugin(json!({
            "name": "second", "file": plugin("test-carver"), "grants": ["rewrite-headers"],
            "settings": { "tell": true },
        }))
        .start()
}

#[test]
fn points_become_a_header_quarantine_451_or_550() {
    for (points, code, action, outcome, header) in [
        ("0.25", 250, "pass", "accepted", None),
        ("1", 250, "add-header", "accepted", Some("X-Score: 2.5 RCPT=1.5 A=1")),
        ("3.5", 250, "quarantine", "quarantined", Some("X-Score: 5 RCPT=1.5 A=3.5")),
        ("4.5", 451, "defer", "deferred", None),
        ("7", 550, "reject", "rejected", None),
    ] {
        let (sink, quarantine) = (Sink::smtp(), Sink::smtp());
        let gateway = scoring(&sink, &quarantine);
        let mail =
            format!("X-Score: 0\r\nSubject: t\r\nx-score: -9\r\nX-Points: A {points}\r\n\r\nx\r\n");
        let mut client = gateway.client();
        let reply = client.deliver("a@example.org", &["odd@example.com"], mail.as_bytes()).unwrap();
        let reply = reply.expect_code(code);
        if code != 250 {
            let status = if code == 550 { "5.7.1" } else { "4.7.1" };
            assert!(reply.text().starts_with(&format!("{status} too many points [")), "{reply}");
        }
        let record = gateway.log.wait_for("a record", |record| !record.field("outcome").is_empty());
        assert_eq!(record.field("outcome"), outcome);
        let decided = ["quarantined", "deferred", "rejected"].contains(&outcome);
        assert_eq!(record.at("/decided_by/plugin"), if decided { "scores" } else { "" });
        let symbols = &record.json()["scores"];
        let points: f64 = points.parse().expect("a number");
        assert_eq!(
            symbols,
            &json!([
                { "plugin": "carver", "symbol": "RCPT", "points": 1.5 },
                { "plugin": "carver", "symbol": "A", "points": points },
            ])
        );
        assert_eq!(record.field("score").parse::<f64>().ok(), Some(points + 1.5));
        let counted = [("listener", "mx"), ("action", action)];
        assert_eq!(gateway.metrics().sum("portcullis_score_actions_total", &counted), 1.0);
        let letters = [sink.letters(), quarantine.letters()];
        let place = usize::from(outcome == "quarantined");
        assert!(letters[1 - place].is_empty(), "{outcome}");
        assert_eq!(letters[place].len(), usize::from(code == 250), "{outcome}");
        let Some(letter) = letters[place].first() else { continue };
        let text = letter.text();
        let found: Vec<_> =
            text.lines().filter(|line| line.to_lowercase().starts_with("x-score")).collect();
        assert_eq!(found, header.into_iter().collect::<Vec<_>>());
        assert!(text.contains("X-Symbol: RCPT 1.5\r\n"), "the next plugin sees it: {text}");
    }
}

#[test]
fn what_is_no_score_is_told_to_the_plugin() {
    let (sink, quarantine) = (Sink::smtp(), Sink::smtp());
    let gateway = scoring(&sink, &quarantine);
    let many: String = (0..101).map(|n| format!("X-Points: S{n} 0\r\n")).collect();
    for points in ["X-Points: A NaN\r\n", "X-Points: A 10001\r\n", "X-Points: A=B 1\r\n", &many] {
        let mut client = gateway.client();
        let mail = format!("{points}\r\nx\r\n");
        // The plugin gives up, which is its failure.
        let reply = client.deliver("a@example.org", &["b@example.com"], mail.as_bytes()).unwrap();
        reply.expect_code(451);
    }
    assert!(sink.letters().is_empty());
}
