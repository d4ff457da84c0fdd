//! What goes on now and what went on last: over HTTP, and in the terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use portcullis_tests::gateway::{plugin, program};
use portcullis_tests::metrics::get;
use portcullis_tests::peers::need;
use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Log, PATIENCE, Process, Running, Sink, process, wait_for};
use serde_json::{Value, json};

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// The transaction that a script of a hostile peer would like to be.
const HOSTILE: &str = "\"<script>\"@example.org";

fn before(sink: &Sink) -> Gateway {
    let address = sink.address().to_string();
    Gateway::new()
        .upstream("store", "smtp", &address)
        .listener("mx", json!({ "plugins": ["access"] }))
        .plugin(json!({
            "name": "access",
            "file": plugin("access"),
            "settings": { "deny": { "senders": ["spam.example"] } },
        }))
}

fn ask(gateway: &Running, path: &str) -> Value {
    let (status, body) = get(gateway.admin, path).expect("an answer");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

fn transactions(gateway: &Running, query: &str) -> Vec<Value> {
    let told = ask(gateway, &format!("/api/transactions?{query}"));
    told["transactions"].as_array().expect("a list").clone()
}

/// Server-Sent Events, a line at a time.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(admin: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(admin).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "GET /api/events?{query} HTTP/1.0\r\nHost: {admin}\r\n\r\n")
            .expect("it reads");
        let mut events = Self(BufReader::new(stream));
        assert!(events.line().contains("200"));
        while events.line() != ": watching" {}
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("more comes");
        line.trim_end().to_owned()
    }

    /// The next event that is none of silence.
    fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(event) = self.line().strip_prefix("event: ") {
                let data = self.line();
                let data = data.strip_prefix("data: ").expect("an event has data");
                return (event.to_owned(), serde_json::from_str(data).expect("JSON"));
            }
        }
    }
}

#[test]
fn a_session_is_shown_with_its_open_transaction_until_it_ends() {
    let sink = Sink::smtp();
    let gateway = before(&sink).start();
    let mut client = gateway.client();
    client.command(&format!("MAIL FROM:<{HOSTILE}>")).expect_code(250);
    client.command("RCPT TO:<b@example.com>").expect_code(250);
    let sessions = ask(&gateway, "/api/sessions");
    let [session] = sessions.as_array().unwrap().as_slice() else { panic!("{sessions}") };
    assert_eq!(session["listener"], "mx");
    assert_eq!(session["client"], client.local_address().to_string());
    assert_eq!((&session["stage"], &session["waits_for"]), (&json!("rcpt"), &json!("client")));
    let open = &session["transaction"];
    assert_eq!(
        (&open["sender"], &open["recipients"]),
        (&json!(HOSTILE), &json!(["b@example.com"]))
    );
    assert_eq!(ask(&gateway, "/api/sessions?recipient=nobody"), json!([]));
    assert_eq!(ask(&gateway, "/api/sessions?client=192.0.2.0/24"), json!([]));
    let status = ask(&gateway, "/api/status");
    assert_eq!((&status["connections"], &status["listeners"][0]["open"]), (&json!(1), &json!(1)));
    assert_eq!(status["upstreams"][0]["addresses"][0]["address"], sink.address().to_string());
    client.command("QUIT").expect_code(221);
    wait_for("the end of the session", || {
        (ask(&gateway, "/api/sessions") == json!([])).then_some(())
    });
}

#[test]
fn the_last_transactions_tell_their_whole_story_and_are_found_by_what_they_were() {
    let refusing = Manners {
        answers: vec![("RCPT TO:<no@".to_owned(), "550 5.1.1 no".to_owned())],
        ..Manners::default()
    };
    let sink = Sink::with(refusing);
    let gateway = before(&sink).set("history", json!({ "transactions": 3 })).start();
    let mut client = gateway.client();
    for number in 0..3 {
        let to = format!("b{number}@example.com");
        client.deliver("a@example.org", &[&to], MESSAGE).unwrap().expect_code(250);
    }
    client.deliver("a@spam.example", &["b@example.com"], MESSAGE).unwrap().expect_code(550);
    client.deliver("a@example.org", &["no@example.com"], MESSAGE).unwrap().expect_code(550);
    client.command("RSET").expect_code(250);
    let told = ask(&gateway, "/api/transactions");
    assert_eq!(told["kept"], 3);
    assert_eq!(told["transactions"][0]["recipients"][0]["reply"], "550 5.1.1 no");
    let [refused] = transactions(&gateway, "sender=*@spam.example").try_into().unwrap();
    assert_eq!(refused["decided_by"], json!({ "plugin": "access", "hook": "mail" }));
    assert_eq!(refused["calls"].as_array().unwrap().last().unwrap()["verdict"], "reject");
    let id = refused["id"].as_str().unwrap();
    assert_eq!(ask(&gateway, &format!("/api/transactions/{id}"))["id"], id);
    assert_eq!(get(gateway.admin, "/api/transactions/x").unwrap().0, 404);
    for (query, count) in [
        ("outcome=accepted", 1),
        ("recipient=b2%40example.com", 1),
        ("recipient=b0@example.com", 0),
        ("client=127.0.0.0/8&limit=2", 2),
        ("client=192.0.2.1", 0),
        (&format!("id={id}"), 1),
    ] {
        assert_eq!(transactions(&gateway, query).len(), count, "{query}");
    }
    assert_eq!(get(gateway.admin, "/api/transactions?client=x").unwrap().0, 400);
}

