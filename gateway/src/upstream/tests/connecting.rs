use std::path::PathBuf;

use portcullis_smtp::client::Mechanism;

use super::*;
use crate::config::{Digest, Password, TlsIdentity, UpstreamAuth};
use certificate::Certificate;

#[tokio::test]
async fn an_upstream_that_is_down_is_a_4xx_for_everybody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let gateway = Gateway::new(&upstream(address));
    let down = "451 4.4.1 upstream up cannot be reached";
    assert_eq!(gateway.send(&["b@b.example", "c@b.example"]).await, [down, down]);
    let once = "portcullis_upstream_connects_total{result=\"failed\",upstream=\"up\"} 1";
    assert!(gateway.metric(once), "asked once a transaction");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_talked_to() {
    let endless = format!("S: {}", "x".repeat(100_000));
    let many = format!("S: {}", "220-x\\r\\n".repeat(10_000));
    for (lines, want) in [
        ("", "451 4.4.2 upstream up lost the connection"),
        ("S: 554 5.3.2 go away", "451 4.3.2 upstream up takes no mail now"),
        ("S: 421 4.3.2 busy", "451 4.3.2 upstream up takes no mail now"),
        ("S: HTTP/1.1 400 Bad Request", "451 4.5.0 upstream up does not speak the protocol"),
        (&endless, "451 4.5.0 upstream up does not speak the protocol"),
        (&many, "451 4.5.0 upstream up does not speak the protocol"),
        ("S: 220 hi\nC: EHLO gw.example\nS: 451 later", "451 4.3.2 upstream up takes no mail now"),
        ("S: 220 hi\nC: EHLO gw.example", "451 4.4.2 upstream up lost the connection"),
    ] {
        let (gateway, up) = Gateway::with(&[lines]).await;
        assert_eq!(gateway.send(&["b@b.example"]).await, [want], "{lines:.60}");
        up.contents().await;
    }
}

#[tokio::test]
async fn a_banner_that_does_not_come_is_not_waited_for() {
    let script = Script::start(vec!["silence".into()]).await;
    let gateway = Gateway::new(&impatient(script.address));
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 upstream up did not answer in time"]);
}

fn verified(address: SocketAddr, certificate: &Certificate) -> Hop {
    Hop { tls: tls(UpstreamTlsMode::Starttls, certificate.file.path()), ..upstream(address) }
}

const STARTTLS: &str = "S: 220 up.example
    C: EHLO gw.example
    S: 250-up.example\\r\\n250-PIPELINING\\r\\n250 STARTTLS
    C: STARTTLS
    S: 220 go";

#[tokio::test]
async fn starttls_then_everything_anew() {
    let certificate = Certificate::new("127.0.0.1");
    let scripts = vec![script(&[
        STARTTLS,
        "tls",
        GREETING.split_once('\n').expect("a banner").1,
        ENVELOPE,
        DATA,
        "S: 250 ok",
    ])];
    let script = Script::with_certificate(scripts, Some(&certificate)).await;
    let gateway = Gateway::new(&verified(script.address, &certificate));
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    assert_eq!(script.contents().await, [HELLO]);
}

#[tokio::test]
async fn implicit_tls_with_large_content() {
    let certificate = Certificate::new("127.0.0.1");
    let greeting = GREETING.replace("SIZE 100000", "SIZE");
    let scripts = vec![script(&["tls", &greeting, ENVELOPE, DATA, "S: 250 ok"])];
    let script = Script::with_certificate(scripts, Some(&certificate)).await;
    let tls = tls(UpstreamTlsMode::Implicit, certificate.file.path());
    let gateway = Gateway::new(&Hop { tls, ..upstream(script.address) });
    let mut delivery = gateway.begin();
    let recipient = to(0, "b@b.example");
    assert_eq!(delivery.offer(&sender(), &[], &recipient).await, Ok(()));
    let body = "0123456789abcdef\r\n".repeat(100_000);
    let replies = delivery.deliver(&sender(), &[], &[recipient], &message(&body)).await;
    assert_eq!(texts(&replies), ["250 2.0.0 ok"]);
    assert_eq!(
        script.contents().await[0].len(),
        "Received: x\r\nSubject: t\r\n\r\n.\r\n".len() + body.len()
    );
}

#[tokio::test]
async fn octets_behind_the_reply_to_starttls_are_not_taken_for_the_upstreams() {
    let certificate = Certificate::new("127.0.0.1");
    let injected = STARTTLS.replace("S: 220 go", "S: 220 go\\r\\n250-intruder\\r\\n250 AUTH");
    let script = Script::with_certificate(vec![injected], Some(&certificate)).await;
    let gateway = Gateway::new(&verified(script.address, &certificate));
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.5.0 upstream up does not speak the protocol"]);
}

