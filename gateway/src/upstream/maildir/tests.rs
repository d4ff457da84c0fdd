//! Transactions into mailboxes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::{Part, Placeholder};
use crate::message::{Content, HeaderSection, Message};
use crate::metrics::{Metrics, Names};

fn upstream(root: &Path, create: bool) -> (Arc<Maildir>, Metrics) {
    let part = |placeholder| Part {
        before: String::new(),
        placeholder: Some(placeholder),
        after: String::new(),
    };
    let parts = vec![part(Placeholder::Domain), part(Placeholder::Local)];
    let config = config::Maildir { root: root.to_owned(), parts, create, delimiter: Some('+') };
    let metrics = Metrics::new(&Names::default());
    let maildir = Maildir::new("local", &config, "gw.example", metrics.upstream("local"));
    (Arc::new(maildir), metrics)
}

fn to(address: &str) -> Recipient {
    Recipient {
        index: 0,
        address: Mailbox::parse(address).expect("a mailbox"),
        parameters: Vec::new(),
        route: None,
    }
}

fn message() -> Outbound {
    let header = HeaderSection::parse(
        b"Return-Path: <forged@x.example>\r\nSubject: x\r\nReturn-Path: <b@x.example>\r\n\r\n"
            .to_vec(),
    );
    let body = Content::from_bytes(b"one\r\n.two\r\n".to_vec());
    let prefix = b"Received: from a\r\n\tby b\r\n".to_vec();
    Outbound { prefix, message: Message::new(Arc::new(header), body) }
}

fn parameter(keyword: &str, value: &str) -> Parameter {
    Parameter { keyword: keyword.to_owned(), value: Some(value.to_owned()) }
}

async fn deliver(maildir: &Arc<Maildir>, recipients: &[&str]) -> Vec<String> {
    let transaction = Transaction::new(maildir.clone(), Arc::default());
    let sender = ReversePath::Mailbox(Mailbox::parse("a@a.example").expect("a mailbox"));
    let recipients: Vec<_> = recipients.iter().map(|address| to(address)).collect();
    let replies = transaction.deliver(&sender, &[], &recipients, &message()).await;
    replies.iter().map(ToString::to_string).collect()
}

/// The messages in a mailbox.
fn letters(root: &Path, mailbox: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(mailbox).join("new")).expect("a mailbox");
    entries.map(|one| fs::read_to_string(one.expect("an entry").path()).expect("text")).collect()
}

#[tokio::test]
async fn each_recipient_gets_the_message_with_the_fields_of_its_delivery() {
    let root = tempfile::tempdir().expect("a folder");
    let (maildir, metrics) = upstream(root.path(), true);
    let said = deliver(&maildir, &["Alice+news@b.example", "bob@c.example"]).await;
    assert_eq!(said, ["250 2.0.0 delivered"; 2]);
    let want = |recipient| {
        format!(
            "Return-Path: <a@a.example>\nDelivered-To: {recipient}\nReceived: from a\n\tby b\n\
             Subject: x\n\none\n.two\n"
        )
    };
    assert_eq!(letters(root.path(), "b.example/alice"), [want("Alice+news@b.example")]);
    assert_eq!(letters(root.path(), "c.example/bob"), [want("bob@c.example")]);
    let told = metrics.render();
    let counted =
        "portcullis_upstream_replies_total{code=\"250\",stage=\"content\",upstream=\"local\"} 2";
    assert!(told.contains(counted), "{told}");
}

#[tokio::test]
async fn recipients_without_a_mailbox_are_refused_at_once_and_at_the_end() {
    let root = tempfile::tempdir().expect("a folder");
    let (made, _) = upstream(root.path(), true);
    assert_eq!(deliver(&made, &["bob@b.example"]).await, ["250 2.0.0 delivered"]);
    let (maildir, _) = upstream(root.path(), false);
    let mut transaction = Transaction::new(maildir.clone(), Arc::default());
    assert_eq!(transaction.offer(&[], &to("Bob@b.example")).await, Ok(()));
    let refused = transaction.offer(&[], &to("alice@b.example")).await.expect_err("no mailbox");
    assert_eq!(refused.to_string(), "550 5.1.1 no such mailbox");
    let said = deliver(&maildir, &["alice@b.example", "bob@b.example", "x@y.example"]).await;
    let want = ["550 5.1.1 no such mailbox", "250 2.0.0 delivered", "550 5.1.1 no such mailbox"];
    assert_eq!(said, want);
    assert_eq!(letters(root.path(), "b.example/bob").len(), 2);
}

