//! What `portcullis explain` says is what the gateway does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use portcullis_tests::gateway::{Running, plugin, program};
use portcullis_tests::process::{run, run_with_input};
use portcullis_tests::seed::Seed;
use portcullis_tests::sink::{Letter, Manners};
use portcullis_tests::{Client, Gateway, Sink, metrics};
use serde_json::{Value, json};

/// One transaction, as a client would have it.
#[derive(Debug)]
struct Transaction {
    listener: &'static str,
    client: &'static str,
    helo: String,
    sender: String,
    recipients: Vec<String>,
    message: String,
}

/// What there is of the gateway beside itself.
struct Upstreams {
    store: Sink,
    archive: Sink,
    quarantine: Sink,
}

impl Upstreams {
    /// They say of messages what a rehearsal supposes.
    fn new() -> Self {
        let manners = |lmtp| Manners {
            lmtp,
            verdicts: vec!["250 2.0.0 ok".to_owned(); 9],
            ..Manners::default()
        };
        Self {
            store: Sink::with(manners(false)),
            archive: Sink::with(manners(true)),
            quarantine: Sink::with(manners(false)),
        }
    }

    /// What has arrived, by the message's own id: the upstream's name with it.
    fn letters(&self) -> HashMap<String, Vec<(&'static str, Letter)>> {
        let all =
            [("archive", &self.archive), ("quarantine", &self.quarantine), ("store", &self.store)];
        let mut letters: HashMap<_, Vec<_>> = HashMap::new();
        for (name, sink) in all {
            for letter in sink.letters() {
                let text = letter.text();
                let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: "));
                let id = id.expect("each message has one").trim().to_owned();
                letters.entry(id).or_default().push((name, letter));
            }
        }
        letters
    }
}

/// Plugins that refuse, rewrite, score, route and fail, in front of three upstreams.
fn gateway(upstreams: &Upstreams) -> Gateway {
    let listener = |more: Value| {
        let mut settings = json!({
            "trust": { "xclient": ["127.0.0.1"] },
            "quarantine": "quarantine",
            "scores": { "add_header": 2, "quarantine": 4, "defer": 6, "reject": 8.5 },
            "limits": { "message": "20KiB" },
        });
        let (Value::Object(all), Value::Object(more)) = (&mut settings, more) else {
            panic!("objects")
        };
        all.extend(more);
        settings
    };
    let address = |sink: &Sink| sink.address().to_string();
    let gateway = Gateway::new()
        .listener("mx", listener(json!({})))
        .listener("worst", listener(json!({ "mixed": "worst" })))
        .listener("local", listener(json!({ "protocol": "lmtp", "upstream": "archive" })))
        .upstream("store", "smtp", &address(&upstreams.store))
        .upstream("archive", "lmtp", &address(&upstreams.archive))
        .upstream("quarantine", "smtp", &address(&upstreams.quarantine))
        .set("duplicates", json!({ "window": "0s" }))
        .set(
            "routes",
            json!([
                { "senders": ["boss@a.example"], "upstream": "archive" },
                { "domains": ["c.example"], "clients": ["192.0.2.0/28"], "upstream": "archive" },
                { "domains": ["b.example"], "upstream": "store" },
            ]),
        );
    edited(judged(gateway))
}

/// Who may send, and to whom.
fn judged(gateway: Gateway) -> Gateway {
    gateway
        .plugin(json!({
            "name": "access",
            "file": plugin("access"),
            "settings": {
                "allow": { "senders": ["friend@spam.example"] },
                "deny": {
                    "clients": ["203.0.113.0/24", { "match": "198.51.100.66", "reply": "450 4.7.1 not so often" }],
                    "helo": ["localhost", ".dynamic.example"],
                    "senders": ["spam.example"],
                },
            },
        }))
        .plugin(misbehaving(
            "fragile",
            json!({ "mode": "trap", "when": { "hook": "rcpt", "sender": "trap@a.example" } }),
            json!([]),
            "tempfail",
        ))
        .plugin(json!({
            "name": "recipients",
            "file": plugin("recipients"),
            "grants": ["rewrite-envelope", "route"],
            "settings": {
                "domains": {
                    "b.example": "any",
                    "c.example": ["carol", "odd"],
                    "d.example": { "recipients": "any", "route": "archive" },
                },
                "addresses": {
                    "gone@b.example": "550 5.1.6 moved away",
                    "later@b.example": "450 4.2.1 is being moved",
                },
                "subaddress": { "separator": "+", "rewrite": true },
            },
        }))
}

