//! AUTH as a client.

use super::*;

const NONCE: [u8; 18] = [7; 18];

pub(super) fn with(mechanisms: &[Mechanism], private: bool) -> Settings {
    let login = Login::new("ann", "s3cret", mechanisms, NONCE);
    Settings { login, private, ..Settings::new(SMTP, "gw.example") }
}

fn offering(mechanisms: &str) -> String {
    format!(
        "S: 220 up.example
         = banner: 220 up.example
         C: EHLO gw.example
         S: 250-up.example\\r\\n250 AUTH {mechanisms}\n"
    )
}

fn play_auth(settings: Settings, offered: &str, script: &str) {
    // What EHLO was answered comes up only where the conversation goes on.
    let greeted = if script.trim_start().starts_with("= failed") {
        String::new()
    } else {
        format!("= EHLO: 250 up.example / AUTH {offered}\n")
    };
    play_with(Session::new(settings), &(offering(offered) + &greeted + script));
}

#[test]
fn the_best_mechanism_that_is_offered_is_tried() {
    let all = Mechanism::ALL;
    let first = "biwsbj1hbm4scj1Cd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0g=";
    for (offered, line) in [
        ("PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256", format!("SCRAM-SHA-256 {first}")),
        ("login plain cram-md5 scram-sha-1", format!("SCRAM-SHA-1 {first}")),
        ("GSSAPI SCRAM-SHA-256-PLUS SCRAM-SHA-1", format!("SCRAM-SHA-1 {first}")),
        ("LOGIN PLAIN CRAM-MD5", "CRAM-MD5".to_owned()),
        ("LOGIN PLAIN", "PLAIN AGFubgBzM2NyZXQ=".to_owned()),
        ("LOGIN XOAUTH2", "LOGIN".to_owned()),
    ] {
        play_auth(with(&all, true), offered, &format!("C: AUTH {line}"));
    }
    let narrowed = [Mechanism::Plain, Mechanism::CramMd5];
    play_auth(with(&narrowed, true), "SCRAM-SHA-256 PLAIN", "C: AUTH PLAIN AGFubgBzM2NyZXQ=");
}

#[test]
fn passwords_are_not_said_where_others_listen() {
    let clear = "= failed: a login would send the password in clear text\n= closed";
    play_auth(with(&Mechanism::ALL, false), "PLAIN LOGIN", clear);
    play_auth(with(&Mechanism::ALL, false), "PLAIN CRAM-MD5", "C: AUTH CRAM-MD5");
}

#[test]
fn without_a_way_to_log_in_there_is_no_mail() {
    let none = "= failed: no mechanism is offered by which the login could be done\n= closed";
    play_auth(with(&Mechanism::ALL, true), "GSSAPI XOAUTH2", none);
    play_auth(with(&[Mechanism::ScramSha256], true), "PLAIN", none);
    let helo = "S: 220 up.example
        = banner: 220 up.example
        C: EHLO gw.example
        S: 502 what
        = EHLO: 502 what
        C: HELO gw.example
        S: 250-up.example\\r\\n250 AUTH PLAIN\n";
    let settings = || with(&Mechanism::ALL, true);
    play_with(Session::new(settings()), &format!("{helo}{none}"));
    let nothing = offering("PLAIN").replace("250 AUTH PLAIN", "250 SIZE");
    play_with(Session::new(settings()), &format!("{nothing}{none}"));
}

#[test]
fn a_login_comes_after_tls_and_before_mail() {
    let settings = Settings { starttls: StartTls::Required, ..with(&Mechanism::ALL, false) };
    play_with(
        Session::new(settings),
        "S: 220 up.example
         = banner: 220 up.example
         C: EHLO gw.example
         S: 250-up.example\\r\\n250-AUTH SCRAM-SHA-256\\r\\n250 STARTTLS
         = EHLO: 250 up.example / AUTH SCRAM-SHA-256 / STARTTLS
         C: STARTTLS
         S: 220 go
         = STARTTLS: 220 go
         = starttls
         ! tls
         C: EHLO gw.example
         S: 250-up.example\\r\\n250 AUTH PLAIN
         = EHLO: 250 up.example / AUTH PLAIN
         C: AUTH PLAIN AGFubgBzM2NyZXQ=
         S: 235 2.7.0 welcome
         = AUTH: 235 2.7.0 welcome
         = ready
         ! mail <>
         C: MAIL FROM:<>",
    );
}

#[test]
fn tls_that_is_refused_leaves_the_password_unsaid() {
    let settings = Settings { starttls: StartTls::IfOffered, ..with(&Mechanism::ALL, false) };
    play_with(
        Session::new(settings),
        "S: 220 up.example
         = banner: 220 up.example
         C: EHLO gw.example
         S: 250-up.example\\r\\n250-AUTH PLAIN\\r\\n250 STARTTLS
         = EHLO: 250 up.example / AUTH PLAIN / STARTTLS
         C: STARTTLS
         S: 454 no
         = failed: a login would send the password in clear text",
    );
}

#[test]
fn login_is_asked_in_turn() {
    let names = "C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        = AUTH: 334 VXNlcm5hbWU6
        C: YW5u
        S: 334 UGFzc3dvcmQ6
        = AUTH: 334 UGFzc3dvcmQ6
        C: czNjcmV0\n";
    let accepted = format!("{names}S: 235 ok\n= AUTH: 235 ok\n= ready");
    play_auth(with(&Mechanism::ALL, true), "LOGIN", &accepted);
    let again = format!(
        "{names}S: 334 YWdhaW4=\n= AUTH: 334 YWdhaW4=\nC: *\nS: 501 what
        = failed: LOGIN was answered with a challenge that makes no sense"
    );
    play_auth(with(&Mechanism::ALL, true), "LOGIN", &again);
}

