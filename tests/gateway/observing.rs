//! What the operator sees: the log, the metrics, health.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::thread;

use portcullis_tests::metrics::get;
use portcullis_tests::peers::{Prometheus, need};
use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Record, Running, Sink, process, wait_for};

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

fn records(gateway: &Running) -> Vec<Record> {
    let records = gateway.log.records().into_iter();
    records.filter(|record| record.field("target") == "transaction").collect()
}

#[test]
fn one_id_is_in_the_reply_the_log_and_the_received_field() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let mut client = gateway.client();
    let reply = client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    let text = reply.text();
    let start = text.rfind('[').expect("an id in brackets");
    let id = text[start + 1..].trim_end_matches(']').to_owned();
    assert!(!id.is_empty());
    let received = sink.only_letter().received();
    assert!(received.contains(&format!("id {id}")), "{id} is not in {received}");
    let record = gateway.log.wait_for("the transaction", |record| record.field("id") == id);
    assert_eq!(record.field("outcome"), "accepted");
    assert!(record.mentions("a@example.org") && record.mentions("b@example.com"));
}

#[test]
fn every_transaction_has_one_record_and_one_outcome() {
    let refusing = Manners {
        answers: vec![
            ("RCPT TO:<no@".to_owned(), "550 5.1.1 no".to_owned()),
            ("RCPT TO:<later@".to_owned(), "450 4.2.1 later".to_owned()),
        ],
        ..Manners::default()
    };
    let sink = Sink::with(refusing);
    let gateway = Gateway::before(&sink).start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    client.deliver("a@example.org", &["no@example.com"], MESSAGE).unwrap().expect_code(550);
    client.command("RSET").expect_code(250);
    client.deliver("a@example.org", &["later@example.com"], MESSAGE).unwrap().expect_code(450);
    client.command("QUIT").expect_code(221);
    let mut cut = gateway.client();
    cut.command("MAIL FROM:<a@example.org>").expect_code(250);
    drop(cut);
    let started = 5.0;
    gateway.wait_for_metric("portcullis_transactions_started_total", &[], started);
    gateway.wait_for_metric("portcullis_transactions_total", &[], started);
    gateway.wait_for_metric("portcullis_transactions_in_flight", &[], 0.0);
    let count = || (records(&gateway).len() >= 5).then(|| records(&gateway));
    let records = wait_for("five records", count);
    assert_eq!(records.len(), 5);
    let ids: HashSet<_> = records.iter().map(|record| record.field("id")).collect();
    assert_eq!(ids.len(), 5);
    let metrics = gateway.metrics();
    for record in &records {
        let outcome = record.field("outcome");
        let counted = metrics.sum("portcullis_transactions_total", &[("outcome", &outcome)]);
        assert!(counted >= 1.0, "{outcome} is in the log only");
    }
}

#[test]
fn started_is_the_sum_of_outcomes_and_those_in_flight() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let address = gateway.address("mx");
    let senders: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut client = portcullis_tests::Client::ehlo(address);
                for _ in 0..25 {
                    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
                }
            })
        })
        .collect();
    let mut open = gateway.client();
    open.command("MAIL FROM:<a@example.org>").expect_code(250);
    for sender in senders {
        sender.join().unwrap();
    }
    let metrics = gateway.metrics();
    let sum = |name| metrics.sum(name, &[]) as u64;
    assert_eq!(sum("portcullis_transactions_started_total"), 101);
    assert_eq!(sum("portcullis_transactions_total"), 100);
    assert_eq!(sum("portcullis_transactions_in_flight"), 1);
    assert_eq!(sum("portcullis_message_size_bytes_count"), 100);
    assert_eq!(
        metrics.sum("portcullis_upstream_replies_total", &[("stage", "content"), ("code", "250")])
            as u64,
        100
    );
}

#[test]
fn promtool_has_nothing_to_say() {
    let Some([promtool]) = need(["promtool"]) else { return };
    let sink = Sink::smtp();
    let gateway = super::judging::bundled(Gateway::before(&sink)).start();
    gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics");
    fs::write(&file, gateway.metrics().text()).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg("exec \"$0\" check metrics < \"$1\"").arg(promtool).arg(file);
    let said = process::run(&mut command).expect_success();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
}

#[test]
fn prometheus_scrapes_what_happened() {
    let sink = Sink::smtp();
    let gateway = super::judging::bundled(Gateway::before(&sink)).start();
    let Some(prometheus) = Prometheus::scraping(gateway.admin) else { return };
    gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    let accepted = "sum(portcullis_transactions_total{outcome=\"accepted\"})";
    wait_for("Prometheus to have counted", || {
        prometheus.query(accepted).filter(|count| *count > 0.5)
    });
    let equation = "sum(portcullis_transactions_started_total) \
                    - sum(portcullis_transactions_total) - sum(portcullis_transactions_in_flight)";
    assert_eq!(prometheus.query(equation), Some(0.0));
    assert_eq!(prometheus.complaint().as_deref(), Some(""));
    let calls = "sum(portcullis_plugin_calls_total{plugin=\"access\",hook=\"mail\"})";
    assert_eq!(prometheus.query(calls), Some(1.0));
}

#[test]
fn health_is_told_over_http() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/nowhere", 404)] {
        assert_eq!(get(gateway.admin, path).map(|(status, _)| status), Some(status), "{path}");
    }
}

#[test]
fn what_a_client_says_breaks_no_line_of_the_log() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let mut client = portcullis_tests::Client::connect(gateway.address("mx"));
    client.expect(220);
    client.send(b"EHLO \x1b[2J\"}\x01{\r\n").unwrap();
    client.reply().unwrap();
    client.command("EHLO client.example").expect_code(250);
    client.send(b"MAIL FROM:<\"a\\\"{}\"@example.org>\r\n").unwrap();
    client.reply().unwrap();
    client.command("QUIT").expect_code(221);
    client.wait_for_end();
    for line in gateway.log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}
