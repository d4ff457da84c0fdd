//! DKIM, ARC and DMARC, with messages that dkimpy signed (`tests/signed`).

use std::collections::BTreeMap;
use std::fs;

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Client, Dns, Fault, Gateway, Running, Sink, Zone, repository};
use serde_json::json;

use super::{Finding, client, findings, gateway, inquirer};

/// A signed sample.
fn sample(name: &str) -> Vec<u8> {
    let file = repository().join("tests/signed").join(format!("{name}.eml"));
    fs::read(file).expect("the sample is there")
}

/// A sample with something else in it.
fn changed(name: &str, old: &str, new: &str) -> Vec<u8> {
    let text = String::from_utf8(sample(name)).expect("samples are ASCII");
    assert!(text.contains(old), "{name} has no {old}");
    text.replacen(old, new, 1).into_bytes()
}

/// The keys of the samples, and what their domains want.
fn zone() -> Zone {
    let file = repository().join("tests/signed/zone.json");
    let text = fs::read_to_string(file).expect("the keys are there");
    let keys: BTreeMap<String, String> = serde_json::from_str(&text).expect("keys by name");
    let keys = keys.iter().fold(Zone::new(), |zone, (name, key)| zone.record(name, "TXT", key));
    keys.record("example.org", "TXT", "v=spf1 ip4:192.0.2.1 -all")
        .record("example.org", "A", "192.0.2.1")
        .record("news.example.org", "A", "192.0.2.1")
        .record("_dmarc.example.org", "TXT", "v=DMARC1; p=quarantine; sp=none; np=reject")
        .record("_dmarc.example.com", "TXT", "v=DMARC1; p=reject; adkim=s")
}

fn asking(zone: Zone) -> (Sink, Dns, Running) {
    let (sink, dns) = (Sink::smtp(), Dns::start(zone));
    let gateway = gateway(&sink, &dns, [inquirer(json!({ "content": true }))]);
    (sink, dns, gateway)
}

/// What is found out about a message.
fn found(client: &mut Client, sender: &str, message: &[u8]) -> Vec<Finding> {
    let reply = client.deliver(sender, &["bob@example.net"], message).expect("an answer");
    findings(&reply.expect_code(550))
}

/// Methods and outcomes.
fn short(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|one| format!("{}={}", one["method"], one["outcome"])).collect()
}

#[test]
fn signatures_chains_and_policies_are_found_out() {
    let (_sink, _dns, gateway) = asking(zone());
    let mut client = client(&gateway, "198.51.100.1");
    for (what, message, expected) in [
        ("unsigned", sample("unsigned"), "dkim=none arc=none dmarc=fail"),
        ("RSA", sample("rsa"), "dkim=pass arc=none dmarc=pass"),
        ("Ed25519", sample("ed25519"), "dkim=pass arc=none dmarc=pass"),
        ("simple, and a large body", sample("simple"), "dkim=pass arc=none dmarc=pass"),
        ("several", sample("several"), "dkim=pass dkim=pass arc=none dmarc=pass"),
        ("body changed", changed("rsa", "Bye", "Buy"), "dkim=fail arc=none dmarc=fail"),
        ("subject changed", changed("rsa", "A sample", "Spam"), "dkim=fail arc=none dmarc=fail"),
        ("spaces changed", changed("rsa", "is  a", "is a"), "dkim=pass arc=none dmarc=pass"),
        ("no key", changed("rsa", "s=rsa", "s=no"), "dkim=permerror arc=none dmarc=fail"),
        ("expired", sample("expired"), "dkim=neutral arc=none dmarc=fail"),
        ("a part of the body", sample("partial"), "dkim=policy arc=none dmarc=fail"),
        ("no signature at all", changed("rsa", "b=", "x="), "dkim=neutral arc=none dmarc=fail"),
        ("below the signer", sample("below"), "dkim=pass arc=none dmarc=pass"),
        ("signed by others", sample("foreign"), "dkim=pass arc=none dmarc=fail"),
        ("a chain of one", sample("arc-once"), "dkim=pass arc=pass dmarc=pass"),
        ("a chain of two", sample("arc-twice"), "dkim=pass arc=pass dmarc=pass"),
        (
            "a body changed after",
            changed("arc-twice", "Bye", "Buy"),
            "dkim=fail arc=fail dmarc=fail",
        ),
        ("a gap", changed("arc-twice", "i=1; cv", "i=3; cv"), "dkim=pass arc=fail dmarc=pass"),
        (
            "a set less",
            changed("arc-twice", "ARC-Seal: i=1", "X: i=1"),
            "dkim=pass arc=fail dmarc=pass",
        ),
        (
            "another verdict",
            changed("arc-once", "dkim=pass", "dkim=none"),
            "dkim=pass arc=fail dmarc=pass",
        ),
    ] {
        let found = found(&mut client, "other@example.net", &message);
        assert_eq!(short(&found).join(" "), expected, "{what}: {found:#?}");
    }
}