#[test]
fn a_gateway_that_keeps_no_history_says_so_and_tells_news_all_the_same() {
    let sink = Sink::smtp();
    let gateway = before(&sink).set("history", json!({ "transactions": 0 })).start();
    let mut events = Events::of(gateway.admin, "events=transaction");
    gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    let (event, record) = events.next();
    assert_eq!((event.as_str(), &record["outcome"]), ("transaction", &json!("accepted")));
    assert_eq!(ask(&gateway, "/api/transactions"), json!({ "transactions": [], "kept": 0 }));
}

#[test]
fn events_are_those_of_the_filter_and_end_with_the_gateway() {
    let sink = Sink::smtp();
    let mut gateway = before(&sink).start();
    let mut events = Events::of(gateway.admin, "recipient=bob@");
    let mut client = gateway.client();
    client.deliver("a@example.org", &["carol@example.com"], MESSAGE).unwrap().expect_code(250);
    client.deliver("a@example.org", &["bob@example.com"], MESSAGE).unwrap().expect_code(250);
    client.command("QUIT").expect_code(221);
    let heard: Vec<_> = (0..3).map(|_| events.next()).collect();
    let names: Vec<_> = heard.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(names, ["session", "transaction", "session"]);
    assert_eq!(heard[1].1["recipients"][0]["address"], "bob@example.com");
    assert_eq!((&heard[0].1["what"], &heard[2].1["what"]), (&json!("opened"), &json!("closed")));
    assert!(gateway.terminate().success());
    let mut rest = String::new();
    events.0.read_to_string(&mut rest).expect("an end, and no reset");
    assert!(!rest.contains("event:"), "{rest}");
}

#[test]
fn who_reads_too_slowly_loses_events_and_is_told_and_mail_goes_on() {
    let gateway = Gateway::new()
        .upstream_with("store", json!({ "protocol": "discard" }))
        .listener("mx", json!({}))
        .start();
    let mut events = Events::of(gateway.admin, "events=step");
    let enough = Arc::new(AtomicBool::new(false));
    let (address, told) = (gateway.address("mx"), enough.clone());
    let sender = thread::spawn(move || {
        let mut client = Client::ehlo(address);
        while !told.load(Ordering::Relaxed) {
            send_to_many(&mut client);
        }
    });
    wait_for("events to be dropped", || {
        let status = ask(&gateway, "/api/status");
        (status["watchers"]["dropped"].as_u64() > Some(0)).then_some(())
    });
    // Behind whatever lies in the buffers of both ends, which is a lot: no pause between events.
    let since = Instant::now();
    let told = loop {
        let (event, data) = events.next();
        if event == "dropped" {
            break data;
        }
        assert!(since.elapsed() < PATIENCE, "nobody tells that events were dropped");
    };
    assert!(told["dropped"].as_u64() > Some(0), "{told}");
    enough.store(true, Ordering::Relaxed);
    sender.join().expect("its mail went through");
    gateway.wait_for_metric("portcullis_transactions_total", &[("outcome", "lost")], 0.0);
}

/// One message to as many recipients as may be, each of which makes for some events.
fn send_to_many(client: &mut Client) {
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    let domain = ["x".repeat(60), "y".repeat(60), "example".into()].join(".");
    let commands: String =
        (0..500).map(|number| format!("RCPT TO:<b{number}@{domain}>\r\n")).collect();
    client.send(commands.as_bytes()).expect("it reads");
    (0..500).for_each(|_| drop(client.expect(250)));
    client.command("DATA").expect_code(354);
    client.send(b"Subject: t\r\n\r\nx\r\n.\r\n").expect("it reads");
    client.expect(250);
}

fn portcullis(gateway: &Running, command: &str, arguments: &[&str]) -> Command {
    let mut portcullis = Command::new(program());
    portcullis.arg(command).arg("--config").arg(gateway.configuration()).args(arguments);
    portcullis
}

