//! What is explained, where no plugin is asked.

use std::fs;

use portcullis_smtp::{Mailbox, ReversePath};

use super::*;
use crate::explain::HELO;

const TEXT: &str = "\
hostname: mx.example.org
cache_directory: cache
listeners:
  - {name: mx, address: \"127.0.0.1:25\", plugins: []}
  - {name: local, address: \"127.0.0.1:24\", protocol: lmtp, upstream: dovecot, quarantine: box}
  - {name: later, address: \"127.0.0.1:26\", plugins: [], delivery: spool}
spool: {directory: spool}
upstreams:
  dovecot: {protocol: lmtp, address: \"unix:/run/dovecot/lmtp\"}
  next: {address: \"[2001:db8::1]:25\"}
  box: {protocol: maildir, path: \"/{domain}/{local}\", delimiter: \"+\"}
routes:
  - senders: [boss@a.example]
    upstream: next
  - map: map
  - domains: [b.example]
    upstream: dovecot
";

async fn explain(inquiry: &Inquiry) -> Result<Explanation, ExplainError> {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.path().join("c.example/x").join(part)).expect("a folder");
    }
    fs::write(folder.path().join("map"), "# ours\nc.example box\n").expect("a file");
    let text = TEXT.replace("/{domain}", &format!("{}/{{domain}}", folder.path().display()));
    let file = folder.path().join("portcullis.yaml");
    let config = config::parse(&file, text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let parts = Parts::prepare(config).await.expect("a configuration that is fit");
    let explained = parts.rehearsals().explain(inquiry).await;
    assert!(!folder.path().join("spool").exists(), "nothing is written");
    explained
}

fn inquiry(listener: &str, recipients: &[&str]) -> Inquiry {
    let mailbox = |text: &&str| Mailbox::parse(text).expect("a mailbox");
    Inquiry {
        listener: Some(listener.to_owned()),
        sender: ReversePath::Null,
        recipients: recipients.iter().map(mailbox).collect(),
        client: None,
        helo: HELO.to_owned(),
        user: None,
        tls: false,
        message: None,
    }
}

#[tokio::test]
async fn each_recipient_is_told_its_way_and_who_says_so() {
    let asked = inquiry("mx", &["x@b.example", "X+y@c.example", "x@d.example"]);
    let answer = explain(&asked).await.expect("a listener");
    assert!(!answer.is_yes());
    let text = answer.to_string();
    for line in [
        "at \"mx\" (smtp), from <>, client anywhere as \"client.example\", nobody logged in\n",
        "portcullis.yaml:16), by \"b.example\"\n",
        "  goes to \"dovecot\": lmtp at unix:/run/dovecot/lmtp\n",
        "map:2)\n",
        "  would go to \"box\": maildir ",
        "/c.example/x\n  452 4.5.3 one destination at a time, send this recipient again [explain.1]\n",
        "  goes nowhere\n  550 5.7.1 no route to this recipient [explain.1]\n",
        "in one transaction (defer-others): recipients of \"dovecot\" are taken",
        "  452 4.5.3 to <X+y@c.example>\n",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    let json = serde_json::to_value(&answer).expect("it can be written");
    assert_eq!(json["recipients"][1]["decision"]["by"], "route");
    assert_eq!(json["recipients"][1]["decision"]["number"], 2);
    assert_eq!(json["recipients"][1]["decision"]["map_line"], 2);
    assert_eq!(json["recipients"][1]["upstream"]["protocol"], "maildir");
    assert_eq!(json["recipients"][2]["decision"]["by"], "nobody");
    assert_eq!(json["together"]["deferred"], serde_json::json!(["X+y@c.example"]));
}

#[tokio::test]
async fn a_listener_and_a_sender_change_the_way() {
    let answer =
        explain(&inquiry("local", &["x@c.example", "x@d.example"])).await.expect("a listener");
    assert!(answer.is_yes());
    let text = answer.to_string();
    assert!(text.contains("no route fits: the listener's \"upstream\"\n"), "{text}");
    assert!(text.contains("in one transaction (each): over LMTP"), "{text}");
    assert!(
        text.contains("what a plugin wants in quarantine goes to \"box\": maildir\n"),
        "{text}"
    );
    let boss = Mailbox::parse("Boss@A.example").expect("a mailbox");
    let asked = Inquiry { sender: ReversePath::Mailbox(boss), ..inquiry("mx", &["x@c.example"]) };
    let text = explain(&asked).await.expect("a listener").to_string();
    assert!(text.contains("goes to \"next\": smtp at [2001:db8::1]:25\n"), "{text}");
    assert!(!text.contains("in one transaction"), "{text}");
}

#[tokio::test]
async fn what_is_delivered_afterwards_is_told() {
    let text = explain(&inquiry("later", &["x@b.example"])).await.expect("a listener").to_string();
    assert!(text.contains("\nwhen: taken as soon as it is on the disk"), "{text}");
    let text = explain(&inquiry("mx", &["x@b.example"])).await.expect("a listener").to_string();
    assert!(!text.contains("\nwhen:"), "{text}");
}

#[tokio::test]
async fn a_listener_that_is_not_there_is_named() {
    let error = explain(&inquiry("mxx", &[])).await.expect_err("no listener");
    assert_eq!(error.to_string(), "there is no listener \"mxx\"; there is mx, local, later");
}
