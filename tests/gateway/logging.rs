//! The log for machines and for those who may not see everything; what a log that nobody reads does to
//! mail; traces.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_tests::gateway::program;
use portcullis_tests::peers::{need, python_with};
use portcullis_tests::process::run;
use portcullis_tests::sink::Manners;
use portcullis_tests::{
    Client, Gateway, Log, Process, Record, Running, Sink, repository, wait_for,
};
use serde_json::{Value, json};

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// A sink that repeats the address of whom it does not take.
fn talkative() -> Sink {
    let refusal = "550 5.1.1 <secret.no@private.example>: nobody is called secret.no".to_owned();
    let answers = vec![("RCPT TO:<secret.no@".to_owned(), refusal)];
    Sink::with(Manners { answers, ..Manners::default() })
}

fn transactions(log: &Log) -> Vec<Record> {
    let records = log.records().into_iter();
    records.filter(|record| record.field("target") == "transaction").collect()
}

#[test]
fn every_line_of_the_log_is_as_the_schema_says() {
    let Some(python) = python_with("jsonschema") else { return };
    let sink = talkative();
    let gateway = super::judging::bundled(Gateway::before(&sink))
        .set("log", json!({ "format": "json", "level": "debug" }))
        .start();
    let mut client = gateway.client();
    let to = ["b@example.com", "c@example.com"];
    client.deliver("a@example.org", &to, MESSAGE).unwrap().expect_code(250);
    client.deliver("a@example.org", &["secret.no@private.example"], MESSAGE).unwrap();
    client.command("RSET").expect_code(250);
    client.command("MAIL FROM:<> SIZE=10 BODY=8BITMIME").expect_code(250);
    client.command("QUIT").expect_code(221);
    let all = || Some(transactions(&gateway.log)).filter(|records| records.len() == 3);
    let records = wait_for("three transactions", all);
    let calls = records[0].json()["calls"].as_array().expect("a list");
    let hooks: Vec<_> = calls.iter().filter_map(|call| call["hook"].as_str()).collect();
    assert!(hooks.contains(&"connect") || hooks.contains(&"helo"), "the session's, too: {hooks:?}");
    assert!(hooks.contains(&"mail") && hooks.contains(&"rcpt"), "{hooks:?}");
    assert_eq!(records[0].json()["deliveries"][0]["upstream"], "store");
    assert_eq!(records[0].json()["generation"], 1);
    let schema = repository().join("gateway/logs.schema.json");
    let mut command = Command::new(python);
    command.arg(repository().join("tests/peers/python/schema.py")).arg(schema);
    let mut check = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = gateway.log.lines().join("\n");
    check.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// A gateway whose log goes into a pipe, and who reads that.
fn piped(sink: &Sink, folder: &Path) -> (Running, Process, PathBuf) {
    let (pipe, file) = (folder.join("pipe"), folder.join("log"));
    run(Command::new("mkfifo").arg(&pipe)).expect_success();
    let mut command = Command::new("sh");
    command.args(["-c", "exec cat \"$0\" > \"$1\""]).arg(&pipe).arg(&file);
    let reader = Process::start(&mut command);
    let log = json!({ "format": "json", "level": "info", "buffer": "1MiB" });
    let gateway = Gateway::before(sink)
        .set("log", log)
        .environment("PIPE", pipe)
        .under(&["sh", "-c", "exec \"$@\" 2> \"$PIPE\"", "sh"])
        .start();
    (gateway, reader, file)
}

/// One with a record of some 20 KiB; how long it took.
fn deliver_much(client: &mut Client) -> Duration {
    let began = Instant::now();
    let to: Vec<_> = (0..60).map(|n| format!("b{n}@{}.example", "long".repeat(15))).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    client.deliver("a@example.org", &to, MESSAGE).expect("an answer").expect_code(250);
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_log_that_nobody_reads_holds_no_mail_up() {
    let verdicts = vec![format!("250 2.0.0 {}", "kept ".repeat(40))];
    let sink = Sink::with(Manners { verdicts, ..Manners::default() });
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, mut reader, file) = piped(&sink, folder.path());
    let mut client = gateway.client();
    let before = median((0..10).map(|_| deliver_much(&mut client)).collect());
    assert!(gateway.metrics().sum("portcullis_log_dropped_total", &[]) < 0.5);
    reader.signal("STOP");
    let mut times = Vec::new();
    while gateway.metrics().sum("portcullis_log_dropped_total", &[]) < 10.0 {
        times.extend((0..10).map(|_| deliver_much(&mut client)));
        assert!(times.len() < 2000, "nothing is dropped");
    }
    let meanwhile = median(times);
    assert!(meanwhile < before * 10 + Duration::from_millis(50), "{before:?}, then {meanwhile:?}");
    reader.signal("CONT");
    let read = || fs::read_to_string(&file).unwrap_or_default();
    wait_for("a line about those that were dropped", || {
        read().contains("lines of the log were dropped").then_some(())
    });
    client.deliver("last@example.org", &["yes@example.com"], MESSAGE).unwrap();
    wait_for("the last transaction", || read().contains("last@example.org").then_some(()));
    assert!(gateway.terminate().success());
    reader.wait();
    assert!(read().contains("shutting down"));
    for line in read().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn the_end_does_not_wait_for_a_log_that_nobody_reads() {
    let sink = Sink::smtp();
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, reader, _) = piped(&sink, folder.path());
    reader.signal("STOP");
    let mut client = gateway.client();
    // More than a pipe takes.
    for _ in 0..100 {
        client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    }
    client.command("QUIT").expect_code(221);
    assert!(gateway.terminate().success());
    reader.signal("CONT");
}

#[test]
fn addresses_that_are_hidden_are_in_no_line() {
    let mut hashes = Vec::new();
    for addresses in ["domain", "hashed", "hashed", "none"] {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "a long line of random octets\n").unwrap();
        let sink = talkative();
        let gateway = Gateway::before(&sink)
            .set(
                "log",
                json!({
                    "format": "json", "level": "debug",
                    "addresses": addresses, "secret": format!("${{file:{}}}", key.display()),
                }),
            )
            .start();
        let mut client = Client::connect(gateway.address("mx"));
        client.expect(220);
        client.command("EHLO secret-laptop.private.example").expect_code(250);
        let from = "MAIL FROM:<secret.from@private.example> AUTH=secret.user@private.example";
        if client.command(from).code != 250 {
            client.command("MAIL FROM:<secret.from@private.example>").expect_code(250);
        }
        let refused = client.command("RCPT TO:<secret.no@private.example>").expect_code(550);
        assert!(refused.text().contains("secret.no"), "the client hears it: {refused}");
        client.command("RCPT TO:<secret.yes@private.example>").expect_code(250);
        client.command("RSET").expect_code(250);
        client.command("QUIT").expect_code(221);
        let record = gateway.log.wait_for("it", |record| record.field("target") == "transaction");
        let log = gateway.log.lines().join("\n");
        assert!(!log.contains("secret"), "{addresses}: {log}");
        assert_eq!(log.contains("private.example"), addresses == "domain", "{addresses}: {log}");
        assert!(!log.contains("127.0.0.1\",\"port"), "{log}");
        assert_eq!(record.json()["recipients"].as_array().map(Vec::len), Some(2));
        if addresses == "hashed" {
            hashes.push(record.field("sender"));
        }
    }
    assert_eq!(hashes[0], hashes[1], "the same key, the same hash");
}