/// What becomes of messages.
fn edited(gateway: Gateway) -> Gateway {
    gateway
        .plugin(json!({
            "name": "headers",
            "file": plugin("headers"),
            "grants": ["rewrite-headers", "route"],
            "settings": {
                "rules": [
                    { "header": "X-Fixture", "equals": "reject", "refuse": "550 5.7.1 no" },
                    { "header": "X-Fixture", "equals": "defer", "refuse": "451 4.7.1 later" },
                    { "header": "X-Fixture", "equals": "hang up", "refuse": "421 4.7.1 go away" },
                    { "header": "X-Fixture", "equals": "keep", "quarantine": "kept" },
                    { "header": "X-Fixture", "equals": "lose", "discard": "lost" },
                    { "header": "List-Id", "present": true, "route": "archive" },
                ],
                "drop": ["X-Internal-*"],
                "set": [{ "name": "X-Spam-Flag", "value": "NO" }],
                "add": [{ "name": "X-Envelope-From", "value": "<{sender}> {client-address} {helo}" }],
            },
        }))
        .plugin(json!({
            "name": "points",
            "file": plugin("test-carver"),
            "settings": { "points": true, "recipients": { "odd": 1.5 } },
        }))
        .plugin(misbehaving(
            "editor",
            json!({ "mode": "rewrite-body", "body": "another\r\n", "when": { "hook": "message", "sender": "edit@a.example" } }),
            json!(["rewrite-body"]),
            "tempfail",
        ))
        .plugin(misbehaving(
            "harmless",
            json!({ "mode": "trap", "when": { "hook": "message", "sender": "late@a.example" } }),
            json!([]),
            "accept",
        ))
}

/// A plugin that fails, or does what plugins may. It is asked however often it fails.
fn misbehaving(name: &str, settings: Value, grants: Value, on_failure: &str) -> Value {
    json!({
        "name": name,
        "file": plugin("test-misbehave"),
        "settings": settings,
        "grants": grants,
        "on_failure": on_failure,
        "breaker": { "failures": 0 },
        "poison": { "failures": 0 },
    })
}

fn pick<T: Copy>(seed: &mut Seed, all: &[T]) -> T {
    let at = seed.below(all.len() as u64);
    all[usize::try_from(at).expect("a small number")]
}

impl Transaction {
    fn generate(seed: &mut Seed, number: usize) -> Self {
        let clients = [
            "192.0.2.7",
            "192.0.2.77",
            "198.51.100.1",
            "198.51.100.66",
            "203.0.113.9",
            "2001:db8::7",
        ];
        let helos = ["client.example", "mail.example.org", "x.dynamic.example", "localhost"];
        let senders = [
            "",
            "ann@a.example",
            "bob@a.example",
            "boss@a.example",
            "edit@a.example",
            "friend@spam.example",
            "late@a.example",
            "trap@a.example",
            "x@spam.example",
        ];
        let recipients = [
            "x@b.example",
            "y@b.example",
            "x+tag@b.example",
            "gone@b.example",
            "later@b.example",
            "carol@c.example",
            "odd@c.example",
            "nobody@c.example",
            "z@d.example",
            "z@e.example",
            "postmaster@c.example",
        ];
        // A name by which its record is found again, where it is one that is let in.
        let helo = match pick(seed, &helos) {
            name if seed.below(6) == 0 => name.to_owned(),
            _ => format!("h{number}.client.example"),
        };
        let client = if seed.below(3) == 0 { pick(seed, &clients) } else { "192.0.2.7" };
        let count = 1 + seed.below(4);
        Self {
            listener: pick(seed, &["mx", "mx", "worst", "local"]),
            client,
            helo,
            sender: pick(seed, &senders).to_owned(),
            recipients: (0..count).map(|_| pick(seed, &recipients).to_owned()).collect(),
            message: message(seed, number),
        }
    }

    fn inquiry(&self) -> Value {
        json!({
            "listener": self.listener, "client": self.client, "helo": self.helo,
            "from": self.sender, "to": self.recipients, "message": self.message,
        })
    }

    /// Says it to a gateway: the replies to each command.
    fn live(&self, address: SocketAddr) -> Vec<String> {
        let mut client = Client::connect(address);
        client.expect(220);
        let mut talk = Talk { client, heard: Vec::new(), over: false };
        self.say(&mut talk);
        talk.heard
    }