#[tokio::test]
async fn what_the_disk_refuses_the_client_keeps() {
    let root = tempfile::tempdir().expect("a folder");
    let (maildir, _) = upstream(&root.path().join("not-mounted"), true);
    let mut transaction = Transaction::new(maildir.clone(), Arc::default());
    let refused = transaction.offer(&[], &to("a@b.example")).await.expect_err("no root");
    assert_eq!(refused.to_string(), "451 4.3.0 mailbox cannot be written, try again later");
    let address = to("a@b.example").address;
    for (error, reply) in [
        (Errno::NOSPC, "452 4.3.1 no room for the message, try again later"),
        (Errno::DQUOT, "452 4.2.2 mailbox is full"),
        (Errno::ACCESS, "451 4.3.0 mailbox cannot be written, try again later"),
        (Errno::LOOP, "451 4.3.0 mailbox cannot be written, try again later"),
        (Errno::IO, "451 4.3.0 mailbox cannot be written, try again later"),
    ] {
        assert_eq!(maildir.refusal(&error.into(), &address, "1").to_string(), reply);
    }
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_written_is_there_all_the_same() {
    let root = tempfile::tempdir().expect("a folder");
    let (maildir, _) = upstream(root.path(), true);
    assert_eq!(deliver(&maildir, &["a@b.example"]).await, ["250 2.0.0 delivered"]);
    let tmp = root.path().join("b.example/a/tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o500)).expect("ours");
    let probe = tmp.join("probe");
    if fs::write(&probe, "").is_ok() {
        eprintln!("SKIPPED: to root, nothing is forbidden");
        return;
    }
    let said = deliver(&maildir, &["a@b.example"]).await;
    assert_eq!(said, ["451 4.3.0 mailbox cannot be written, try again later"]);
}

#[tokio::test]
async fn what_a_mailbox_cannot_keep_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let (maildir, _) = upstream(root.path(), true);
    let mut transaction = Transaction::new(maildir, Arc::default());
    for (mail, rcpt, want) in [
        (parameter("BODY", "8BITMIME"), parameter("NOTIFY", "NEVER"), None),
        (parameter("SMTPUTF8", ""), parameter("RRVS", "2020-01-01T00:00:00Z;C"), None),
        (
            parameter("BODY", "BINARYMIME"),
            parameter("NOTIFY", "NEVER"),
            Some("554 5.6.3 mailboxes take no binary content"),
        ),
        (
            parameter("HOLDFOR", "60"),
            parameter("NOTIFY", "NEVER"),
            Some("554 5.3.3 mailboxes cannot hold messages back"),
        ),
        (
            parameter("BODY", "7BIT"),
            parameter("RRVS", "2020-01-01T00:00:00Z"),
            Some("550 5.7.19 cannot tell since when a mailbox is whose"),
        ),
    ] {
        let recipient = Recipient { parameters: vec![rcpt], ..to("a@b.example") };
        let said =
            transaction.offer(&[mail], &recipient).await.err().map(|reply| reply.to_string());
        assert_eq!(said.as_deref(), want);
    }
}

#[tokio::test]
async fn many_recipients_are_answered_in_their_order() {
    let root = tempfile::tempdir().expect("a folder");
    let (made, _) = upstream(root.path(), true);
    let (maildir, _) = upstream(root.path(), false);
    let addresses: Vec<_> = (0..50).map(|n| format!("u{n}@b.example")).collect();
    let even: Vec<_> = addresses.iter().step_by(2).map(String::as_str).collect();
    deliver(&made, &even).await;
    let all: Vec<_> = addresses.iter().map(String::as_str).collect();
    let said = deliver(&maildir, &all).await;
    for (n, reply) in said.iter().enumerate() {
        let want = if n % 2 == 0 { "250 2.0.0 delivered" } else { "550 5.1.1 no such mailbox" };
        assert_eq!(reply, want, "{n}");
    }
}
