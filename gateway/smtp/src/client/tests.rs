//! Conversations, read like the protocol: `S:` the server says, `C:` the client sends, `!` the
//! caller asks for, `=` the session answers, `B:` leaves with the content.

mod auth;
mod xclient;

use super::*;

const SMTP: Protocol = Protocol::Smtp;
const LMTP: Protocol = Protocol::Lmtp;

fn session(protocol: Protocol, starttls: StartTls) -> Session {
    Session::new(Settings { starttls, ..Settings::new(protocol, "gw.example") })
}

fn play(protocol: Protocol, starttls: StartTls, script: &str) {
    play_with(session(protocol, starttls), script);
}

/// Plays a conversation; at its end the session has nothing more to say.
fn play_with(mut session: Session, script: &str) {
    let mut pending = String::new();
    for (number, line) in script.lines().map(str::trim).enumerate() {
        let context = format!("line {number}: {line}");
        let Some((mark, rest)) = line.split_once(' ') else { continue };
        match mark {
            "S:" => {
                let text = rest.replace("\\r", "\r").replace("\\n", "\n");
                // A line that ends with `...` goes on with the next.
                let begun = text.strip_suffix("...").map(str::to_owned);
                let whole = begun.unwrap_or_else(|| format!("{text}\r\n"));
                session.receive(whole.as_bytes());
            }
            "C:" => {
                if pending.is_empty() {
                    assert_eq!(session.poll(), Step::Read, "{context}");
                    pending = String::from_utf8(session.take_output()).expect("ASCII");
                }
                let (first, others) = pending.split_once("\r\n").unwrap_or_default();
                assert_eq!(first, rest, "{context}");
                pending = others.to_owned();
            }
            "!" => act(&mut session, rest),
            // What leaves together with the content.
            "B:" => {
                let output = String::from_utf8(session.take_output()).expect("ASCII");
                assert_eq!(output, format!("{rest}\r\n"), "{context}");
            }
            "=" => assert_eq!(describe(&session.poll()).trim_end(), rest, "{context}"),
            _ => panic!("{context}: no such mark"),
        }
    }
    assert_eq!(pending, "", "sent too much");
    assert_eq!(session.take_output(), b"", "sent too much");
}