#[test]
fn the_log_changes_with_a_reload() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    gateway.client().deliver("full@example.org", &["b@example.com"], MESSAGE).unwrap();
    gateway.log.wait_for("a record", |record| record.field("sender") == "full@example.org");
    let file = gateway.configuration();
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    config["log"] = json!({ "format": "text", "level": "debug", "addresses": "domain" });
    fs::write(&file, config.to_string()).unwrap();
    run(Command::new(program()).args(["reload", "--config"]).arg(&file)).expect_success();
    gateway.client().deliver("later@example.org", &["b@example.com"], MESSAGE).unwrap();
    let accepted = " transaction: accepted ";
    let line = wait_for("a line of text", || {
        gateway.log.lines().into_iter().find(|line| line.contains(accepted))
    });
    assert!(line.contains(" *@example.org -> *@example.com via store: \"250 2.0.0 "), "{line}");
    let debug = || gateway.log.lines().into_iter().find(|line| line.contains(" DEBUG "));
    wait_for("a line that there was none of before", debug);
}

/// A journal of its own, in a folder that is given as `JOURNAL`, and the gateway beside it, which is told
/// what systemd tells a unit whose standard error leads there.
const BESIDE_A_JOURNAL: &str = "
    mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal &&
    mount --bind \"$JOURNAL\" /run/log/journal || exit 1
    setpriv --pdeathsig KILL /lib/systemd/systemd-journald > /dev/null 2>&1 &
    while ! [ -S /run/systemd/journal/socket ]; do sleep 0.1; done
    export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
    exec \"$@\"";

