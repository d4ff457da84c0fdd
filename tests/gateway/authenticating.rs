//! Who may log in: users files, the program that keeps them, and clients that log in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::program;
use portcullis_tests::peers::need;
use portcullis_tests::process::{Finished, run, run_with_input};
use portcullis_tests::{Client, Gateway, Running, Sink};
use serde_json::{Value, json};

/// A users file of this test.
struct Users {
    folder: tempfile::TempDir,
}

impl Users {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    /// With one user, whose password is `open sesame`.
    fn with(name: &str, scheme: &str) -> Self {
        let users = Self::new();
        users.add(name, scheme, "open sesame\n").expect_success();
        users
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("users")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("a users file")
    }

    /// `portcullis user`, with this on its standard input.
    fn user(&self, arguments: &[&str], input: &str) -> Finished {
        let (verb, rest) = arguments.split_first().expect("what to do");
        let mut command = Command::new(program());
        command.args(["user", verb, "--file"]).arg(self.file()).args(rest);
        run_with_input(&mut command, input)
    }

    fn add(&self, name: &str, scheme: &str, password: &str) -> Finished {
        self.user(&["add", "--scheme", scheme, name], password)
    }
}

/// A gateway with STARTTLS at which these users may log in.
fn gateway(users: &Users, sink: &Sink, more: Value) -> Running {
    let mut auth = json!({ "users": users.file(), "failure_delay": "10ms" });
    if let (Some(auth), Value::Object(more)) = (auth.as_object_mut(), more) {
        auth.extend(more);
    }
    Gateway::new()
        .tls_listener_with("mx", "starttls", json!({ "auth": auth }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start()
}

fn address(gateway: &Running) -> String {
    gateway.address("mx").to_string()
}

#[test]
fn users_are_added_listed_checked_and_removed() {
    let users = Users::new();
    for (name, scheme) in
        [("alice", "argon2id"), ("bob@example.org", "scram-sha-256"), ("printer", "cleartext")]
    {
        users.add(name, scheme, "open sesame\n").expect_success();
        assert!(users.user(&["check", name], "open sesame\n").status.success());
        let wrong = users.user(&["check", name], "open says me\n");
        assert_eq!(wrong.status.code(), Some(1));
        assert_eq!(wrong.stdout, format!("this is not the password of {name}\n"));
    }
    let listed = users.user(&["list"], "").expect_success().stdout;
    assert_eq!(listed, "alice\targon2id\nbob@example.org\tscram-sha-256\nprinter\tcleartext\n");
    let text = users.text();
    assert!(text.contains("alice:$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    assert!(text.contains("\nbob@example.org:SCRAM-SHA-256$"), "{text}");
    assert!(text.ends_with("\nprinter:{cleartext}open sesame\n"), "{text}");
    let checked = users.user(&["check"], "").expect_success();
    assert!(checked.stderr.contains("warning: passwords in clear text: 1\n"), "{}", checked.stderr);

    users.user(&["remove", "printer"], "").expect_success();
    users.user(&["add", "--replace", "alice"], "a new one").expect_success();
    assert!(users.user(&["check", "alice"], "a new one\n").status.success());
    assert_eq!(users.text().lines().count(), 2);
}

#[test]
fn mistakes_about_users_are_told_and_change_nothing() {
    let users = Users::with("alice", "cleartext");
    let before = users.text();
    for (arguments, input, code, said) in [
        (&["add", "alice"][..], "x\n", 1, "there is a user of this name already"),
        (&["add", "a:b"], "x\n", 1, "a user's name has no \":\""),
        (&["add", "bob"], "\n", 1, "the password is empty"),
        (&["remove", "bob"], "", 1, "there is no user of this name"),
        (&["check", "bob"], "x\n", 1, "there is no user of this name"),
        (&["add", "--scheme", "md5", "bob"], "x\n", 2, "argon2id, scram-sha-256, cleartext"),
    ] {
        let finished = users.user(arguments, input);
        assert_eq!(finished.status.code(), Some(code), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{arguments:?}: {}", finished.stderr);
        assert_eq!(users.text(), before);
    }
    fs::write(users.file(), "alice:hunter2\n").unwrap();
    for arguments in [&["check"][..], &["list"], &["add", "bob"], &["remove", "alice"]] {
        let finished = users.user(arguments, "x\n");
        assert_eq!(finished.status.code(), Some(2), "{arguments:?}");
        let said = &finished.stderr;
        assert!(said.contains("users:1:7\n"), "{said}");
        assert!(said.contains("the secret does not say what kind it is"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(users.text(), "alice:hunter2\n");
}

#[test]
fn check_says_who_cannot_log_in() {
    let users = Users::with("alice", "argon2id");
    let check = |auth: Value| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.yaml");
        let config = json!({
            "hostname": "gateway.example",
            "listeners": [{ "name": "mx", "address": "127.0.0.1:2525", "auth": auth }],
            "upstreams": { "store": { "address": "127.0.0.1:26" } },
            "default_upstream": "store",
            "plugins": [],
            "cache_directory": folder.path(),
        });
        fs::write(&file, config.to_string()).unwrap();
        portcullis_tests::gateway::check(&file)
    };
    let with = |mechanisms: &[&str]| {
        let users = users.file();
        check(json!({ "users": users, "allow_insecure": true, "mechanisms": mechanisms }))
    };
    for (finished, code, said) in [
        (check(json!({ "allow_insecure": true })), 2, "nobody can tell who may log in at \"mx\""),
        (with(&["cram-md5"]), 2, "nobody in the users file can log in by CRAM-MD5"),
        (with(&["plain", "scram-sha-256"]), 2, "nobody in the users file can log in by SCRAM"),
        (with(&["plain", "scram-sha-256-plus"]), 2, "nobody in the users file can log in by SCRAM"),
        (with(&["xoauth2"]), 2, "nobody can check the tokens of XOAUTH2 at \"mx\""),
        (with(&["plain", "login"]), 0, "nobody filters what comes in here"),
    ] {
        assert_eq!(finished.status.code(), Some(code), "{said}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{said}: {}", finished.stderr);
    }
    users.add("bob", "scram-sha-256", "x\n").expect_success();
    let said = with(&["plain", "scram-sha-256"]).expect_success().stderr;
    assert!(said.contains("1 in the users file cannot log in by SCRAM-SHA-256"), "{said}");
}

/// Logs in by one mechanism and sends a message.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
port, mechanism, user, password = int(sys.argv[1]), *sys.argv[2:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with smtplib.SMTP("127.0.0.1", port) as client:
    client.starttls(context=context)
    client.ehlo()
    client.user, client.password = user, password
    method = "auth_" + mechanism.lower().replace("-", "_")
    code, text = client.auth(mechanism, getattr(client, method))
    assert code == 235, (code, text)
    client.sendmail("a@example.org", ["b@example.com"], b"Subject: t\r\n\r\nx\r\n")
"#;

/// SCRAM-SHA-256 (RFC 7677), which smtplib does not know, by Python's own hashes. The server has to
/// prove itself, too.
const SCRAM: &str = r#"
import base64, hashlib, hmac, smtplib, ssl, sys
port, user, password = int(sys.argv[1]), *sys.argv[2:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
sha = hashlib.sha256
sign = lambda key, text: hmac.new(key, text, sha).digest()
xor = lambda a, b: bytes(x ^ y for x, y in zip(a, b))
with smtplib.SMTP("127.0.0.1", port) as client:
    client.starttls(context=context)
    client.ehlo()
    bare = "n=%s,r=rOprNGfwEbeRWgbNEkqO" % user
    said = []
    def answer(challenge=None):
        if challenge is None:
            return "n,," + bare
        said.append(challenge.decode())
        if len(said) > 1:
            return ""
        fields = dict(field.split("=", 1) for field in said[0].split(","))
        salt, iterations = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        final = "c=biws,r=" + fields["r"]
        global expected
        message = ",".join([bare, said[0], final]).encode()
        key = sign(salted, b"Client Key")
        proof = xor(key, sign(sha(key).digest(), message))
        expected = base64.b64encode(sign(sign(salted, b"Server Key"), message)).decode()
        return final + ",p=" + base64.b64encode(proof).decode()
    # Not client.auth: it would send the empty answer as "no answer".
    code, text = client.docmd("AUTH", "SCRAM-SHA-256 " + base64.b64encode(answer().encode()).decode())
    while code == 334:
        reply = answer(base64.b64decode(text))
        code, text = client.docmd(base64.b64encode(reply.encode()).decode())
    assert code == 235, (code, text)
    assert said[1] == "v=" + expected, said
"#;

#[test]
fn scram_proves_the_client_and_the_server() {
    let Some([python]) = need(["python3"]) else { return };
    let users = Users::with("alice", "scram-sha-256");
    let sink = Sink::smtp();
    let gateway = gateway(&users, &sink, json!({}));
    let port = gateway.address("mx").port().to_string();
    let try_with = |user: &str, password: &str| {
        run(Command::new(&python).args(["-c", SCRAM, &port, user, password]))
    };
    try_with("alice", "open sesame").expect_success();
    // Who is not there hears the same, to the end.
    for (user, password) in [("alice", "open says me"), ("bob", "open sesame")] {
        let refused = try_with(user, password);
        let said = &refused.stderr;
        assert!(said.contains("(535, b'5.7.8 authentication failed')"), "{user}: {said}");
    }
    let labels = |result| [("mechanism", "SCRAM-SHA-256"), ("result", result)];
    gateway.wait_for_metric("portcullis_auth_total", &labels("success"), 1.0);
    gateway.wait_for_metric("portcullis_auth_total", &labels("failure"), 2.0);
}

fn smtplib(python: &Path, gateway: &Running, mechanism: &str, password: &str) -> Finished {
    let port = gateway.address("mx").port().to_string();
    let mut command = Command::new(python);
    run(command.args(["-c", SMTPLIB, &port, mechanism, "alice", password]))
}

#[test]
fn smtplib_logs_in() {
    let Some([python]) = need(["python3"]) else { return };
    for (mechanism, scheme) in [
        ("PLAIN", "argon2id"),
        ("PLAIN", "scram-sha-256"),
        ("LOGIN", "cleartext"),
        ("CRAM-MD5", "cleartext"),
    ] {
        let users = Users::with("alice", scheme);
        let sink = Sink::smtp();
        let word = mechanism.to_lowercase();
        let more = json!({ "mechanisms": [word], "required": true });
        let gateway = gateway(&users, &sink, more);
        smtplib(&python, &gateway, mechanism, "open sesame").expect_success();
        let received = sink.only_letter().received();
        assert!(received.contains("with ESMTPSA id "), "{received}");
        let record =
            gateway.log.wait_for("the transaction", |it| it.field("target") == "transaction");
        assert_eq!(record.field("user"), "alice");

        let refused = smtplib(&python, &gateway, mechanism, "open says me");
        assert!(refused.stderr.contains("535"), "{}", refused.stderr);
        let labels = |result| [("mechanism", mechanism), ("result", result)];
        for result in ["success", "failure"] {
            gateway.wait_for_metric("portcullis_auth_total", &labels(result), 1.0);
        }
        let failed =
            gateway.log.wait_for("the failure", |it| it.field("message") == "login failed");
        assert_eq!(
            (failed.field("user"), failed.field("mechanism")),
            ("alice".into(), mechanism.into())
        );
        let log = gateway.log.lines().join("\n");
        assert!(!log.contains("sesame") && !log.contains("says me"), "{log}");
    }
}

#[test]
fn swaks_logs_in() {
    let Some([swaks]) = need(["swaks"]) else { return };
    for (mechanism, scheme) in
        [("PLAIN", "argon2id"), ("LOGIN", "argon2id"), ("CRAM-MD5", "cleartext")]
    {
        let users = Users::with("alice", scheme);
        let sink = Sink::smtp();
        let gateway = gateway(&users, &sink, json!({ "mechanisms": [mechanism.to_lowercase()] }));
        let try_with = |password: &str| {
            let mut command = Command::new(&swaks);
            command
                .args(["--server", &address(&gateway), "--tls", "--helo", "client.example"])
                .args(["--from", "a@example.org", "--to", "b@example.com"])
                .args(["--auth", mechanism, "--auth-user", "alice", "--auth-password", password]);
            run(&mut command)
        };
        let said = try_with("open sesame");
        assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
        assert!(sink.only_letter().received().contains("with ESMTPSA id "));
        let said = try_with("open says me");
        assert!(!said.status.success() && said.stdout.contains("535 5.7.8"), "{}", said.stdout);
    }
}

#[test]
fn curl_logs_in_and_takes_scram_where_it_is_offered() {
    let Some([curl]) = need(["curl"]) else { return };
    // SCRAM is in builds with libgsasl only; others take PLAIN.
    let version = run(Command::new(&curl).arg("--version")).stdout;
    let best = if version.contains("gsasl") { "SCRAM-SHA-256" } else { "PLAIN" };
    let users = Users::with("alice", "scram-sha-256");
    let sink = Sink::smtp();
    let gateway = gateway(&users, &sink, json!({}));
    let message = users.folder.path().join("message");
    fs::write(&message, "Subject: from curl\r\n\r\nx\r\n").unwrap();
    let try_with = |password: &str| {
        let mut command = Command::new(&curl);
        command
            .arg(format!("smtp://{}/client.example", address(&gateway)))
            .args(["--ssl-reqd", "--insecure", "--silent", "--show-error"])
            .args(["--user", &format!("alice:{password}")])
            .args(["--mail-from", "a@example.org", "--mail-rcpt", "b@example.com"])
            .arg("--upload-file")
            .arg(&message);
        run(&mut command)
    };
    try_with("open sesame").expect_success();
    assert!(sink.only_letter().received().contains("with ESMTPSA id "));
    assert!(!try_with("open says me").status.success());
    let labels = [("mechanism", best), ("result", "success")];
    gateway.wait_for_metric("portcullis_auth_total", &labels, 1.0);
}

#[test]
fn a_listener_that_requires_a_login_takes_nothing_before() {
    let users = Users::with("alice", "cleartext");
    let sink = Sink::smtp();
    let more = json!({ "required": true, "allow_insecure": true });
    let gateway = gateway(&users, &sink, more);
    let mut client = gateway.client();
    client.talk(
        "C: MAIL FROM:<a@example.org>
         S: 530 5.7.0
         C: AUTH PLAIN AGFsaWNlAHg=
         S: 535 5.7.8 authentication failed
         C: AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l
         S: 235 2.7.0
         C: MAIL FROM:<a@example.org>
         S: 250 2.1.0",
    );
}

#[test]
fn in_clear_text_nobody_is_asked_for_a_password() {
    let users = Users::with("alice", "cleartext");
    let sink = Sink::smtp();
    let gateway = gateway(&users, &sink, json!({ "required": true }));
    let mut client = Client::connect(gateway.address("mx"));
    client.expect(220);
    let hello = client.command("EHLO client.example").expect_code(250);
    assert!(!hello.text().contains("AUTH"), "{hello}");
    client.command("AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l").expect_code(538);
    client.command("AUTH LOGIN").expect_code(538);
    client.command("STARTTLS").expect_code(220);
    client.start_tls();
    let hello = client.command("EHLO client.example").expect_code(250);
    assert!(hello.lines.iter().any(|line| line == "AUTH PLAIN LOGIN"), "{hello}");
    client.command("AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l").expect_code(235);
}

#[test]
fn a_new_user_may_log_in_while_the_gateway_runs() {
    let users = Users::with("alice", "cleartext");
    let sink = Sink::smtp();
    let more = json!({ "allow_insecure": true, "failures_per_address": 1000 });
    let gateway = gateway(&users, &sink, more);
    // "bob" and "open sesame".
    let bob = "AUTH PLAIN AGJvYgBvcGVuIHNlc2FtZQ==";
    gateway.client().command(bob).expect_code(535);
    users.add("bob", "argon2id", "open sesame\n").expect_success();
    portcullis_tests::wait_for("bob", || (gateway.client().command(bob).code == 235).then_some(()));
    fs::write(users.file(), "bob:broken\n").unwrap();
    gateway.log.wait_for("a complaint", |it| {
        // The file is looked at when somebody logs in.
        gateway.client().command(bob).expect_code(235);
        it.field("message").contains("the users file has changed and cannot be used")
    });
    gateway.client().command(bob).expect_code(235);
}

#[test]
fn who_guesses_is_slowed_down_and_then_not_heard() {
    let users = Users::with("alice", "cleartext");
    let sink = Sink::smtp();
    let gateway = gateway(
        &users,
        &sink,
        json!({
            "allow_insecure": true,
            "failure_delay": "200ms",
            "failures_per_session": 2,
            "failures_per_address": 4,
        }),
    );
    let (wrong, right) = ("AUTH PLAIN AGFsaWNlAHg=", "AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l");
    let mut client = gateway.client();
    let began = Instant::now();
    for code in [535, 535, 421] {
        client.command(wrong).expect_code(code);
    }
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert!(client.wait_for_end().is_empty());
    // Nobody else waited meanwhile, and the fourth failure is the last that is heard.
    let mut client = gateway.client();
    client.command(wrong).expect_code(535);
    let said = gateway.client().command(right);
    assert!(said.to_string().starts_with("454 4.7.0 too many failed logins"), "{said}");
    gateway.wait_for_metric("portcullis_auth_total", &[("result", "throttled")], 1.0);
    gateway.wait_for_metric("portcullis_auth_total", &[("result", "failure")], 4.0);
}
