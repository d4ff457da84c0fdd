//! TLS of the listening side, with OpenSSL as the client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis_tests::peers::need;
use portcullis_tests::process::run;
use portcullis_tests::{Certificate, Client, Gateway, Running, Sink};
use serde_json::{Value, json};

fn gateway(sink: &Sink, mode: &str, certificate: &Certificate, more: &Value) -> Running {
    let mut tls = json!({
        "mode": mode,
        "certificate": certificate.certificate(),
        "key": certificate.key(),
    });
    for (key, value) in more.as_object().expect("an object") {
        tls[key] = value.clone();
    }
    Gateway::new()
        .listener("mx", json!({ "tls": tls }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start()
}

fn openssl(address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]).args(arguments);
    command
}

/// The certificate that is shown to a client that asks for this name, as PEM without line ends.
fn shown(address: SocketAddr, arguments: &[&str]) -> String {
    let said = run(&mut openssl(address, arguments)).stdout;
    let start = said.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{said}"));
    let end = said.find("-----END CERTIFICATE").expect("the end of what began");
    said[start..end].split_whitespace().collect()
}

fn pem(certificate: &Certificate) -> String {
    let text = std::fs::read_to_string(certificate.certificate()).expect("a file of ours");
    let end = text.find("-----END CERTIFICATE").expect("a certificate");
    text[..end].split_whitespace().collect()
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let Some([_]) = need(["openssl"]) else { return };
    let first = Certificate::of(&["mx.example.org"]);
    let second = Certificate::of(&["mx.example.com", "*.example.net"]);
    for (mode, starttls) in [("implicit", &[][..]), ("starttls", &["-starttls", "smtp"])] {
        let sink = Sink::smtp();
        let more = json!({ "certificates": [
            { "certificate": second.certificate(), "key": second.key() },
        ] });
        let gateway = gateway(&sink, mode, &first, &more);
        for (name, wanted) in [
            (vec!["-servername", "mx.example.com"], &second),
            (vec!["-servername", "any.example.net"], &second),
            (vec!["-servername", "mx.example.org"], &first),
            (vec!["-servername", "other.example"], &first),
            (vec!["-noservername"], &first),
        ] {
            let arguments = [starttls, &name].concat();
            assert_eq!(shown(gateway.address("mx"), &arguments), pem(wanted), "{arguments:?}");
        }
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_no_session_ends() {
    let Some([_]) = need(["openssl"]) else { return };
    let (sink, certificate) = (Sink::smtp(), Certificate::new());
    let gateway = gateway(&sink, "implicit", &certificate, &json!({}));
    let mut open = Client::connect_tls(gateway.address("mx"));
    open.expect(220);
    let reloads = "portcullis_tls_certificate_reloads_total";
    certificate.renew(&["new.example", "localhost"]);
    gateway.wait_for_metric(reloads, &[("result", "ok")], 1.0);
    let renewed = pem(&certificate);
    assert_eq!(shown(gateway.address("mx"), &[]), renewed);
    std::fs::write(certificate.key(), "-----BEGIN PRIVATE KEY-----\n*\n").unwrap();
    gateway.wait_for_metric(reloads, &[("result", "failed")], 1.0);
    assert_eq!(shown(gateway.address("mx"), &[]), renewed);
    open.command("NOOP").expect_code(250);
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let Some([_]) = need(["openssl"]) else { return };
    let (sink, certificate) = (Sink::smtp(), Certificate::new());
    let both = gateway(&sink, "starttls", &certificate, &json!({}));
    let newest = gateway(&sink, "implicit", &certificate, &json!({ "minimum": "1.3" }));
    for (version, old) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = run(&mut openssl(both.address("mx"), &["-starttls", "smtp", version])).stdout;
        assert!(said.contains(&format!("New, {old}")), "{said}");
    }
    let weak = ["-starttls", "smtp", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    assert!(!run(&mut openssl(both.address("mx"), &weak)).status.success());
    assert!(!run(&mut openssl(newest.address("mx"), &["-tls1_2"])).status.success());
    assert!(run(&mut openssl(newest.address("mx"), &["-tls1_3"])).status.success());
    let failures = "portcullis_tls_handshake_failures_total";
    for gateway in [&both, &newest] {
        gateway.wait_for_metric(failures, &[("reason", "incompatible")], 1.0);
    }
}

/// Says a few lines under TLS and hears the rest.
fn talk(address: SocketAddr, arguments: &[&str], lines: &[&str]) -> String {
    let mut child = openssl(address, &[&["-quiet"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl was found");
    let (mut input, output) =
        (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut output = BufReader::new(output);
    let mut heard = String::new();
    for line in lines {
        if output.read_line(&mut heard).unwrap_or(0) == 0 {
            break;
        }
        while heard.lines().last().is_some_and(|last| last.as_bytes().get(3) == Some(&b'-')) {
            output.read_line(&mut heard).expect("the rest of a reply");
        }
        // One that is gone has been heard.
        drop(input.write_all(format!("{line}\r\n").as_bytes()));
    }
    output.read_to_string(&mut heard).expect("replies are text");
    child.wait().expect("a child can be waited for");
    heard
}

#[test]
fn clients_show_certificates_where_they_are_asked() {
    let Some([_]) = need(["openssl"]) else { return };
    let (certificate, known, stranger) =
        (Certificate::new(), Certificate::new(), Certificate::new());
    let letter = [
        "EHLO c.example",
        "MAIL FROM:<a@example.org>",
        "RCPT TO:<b@example.com>",
        "DATA",
        "Subject: t\r\n\r\nx\r\n.",
        "QUIT",
    ];
    for (mode, without) in [("required", false), ("optional", true)] {
        let sink = Sink::smtp();
        let clients = json!({ "mode": mode, "authority": known.certificate() });
        let more = json!({ "client_certificates": clients });
        let gateway = gateway(&sink, "implicit", &certificate, &more);
        let address = gateway.address("mx");
        let show = |certificate: &Certificate| {
            let path = |file: &Path| file.display().to_string();
            [path(&certificate.certificate()), path(&certificate.key())]
        };
        let [file, key] = show(&known);
        let heard = talk(address, &["-cert", &file, "-key", &key], &letter);
        assert!(heard.contains("221 "), "{heard}");
        let record =
            gateway.log.wait_for("a transaction", |record| record.field("target") == "transaction");
        assert_eq!(record.at("/tls/certificate/subject"), "CN=rcgen self signed cert");
        assert_eq!(record.at("/tls/certificate/fingerprint").len(), 64);
        let heard = talk(address, &[], &letter);
        assert_eq!(heard.contains("221 "), without, "{mode}: {heard}");
        let [file, key] = show(&stranger);
        let heard = talk(address, &["-cert", &file, "-key", &key], &letter);
        assert!(!heard.contains("220 "), "{mode}: {heard}");
        let refused = if without { 1.0 } else { 2.0 };
        let labels = [("reason", "client-certificate")];
        gateway.wait_for_metric("portcullis_tls_handshake_failures_total", &labels, refused);
    }
}

#[test]
fn clear_text_where_tls_begins_at_once_is_hung_up_on() {
    let (sink, certificate) = (Sink::smtp(), Certificate::new());
    let gateway = gateway(&sink, "implicit", &certificate, &json!({}));
    let mut stream = TcpStream::connect(gateway.address("mx")).unwrap();
    stream.write_all(b"EHLO client.example\r\n").unwrap();
    let mut heard = Vec::new();
    // The end may come as a reset: what was not read is thrown away.
    drop(stream.read_to_end(&mut heard));
    assert!(!heard.is_ascii() || heard.is_empty() || !heard.contains(&b'\n'), "{heard:?}");
    let labels = [("reason", "not-tls")];
    gateway.wait_for_metric("portcullis_tls_handshake_failures_total", &labels, 1.0);
}

#[test]
fn after_a_handshake_that_failed_nothing_is_said_in_clear_text() {
    let (sink, certificate) = (Sink::smtp(), Certificate::new());
    let gateway = gateway(&sink, "starttls", &certificate, &json!({}));
    let mut client = gateway.client();
    client.command("STARTTLS").expect_code(220);
    client.send(b"MAIL FROM:<a@example.org>\r\n").unwrap();
    assert!(client.wait_for_end().is_empty());
    assert!(sink.letters().is_empty());
}
