//! What senders make of all that a listener can offer: each uses what it knows, and it arrives.

use std::process::Command;

use portcullis_tests::Client;
use portcullis_tests::peers::{Exim, Postfix, go_clients, need, python_with};
use portcullis_tests::process::{Finished, run_with_input};
use portcullis_tests::sink::Manners;

use super::*;

/// What an upstream offers that knows all there is.
const ALL: [&str; 4] = ["SIZE 50000000", "DSN", "SMTPUTF8", "CHUNKING"];

struct Everything {
    sink: Sink,
    gateway: Running,
    _folder: tempfile::TempDir,
}

/// A listener that offers everything, before an upstream that does so, too.
fn everything(mode: &str) -> Everything {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let users = folder.path().join("users");
    std::fs::write(&users, "username:{cleartext}password\n").expect("a new folder takes a file");
    let extensions = ALL.map(str::to_owned).to_vec();
    let sink = Sink::with(Manners { extensions, ..Manners::default() });
    let gateway = Gateway::new()
        .tls_listener_with(
            "mx",
            mode,
            json!({
                "extensions": ["chunking", "dsn", "limits", "prdr", "requiretls", "smtputf8"],
                "auth": {
                    "users": users,
                    "mechanisms": ["cram-md5", "plain", "login"],
                    "allow_insecure": true,
                    "failure_delay": "10ms",
                },
            }),
        )
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    Everything { sink, gateway, _folder: folder }
}

fn go(gateway: &Running, client: &str, flags: &[&str], message: &str) -> Option<Finished> {
    let mut command = Command::new(go_clients()?);
    command.arg(client).args(flags).arg(gateway.address("mx").to_string());
    Some(run_with_input(&mut command, message))
}

#[test]
fn net_smtp_logs_in() {
    for flags in [["-tls", "none", "-auth", "cram-md5"], ["-tls", "starttls", "-auth", "plain"]] {
        let house = everything("starttls");
        let Some(said) = go(&house.gateway, "net-smtp", &flags, "Subject: t\n\nx\n") else {
            return;
        };
        said.expect_success();
        let received = house.sink.only_letter().received();
        // It says SMTPUTF8 wherever that is offered.
        let with = if flags[1] == "none" { " with UTF8SMTPA id " } else { " with UTF8SMTPSA id " };
        assert!(received.contains(with), "{received}");
    }
}

#[test]
fn go_smtp_logs_in_and_is_told_if_it_must_not() {
    for (mechanism, password, welcome) in
        [("plain", "password", true), ("login", "password", true), ("plain", "wrong", false)]
    {
        let house = everything("implicit");
        let flags = ["-tls", "implicit", "-auth", mechanism, "-password", password];
        let Some(said) = go(&house.gateway, "go-smtp", &flags, "Subject: t\n\nx\n") else { return };
        assert_eq!(said.status.success(), welcome, "{mechanism}: {}", said.stderr);
        assert_eq!(house.sink.letters().len(), usize::from(welcome), "{mechanism}");
    }
}

#[test]
fn go_smtp_asks_for_notifications_and_they_are_asked_for_upstream() {
    let house = everything("starttls");
    let Some(said) = go(&house.gateway, "go-smtp", &["-dsn"], "Subject: t\n\nx\n") else { return };
    said.expect_success();
    let commands = house.sink.only_letter().commands;
    assert!(commands[0].contains(" RET=HDRS"), "{commands:?}");
    assert!(commands[0].contains(" ENVID=order+2B42+20+3Dx"), "{commands:?}");
    assert!(commands[1].contains(" NOTIFY=SUCCESS,FAILURE"), "{commands:?}");
    assert!(commands[1].contains(" ORCPT=rfc822;first+2Btag@example.com"), "{commands:?}");
}

#[test]
fn go_clients_send_beyond_ascii() {
    let flags = ["-utf8", "-from", "jörg@bücher.example", "-to", "ünal@example.com"];
    let house = everything("starttls");
    let Some(said) = go(&house.gateway, "go-smtp", &flags, "Subject: grüße\n\nx\n") else {
        return;
    };
    said.expect_success();
    let letter = house.sink.only_letter();
    assert_eq!((letter.sender.as_str(), letter.recipients[0].as_str()), (flags[2], flags[4]));
    assert!(letter.commands[0].contains(" SMTPUTF8"), "{:?}", letter.commands);
    assert!(letter.received().contains(" with UTF8SMTP id "), "{}", letter.received());

    // The standard library adds the parameter wherever it is offered.
    let house = everything("starttls");
    let Some(said) = go(&house.gateway, "net-smtp", &flags[1..], "Subject: t\n\nx\n") else {
        return;
    };
    said.expect_success();
    assert_eq!(house.sink.only_letter().sender, flags[2]);
}

#[test]
fn aiosmtplib_logs_in_and_sends_beyond_ascii() {
    const SEND: &str = r#"
import asyncio, sys
import aiosmtplib
async def main():
    for method in ["auth_crammd5", "auth_plain", "auth_login"]:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=int(sys.argv[1]), start_tls=False)
        async with client:
            await client.ehlo()
            await getattr(client, method)("username", "password")
            message = "Subject: grüße\n\nx\n".encode()
            await client.sendmail("jörg@bücher.example", ["ünal@example.com"], message,
                                  mail_options=["SMTPUTF8"])