    fn say(&self, talk: &mut Talk) -> Option<()> {
        let address = match self.client.contains(':') {
            true => format!("IPV6:{}", self.client),
            false => self.client.to_owned(),
        };
        talk.ask(&format!("XCLIENT ADDR={address}"))?;
        let verb = if self.listener == "local" { "LHLO" } else { "EHLO" };
        talk.ask(&format!("{verb} {}", self.helo))?;
        talk.ask(&format!("MAIL FROM:<{}> SIZE={}", self.sender, self.message.len()))?;
        let mut accepted = 0;
        for recipient in &self.recipients {
            match talk.ask(&format!("RCPT TO:<{recipient}>")) {
                Some(()) => accepted += 1,
                None if talk.over => return None,
                None => {}
            }
        }
        if accepted == 0 {
            return None;
        }
        talk.ask("DATA")?;
        talk.client.send(&portcullis_tests::client::stuff(self.message.as_bytes())).ok()?;
        let owed = if self.listener == "local" { accepted } else { 1 };
        for _ in 0..owed {
            if talk.hear().is_none() && talk.over {
                return None;
            }
        }
        Some(())
    }
}

/// A conversation, as far as it gets.
struct Talk {
    client: Client,
    heard: Vec<String>,
    over: bool,
}

impl Talk {
    /// None where the answer is no.
    fn ask(&mut self, line: &str) -> Option<()> {
        let sent = self.client.send(format!("{line}\r\n").as_bytes());
        if sent.is_err() {
            self.over = true;
            return None;
        }
        self.hear()
    }

    fn hear(&mut self) -> Option<()> {
        let Ok(reply) = self.client.reply() else {
            self.over = true;
            return None;
        };
        self.over |= reply.code == 421;
        self.heard.push(format!("{} {}", reply.code, reply.lines.join(" / ")));
        (reply.code < 400).then_some(())
    }
}

fn message(seed: &mut Seed, number: usize) -> String {
    let mut text = String::from("From: Ann <ann@a.example>\r\n");
    let fixtures = ["reject", "defer", "hang up", "keep", "lose"];
    if seed.below(4) == 0 {
        let _ = write!(text, "X-Fixture: {}\r\n", pick(seed, &fixtures));
    }
    if seed.below(6) == 0 {
        text.push_str("List-Id: <list.example>\r\n");
    }
    if seed.below(3) == 0 {
        let _ = write!(text, "X-Points: SYMBOL {}.5\r\n", seed.below(10));
    }
    if seed.below(8) == 0 {
        // Too many digits for a score: its failure is the plugin's.
        text.push_str("X-Points: SYMBOL much\r\n");
    }
    for field in 0..seed.below(4) {
        let _ = write!(text, "X-Internal-{field}: {}\r\n\tfolded\r\n", seed.below(100));
    }
    for _ in 0..seed.below(3) {
        text.push_str("X-Spam-Flag: YES\r\nx-portcullis-score: 0\r\n");
    }
    let _ = write!(text, "Message-ID: <{number}@generated.example>\r\nSubject: {number}\r\n");
    text.push_str("\r\n");
    for line in 0..seed.below(20) {
        let dots = if seed.below(5) == 0 { "." } else { "" };
        let _ = write!(text, "{dots}line {line}\r\n");
    }
    if seed.below(40) == 0 {
        text.push_str(&"much more than there is room for\r\n".repeat(1000));
    }
    text
}

