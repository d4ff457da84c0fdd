//! The plugin `authentication`, with mails that dkimpy signed and sealed, keys on NSD, and its field
//! read by authres.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::{Nsd, need, python_with};
use portcullis_tests::process::{run, run_with_input};
use portcullis_tests::{Dns, Fault, Gateway, Running, Sink, Zone, repository};
use serde_json::{Value, json};

use super::{client, gateway};

/// What `sealed.py` makes.
struct Sealed {
    zone: String,
    mails: BTreeMap<String, String>,
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(repository().join("tests/peers/python").join(name));
    command
}

fn sealed() -> Option<Sealed> {
    need(["openssl"])?;
    let said = run(&mut script(&python_with("dkim")?, "sealed.py")).expect_success().stdout;
    let made: Value = serde_json::from_str(&said).expect("JSON of the script");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mails = made["mails"].as_object().expect("mails by name").iter();
    let mails = mails.map(|(name, mail)| (name.clone(), text(mail))).collect();
    Some(Sealed { zone: text(&made["zone"]), mails })
}

/// Fields of a message, as authres reads them: whose word each is, and then its results.
fn told(message: &str) -> Option<Vec<Vec<Value>>> {
    let mut command = script(&python_with("authres")?, "results.py");
    let said = run_with_input(&mut command, message).expect_success().stdout;
    let read = |line: &str| serde_json::from_str(line).expect("JSON of the script");
    Some(said.lines().map(read).collect())
}

fn judge(settings: Value) -> Value {
    json!({ "name": "authentication", "file": plugin("authentication"), "time_limit": "10s",
        "grants": ["mail-auth", "rewrite-headers", "dns"], "settings": settings })
}

fn before(sink: &Sink, nsd: &Nsd, settings: Value) -> Running {
    Gateway::new()
        .listener(
            "mx",
            json!({ "trust": { "xclient": ["127.0.0.1"] }, "scores": { "add_header": 5 } }),
        )
        .upstream("store", "smtp", &sink.address().to_string())
        .set("dns", nsd.settings())
        .plugin(judge(settings))
        .start()
}

/// The answer to a message of a stranger.
fn answer(gateway: &Running, message: &str) -> (u16, String) {
    let mut client = client(gateway, "198.51.100.1");
    let sent = client.deliver("bounces@relay.example", &["bob@example.net"], message.as_bytes());
    let reply = sent.expect("an answer");
    (reply.code, reply.text())
}

#[test]
fn trusted_seals_override_a_policy_and_others_do_not() {
    let Some(Sealed { zone, mails }) = sealed() else { return };
    let Some(nsd) = Nsd::start(&zone) else { return };
    let sink = Sink::smtp();
    let trusting = json!({ "authserv_id": "mx.example.net", "help": "https://example.net/mail",
        "arc": { "trusted": ["list.example", ".relay.example", "relay.example"] } });
    let gateway = before(&sink, &nsd, trusting);
    for (mail, code) in [
        ("signed", 250),
        ("unsigned", 550),
        ("changed", 550),
        ("listed", 250),
        ("relayed", 250),
        ("replayed", 550),
        ("changed after the seal", 550),
        ("by somebody else", 550),
        ("not passed", 550),
        ("about another", 550),
        ("without DMARC", 250),
    ] {
        let (came, text) = answer(&gateway, &mails[mail]);
        assert_eq!(came, code, "{mail}: {text}");
        if code == 550 {
            assert!(text.contains("5.7.1 author.example wants mail refused"), "{text}");
            assert!(text.contains("see https://example.net/mail"), "{text}");
        }
    }
    assert_eq!(sink.letters().len(), 4);
    let labels = [("by", "arc")];
    gateway.wait_for_metric("portcullis_plugin_authentication_overridden_total", &labels, 3.0);
    let strict = before(&sink, &nsd, json!({ "authserv_id": "mx.example.net" }));
    assert_eq!(answer(&strict, &mails["listed"]).0, 550);
}