#[test]
fn findings_say_what_they_are_about() {
    let (_sink, _dns, gateway) = asking(zone());
    let mut client = client(&gateway, "198.51.100.1");
    let several = found(&mut client, "other@example.net", &sample("several"));
    let of = |finding: &Finding, name: &str| finding.get(name).cloned().unwrap_or_default();
    assert_eq!(of(&several[0], "header.d"), "example.net");
    assert_eq!(of(&several[1], "header.d"), "example.org");
    assert_eq!(of(&several[1], "header.i"), "@example.org");
    assert_eq!(of(&several[1], "header.s"), "rsa");
    assert_eq!(of(&several[1], "header.a"), "rsa-sha256");
    let text = String::from_utf8(sample("rsa")).expect("ASCII");
    let (_, signature) = text.split_once(" b=").expect("a signature");
    assert_eq!(of(&several[1], "header.b"), &signature[..8]);
    assert_eq!(of(&several[3], "header.from"), "example.org");
    assert_eq!(of(&several[3], "policy.published"), "quarantine");
    let foreign = found(&mut client, "other@example.net", &sample("foreign"));
    assert_eq!(of(&foreign[2], "policy.published"), "reject");
    assert_eq!(of(&foreign[2], "header.from"), "example.com");
    let chain = found(&mut client, "other@example.net", &sample("arc-twice"));
    assert_eq!([of(&chain[1], "header.d"), of(&chain[1], "header.i")], ["example.org", "2"]);
    let broken = found(&mut client, "other@example.net", &changed("rsa", "Bye", "Buy"));
    assert_eq!(of(&broken[0], "reason"), "the body was changed");
}

#[test]
fn policies_hold_for_names_below_and_for_names_that_are_not_there() {
    let (_sink, _dns, gateway) = asking(zone());
    let mut client = client(&gateway, "198.51.100.1");
    for (domain, published) in
        [("example.org", "quarantine"), ("news.example.org", "none"), ("no.example.org", "reject")]
    {
        let message = changed("unsigned", "ann@example.org", &format!("ann@{domain}"));
        let found = found(&mut client, "other@example.net", &message);
        assert_eq!(found[2]["policy.published"], published, "{domain}");
    }
    let message = changed("unsigned", "ann@example.org", "ann@example.net");
    let found = found(&mut client, "other@example.net", &message);
    assert_eq!(found[2]["outcome"], "none");
    assert_eq!(found[2]["reason"], "the domain has no policy");
}

#[test]
fn spf_that_is_aligned_is_enough_for_dmarc() {
    let (_sink, _dns, gateway) = asking(zone());
    let mut client = client(&gateway, "192.0.2.1");
    let aligned = found(&mut client, "bounces@example.org", &sample("unsigned"));
    assert_eq!(aligned[2]["outcome"], "pass", "{aligned:#?}");
    let other = found(&mut client, "bounces@example.net", &sample("unsigned"));
    assert_eq!(other[2]["outcome"], "fail", "{other:#?}");
}

#[test]
fn name_servers_that_fail_are_a_temporary_error() {
    let zone = zone().fails("rsa._domainkey.example.org", None, Fault::Code(2)).fails(
        "_dmarc.example.net",
        None,
        Fault::Silence,
    );
    let (_sink, _dns, gateway) = asking(zone);
    let mut client = client(&gateway, "198.51.100.1");
    let key = found(&mut client, "other@example.com", &sample("rsa"));
    assert_eq!(short(&key), ["dkim=temperror", "arc=none", "dmarc=temperror"], "{key:#?}");
    let message = changed("unsigned", "ann@example.org", "ann@example.net");
    let policy = found(&mut client, "other@example.com", &message);
    assert_eq!(policy[2]["outcome"], "temperror", "{policy:#?}");
}

#[test]
fn several_plugins_cost_one_search() {
    let (sink, dns) = (Sink::smtp(), Dns::start(zone()));
    let named = |name: &str, pass: bool| {
        let mut plugin = inquirer(json!({ "sender": pass, "content": true, "pass": pass }));
        plugin["name"] = json!(name);
        plugin
    };
    let plugins = [named("first", true), named("second", true), named("third", false)];
    let gateway = gateway(&sink, &dns, plugins);
    let mut client = client(&gateway, "192.0.2.1");
    let found = found(&mut client, "bounces@example.org", &sample("rsa"));
    assert_eq!(short(&found), ["dkim=pass", "arc=none", "dmarc=pass"]);
    for name in ["rsa._domainkey.example.org", "_dmarc.example.org", "1.2.0.192.in-addr.arpa"] {
        assert_eq!(dns.asked_for(name), 1, "{name}");
    }
    assert_eq!(dns.asked().iter().filter(|asked| asked.kind == "TXT").count(), 4);
}