/// A trace that has begun.
fn tracing(gateway: &Running, arguments: &[&str]) -> (Process, Log) {
    let mut command = portcullis(gateway, "trace", arguments);
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let log = Log::default();
    for output in process.take_output() {
        log.follow(output);
    }
    wait_for("the trace to begin", || {
        log.lines().iter().any(|line| line.starts_with("watching")).then_some(())
    });
    (process, log)
}

#[test]
fn a_trace_tells_why_a_mail_was_refused_and_nothing_of_others() {
    let sink = Sink::smtp();
    let gateway = before(&sink).start();
    let (mut trace, log) = tracing(&gateway, &["--sender", "*@spam.example"]);
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    client.command("MAIL FROM:<a@spam.example>").expect_code(550);
    let lines = wait_for("the outcome", || {
        let lines = log.lines();
        lines.iter().any(|line| line.contains("== rejected")).then_some(lines)
    });
    let text = lines.join("\n");
    for part in [
        "-- connected to mx --",
        "C: EHLO ",
        "C: MAIL FROM:<a@spam.example>",
        "access at mail: reject \"550 5.7.1 sender not welcome here\"",
        "<a@spam.example> by access: 550 5.7.1",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("a@example.org") && !text.contains("Subject"), "{text}");
    trace.signal("INT");
    assert!(trace.wait().success());
}

#[test]
fn a_trace_in_json_has_each_answer_of_upstreams_and_ends_by_itself() {
    let sink = Sink::smtp();
    let gateway = before(&sink).start();
    let arguments = ["--client", "127.0.0.0/8", "--rcpt", "bob", "--format", "json", "--for", "3s"];
    let (mut trace, log) = tracing(&gateway, &arguments);
    let to = ["carol@example.com", "bob@example.com"];
    gateway.client().deliver("a@example.org", &to, MESSAGE).unwrap().expect_code(250);
    assert!(trace.wait().success());
    let lines = log.lines();
    let events: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |what: &str| events.iter().filter(|event| event["what"] == what).count();
    assert_eq!((of("upstream"), of("content")), (4, 1), "{lines:?}");
    let ended = events.iter().find(|event| event["event"] == "transaction");
    assert_eq!(ended.expect("the record")["outcome"], "accepted");
}

#[test]
fn one_frame_of_top_is_plain_text_whatever_peers_say() {
    let sink = Sink::smtp();
    let gateway = before(&sink).start();
    let mut client = Client::connect(gateway.address("mx"));
    client.expect(220);
    client.command("EHLO client.example").expect_code(250);
    client.deliver("a@spam.example", &["b@example.com"], MESSAGE).unwrap().expect_code(550);
    client.command(&format!("MAIL FROM:<{HOSTILE}>")).expect_code(250);
    client.command("RCPT TO:<open@example.com>").expect_code(250);
    let frame = process::run(&mut portcullis(&gateway, "top", &["--once", "--interval", "0.2"]));
    let frame = frame.expect_success();
    for part in [
        "portcullis gateway.example  ready",
        "mx ",
        &sink.address().to_string(),
        "access",
        "client.example",
        "-> open@example.com",
        "access: 550 5.7.1 sender not welcome here",
    ] {
        assert!(frame.stdout.contains(part), "{part} is not in\n{}", frame.stdout);
    }
    assert!(!frame.stdout.contains('\u{1b}'), "{:?}", frame.stdout);
    let filtered =
        portcullis(&gateway, "top", &["--once", "--interval", "0.2", "--filter", "nobody@"]);
    let filtered = process::run(&mut { filtered }).expect_success();
    assert!(!filtered.stdout.contains("open@example.com"), "{}", filtered.stdout);
}

#[test]
fn top_draws_on_a_terminal_obeys_keys_and_gives_it_back() {
    let Some([python]) = need(["python3"]) else { return };
    let sink = Sink::smtp();
    let gateway = before(&sink).start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    for ending in ["q", "TERM"] {
        let mut command = Command::new(&python);
        command.args(["-c", include_str!("watching/terminal.py"), ending]).arg(program());
        command.args(["top", "--interval", "0.2", "--config"]).arg(gateway.configuration());
        let shown = process::run(&mut command).expect_success();
        assert_eq!(shown.stdout.trim(), "given back", "{ending}: {}", shown.stderr);
    }
}

#[test]
fn without_a_terminal_top_says_what_to_do() {
    let sink = Sink::smtp();
    let gateway = before(&sink).start();
    let told = process::run(&mut portcullis(&gateway, "top", &[]));
    assert!(!told.status.success() && told.stderr.contains("--once"), "{}", told.stderr);
}