#[test]
fn a_reader_that_is_not_ours_understands_the_field() {
    let Some(Sealed { zone, mails }) = sealed() else { return };
    let Some(nsd) = Nsd::start(&zone) else { return };
    let sink = Sink::smtp();
    let gateway = before(
        &sink,
        &nsd,
        json!({ "authserv_id": "mx.example.net", "arc": { "trusted": ["list.example"] } }),
    );
    let mut client = client(&gateway, "2001:db8::1");
    for (sender, mail) in [
        ("\"a; dkim=pass (\\\" b\"@relay.example", &mails["listed"]),
        ("bounces+bob=example.net@relay.example", &mails["forged"]),
    ] {
        let sent = client.deliver(sender, &["bob@example.net"], mail.as_bytes());
        sent.expect("an answer").expect_code(250);
    }
    let letters = sink.wait_for(2);
    let Some(listed) = told(&String::from_utf8_lossy(letters[0].without_received())) else {
        return;
    };
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0][0], "mx.example.net");
    let result = |method: &str| {
        let found = listed[0][1..].iter().find(|result| result[0] == method);
        found.cloned().unwrap_or_else(|| panic!("no {method} in {listed:?}"))
    };
    assert_eq!(result("iprev")[2]["policy.iprev"], "2001:db8::1");
    // The parser leaves the escapes of a quoted string where they are.
    let path = result("spf")[2]["smtp.mailfrom"].as_str().expect("a path").replace('\\', "");
    assert_eq!(path, "\"a; dkim=pass (\" b\"@relay.example");
    assert_eq!(
        (&result("dkim")[1], &result("dkim")[2]["header.d"]),
        (&json!("fail"), &json!("author.example"))
    );
    assert_eq!(
        (&result("arc")[1], &result("arc")[2]["header.d"]),
        (&json!("pass"), &json!("list.example"))
    );
    assert_eq!(result("dmarc")[1], "fail");
    assert_eq!(
        result("dmarc")[2],
        json!({ "header.from": "author.example", "policy.dmarc": "none" })
    );
    // Every line is short, but for those of one word.
    let text = letters[0].text();
    let field = text.split("Authentication-Results: mx.").nth(1).expect("the field");
    assert!(field.lines().take(8).all(|line| line.len() <= 78), "{field}");

    let Some(forged) = told(&String::from_utf8_lossy(letters[1].without_received())) else {
        return;
    };
    let names: Vec<_> = forged.iter().map(|field| field[0].clone()).collect();
    assert_eq!(names, ["mx.example.net", "elsewhere.example"]);
    assert!(forged[0].contains(&json!(["dmarc", "pass", { "header.from": "author.example" }])));
    assert_eq!(forged[0][2][2]["smtp.mailfrom"], "bounces+bob=example.net@relay.example");
}

#[test]
fn name_servers_that_fail_make_nobody_lose_mail() {
    let record = |zone: Zone| zone.record("_dmarc.author.example", "TXT", "v=DMARC1; p=reject");
    let zone = record(Zone::new()).record("author.example", "A", "192.0.2.80");
    let Some(Sealed { mails, .. }) = sealed() else { return };
    let signed = &mails["signed"];
    let (sink, dns) = (Sink::smtp(), Dns::start(zone));
    let gateway = gateway(&sink, &dns, [judge(json!({ "authserv_id": "mx.example.net" }))]);
    assert_eq!(answer(&gateway, signed).0, 550, "there is no key");
    for fault in [Fault::Silence, Fault::Code(2), Fault::Garbage] {
        dns.know(record(Zone::new()).fails("key._domainkey.author.example", None, fault));
        let (code, text) = answer(&gateway, signed);
        assert_eq!(code, 451, "the key is not to be had by {fault:?}: {text}");
        dns.know(Zone::new().fails("_dmarc.author.example", None, fault));
        // What came before is known, and answered without being sent on.
        let another = format!("X-Fault: {fault:?}\r\n{signed}");
        let (code, text) = answer(&gateway, &another);
        assert_eq!(code, 250, "the policy is not to be had by {fault:?}: {text}");
    }
    let letters = sink.wait_for(3);
    assert!(letters[0].text().contains("dmarc=temperror"), "{}", letters[0].text());
}
