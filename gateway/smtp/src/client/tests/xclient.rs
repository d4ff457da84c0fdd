//! XCLIENT and XFORWARD as a client.

use super::auth::with;
use super::*;

const OFFERED: &[&str] =
    &["PIPELINING", "XCLIENT NAME ADDR PORT PROTO HELO LOGIN", "XFORWARD NAME ADDR IDENT"];

#[test]
fn a_client_is_introduced_and_everything_is_read_anew() {
    let introduced = "! xclient ADDR=192.0.2.1 NAME=[UNAVAILABLE] HELO=c.example DESTPORT=25
        C: XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 HELO=c.example
        S: 220 up.example
        = XCLIENT: 220 up.example
        C: EHLO gw.example
        S: 250-up.example\\r\\n250 XCLIENT ADDR
        = EHLO: 250 up.example / XCLIENT ADDR
        = ready
        ! mail a@a.example
        ! rcpt b@b.example
        C: MAIL FROM:<a@a.example>
        S: 250 ok
        = MAIL: 250 ok
        C: RCPT TO:<b@b.example>
        S: 250 ok
        = RCPT: 250 ok
        ! rset
        C: RSET
        S: 250 ok
        = RSET: 250 ok
        = ready
        ! xclient ADDR=192.0.2.2 NAME=other.example
        C: XCLIENT ADDR=192.0.2.2
        S: 220 up.example
        = XCLIENT: 220 up.example
        C: EHLO gw.example";
    play(SMTP, StartTls::Never, &greeted(OFFERED, introduced));
}

#[test]
fn what_needs_several_lines_is_greeted_once() {
    let value = "v".repeat(255);
    let lines = format!(
        "! xclient NAME={value} HELO={value}
         C: XCLIENT NAME={value}
         C: XCLIENT HELO={value}
         S: 220 up.example
         = XCLIENT: 220 up.example
         = read
         S: 220 up.example
         = XCLIENT: 220 up.example
         C: EHLO gw.example"
    );
    play(SMTP, StartTls::Never, &greeted(OFFERED, &lines));
}

#[test]
fn who_does_not_take_a_client_gets_no_mail_of_it() {
    for (said, want) in [
        ("550 5.7.0 no", "XCLIENT was answered with 550 5.7.0 no"),
        ("421 4.3.2 bye", "XCLIENT was answered with 421 4.3.2 bye"),
        ("354 go", "XCLIENT was answered with 354 go"),
        ("220 hi\\r\\n250 intruder", "unsolicited reply 220"),
    ] {
        let script = format!(
            "! xclient ADDR=192.0.2.1\nC: XCLIENT ADDR=192.0.2.1\nS: {said}\n= failed: {want}\n= closed"
        );
        play(SMTP, StartTls::Never, &greeted(OFFERED, &script));
    }
}

#[test]
fn what_is_not_offered_is_not_said() {
    let mut session = session(SMTP, StartTls::Never);
    session.expected.clear();
    let said = "ADDR=192.0.2.1";
    for offered in ["SIZE", "XCLIENT", "XCLIENT NAME"] {
        session.extensions =
            Extensions::parse(&Reply::listing(250, ["hi".to_owned(), offered.to_owned()]));
        assert!(!session.xclient(&Xclient::parse(said).expect("attributes")), "{offered}");
        assert_eq!(session.xforward(&Xforward::parse(said).expect("attributes")), 0, "{offered}");
        assert_eq!(session.poll(), Step::Ready, "{offered}");
    }
}

#[test]
fn where_a_message_came_from_is_said_with_its_envelope() {
    let forwarded = "! xforward NAME=c.example ADDR=IPV6:2001:db8::7 IDENT=1.2 PORT=25
        ! mail a@a.example
        ! rcpt b@b.example
        C: XFORWARD NAME=c.example ADDR=IPV6:2001:db8::7 IDENT=1.2
        C: MAIL FROM:<a@a.example>
        C: RCPT TO:<b@b.example>
        S: 250 ok\\r\\n250 ok\\r\\n250 ok
        = XFORWARD: 250 ok
        = MAIL: 250 ok
        = RCPT: 250 ok
        = ready";
    play(SMTP, StartTls::Never, &greeted(OFFERED, forwarded));
    for (said, answer) in [
        ("501 5.5.4 what", "= XFORWARD: 501 5.5.4 what\n= ready"),
        ("421 4.3.2 bye", "= XFORWARD: 421 4.3.2 bye\n= closed"),
        ("354 go", "= failed: XFORWARD was answered with 354"),
    ] {
        let script =
            format!("! xforward ADDR=192.0.2.1\nC: XFORWARD ADDR=192.0.2.1\nS: {said}\n{answer}");
        play(SMTP, StartTls::Never, &greeted(OFFERED, &script));
    }
}

#[test]
fn a_login_is_done_anew_for_a_new_client() {
    for (said, why) in [("235 2.7.0 again", "forgotten"), ("503 5.5.1 already", "not forgotten")] {
        let hello = "S: 250-up.example\\r\\n250-XCLIENT ADDR\\r\\n250 AUTH PLAIN
            = EHLO: 250 up.example / XCLIENT ADDR / AUTH PLAIN
            C: AUTH PLAIN AGFubgBzM2NyZXQ=\n";
        let script = format!(
            "S: 220 up.example
             = banner: 220 up.example
             C: EHLO gw.example\n{hello}
             S: 235 2.7.0 ok
             = AUTH: 235 2.7.0 ok
             = ready
             ! xclient ADDR=192.0.2.1
             C: XCLIENT ADDR=192.0.2.1
             S: 220 up.example
             = XCLIENT: 220 up.example
             C: EHLO gw.example\n{hello}
             S: {said}
             = AUTH: {said}
             = ready"
        );
        play_with(Session::new(with(&Mechanism::ALL, true)), &script);
        assert!(!why.is_empty());
    }
    let first = "S: 220 up.example
        = banner: 220 up.example
        C: EHLO gw.example
        S: 250-up.example\\r\\n250 AUTH PLAIN
        = EHLO: 250 up.example / AUTH PLAIN
        C: AUTH PLAIN AGFubgBzM2NyZXQ=
        S: 503 5.5.1 already
        = failed: AUTH was answered with 503 5.5.1 already";
    play_with(Session::new(with(&Mechanism::ALL, true)), first);
}