#[tokio::test]
async fn a_certificate_that_is_not_the_upstreams_is_refused_where_it_matters() {
    let (right, wrong) = (Certificate::new("127.0.0.1"), Certificate::new("other.example"));
    for authority in [&right, &wrong] {
        let scripts = vec![format!("{STARTTLS}\ntls")];
        let script = Script::with_certificate(scripts, Some(&wrong)).await;
        let gateway = Gateway::new(&verified(script.address, authority));
        let heard = gateway.send(&["b@b.example"]).await;
        assert_eq!(heard, ["451 4.7.5 upstream up failed in the TLS handshake"]);
    }
}

#[tokio::test]
async fn tls_that_is_demanded_and_not_offered_is_no_mail() {
    let certificate = Certificate::new("127.0.0.1");
    for (lines, why) in [
        (GREETING.to_owned(), "not offered"),
        (STARTTLS.replace("220 go", "454 4.7.0 not now"), "refused"),
    ] {
        let script = Script::start(vec![lines]).await;
        let gateway = Gateway::new(&verified(script.address, &certificate));
        let heard = gateway.send(&["b@b.example"]).await;
        assert_eq!(heard, ["451 4.7.4 upstream up has no TLS"], "{why}");
    }
}

#[tokio::test]
async fn opportunistic_tls_takes_any_certificate_and_does_without() {
    let certificate = Certificate::new("other.example");
    let rest =
        script(&[GREETING.split_once('\n').expect("a banner").1, ENVELOPE, DATA, "S: 250 ok"]);
    let clear = format!("{GREETING}{ENVELOPE}{DATA}S: 250 ok");
    let refused = STARTTLS.replace("220 go", "454 not now");
    for (scripts, why) in [
        (vec![format!("{STARTTLS}\ntls\n{rest}")], "offered, with a strange certificate"),
        (vec![clear.clone()], "not offered"),
        (vec![format!("{refused}\n{ENVELOPE}{DATA}S: 250 ok")], "refused"),
        (vec![format!("{STARTTLS}\nsome octets"), clear], "broken"),
    ] {
        let script = Script::with_certificate(scripts, Some(&certificate)).await;
        let tls = unverified(UpstreamTlsMode::Opportunistic);
        let gateway = Gateway::new(&Hop { tls, ..upstream(script.address) });
        assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"], "{why}");
        assert_eq!(script.contents().await, [HELLO], "{why}");
    }
}

#[tokio::test]
async fn tls_that_is_required_takes_any_certificate_and_does_not_do_without() {
    let certificate = Certificate::new("other.example");
    let rest =
        script(&[GREETING.split_once('\n').expect("a banner").1, ENVELOPE, DATA, "S: 250 ok"]);
    for (lines, want) in [
        (format!("{STARTTLS}\ntls\n{rest}"), "250 2.0.0 ok"),
        (GREETING.to_owned(), "451 4.7.4 upstream up has no TLS"),
        (STARTTLS.replace("220 go", "454 no"), "451 4.7.4 upstream up has no TLS"),
        (format!("{STARTTLS}\nsome octets"), "451 4.7.5 upstream up failed in the TLS handshake"),
    ] {
        let script = Script::with_certificate(vec![lines.clone()], Some(&certificate)).await;
        let tls = unverified(UpstreamTlsMode::Required);
        let gateway = Gateway::new(&Hop { tls, ..upstream(script.address) });
        assert_eq!(gateway.send(&["b@b.example"]).await, [want], "{lines}");
    }
}

#[tokio::test]
async fn a_key_that_is_pinned_needs_no_authority() {
    let certificate = Certificate::new("other.example");
    let rest =
        script(&[GREETING.split_once('\n').expect("a banner").1, ENVELOPE, DATA, "S: 250 ok"]);
    let (right, wrong) = (certificate.pin(), Digest::of(b"another key"));
    let trusted = certificate.file.path().to_owned();
    let (ok, failed) = ("250 2.0.0 ok", "451 4.7.5 upstream up failed in the TLS handshake");
    let host = || Some("other.example".to_owned());
    for (pins, authority, name, want, why) in [
        (vec![right], None, None, ok, "its key, whatever its name"),
        (vec![wrong, right], None, None, ok, "one of several keys"),
        (vec![wrong], None, None, failed, "another key"),
        (vec![right], Some(trusted.clone()), host(), ok, "its key, its authority, its name"),
        (vec![right], Some(trusted.clone()), None, failed, "its key, and another name"),
        (vec![wrong], Some(trusted.clone()), host(), failed, "its authority, and another key"),
        (vec![], Some(trusted), host(), ok, "a name that is not the host's"),
    ] {
        let lines = vec![format!("{STARTTLS}\ntls\n{rest}")];
        let script = Script::with_certificate(lines, Some(&certificate)).await;
        let mode = UpstreamTlsMode::Starttls;
        let tls = UpstreamTls { mode, name, authority, pins, identity: None };
        let gateway = Gateway::new(&Hop { tls, ..upstream(script.address) });
        assert_eq!(gateway.send(&["b@b.example"]).await, [want], "{why}");
    }
}

