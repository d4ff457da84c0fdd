use portcullis_smtp::ReversePath;

use super::*;
use crate::message::Provenance;
use crate::spool::{Id, State};

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

fn parameters(all: &[(&str, &str)]) -> Vec<Parameter> {
    let parameter = |(keyword, value): &(&str, &str)| Parameter {
        keyword: (*keyword).to_owned(),
        value: (!value.is_empty()).then(|| (*value).to_owned()),
    };
    all.iter().map(parameter).collect()
}

fn moment() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn addressee(address: &str, given: &[(&str, &str)]) -> Addressee {
    let said = "550 5.1.1 <bob@example.com>: no such user".to_owned();
    Addressee {
        address: mailbox(address),
        parameters: parameters(given),
        upstream: "store".to_owned(),
        state: State::Failed { said, reported: false },
    }
}

fn entry(given: &[(&str, &str)], recipients: Vec<Addressee>) -> Entry {
    Entry {
        id: Id::fresh(),
        accepted: moment(),
        provenance: Provenance::default(),
        reverse_path: ReversePath::Mailbox(mailbox("ann@example.org")),
        parameters: parameters(given),
        octets: 0,
        held: false,
        pinned: false,
        recipients,
    }
}

fn outbound(header: &str, body: &str) -> Outbound {
    let header = Arc::new(HeaderSection::parse(header.as_bytes().to_vec()));
    let message = Message::new(header, Content::from_bytes(body.as_bytes().to_vec()));
    Outbound { prefix: b"Received: from here\r\n".to_vec(), message }
}

struct Written {
    parameters: Vec<Parameter>,
    text: String,
}

fn written(entry: &Entry, original: &Outbound, kind: ReportKind, action: Action) -> Written {
    let told: Vec<_> = entry
        .recipients
        .iter()
        .map(|addressee| Told {
            addressee,
            said: "550 5.1.1 <bob@example.com>: no such user",
            action,
            until: (kind == ReportKind::Delayed).then(moment),
        })
        .collect();
    let report = Report {
        hostname: "mx.example.org",
        to: entry.reverse_path.mailbox().expect("somebody"),
        entry,
        original,
        kind,
        told: &told,
        returned_octets: 1000,
        now: moment(),
    };
    let (parameters, message) = report.compose().expect("readable");
    let mut octets = message.message.header.as_bytes().to_vec();
    octets.extend_from_slice(message.message.body.as_bytes().expect("in memory"));
    Written { parameters, text: String::from_utf8(octets).expect("UTF-8") }
}

const HEADER: &str = "From: ann@example.org\r\nMessage-ID: <1@example.org>\r\n\r\n";

#[test]
fn a_failure_says_what_failed_and_why_and_brings_the_message_back() {
    let given = [("ORCPT", "rfc822;Bob+x@example.com")];
    let entry = entry(&[("ENVID", "env 1")], vec![addressee("bob@example.com", &given)]);
    let report = written(&entry, &outbound(HEADER, "text\r\n"), ReportKind::Failed, Action::Failed);
    assert_eq!(report.parameters, []);
    for part in [
        "From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r\n",
        "To: <ann@example.org>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "In-Reply-To: <1@example.org>\r\n",
        "MIME-Version: 1.0\r\n",
        "report-type=\"delivery-status\"",
        "Content-Type: message/delivery-status\r\n",
        "Reporting-MTA: dns; mx.example.org\r\n",
        "Original-Envelope-Id: env 1\r\n",
        "Arrival-Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
        "\r\n\r\nOriginal-Recipient: rfc822; Bob+x@example.com\r\n",
        "Final-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 <bob@example.com>: no such user\r\n",
        "Content-Type: message/rfc822\r\n",
        "\r\n\r\nReceived: from here\r\nFrom: ann@example.org\r\n",
        "\r\n\r\ntext\r\n",
    ] {
        assert!(report.text.contains(part), "{part}\n{}", report.text);
    }
    assert!(report.text.is_ascii());
    assert!(report.text.lines().all(|line| line.len() <= 998));
}

