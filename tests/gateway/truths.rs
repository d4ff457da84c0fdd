//! Recipients of one message that fare differently: what each client hears, and who has the message.

use std::time::Duration;

use portcullis_tests::peers::{Dovecot, Exim};
use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Running, Sink, wait_for};
use serde_json::{Value, json};

const USERS: [&str; 3] = ["b@example.com", "full@example.com", "d@example.com"];
const OTHERS: [&str; 2] = ["b@example.com", "d@example.com"];
const MESSAGE: &[u8] = b"Message-ID: <1@example.org>\r\nSubject: t\r\n\r\nto three\r\n";

/// One in front of Dovecot; `example.net` and the sender's domain are a sink's.
fn before(dovecot: &Dovecot, sink: &Sink, listener: Value) -> Gateway {
    let folder = tempfile::tempdir().expect("a folder can be made").keep();
    let spool = json!({
        "directory": folder,
        "free": "0B",
        "retry": { "first": "1s", "longest": "1s" },
    });
    Gateway::new()
        .listener("mx", listener)
        .upstream("store", "lmtp", &dovecot.address.to_string())
        .upstream("there", "smtp", &sink.address().to_string())
        .set("routes", json!([{ "domains": ["example.net", "example.org"], "upstream": "there" }]))
        .set("spool", spool)
}

/// How many messages each has, and the one whose mailbox is full.
#[track_caller]
fn has(dovecot: &Dovecot, each: usize, full: usize) {
    for user in OTHERS {
        assert_eq!(dovecot.mailbox(user).len(), each, "{user}: {}", dovecot.log());
    }
    assert_eq!(dovecot.mailbox("full@example.com").len(), full, "{}", dovecot.log());
}

fn deliver(gateway: &Running) -> String {
    let reply = gateway.client().deliver("a@example.org", &USERS, MESSAGE);
    reply.expect("a reply").to_string()
}

#[test]
fn over_lmtp_and_with_prdr_each_hears_the_truth() {
    for (for_now, code) in [(false, "552 5.2.2"), (true, "452 4.2.2")] {
        let Some(dovecot) = Dovecot::with_a_full_mailbox(&USERS, USERS[1], for_now) else { return };
        let sink = Sink::smtp();
        let gateway = before(&dovecot, &sink, json!({ "protocol": "lmtp" })).start();
        for (hello, prdr, told) in [("LHLO", "", ""), ("EHLO", " PRDR", "S: 353\n")] {
            let own = json!({ "extensions": ["chunking", "prdr"] });
            let with_prdr = before(&dovecot, &sink, own).start();
            let address = if prdr.is_empty() { &gateway } else { &with_prdr }.address("mx");
            let last = if prdr.is_empty() { "" } else { "S: 250\n" };
            Client::connect(address).talk(&format!(
                "S: 220\nC: {hello} client.example\nS: 250\nC: MAIL FROM:<a@example.org>{prdr}\nS: 250
                 C: RCPT TO:<b@example.com>\nS: 250\nC: RCPT TO:<full@example.com>\nS: 250
                 C: RCPT TO:<d@example.com>\nS: 250\nC: DATA\nS: 354\nC: Subject: t\\r\\n\\r\\nx\\r\\n.
                 {told}S: 250 2.\nS: {code}\nS: 250 2.\n{last}C: QUIT\nS: 221"
            ));
        }
        has(&dovecot, 2, 0);
    }
}

#[test]
fn exim_hears_with_prdr_whose_mailbox_is_full() {
    let Some(dovecot) = Dovecot::with_a_full_mailbox(&USERS, USERS[1], false) else { return };
    let sink = Sink::smtp();
    let gateway = before(&dovecot, &sink, json!({ "extensions": ["chunking", "prdr"] })).start();
    let Some(exim) = Exim::sender(gateway.address("mx"), "hosts_try_prdr = *", "") else { return };
    let said = exim.send("a@example.org", &USERS, "Subject: via Exim\n\nx\n");
    let heard = format!("{}{}", said.stderr, exim.log());
    has(&dovecot, 1, 0);
    assert!(heard.contains("=> b@example.com") && heard.contains("-> d@example.com"), "{heard}");
    assert!(heard.contains("** full@example.com") && heard.contains("5.2.2"), "{heard}");
}