#[tokio::test]
async fn an_upstream_that_wants_a_certificate_gets_one() {
    let (certificate, own) = (Certificate::new("127.0.0.1"), Certificate::new("gw.example"));
    let rest =
        script(&[GREETING.split_once('\n').expect("a banner").1, ENVELOPE, DATA, "S: 250 ok"]);
    let key = own.key();
    let identity =
        TlsIdentity { certificate: own.file.path().to_owned(), key: key.path().to_owned() };
    for (identity, accepted) in [(Some(identity), true), (None, false)] {
        let lines = vec![format!("{STARTTLS}\ntls\n{rest}")];
        let acceptor = certificate.acceptor_for_clients_of(&own);
        let script = Script::with_acceptor(lines, acceptor).await;
        let tls = tls(UpstreamTlsMode::Starttls, certificate.file.path());
        let tls = UpstreamTls { identity, ..tls };
        let gateway = Gateway::new(&Hop { tls, ..upstream(script.address) });
        assert_eq!(gateway.send(&["b@b.example"]).await == ["250 2.0.0 ok"], accepted);
    }
}

/// TLS in this way, whoever is there.
fn unverified(mode: UpstreamTlsMode) -> UpstreamTls {
    UpstreamTls { mode, ..UpstreamTls::default() }
}

#[tokio::test]
async fn a_unix_socket_does_as_well() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("lmtp");
    let greeting = GREETING.replace("EHLO", "LHLO");
    let script = Script::at(&path, vec![script(&[&greeting, ENVELOPE, DATA, "S: 250 kept"])]);
    let members = vec![Member::only(UpstreamAddress::Unix(path))];
    let gateway = Gateway::new(&Hop { members, ..lmtp(script.address) });
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 kept"]);
    assert_eq!(script.contents().await, [HELLO]);
}

#[test]
fn authorities_that_cannot_be_read_are_told() {
    let nothing = tempfile::NamedTempFile::new().expect("a temporary file");
    let address = ([127, 0, 0, 1], 25).into();
    for file in [PathBuf::from("/nonexistent/authority.pem"), nothing.path().to_owned()] {
        let upstream = Hop { tls: tls(UpstreamTlsMode::Starttls, &file), ..upstream(address) };
        let metrics = Metrics::new(&Names::default());
        let directory = directory(&metrics, Zone::default());
        let pool = Pool::new("up", &upstream, directory, None, metrics.upstream("up"));
        let error = pool.expect_err("no authority");
        assert!(error.to_string().starts_with("authorities of upstream \"up\""), "{error}");
    }
}

fn logging_in(address: SocketAddr) -> Hop {
    let mechanisms = Mechanism::ALL.to_vec();
    let auth = UpstreamAuth { user: "gw".into(), password: Password::new("s3cret"), mechanisms };
    Hop { auth: Some(auth), ..upstream(address) }
}

const AUTH: &str = "S: 220 up.example
    C: EHLO gw.example
    S: 250-up.example\\r\\n250-PIPELINING\\r\\n250 AUTH PLAIN
    C: AUTH PLAIN AGd3AHMzY3JldA==\n";

#[tokio::test]
async fn the_gateway_logs_in_before_any_mail() {
    let scripts = [&*script(&[AUTH, "S: 235 2.7.0 welcome", ENVELOPE, DATA, "S: 250 ok"])];
    let script = Script::start(scripts.iter().map(ToString::to_string).collect()).await;
    let gateway = Gateway::new(&logging_in(script.address));
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    assert_eq!(script.contents().await, [HELLO]);
    let shown = format!("{:?}", gateway.pool);
    assert!(shown.contains("gw") && !shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn without_a_login_nothing_is_delivered() {
    let want = "451 4.7.0 upstream up does not accept the gateway's login";
    for (lines, why) in [
        (format!("{AUTH}S: 535 5.7.8 no"), "refused"),
        (format!("{AUTH}S: 334 d2hhdD8=\nC: *\nS: 501 what"), "a strange challenge"),
        (GREETING.to_owned(), "not offered"),
    ] {
        let script = Script::start(vec![lines]).await;
        let gateway = Gateway::new(&logging_in(script.address));
        assert_eq!(gateway.send(&["b@b.example", "c@b.example"]).await, [want, want], "{why}");
        let counted = "portcullis_upstream_connects_total{result=\"login\",upstream=\"up\"} 1";
        assert!(gateway.metric(counted), "{why}");
        assert!(script.contents().await.is_empty(), "{why}");
    }
}

#[tokio::test]
async fn no_password_is_said_where_tls_is_asked_for_and_absent() {
    let lines = "S: 220 up.example
        C: EHLO gw.example
        S: 250-up.example\\r\\n250 AUTH PLAIN LOGIN
        gone";
    let script = Script::start(vec![lines.to_owned()]).await;
    let tls = unverified(UpstreamTlsMode::Opportunistic);
    let gateway = Gateway::new(&Hop { tls, ..logging_in(script.address) });
    let want = "451 4.7.0 upstream up does not accept the gateway's login";
    assert_eq!(gateway.send(&["b@b.example"]).await, [want]);
    assert!(script.contents().await.is_empty());
}