#[test]
fn the_journal_has_fields_that_nobody_can_forge() {
    let programs = ["unshare", "setpriv", "journalctl", "/lib/systemd/systemd-journald"];
    let Some([unshare, _, journalctl, _]) = need(programs) else { return };
    if !run(Command::new(&unshare).args(["-m", "true"])).status.success() {
        eprintln!("SKIPPED: only root has a journal of its own");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .set("log", json!({ "level": "info" }))
        .environment("JOURNAL", folder.path().to_owned())
        .under(&["unshare", "-m", "sh", "-c", BESIDE_A_JOURNAL, "sh"])
        .start();
    let mut client = gateway.client();
    let all: Vec<_> = (0..90).map(|n| format!("{}{n}@example.com", "r".repeat(50))).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let reply = client.deliver("a@example.org", &all, MESSAGE).unwrap().expect_code(250).text();
    let id = &reply[reply.rfind('[').unwrap() + 1..reply.rfind(']').unwrap()];
    let entry = wait_for("the entry", || {
        let mut command = Command::new(&journalctl);
        command.args(["--all", "-o", "json", "-D"]).arg(folder.path());
        let said = run(command.arg(format!("PORTCULLIS_ID={id}"))).stdout;
        said.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap())
    });
    assert_eq!(entry["PORTCULLIS_OUTCOME"], "accepted");
    assert_eq!((&entry["PRIORITY"], &entry["_COMM"]), (&json!("6"), &json!("portcullis")));
    assert_eq!(entry["PORTCULLIS_RECIPIENT"].as_array().map(Vec::len), Some(90));
    let message = entry["MESSAGE"].as_str().unwrap();
    assert!(message.starts_with(&format!("accepted {id} mx 127.0.0.1 a@example.org -> rr")));
    let record = entry["PORTCULLIS_RECORD"].as_str().unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["octets"].as_u64(), Some(MESSAGE.len() as u64));
    assert!(gateway.log.lines().is_empty(), "nothing is left for standard error");
}

/// A collector of traces, its port, and what it gets.
fn collector() -> Option<(Process, u16, Log)> {
    let python = python_with("opentelemetry.proto.trace")?;
    let mut command = Command::new(python);
    command.arg(repository().join("tests/peers/python/collector.py")).stdout(Stdio::piped());
    let mut process = Process::start(&mut command);
    let log = Log::default();
    process.take_output().into_iter().for_each(|output| log.follow(output));
    let port = log.wait_for("a port", |record| !record.field("port").is_empty()).field("port");
    Some((process, port.parse().expect("a port"), log))
}

#[test]
fn a_collector_gets_a_span_for_each_call_and_each_delivery() {
    let Some((_collector, port, spans)) = collector() else { return };
    let sink = Sink::smtp();
    let gateway = super::judging::bundled(Gateway::before(&sink))
        .set("traces", json!({ "endpoint": format!("http://127.0.0.1:{port}") }))
        .start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    let record = gateway.log.wait_for("it", |record| record.field("target") == "transaction");
    let root = spans.wait_for("the transaction", |span| span.field("name") == "transaction");
    let attribute = |span: &Record, name: &str| span.json()["attributes"][name].clone();
    assert_eq!(attribute(&root, "portcullis.id"), record.json()["id"]);
    assert_eq!(attribute(&root, "portcullis.outcome"), "accepted");
    assert_eq!((root.at("/service"), root.at("/path")), ("portcullis".into(), "/v1/traces".into()));
    assert_eq!(root.at("/parent"), "");
    let calls = record.json()["calls"].as_array().unwrap();
    let calls = calls.iter().filter(|call| call.get("at_seconds").is_some()).count();
    let deliveries = record.json()["deliveries"].as_array().unwrap().len();
    // One after the other, in whatever order.
    let own = wait_for("all spans of the transaction", || {
        let all = spans.records().into_iter();
        let own: Vec<_> = all.filter(|span| span.at("/parent") == root.at("/id")).collect();
        (own.len() >= calls + deliveries).then_some(own)
    });
    assert_eq!(own.len(), calls + deliveries);
    assert!(own.iter().all(|span| span.at("/trace") == root.at("/trace")));
    assert!(own.iter().any(|span| span.field("name") == "message to store"));
    assert!(own.iter().any(|span| span.field("name") == "mail access"));
    let whole: f64 = root.at("/nanoseconds").parse().unwrap();
    assert!((whole / 1e9 - record.json()["duration_seconds"].as_f64().unwrap()).abs() < 1e-3);
    gateway.wait_for_metric("portcullis_traces_total", &[("result", "sent")], 1.0);
}

#[test]
fn a_collector_that_is_not_there_holds_no_mail_up() {
    // A socket that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .set("traces", json!({ "endpoint": endpoint, "queue": 5, "timeout": "30s" }))
        .start();
    let mut client = gateway.client();
    for _ in 0..150 {
        client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    }
    let dropped = || gateway.metrics().sum("portcullis_traces_total", &[("result", "dropped")]);
    wait_for("traces that are dropped", || (dropped() > 20.0).then_some(()));
}