/// Without what no two transactions have in common.
fn nameless(text: &str) -> String {
    let lines = text.split(" / ").map(|line| match line.rfind(" [") {
        Some(at) if line.ends_with(']') => line[..at].to_owned(),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join(" / ")
}

/// What is heard at each step, as a client would write it down. What is offered is another thing to a
/// client that a proxy does not speak for.
fn replies(explanation: &Value) -> Vec<String> {
    let steps = explanation["steps"].as_array().expect("a list").iter();
    let replies = steps.flat_map(|step| {
        let offers = step["stage"] == "helo";
        let all = step["replies"].as_array().expect("a list").iter();
        all.map(move |reply| {
            let status = reply["status"].as_str().map(|status| format!(" {status}"));
            let text = reply["text"].as_str().expect("a text").replace('\n', " / ");
            let told = format!("{}{} {text}", reply["code"], status.unwrap_or_default());
            if offers { told.split(" / ").next().unwrap_or_default().to_owned() } else { told }
        })
    });
    replies.map(|told| nameless(&told)).collect()
}

/// What of two records has to be the same.
fn outline(record: &Value) -> Value {
    let mut outline = json!({});
    let fields = [
        "outcome",
        "code",
        "decided_by",
        "score",
        "scores",
        "edits",
        "sender",
        "recipients",
        "octets",
        "helo",
        "parameters",
        "listener",
        "thresholds",
    ];
    for field in fields {
        outline[field] = record[field].clone();
    }
    outline["reply"] = record["reply"].as_str().map(nameless).into();
    let calls = record["calls"].as_array().cloned().unwrap_or_default();
    let calls = calls.into_iter().map(|mut call| {
        for time in ["at_seconds", "duration_seconds"] {
            call.as_object_mut().expect("an object").remove(time);
        }
        call
    });
    outline["calls"] = calls.collect();
    let mut text = outline.to_string();
    // Replies of recipients and of edits have ids, too.
    while let Some(start) = text.find(" [") {
        let end = text[start..].find(']').map_or(text.len(), |end| start + end + 1);
        text.replace_range(start..end, "");
    }
    serde_json::from_str(&text).expect("what was JSON before")
}

/// A message from its gateway's `Received` on, of which id and time are nobody else's.
fn content(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let (trace, rest) = text.split_once(" +0000\n").expect("a Received field");
    let (trace, _) = trace.rsplit_once(";\n").expect("a date");
    let (before, after) = trace.split_once(" id ").expect("an id");
    let after = after.split_once('\n').map_or("", |(_, after)| after);
    format!("{before}\n{after}\n{rest}")
}

/// Compares what was explained with what was done, and tells what differs.
fn compare(
    explanation: &Value,
    heard: &[String],
    record: Option<&Value>,
    letters: &[(&'static str, Letter)],
) -> Result<(), String> {
    let told = replies(explanation);
    // The second is that to EHLO.
    let heard = heard.iter().enumerate().map(|(at, reply)| match at {
        1 => nameless(reply.split(" / ").next().unwrap_or_default()),
        _ => nameless(reply),
    });
    let heard: Vec<_> = heard.collect();
    if told != heard {
        return Err(format!("replies: explained {told:#?}\nlive {heard:#?}"));
    }
    if let Some(record) = record {
        let (told, live) = (outline(&explanation["record"]), outline(record));
        if told != live {
            return Err(format!("record: explained {told:#}\nlive {live:#}"));
        }
    }
    let mut told: Vec<_> = explanation["delivered"].as_array().expect("a list").iter().collect();
    told.sort_by_key(|delivered| delivered["upstream"].as_str().map(str::to_owned));
    if told.len() != letters.len() {
        return Err(format!("deliveries: explained {told:#?}\nlive {letters:#?}"));
    }
    for (delivered, (upstream, letter)) in told.into_iter().zip(letters) {
        let text = |name: &str| delivered[name].as_str().unwrap_or_default().to_owned();
        let explained = (
            text("upstream"),
            text("sender"),
            delivered["recipients"].clone(),
            content(&format!("{}\n{}", text("header"), text("body"))),
        );
        let live = (
            (*upstream).to_owned(),
            letter.sender.clone(),
            json!(letter.recipients),
            content(&letter.text()),
        );
        if explained != live {
            return Err(format!("delivered: explained {explained:#?}\nlive {live:#?}"));
        }
    }
    Ok(())
}

/// One answer for each inquiry, in one process.
fn explain(gateway: &Running, transactions: &[Transaction]) -> Vec<Value> {
    let inquiries: String =
        transactions.iter().map(|transaction| format!("{}\n", transaction.inquiry())).collect();
    let mut command = Command::new(program());
    command.args(["explain", "--batch", "-", "--config"]).arg(gateway.configuration());
    let finished = run_with_input(&mut command, &inquiries);
    let answers = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), transactions.len(), "{}", finished.stderr);
    answers
}

#[test]
fn a_thousand_transactions_end_as_explained() {
    let mut seed = Seed::new();
    let transactions: Vec<_> =
        (0..1000).map(|number| Transaction::generate(&mut seed, number)).collect();
    let upstreams = Upstreams::new();
    let gateway = gateway(&upstreams).start();
    let answers = explain(&gateway, &transactions);
    assert!(upstreams.letters().is_empty(), "a dry run delivers nothing");
    let heard: Vec<_> =
        transactions.iter().map(|one| one.live(gateway.address(one.listener))).collect();
    let mut outcomes: HashMap<String, usize> = HashMap::new();
    for answer in &answers {
        let outcome = answer["ending"]["outcome"].as_str().expect("a word").to_owned();
        *outcomes.entry(outcome).or_default() += 1;
    }
    eprintln!("{outcomes:?}");
    for outcome in ["accepted", "deferred", "discarded", "quarantined", "rejected"] {
        assert!(outcomes.contains_key(outcome), "none is {outcome}: {outcomes:?}");
    }
    let helo = |transaction: &Transaction| format!("{}\"", transaction.helo);
    let own = |transaction: &&Transaction| transaction.helo.starts_with('h');
    let last =
        transactions.iter().zip(&answers).rfind(|(one, it)| own(one) && !it["record"].is_null());
    let (last, _) = last.expect("one has a record");
    gateway.log.wait_for("the last record", |record| record.field("helo") == last.helo);
    let records: HashMap<_, _> = gateway
        .log
        .records()
        .into_iter()
        .filter(|record| !record.field("outcome").is_empty())
        .map(|record| (record.field("helo"), record.json().clone()))
        .collect();
    let letters = upstreams.letters();
    let none = Vec::new();
    for (number, transaction) in transactions.iter().enumerate() {
        let record = records.get(&transaction.helo).filter(|_| own(&transaction));
        let letters = letters.get(&format!("<{number}@generated.example>")).unwrap_or(&none);
        let answer = &answers[number];
        if own(&transaction) {
            assert_eq!(record.is_some(), !answer["record"].is_null(), "{}", helo(transaction));
        }
        if let Err(difference) = compare(answer, &heard[number], record, letters) {
            panic!("{number}: {transaction:#?}\n{difference}");
        }
    }
}

#[test]
fn a_running_gateway_explains_and_nothing_of_it_stays() {
    let upstreams = Upstreams::new();
    let gateway = gateway(&upstreams).start();
    let inquiry = json!({
        "listener": "mx", "client": "192.0.2.7", "from": "edit@a.example", "to": ["x+y@b.example"],
        "message": "Message-ID: <1@a.example>\nX-Points: SYMBOL 2.5\n\nhello\n",
    });
    let before = gateway.metrics().sum("portcullis_plugin_calls_total", &[]);
    let (status, answer) = metrics::post(gateway.admin, "/api/explain", &inquiry.to_string());
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["ending"]["outcome"], "accepted", "{answer:#}");
    assert_eq!(answer["score"]["sum"], 2.5);
    assert_eq!(answer["recipients"][0]["said"], "x+y@b.example");
    assert_eq!(answer["recipients"][0]["recipient"], "x@b.example");
    assert_eq!(answer["delivered"][0]["upstream"], "store");
    assert_eq!(answer["delivered"][0]["body"], "another\n");
    let after = gateway.metrics().sum("portcullis_plugin_calls_total", &[]);
    assert!((before - after).abs() < 0.5, "{before} {after}");
    assert!(upstreams.letters().is_empty());
    assert!(gateway.log.about("edit@a.example").is_empty(), "nothing is logged");
    let (status, answer) = metrics::post(gateway.admin, "/api/explain", "{\"to\": [\"nobody\"]}");
    assert!((400..500).contains(&status), "{status} {answer}");
    assert!(
        answer.contains("\"nobody\\\\\" is no address") || answer.contains("is no address"),
        "{answer}"
    );
}

#[test]
fn an_explanation_is_to_be_read_and_has_an_exit_code() {
    let upstreams = Upstreams::new();
    let gateway = gateway(&upstreams).start();
    let explain = |words: &[&str]| {
        let mut command = Command::new(program());
        command.arg("explain").arg("--config").arg(gateway.configuration()).args(words);
        run(&mut command)
    };
    let told =
        explain(&["--from", "x@spam.example", "--to", "x@b.example", "--client", "192.0.2.7"]);
    assert_eq!(told.status.code(), Some(1), "{}", told.stdout);
    let first = "rejected: 550 5.7.1 sender not welcome here [explain.1]\n  the plugin \"access\" decided, at mail\n";
    assert!(told.stdout.starts_with(first), "{}", told.stdout);
    assert!(!told.stdout.contains('\u{1b}'), "no colour where there is no terminal");
    let told = explain(&["--from", "ann@a.example", "--to", "x@b.example"]);
    assert_eq!(told.status.code(), Some(0), "{}", told.stdout);
    let told = explain(&["--listener", "nowhere", "--to", "x@b.example"]);
    assert_eq!(told.status.code(), Some(2), "{}", told.stderr);
    let told = explain(&["--from", "trap@a.example", "--to", "x@b.example"]);
    assert!(told.stdout.contains("fragile, rcpt: fails trap"), "{}", told.stdout);
    assert!(told.stdout.contains(" -> tempfail ("), "{}", told.stdout);
}