#[test]
fn what_plugins_change_is_not_what_the_client_sent() {
    let (sink, dns) = (Sink::smtp(), Dns::start(zone()));
    let headers = json!({ "name": "headers", "file": plugin("headers"),
        "grants": ["rewrite-headers"], "settings": { "drop": ["Subject", "DKIM-Signature"] } });
    let body = json!({ "name": "body", "file": plugin("test-misbehave"), "grants": ["rewrite-body"],
        "settings": { "mode": "rewrite-body", "body": "other\r\n", "when": { "hook": "message" } } });
    let gateway = gateway(&sink, &dns, [headers, body, inquirer(json!({ "content": true }))]);
    let found = found(&mut client(&gateway, "192.0.2.1"), "other@example.net", &sample("rsa"));
    assert_eq!(short(&found), ["dkim=pass", "arc=none", "dmarc=pass"], "{found:#?}");
}

#[test]
fn a_plugin_hears_of_a_search_that_takes_too_long() {
    let (sink, dns) = (Sink::smtp(), Dns::start(zone().fails("example.org", None, Fault::Silence)));
    let mut impatient = inquirer(json!({ "sender": true }));
    impatient["time_limit"] = json!("500ms");
    let names = json!({ "servers": [dns.address().to_string()], "timeout": "30s" });
    let gateway = Gateway::before(&sink).set("dns", names).plugin(impatient).start();
    let reply = gateway.client().command("MAIL FROM:<ann@example.org>").expect_code(550);
    let found = findings(&reply);
    assert_eq!(short(&found), ["iprev=temperror", "spf=temperror"]);
    assert_eq!(found[1]["smtp.mailfrom"], "ann@example.org");
}

#[test]
fn without_the_grant_nothing_is_told() {
    let (sink, dns) = (Sink::smtp(), Dns::start(zone()));
    let mut plugin = inquirer(json!({ "sender": true }));
    plugin["grants"] = json!(["dns"]);
    let gateway = gateway(&sink, &dns, [plugin]);
    let reply = gateway.client().command("MAIL FROM:<ann@example.org>").expect_code(550);
    assert_eq!(super::lines(&reply), ["denied"]);
    assert_eq!(dns.asked(), []);
}

#[test]
fn the_client_and_the_hello_name_are_looked_at() {
    let address = "192.0.2.1".parse().expect("an address");
    let zone = zone()
        .pointer(address, "example.org")
        .pointer("192.0.2.2".parse().expect("an address"), "example.org")
        .record("client.example", "TXT", "v=spf1 ?all");
    let (sink, dns) = (Sink::smtp(), Dns::start(zone));
    let gateway = gateway(&sink, &dns, [inquirer(json!({ "sender": true }))]);
    for (address, sender, iprev, spf, identity) in [
        ("192.0.2.1", "ann@example.org", "pass", "pass", "smtp.mailfrom"),
        ("192.0.2.2", "ann@example.org", "fail", "fail", "smtp.mailfrom"),
        ("192.0.2.3", "", "permerror", "neutral", "smtp.helo"),
    ] {
        let mut client = client(&gateway, address);
        client.command("EHLO client.example").expect_code(250);
        let reply = client.command(&format!("MAIL FROM:<{sender}>")).expect_code(550);
        let found = findings(&reply);
        let expected = [format!("iprev={iprev}"), format!("spf={spf}")];
        assert_eq!(short(&found), expected, "{found:#?}");
        assert_eq!(found[0]["policy.iprev"], address);
        let about = if sender.is_empty() { "client.example" } else { sender };
        assert_eq!(found[1][identity], about);
    }
}

#[test]
fn hostile_messages_are_looked_at_within_bounds() {
    let (_sink, dns, gateway) = asking(zone());
    let mut client = client(&gateway, "198.51.100.1");
    let signature = String::from_utf8(sample("rsa")).expect("ASCII");
    let (signature, _) = signature.split_once("From:").expect("a signature");
    let many = format!("{}{}", signature.repeat(100), "From: a@example.org\r\n\r\nx\r\n");
    let odd = "DKIM-Signature: v=1; a=rsa-sha256; d=\u{1}; s==; h=:::; bh=!; b=!; l=-1; t=99999999999999\
        9999999999; x=0\r\nARC-Seal: i=0; cv=; a=\r\nFrom: <>, @, a@b@c, \"\r\n\r\n";
    let authors =
        format!("From: {}\r\n\r\n", "a@example.org,\r\n b@example.com, ".repeat(500) + "c@d");
    let messages =
        [many.as_str(), odd, &authors, "\r\nno header\r\n", "not a header\r\n\r\n", ".\r\n"];
    for message in messages {
        let found = found(&mut client, "other@example.net", message.as_bytes());
        assert!((3..=20).contains(&found.len()), "{found:#?}");
    }
    assert!(dns.asked_for("rsa._domainkey.example.org") <= 1);
}