#[test]
fn the_header_alone_goes_back_where_more_is_not_wanted_or_too_much() {
    let bob = || vec![addressee("bob@example.com", &[])];
    let large = "x".repeat(2000);
    for (given, body, kind) in [
        (&[("RET", "HDRS")][..], "text\r\n", ReportKind::Failed),
        (&[("RET", "FULL")], &large, ReportKind::Failed),
        (&[("RET", "FULL"), ("REQUIRETLS", "")], "text\r\n", ReportKind::Failed),
        (&[("RET", "FULL")], "text\r\n", ReportKind::Delayed),
        (&[("RET", "FULL")], "text\r\n", ReportKind::Delivered),
    ] {
        let action = if kind == ReportKind::Delayed { Action::Delayed } else { Action::Failed };
        let report = written(&entry(given, bob()), &outbound(HEADER, body), kind, action);
        assert!(report.text.contains("Content-Type: text/rfc822-headers\r\n"), "{}", report.text);
        assert!(report.text.contains("From: ann@example.org\r\n"));
        assert!(!report.text.contains("\r\ntext\r\n") && !report.text.contains("xxx"));
    }
}

#[test]
fn a_delay_says_until_when_it_is_tried() {
    let entry = entry(&[], vec![addressee("bob@example.com", &[])]);
    let report = written(&entry, &outbound(HEADER, ""), ReportKind::Delayed, Action::Delayed);
    for part in ["Action: delayed\r\nStatus: 4.1.1\r\n", "Will-Retry-Until: Fri, 15 Jan 2027"] {
        assert!(report.text.contains(part), "{part}\n{}", report.text);
    }
}

#[test]
fn addresses_beyond_ascii_make_it_global() {
    let utf8 = [("SMTPUTF8", "")];
    let entry = entry(&utf8, vec![addressee("b\u{fc}b@example.com", &[])]);
    let header = "Subject: \u{fc}\r\n\r\n";
    let report =
        written(&entry, &outbound(header, "\u{fc}\r\n"), ReportKind::Failed, Action::Failed);
    assert_eq!(report.parameters, parameters(&[("BODY", "8BITMIME"), ("SMTPUTF8", "")]));
    for part in [
        "report-type=\"global-delivery-status\"",
        "Content-Type: message/global-delivery-status\r\n",
        "Final-Recipient: utf-8; b\u{fc}b@example.com\r\n",
        "Content-Type: message/global\r\n",
        "Content-Transfer-Encoding: 8bit\r\n",
    ] {
        assert!(report.text.contains(part), "{part}\n{}", report.text);
    }
}

#[test]
fn eight_bit_content_goes_back_as_it_came() {
    let entry = entry(&[], vec![addressee("bob@example.com", &[])]);
    let report =
        written(&entry, &outbound(HEADER, "\u{fc}\r\n"), ReportKind::Failed, Action::Failed);
    assert_eq!(report.parameters, parameters(&[("BODY", "8BITMIME")]));
    assert!(report.text.contains("Content-Type: message/rfc822\r\n"));
    assert!(report.text.contains("\u{fc}\r\n"));
}

#[test]
fn a_sender_hears_what_he_asked_for() {
    use ReportKind::{Delayed, Delivered, Failed};
    for (given, wanted) in [
        (&[][..], &[Delayed, Failed][..]),
        (&[("NOTIFY", "NEVER")], &[]),
        (&[("NOTIFY", "SUCCESS")], &[Delivered]),
        (&[("NOTIFY", "FAILURE,DELAY")], &[Delayed, Failed]),
        (&[("NOTIFY", "SUCCESS,FAILURE,DELAY")], &[Delayed, Delivered, Failed]),
    ] {
        let bob = addressee("bob@example.com", given);
        let heard = [Delayed, Delivered, Failed].into_iter().filter(|kind| is_wanted(&bob, *kind));
        assert_eq!(heard.collect::<Vec<_>>(), wanted, "{given:?}");
    }
}

#[test]
fn nothing_that_an_upstream_said_ends_a_line() {
    let bob = addressee("bob@example.com", &[("ORCPT", "rfc822;a\r\nAction: delivered")]);
    let entry = entry(&[("ENVID", "x\r\ny")], vec![bob]);
    let report = written(&entry, &outbound(HEADER, ""), ReportKind::Failed, Action::Failed);
    assert!(!report.text.contains("\r\nAction: delivered"), "{}", report.text);
    assert!(report.text.contains("Original-Envelope-Id: x y\r\n"), "{}", report.text);
}