asyncio.run(main())
"#;
    let Some(python) = python_with("aiosmtplib") else { return };
    let house = everything("starttls");
    let port = house.gateway.address("mx").port().to_string();
    run(Command::new(python).args(["-c", SEND, &port])).expect_success();
    for letter in house.sink.wait_for(3) {
        assert_eq!(letter.recipients, ["ünal@example.com"]);
        assert!(letter.received().contains(" with UTF8SMTPA id "), "{}", letter.received());
    }
}

#[test]
fn exim_uses_all_that_it_knows() {
    let house = everything("starttls");
    let transport = "hosts_try_chunking = *\nhosts_try_prdr = *\nhosts_require_tls = *\n\
        hosts_require_auth = *";
    let authenticators = "cram:\n driver = cram_md5\n public_name = CRAM-MD5\n \
        client_name = username\n client_secret = password";
    let address = house.gateway.address("mx");
    let Some(exim) = Exim::sender(address, transport, authenticators) else { return };
    let to = ["b@example.com", "c@example.com"];
    let said = exim.send("a@example.org", &to, "Subject: t\n\n.\nx\n");
    let heard = format!("{}{}", said.stderr, exim.log());
    assert!(heard.contains("Completed"), "{heard}");
    // What Exim says it used: K is CHUNKING, A the authenticator, X TLS.
    assert!(
        heard.contains(" K ") && heard.contains(" A=cram ") && heard.contains(" X="),
        "{heard}"
    );
    let letter = house.sink.only_letter();
    assert_eq!(letter.recipients, to, "{heard}\n{}", letter.text());
    assert!(letter.text().ends_with("\r\n\r\n.\r\nx\r\n"), "{}", letter.text());
    assert!(letter.received().contains(" with ESMTPSA id "), "{}", letter.received());
    assert!(house.gateway.metrics().sum("portcullis_commands_total", &[("command", "BDAT")]) > 0.5);
}

#[test]
fn postfix_hands_on_what_it_was_asked_for() {
    let house = everything("starttls");
    let Some(postfix) = Postfix::sender(house.gateway.address("mx")) else { return };
    let mut client = Client::ehlo(postfix.address);
    client.talk(
        "C: MAIL FROM:<jörg@bücher.example> SMTPUTF8 RET=HDRS ENVID=order+2B42
         S: 250
         C: RCPT TO:<ünal@example.com> NOTIFY=FAILURE,DELAY
         S: 250
         C: DATA
         S: 354
         C: Subject: grüße\\r\\n\\r\\nx\\r\\n.
         S: 250",
    );
    let letter = house.sink.only_letter();
    assert_eq!(letter.recipients, ["ünal@example.com"], "{}", letter.text());
    for wanted in [" SMTPUTF8", " RET=HDRS", " ENVID=order+2B42"] {
        assert!(letter.commands[0].contains(wanted), "{wanted}: {:?}", letter.commands);
    }
    for wanted in [" NOTIFY=FAILURE,DELAY", " ORCPT=rfc822;+C3+BCnal@example.com"] {
        assert!(letter.commands[1].contains(wanted), "{wanted}: {:?}", letter.commands);
    }
}

#[test]
fn smtplib_sends_beyond_ascii_and_asks_for_notifications() {
    const SEND: &str = r#"
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.ehlo()
    client.login("username", "password")
    message = "Subject: grüße\r\n\r\nx\r\n".encode()
    client.sendmail("jörg@bücher.example", ["ünal@example.com"], message,
                    mail_options=["SMTPUTF8", "RET=FULL", "ENVID=e+3Dmc2"],
                    rcpt_options=["NOTIFY=NEVER"])
"#;
    let Some([python]) = need(["python3"]) else { return };
    let house = everything("starttls");
    let port = house.gateway.address("mx").port().to_string();
    run(Command::new(python).args(["-c", SEND, &port])).expect_success();
    let commands = house.sink.only_letter().commands;
    assert!(commands[0].contains(" SMTPUTF8"), "{commands:?}");
    assert!(commands[0].contains(" ENVID=e+3Dmc2"), "{commands:?}");
    assert!(commands[1].ends_with("<ünal@example.com> NOTIFY=NEVER"), "{commands:?}");
}

#[test]
fn go_smtp_requires_tls_and_hears_that_the_way_on_has_none() {
    let house = everything("starttls");
    let flags = ["-tls", "starttls", "-require-tls"];
    let Some(said) = go(&house.gateway, "go-smtp", &flags, "Subject: t\n\nx\n") else { return };
    assert!(!said.status.success());
    assert!(said.stderr.contains("does not keep REQUIRETLS"), "{}", said.stderr);
    assert!(house.sink.letters().is_empty());
}

#[test]
fn curl_logs_in_and_sends_beyond_ascii() {
    let Some([curl]) = need(["curl"]) else { return };
    let house = everything("starttls");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("message");
    std::fs::write(&file, "Subject: grüße\r\n\r\nx\r\n").expect("a new folder takes a file");
    let mut command = Command::new(curl);
    command
        .arg(format!("smtp://{}/client.example", house.gateway.address("mx")))
        .args(["--ssl-reqd", "--insecure", "--silent", "--show-error"])
        .args(["--user", "username:password", "--login-options", "AUTH=CRAM-MD5"])
        .args(["--mail-from", "jörg@example.org", "--mail-rcpt", "ünal@example.com"])
        .arg("--upload-file")
        .arg(file);
    run(&mut command).expect_success();
    let letter = house.sink.only_letter();
    assert_eq!(letter.recipients, ["ünal@example.com"]);
    assert!(letter.received().contains(" with UTF8SMTPSA id "), "{}", letter.received());
}