fn act(session: &mut Session, action: &str) {
    let (verb, argument) = action.split_once(' ').unwrap_or((action, ""));
    let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
    match verb {
        "mail" => {
            let mut words = argument.split(' ');
            let path = match words.next() {
                None | Some("<>") => ReversePath::Null,
                Some(path) => ReversePath::Mailbox(mailbox(path)),
            };
            let parameters: Vec<_> = words
                .map(|word| {
                    let (keyword, value) = word.split_once('=').expect("keyword=value");
                    Parameter { keyword: keyword.into(), value: Some(value.into()) }
                })
                .collect();
            session.mail(&path, &parameters);
        }
        "rcpt" => session.rcpt(&mailbox(argument), &[]),
        "data" => session.data(),
        "chunk" => session.chunk(argument.parse().expect("a number")),
        "sent" => session.content_sent(),
        "rset" => session.rset(),
        "noop" => session.noop(),
        "quit" => session.quit(),
        "xclient" => {
            let offered = session.xclient(&Xclient::parse(argument).expect("attributes"));
            assert!(offered, "XCLIENT is not offered");
        }
        "xforward" => {
            let lines = session.xforward(&Xforward::parse(argument).expect("attributes"));
            assert!(lines > 0, "XFORWARD is not offered");
        }
        "tls" => session.tls_established(ChannelBindings::default()),
        _ => panic!("no such action: {action}"),
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step::Answer(stage, reply) => format!("{stage}: {reply}"),
        Step::Failed(error) => format!("failed: {error}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The greeting of a server that knows all we use, or what is given.
fn greeted(extensions: &[&str], rest: &str) -> String {
    let mut script =
        String::from("S: 220 up.example\n= banner: 220 up.example\nC: EHLO gw.example\n");
    let mut answer = String::from("EHLO: 250 up.example");
    let last = extensions.len().checked_sub(1);
    script += if last.is_some() { "S: 250-up.example\n" } else { "S: 250 up.example\n" };
    for (n, extension) in extensions.iter().enumerate() {
        let mark = if Some(n) == last { ' ' } else { '-' };
        script += &format!("S: 250{mark}{extension}\n");
        answer += &format!(" / {extension}");
    }
    script += &format!("= {answer}\n= ready\n");
    script + rest
}

const ALL: &[&str] = &["PIPELINING", "SIZE 1000", "8BITMIME", "ENHANCEDSTATUSCODES"];

#[test]
fn a_message_goes_out() {
    play(
        SMTP,
        StartTls::Never,
        &greeted(
            ALL,
            "! mail a@a.example SIZE=5 BODY=8BITMIME RET=HDRS
             ! rcpt b@b.example
             C: MAIL FROM:<a@a.example> SIZE=5 BODY=8BITMIME
             C: RCPT TO:<b@b.example>
             S: 250 2.1.0 ok
             S: 250 2.1.5 ok
             = MAIL: 250 2.1.0 ok
             = RCPT: 250 2.1.5 ok
             = ready
             ! data
             C: DATA
             S: 354 go
             = DATA: 354 go
             = content
             = content
             ! sent
             = read
             S: 250 2.0.0 queued
             = final dot: 250 2.0.0 queued
             = ready
             ! mail <>
             C: MAIL FROM:<>
             S: 250 ok
             = MAIL: 250 ok
             ! quit
             C: QUIT
             S: 221 bye
             = QUIT: 221 bye
             = closed",
        ),
    );
}

#[test]
fn without_pipelining_commands_leave_one_by_one() {
    play(
        SMTP,
        StartTls::Never,
        &greeted(
            &["8BITMIME"],
            "! mail a@a.example SIZE=5
             ! rcpt b@b.example
             ! rcpt c@c.example
             C: MAIL FROM:<a@a.example>
             S: 250 ok
             = MAIL: 250 ok
             C: RCPT TO:<b@b.example>
             S: 550 5.1.1 no
             = RCPT: 550 5.1.1 no
             C: RCPT TO:<c@c.example>
             S: 250 ok
             = RCPT: 250 ok
             = ready",
        ),
    );
}

#[test]
fn a_refused_mail_is_the_answer_of_each_rcpt() {
    let pipelined = "! mail a@a.example
        ! rcpt b@b.example
        ! rcpt c@c.example
        C: MAIL FROM:<a@a.example>
        C: RCPT TO:<b@b.example>
        C: RCPT TO:<c@c.example>
        S: 451 4.7.1 later
        S: 503 5.5.1 MAIL first
        S: 250 what
        = MAIL: 451 4.7.1 later
        = RCPT: 451 4.7.1 later
        = RCPT: 451 4.7.1 later
        = ready
        ! rset
        ! mail d@d.example
        ! rcpt e@e.example
        C: RSET
        C: MAIL FROM:<d@d.example>
        C: RCPT TO:<e@e.example>
        S: 250 ok\\r\\n250 ok\\r\\n250 ok
        = RSET: 250 ok
        = MAIL: 250 ok
        = RCPT: 250 ok";
    play(SMTP, StartTls::Never, &greeted(ALL, pipelined));
    let lockstep = "! mail a@a.example
        ! rcpt b@b.example
        C: MAIL FROM:<a@a.example>
        S: 550 5.7.1 never
        = MAIL: 550 5.7.1 never
        = RCPT: 550 5.7.1 never
        = ready";
    play(SMTP, StartTls::Never, &greeted(&[], lockstep));
}

#[test]
fn lmtp_answers_for_each_accepted_recipient() {
    play(
        LMTP,
        StartTls::Never,
        "S: 220 up.example
         = banner: 220 up.example
         C: LHLO gw.example
         S: 250-up.example
         S: 250 PIPELINING
         = EHLO: 250 up.example / PIPELINING
         ! mail a@a.example
         ! rcpt b@b.example
         ! rcpt c@c.example
         ! rcpt d@d.example
         C: MAIL FROM:<a@a.example>
         C: RCPT TO:<b@b.example>
         C: RCPT TO:<c@c.example>
         C: RCPT TO:<d@d.example>
         S: 250 ok\\r\\n250 ok\\r\\n550 5.1.1 no\\r\\n250 ok
         = MAIL: 250 ok
         = RCPT: 250 ok
         = RCPT: 550 5.1.1 no
         = RCPT: 250 ok
         ! data
         C: DATA
         S: 354 go
         = DATA: 354 go
         = content
         ! sent
         = read
         S: 250 2.0.0 kept
         = final dot: 250 2.0.0 kept
         = read
         S: 452 4.2.2 full
         = final dot: 452 4.2.2 full
         = ready",
    );
}

#[test]
fn a_server_that_knows_no_ehlo_is_greeted_with_helo_and_gets_no_parameters() {
    play(
        SMTP,
        StartTls::IfOffered,
        "S: 220-up.example\\r\\n220 ready
         = banner: 220 up.example / ready
         C: EHLO gw.example
         S: 502 5.5.1 what
         = EHLO: 502 5.5.1 what
         C: HELO gw.example
         S: 250-hi\\r\\n250-PIPELINING\\r\\n250 STARTTLS
         = EHLO: 250 hi / PIPELINING / STARTTLS
         = ready
         ! mail a@a.example SIZE=5 BODY=8BITMIME
         C: MAIL FROM:<a@a.example>",
    );
}

#[test]
fn a_server_that_does_not_want_to_talk() {
    let hello = "S: 220 hi\n= banner: 220 hi\nC: EHLO gw.example\n";
    let helo = "S: 500 what\n= EHLO: 500 what\nC: HELO gw.example\n";
    for (script, why) in [
        ("S: 554 5.3.2 no\n= failed: banner was answered with 554 5.3.2 no", "banner 554"),
        ("S: 421 busy\n= failed: banner was answered with 421 busy", "banner 421"),
        ("S: 354 hm\n= failed: banner was answered with 354 hm", "a banner of another class"),
        ("S: 220 a\\r\\n250 b\n= failed: unsolicited reply 220", "more than a banner"),
        ("S: HTTP/1.1 400\n= failed: not a reply", "another protocol"),
        (&format!("{hello}S: 451 later\n= failed: EHLO was answered with 451 later"), "EHLO 4xx"),
        (&format!("{hello}S: 550 no\n= failed: EHLO was answered with 550 no"), "EHLO 550"),
        (&format!("{hello}{helo}S: 550 no\n= failed: EHLO was answered with 550 no"), "HELO 5xx"),
    ] {
        play(SMTP, StartTls::Never, script);
        assert!(!why.is_empty());
    }
    let lmtp = "S: 220 hi\n= banner: 220 hi\nC: LHLO gw.example\n";
    let refused = format!("{lmtp}S: 500 what\n= failed: EHLO was answered with 500 what\n= closed");
    play(LMTP, StartTls::Never, &refused);
}

const STARTTLS: &str = "S: 220 up.example
    = banner: 220 up.example
    C: EHLO gw.example
    S: 250-up.example\\r\\n250-PIPELINING\\r\\n250 STARTTLS
    = EHLO: 250 up.example / PIPELINING / STARTTLS
    C: STARTTLS\n";

#[test]
fn nothing_survives_the_handshake() {
    let established = "S: 220 go
        = STARTTLS: 220 go
        = starttls
        ! tls
        C: EHLO gw.example
        S: 250-up.example\\r\\n250 STARTTLS
        = EHLO: 250 up.example / STARTTLS
        = ready
        ! mail a@a.example
        ! rcpt b@b.example
        C: MAIL FROM:<a@a.example>";
    for starttls in [StartTls::IfOffered, StartTls::Required] {
        play(SMTP, starttls, &format!("{STARTTLS}{established}"));
    }
}

#[test]
fn octets_before_the_handshake_end_the_conversation() {
    for injected in [
        "S: 220 go\\r\\n250 intruder",
        "S: 220 go\\r\\n2",
        "S: 220 go\n= STARTTLS: 220 go\nS: 250 intruder",
    ] {
        let rest = "\n= failed: octets behind the reply to STARTTLS\n= closed";
        play(SMTP, StartTls::IfOffered, &format!("{STARTTLS}{injected}{rest}"));
    }
}

#[test]
fn tls_that_is_refused_or_not_offered() {
    let refused = format!("{STARTTLS}S: 454 4.7.0 not now\n");
    play(SMTP, StartTls::IfOffered, &format!("{refused}= STARTTLS: 454 4.7.0 not now\n= ready"));
    let required = "= failed: STARTTLS was answered with 454 4.7.0 not now";
    play(SMTP, StartTls::Required, &format!("{refused}{required}"));
    let not_offered = "S: 220 hi
        = banner: 220 hi
        C: EHLO gw.example
        S: 250 hi
        = failed: STARTTLS is not offered";
    play(SMTP, StartTls::Required, not_offered);
}

#[test]
fn a_421_answers_all_that_is_outstanding() {
    play(
        SMTP,
        StartTls::Never,
        &greeted(
            ALL,
            "! mail a@a.example
             ! rcpt b@b.example
             ! rcpt c@c.example
             C: MAIL FROM:<a@a.example>
             C: RCPT TO:<b@b.example>
             C: RCPT TO:<c@c.example>
             S: 250 ok\\r\\n421 4.3.2 shutting down
             = MAIL: 250 ok
             = RCPT: 421 4.3.2 shutting down
             = RCPT: 421 4.3.2 shutting down
             = closed",
        ),
    );
    play(SMTP, StartTls::Never, &greeted(ALL, "S: 421 idle\n= failed: unsolicited reply 421"));
}

#[test]
fn what_nobody_asked_for_answers_nothing_that_follows() {
    for (stray, outcome) in [
        ("250 ok", "= failed: unsolicited reply 250"),
        ("550 no", "= failed: unsolicited reply 550"),
        ("25...", "= failed: not a reply"),
        // It closes, and that is the answer, whether DATA has left or not.
        ("421 idle", "= DATA: 421 idle\n= closed"),
    ] {
        let script = format!(
            "! mail a@a.example
             ! rcpt b@b.example
             C: MAIL FROM:<a@a.example>
             C: RCPT TO:<b@b.example>
             S: 250 ok\\r\\n250 ok\\r\\n{stray}
             = MAIL: 250 ok
             = RCPT: 250 ok
             ! data
             {outcome}"
        );
        play(SMTP, StartTls::Never, &greeted(ALL, &script));
    }
}

#[test]
fn an_early_no_counts_and_an_early_yes_does_not() {
    let content = "! mail a@a.example
        ! rcpt b@b.example
        C: MAIL FROM:<a@a.example>
        C: RCPT TO:<b@b.example>
        S: 250 ok\\r\\n250 ok
        = MAIL: 250 ok
        = RCPT: 250 ok
        ! data
        C: DATA
        S: 354 go
        = DATA: 354 go
        = content\n";
    for (reply, outcome) in [
        ("S: 552 5.3.4 too big", "= final dot: 552 5.3.4 too big\n= closed"),
        ("S: 421 4.3.0 bye", "= final dot: 421 4.3.0 bye\n= closed"),
        ("S: 552 ...\n= read\nS: too big", "= final dot: 552 too big\n= closed"),
        ("S: 250 ok", "= failed: final dot was answered with 250"),
    ] {
        let script = format!("{content}{reply}\n{outcome}");
        play(SMTP, StartTls::Never, &greeted(ALL, &script));
    }
}

#[test]
fn replies_of_a_class_that_makes_no_sense() {
    for (script, why) in [
        (
            "! mail a@a.example\nC: MAIL FROM:<a@a.example>\nS: 354 x\n= failed: MAIL was answered with 354",
            "MAIL",
        ),
        ("! rset\nC: RSET\nS: 550 x\n= failed: RSET was answered with 550", "RSET"),
        ("! data\nC: DATA\nS: 250 x\n= failed: DATA was answered with 250", "DATA"),
    ] {
        play(SMTP, StartTls::Never, &greeted(ALL, script));
        assert!(!why.is_empty());
    }
}

#[test]
fn a_noop_is_answered_by_whoever_is_there() {
    for (said, answer) in [
        ("250 2.0.0 ok", "= NOOP: 250 2.0.0 ok\n= ready\n! quit\nC: QUIT"),
        ("502 5.5.1 what", "= NOOP: 502 5.5.1 what\n= ready"),
        ("421 4.3.2 bye", "= NOOP: 421 4.3.2 bye\n= closed"),
        ("354 go", "= failed: NOOP was answered with 354"),
        ("250 ok\\r\\n250 ok", "= NOOP: 250 ok\n= failed: unsolicited reply 250"),
    ] {
        let script = format!("! noop\nC: NOOP\nS: {said}\n{answer}");
        play(SMTP, StartTls::Never, &greeted(ALL, &script));
    }
}

#[test]
fn a_parameter_that_is_more_than_one_word_stays_behind() {
    for (value, want) in [
        ("10", "MAIL FROM:<> SIZE=10"),
        ("10 BODY=7BIT", "MAIL FROM:<>"),
        ("10\r\nRSET", "MAIL FROM:<>"),
        ("1=0", "MAIL FROM:<>"),
    ] {
        let mut session = session(SMTP, StartTls::Never);
        session.expected.clear();
        session.extensions =
            Extensions::parse(&Reply::listing(250, ["hi".to_owned(), "SIZE".to_owned()]));
        let size = Parameter { keyword: "SIZE".into(), value: Some(value.into()) };
        session.mail(&ReversePath::Null, &[size]);
        assert_eq!(session.poll(), Step::Read);
        assert_eq!(session.take_output(), format!("{want}\r\n").as_bytes(), "{value:?}");
    }
}

#[test]
fn content_in_one_chunk() {
    let envelope = GREETED.to_owned()
        + "! mail a@a.example BODY=BINARYMIME
        ! rcpt b@b.example
        C: MAIL FROM:<a@a.example> BODY=BINARYMIME
        C: RCPT TO:<b@b.example>
        S: 250 ok
        S: 250 ok
        = MAIL: 250 ok
        = RCPT: 250 ok
        = ready
        ! chunk 1000
        = content
        B: BDAT 1000 LAST
        ";
    for end in [
        "! sent
        = read
        S: 250 2.0.0 ok
        = final dot: 250 2.0.0 ok
        = ready",
        "! sent
        S: 552 5.3.4 no
        = final dot: 552 5.3.4 no
        = ready",
        // Before the end: it is of no more use.
        "S: 552 5.3.4 no
        = final dot: 552 5.3.4 no
        = closed",
        "S: 250 ok
        = failed: final dot was answered with 250",
    ] {
        play(SMTP, StartTls::Never, &(envelope.clone() + end));
    }
}

#[test]
fn a_chunk_has_an_answer_for_each_recipient_in_lmtp() {
    let greeted = GREETED.replace("C: EHLO", "C: LHLO");
    play(
        LMTP,
        StartTls::Never,
        &(greeted
            + "! mail a@a.example
            ! rcpt b@b.example
            ! rcpt c@b.example
            C: MAIL FROM:<a@a.example>
            C: RCPT TO:<b@b.example>
            C: RCPT TO:<c@b.example>
            S: 250 ok
            S: 250 ok
            S: 250 ok
            = MAIL: 250 ok
            = RCPT: 250 ok
            = RCPT: 250 ok
            = ready
            ! chunk 5
            = content
            B: BDAT 5 LAST
            ! sent
            S: 250 ok
            = final dot: 250 ok
            = read
            S: 452 full
            = final dot: 452 full
            = ready"),
    );
}

#[test]
fn a_chunk_out_of_turn_is_not_sent() {
    play(SMTP, StartTls::Never, "! chunk 5\n= read");
}

const GREETED: &str = "S: 220 up.example
    = banner: 220 up.example
    C: EHLO gw.example
    S: 250-up.example
    S: 250-PIPELINING
    S: 250-8BITMIME
    S: 250-CHUNKING
    S: 250 BINARYMIME
    = EHLO: 250 up.example / PIPELINING / 8BITMIME / CHUNKING / BINARYMIME
    = ready
    ";