#[test]
fn a_plain_client_hears_the_worst_and_how_many_took_it() {
    for (rule, for_now) in
        [("defer-others", false), ("worst", false), ("defer-others", true), ("worst", true)]
    {
        let Some(dovecot) = Dovecot::with_a_full_mailbox(&USERS, USERS[1], for_now) else { return };
        let sink = Sink::smtp();
        let gateway = before(&dovecot, &sink, json!({ "mixed": rule })).start();
        let heard = deliver(&gateway);
        assert!(heard.starts_with(if for_now { "452" } else { "552" }), "{rule}: {heard}");
        assert!(heard.contains("2 of 3 recipients took it"), "{rule}: {heard}");
        has(&dovecot, 1, 0);
        if for_now {
            // It sends it again: to those who have it nothing is sent.
            assert!(deliver(&gateway).starts_with("452"), "{rule}");
            has(&dovecot, 1, 0);
            dovecot.set_users(&USERS, None);
            wait_for("room in the mailbox", || deliver(&gateway).starts_with("250").then_some(()));
            has(&dovecot, 1, 1);
        }
    }
}

#[test]
fn where_the_rest_may_wait_a_plain_client_hears_yes_and_nobody_is_lost() {
    let Some(dovecot) = Dovecot::with_a_full_mailbox(&USERS, USERS[1], true) else { return };
    let sink = Sink::smtp();
    let gateway = before(&dovecot, &sink, json!({ "mixed": "spool" })).start();
    let heard = deliver(&gateway);
    assert!(heard.starts_with("250 2.0.0 queued as "), "{heard}");
    has(&dovecot, 1, 0);
    dovecot.set_users(&USERS, None);
    wait_for("the next attempt", || (dovecot.mailbox(USERS[1]).len() == 1).then_some(()));
    has(&dovecot, 1, 1);
    let spooled = [("listener", "mx"), ("outcome", "spooled")];
    gateway.wait_for_metric("portcullis_transactions_total", &spooled, 1.0);
}

#[test]
fn who_was_refused_for_good_behind_a_yes_is_reported() {
    for listener in [json!({ "mixed": "spool" }), json!({ "delivery": "spool" })] {
        let Some(dovecot) = Dovecot::with_a_full_mailbox(&USERS, USERS[1], false) else { return };
        let sink = Sink::smtp();
        let gateway = before(&dovecot, &sink, listener).start();
        let heard = deliver(&gateway);
        assert!(heard.starts_with("250 2.0.0 queued as "), "{heard}");
        let report = sink.wait_for(1).remove(0);
        assert_eq!(report.recipients, ["a@example.org"]);
        let text = report.text();
        assert!(text.contains("full@example.com") && text.contains("5.2.2"), "{text}");
        assert!(!text.contains("Final-Recipient: rfc822;b@example.com"), "{text}");
        wait_for("both mailboxes", || {
            OTHERS.iter().all(|user| dovecot.mailbox(user).len() == 1).then_some(())
        });
        has(&dovecot, 1, 0);
    }
}

#[test]
fn recipients_of_two_upstreams_are_told_by_the_rule() {
    let Some(dovecot) = Dovecot::with_a_full_mailbox(&USERS, USERS[1], true) else { return };
    for (rule, last) in [("defer-others", None), ("worst", Some("452")), ("spool", Some("250"))] {
        let sink = Sink::smtp();
        let gateway = before(&dovecot, &sink, json!({ "mixed": rule })).start();
        let to = ["full@example.com", "c@example.net"];
        let heard = gateway.client().deliver("a@example.org", &to, MESSAGE).unwrap().to_string();
        match last {
            None => assert!(heard.starts_with("452 4.5.3"), "{heard}"),
            Some(code) => {
                assert!(heard.starts_with(code), "{rule}: {heard}");
                assert_eq!(sink.only_letter().recipients, ["c@example.net"]);
            }
        }
    }
}

#[test]
fn a_client_that_gave_up_and_comes_again_gets_its_answer_and_no_second_copy() {
    let delay = Duration::from_millis(500);
    let sink = Sink::with(Manners { delay, ..Manners::default() });
    let gateway = Gateway::before(&sink).start();
    // All of it at once, QUIT included, and gone before the answer.
    let mut client = gateway.client();
    let all = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n";
    client.send(all.as_bytes()).unwrap();
    for code in [250, 250, 354] {
        client.expect(code);
    }
    let text = String::from_utf8_lossy(MESSAGE);
    client.send(format!("{text}.\r\nQUIT\r\n").as_bytes()).unwrap();
    drop(client);
    assert_eq!(sink.wait_for(1).len(), 1);
    gateway.wait_for_metric("portcullis_receipts", &[], 1.0);
    let reply = gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    assert!(reply.to_string().contains("delivered at an earlier attempt"), "{reply}");
    assert_eq!(sink.letters().len(), 1);
    gateway.wait_for_metric("portcullis_duplicates_avoided_total", &[("listener", "mx")], 1.0);
}