#[test]
fn cram_md5_answers_the_challenge() {
    play_auth(
        with(&Mechanism::ALL, false),
        "CRAM-MD5",
        "C: AUTH CRAM-MD5
         S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
         = AUTH: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
         C: YW5uIGU2YzI0ZGVlYzFhYWQyOWM0YzUyM2MxMDNjMDI3YzU2
         S: 235 2.7.0 ok
         = AUTH: 235 2.7.0 ok
         = ready",
    );
}

#[test]
fn a_login_that_fails_ends_the_conversation() {
    for (said, want) in [
        ("535 5.7.8 no", "AUTH was answered with 535 5.7.8 no"),
        ("454 4.7.0 later", "AUTH was answered with 454 4.7.0 later"),
        ("421 4.3.2 bye", "AUTH was answered with 421 4.3.2 bye"),
        ("354 go", "AUTH was answered with 354"),
        ("235 ok\\r\\n250 ok", "unsolicited reply 235"),
        ("hello", "not a reply"),
    ] {
        let script =
            format!("C: AUTH PLAIN AGFubgBzM2NyZXQ=\nS: {said}\n= failed: {want}\n= closed");
        play_auth(with(&Mechanism::ALL, true), "PLAIN", &script);
    }
}

#[test]
fn challenges_that_make_no_sense_are_cancelled() {
    for (mechanism, line, said, answer) in [
        ("PLAIN", "PLAIN AGFubgBzM2NyZXQ=", "334 d2hhdD8=", "334 d2hhdD8="),
        ("CRAM-MD5", "CRAM-MD5", "334", "334"),
        ("CRAM-MD5", "CRAM-MD5", "334 no base64", "334 no base64"),
        ("CRAM-MD5", "CRAM-MD5", "334-PDE4\\r\\n334 OTYu", "334 PDE4 / OTYu"),
    ] {
        for cancelled in ["501 5.7.0 cancelled", "235 2.7.0 welcome all the same", "334"] {
            let script = format!(
                "C: AUTH {line}\nS: {said}\n= AUTH: {answer}\nC: *\nS: {cancelled}
                 = failed: {mechanism} was answered with a challenge that makes no sense"
            );
            play_auth(with(&Mechanism::ALL, true), mechanism, &script);
        }
    }
}

#[test]
fn a_yes_before_the_server_s_proof_is_none() {
    for (offered, line) in [
        ("SCRAM-SHA-256", "SCRAM-SHA-256 biwsbj1hbm4scj1Cd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0g="),
        ("CRAM-MD5", "CRAM-MD5"),
        ("LOGIN", "LOGIN"),
    ] {
        let script = format!(
            "C: AUTH {line}\nS: 235 2.7.0 welcome
             = failed: {offered} was accepted by a server that has not proved itself"
        );
        play_auth(with(&Mechanism::ALL, true), offered, &script);
    }
}

#[test]
fn what_does_not_fit_the_line_is_said_when_asked_for() {
    let password = "p".repeat(400);
    let login = Login::new("ann", &password, &Mechanism::ALL, NONCE);
    let settings = Settings { login, private: true, ..Settings::new(SMTP, "gw.example") };
    let response = crate::sasl::close(format!("\0ann\0{password}").as_bytes());
    let accepted = format!(
        "C: AUTH PLAIN\nS: 334 =\n= AUTH: 334 =\nC: {response}\nS: 235 ok\n= AUTH: 235 ok\n= ready"
    );
    play_auth(settings.clone(), "PLAIN", &accepted);
    let early = "C: AUTH PLAIN\nS: 235 ok
        = failed: PLAIN was accepted by a server that has not proved itself";
    play_auth(settings, "PLAIN", early);
}

#[test]
fn a_channel_is_bound_to_where_both_can() {
    let bindings = ChannelBindings { exporter: Some([1; 32]), end_point: None };
    let settings = Settings { bindings, ..with(&Mechanism::ALL, true) };
    // `p=tls-exporter,,`, and `y,,` where it is not offered.
    for (offered, begins) in [
        ("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIsLG49"),
        ("SCRAM-SHA-1-PLUS SCRAM-SHA-1", "SCRAM-SHA-1-PLUS cD10bHMtZXhwb3J0ZXIsLG49"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256 eSwsbj1"),
        ("SCRAM-SHA-256 SCRAM-SHA-1-PLUS", "SCRAM-SHA-256 biwsbj1"),
    ] {
        let mut session = Session::new(settings.clone());
        session.receive(b"220 hi\r\n");
        session.poll();
        session.poll();
        session.take_output();
        session.receive(format!("250-hi\r\n250 AUTH {offered}\r\n").as_bytes());
        session.poll();
        let output = String::from_utf8(session.take_output()).expect("ASCII");
        assert!(output.starts_with(&format!("AUTH {begins}")), "{output}");
    }
}

#[test]
fn no_password_is_shown() {
    let mut session = Session::new(with(&Mechanism::ALL, true));
    session.receive(b"220 hi\r\n");
    session.poll();
    session.poll();
    session.take_output();
    session.receive(b"250-hi\r\n250 AUTH PLAIN\r\n");
    assert!(matches!(session.poll(), Step::Answer(Stage::Hello, _)));
    let shown = format!("{session:?}");
    assert!(shown.contains("ann"), "{shown}");
    for secret in ["s3cret", "AGFubgBzM2NyZXQ=", "65, 85, 84, 72"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_login_that_cannot_be_said_is_none() {
    for (user, password) in [("", "x"), ("x", ""), ("a\0b", "x"), ("x", "a\0b")] {
        assert_eq!(Login::new(user, password, &Mechanism::ALL, NONCE), None);
    }
}
