//! swaks, which says all of it by options.

use std::process::Command;

use portcullis_tests::peers::need;
use portcullis_tests::process::{Finished, run};

use super::*;

/// Sends a message; none if it is not installed.
fn swaks(gateway: &Running, arguments: &[&str]) -> Option<Finished> {
    let [swaks] = need(["swaks"])?;
    let mut command = Command::new(swaks);
    command
        .args(["--server", &gateway.address("mx").to_string(), "--helo", "client.example"])
        .args(["--from", "a@example.org", "--to", "b@example.com"])
        .args(arguments);
    Some(run(&mut command))
}

#[test]
fn swaks_speaks_the_proxy_protocol() {
    for (version, family, from, to) in [
        ("1", "TCP4", "192.0.2.7", "192.0.2.1"),
        ("1", "TCP6", "2001:db8::7", "2001:db8::1"),
        ("2", "AF_INET", "192.0.2.7", "192.0.2.1"),
        ("2", "AF_INET6", "2001:db8::7", "2001:db8::1"),
    ] {
        let sink = Sink::smtp();
        let gateway = trusting(&sink, json!({ "proxy_protocol": ["127.0.0.1"] })).start();
        let said = swaks(
            &gateway,
            &[
                &format!("--proxy-version={version}"),
                &format!("--proxy-family={family}"),
                &format!("--proxy-source={from}"),
                "--proxy-source-port=56324",
                &format!("--proxy-dest={to}"),
                "--proxy-dest-port=25",
            ],
        );
        let Some(said) = said else { return };
        said.expect_success();
        let letter = sink.only_letter();
        let literal = if from.contains(':') { format!("IPv6:{from}") } else { from.to_owned() };
        let received = letter.received();
        assert!(received.contains(&format!("from client.example ([{literal}])")), "{received}");
        assert_eq!(seen(&letter.text())["client-address"], from);
        let client = SocketAddr::new(from.parse().unwrap(), 56324);
        assert_eq!(transaction(&gateway).peer("/client"), client.to_string());
        gateway.wait_for_metric(HEADERS, &[("listener", "mx"), ("result", "ok")], 1.0);
    }
}

#[test]
fn swaks_is_a_proxy_that_names_nobody() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "proxy_protocol": ["127.0.0.1"] })).start();
    let Some(said) = swaks(&gateway, &["--proxy=UNKNOWN"]) else { return };
    said.expect_success();
    let record = transaction(&gateway);
    assert!(record.peer("/client").starts_with("127.0.0.1:"), "{record:?}");
    assert_eq!(record.peer("/client/via"), "", "{record:?}");
    assert_eq!(seen(&sink.only_letter().text())["client-address"], "127.0.0.1");
    gateway.wait_for_metric(HEADERS, &[("listener", "mx"), ("result", "ok")], 1.0);
}

const XCLIENT: &[&str] = &[
    "--xclient-addr=192.0.2.7",
    "--xclient-port=56324",
    "--xclient-name=real.example",
    "--xclient-helo=hello.example",
];

#[test]
fn swaks_names_the_client() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "xclient": ["127.0.0.1"] })).start();
    let Some(said) = swaks(&gateway, XCLIENT) else { return };
    said.expect_success();
    let letter = sink.only_letter();
    assert!(letter.received().contains("([192.0.2.7])"), "{}", letter.received());
    let record = transaction(&gateway);
    assert_eq!(record.peer("/client"), "192.0.2.7:56324");
    assert_eq!(record.at("/client/name"), "real.example");
    assert!(record.peer("/client/via").starts_with("127.0.0.1:"), "{record:?}");
    let seen = seen(&letter.text());
    assert_eq!(seen["client-address"], "192.0.2.7");
    assert_eq!(seen["client-port"], 56324);
    assert_eq!(seen["client-name"], "real.example");
}

#[test]
fn swaks_does_not_know_the_client() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "xclient": ["127.0.0.1"] })).start();
    let unknown = ["--xclient-addr=[UNAVAILABLE]", "--xclient-name=[TEMPUNAVAIL]"];
    let Some(said) = swaks(&gateway, &unknown) else { return };
    said.expect_success();
    let letter = sink.only_letter();
    assert!(letter.received().contains("from client.example (unknown)"), "{}", letter.received());
    assert_eq!(transaction(&gateway).peer("/client"), "unknown");
    let seen = seen(&letter.text());
    assert_eq!((&seen["client-address"], &seen["client-port"]), (&json!("unknown"), &json!(0)));
    assert_eq!(seen["client-name"], Value::Null);
}

#[test]
fn swaks_names_a_user_where_users_log_in() {
    for (auth, user) in [(true, "ann"), (false, "")] {
        let (sink, users) = (Sink::smtp(), users());
        let mut listener = json!({ "trust": { "xclient": ["127.0.0.1"] } });
        if auth {
            listener["auth"] = json!({ "mechanisms": ["plain"], "users": users.path() });
        }
        let gateway = Gateway::new().tls_listener_with("mx", "starttls", listener);
        let gateway = with_porter(gateway, &sink).start();
        let Some(said) = swaks(&gateway, &[XCLIENT, &["--xclient-login=ann"]].concat()) else {
            return;
        };
        said.expect_success();
        assert_eq!(transaction(&gateway).field("user"), user);
        let seen = seen(&sink.only_letter().text());
        assert_eq!(seen["user"].as_str().unwrap_or_default(), user);
        assert_eq!(
            seen["mechanism"].as_str().unwrap_or_default(),
            if auth { "XCLIENT" } else { "" }
        );
    }
}

#[test]
fn swaks_names_the_client_under_tls() {
    for before in [&[][..], &["--xclient-before-starttls"]] {
        let sink = Sink::smtp();
        let trust = json!({ "trust": { "xclient": ["127.0.0.1"] } });
        let gateway = Gateway::new().tls_listener_with("mx", "starttls", trust);
        let gateway = with_porter(gateway, &sink).start();
        let Some(said) = swaks(&gateway, &[XCLIENT, &["--tls"], before].concat()) else { return };
        said.expect_success();
        let received = sink.only_letter().received();
        assert!(received.contains("([192.0.2.7])"), "{received}");
        assert!(received.contains(" with ESMTPS id "), "{received}");
    }
}

#[test]
fn swaks_is_not_believed_elsewhere() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "xclient": [ELSEWHERE] })).start();
    let Some(said) = swaks(&gateway, XCLIENT) else { return };
    assert!(!said.status.success(), "it is not offered");
    let told = ["--xclient=ADDR=192.0.2.7 NAME=real.example", "--xclient-optional"];
    let said = swaks(&gateway, &[&told[..], &["--xclient-no-verify"]].concat());
    said.expect("a moment ago it was there").expect_success();
    let record = transaction(&gateway);
    assert!(record.peer("/client").starts_with("127.0.0.1:"), "{record:?}");
    assert_eq!((record.at("/client/name"), record.peer("/client/via")), Default::default());
    assert_eq!(seen(&sink.only_letter().text())["client-address"], "127.0.0.1");
}
