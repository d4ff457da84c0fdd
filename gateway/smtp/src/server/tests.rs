use super::*;
use crate::sasl::Mechanism;

#[test]
fn an_idle_session_holds_no_buffers() {
    let mut session = Session::new(Arc::new(settings()), Channel::default());
    for octets in [&b"EHLO a\r\nNOOP\r\n"[..], b"MAIL FROM:<>\r\n", &[b'x'; 10_000]] {
        session.receive(octets);
        while let Step::Ask(_) = session.poll() {
            session.decide(Verdict::Accept);
        }
        session.take_events();
        session.take_output();
    }
    let Session { lines, content, output, events, .. } = &session;
    assert_eq!(lines.rest().len() + content.capacity() + output.capacity(), 0);
    assert_eq!(events.capacity(), 0);
    assert!(size_of::<Session>() <= 320, "{}", size_of::<Session>());
}

fn settings() -> Settings {
    let limits = Limits { command_octets: 2048, message_octets: 1000, ..Limits::default() };
    Settings { limits, ..Settings::new("mx.example") }
}

#[test]
fn who_follows_a_conversation_sees_all_of_it_but_secrets() {
    let auth = Auth { mechanisms: vec![Mechanism::Login], in_clear: true, ..Auth::default() };
    let mut session = Session::new(Arc::new(Settings { auth, ..settings() }), Channel::default());
    session.transcribe(true);
    for octets in
        [&b"EHLO a\r\nAUTH LOGIN\r\n"[..], b"Ym9i\r\n", b"aHVudGVyMg==\r\naHVudGVyMg==\r\n"]
    {
        session.receive(octets);
        while let Step::Ask(_) = session.poll() {
            session.decide(Verdict::Accept);
        }
    }
    let lines = session.take_transcript();
    let shown: Vec<_> = lines.iter().map(|line| format!("{line:?}")).collect();
    let shown = shown.join("\n");
    for there in [
        "Said(\"220 mx.example",
        "Heard(\"EHLO a\")",
        "Heard(\"AUTH LOGIN\")",
        "(challenge)",
        "235 2.7.0",
    ] {
        assert!(shown.contains(there), "{shown}");
    }
    for secret in ["Ym9i", "aHVudGVyMg"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    session.transcribe(false);
    session.receive(b"NOOP\r\n");
    assert_eq!(session.poll(), Step::Read);
    assert_eq!(session.take_transcript(), []);
}

#[test]
fn no_secret_is_ever_shown() {
    let auth = Auth { mechanisms: vec![Mechanism::Plain], in_clear: true, ..Auth::default() };
    let mut session = Session::new(Arc::new(Settings { auth, ..settings() }), Channel::default());
    let mut shown = String::new();
    for octets in [&b"EHLO a\r\nAUTH PLAIN\r\n"[..], b"AGEAaHVudGVy", b"Mg==\r\n"] {
        session.receive(octets);
        shown += &format!("{session:?}");
        while let step @ Step::Ask(_) = session.poll() {
            shown += &format!("{step:?} {session:?}");
            session.decide(Verdict::Accept);
        }
        shown += &format!("{:?} {session:?}", session.take_events());
    }
    assert!(String::from_utf8_lossy(&session.take_output()).contains("235 2.7.0"));
    let octets = format!("{:?}", b"AGEAaHVudGVy").replace(['[', ']'], "");
    for secret in ["hunter2", "AGEAaHVudGVy", &octets] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let command = Command::parse(b"AUTH PLAIN AGEAaHVudGVyMg==", Dialect::default());
    assert!(!format!("{command:?}").contains("AGEA"));
}

#[test]
fn no_proof_is_ever_shown() {
    let auth = Auth { mechanisms: vec![Mechanism::CramMd5], in_clear: true, ..Auth::default() };
    let mut session = Session::new(Arc::new(Settings { auth, ..settings() }), Channel::default());
    session.receive(b"EHLO a\r\nAUTH CRAM-MD5\r\nYSAwMTIzNDU2Nzg5\r\n");
    let shown = loop {
        match session.poll() {
            Step::Ask(_) => session.decide(Verdict::Accept),
            Step::Nonce => session.nonce([0; NONCE_OCTETS]),
            step => break format!("{step:?} {session:?}"),
        }
    };
    assert!(shown.contains("Verifier"), "{shown}");
    let digest = format!("{:?}", b"0123456789").replace(['[', ']'], "");
    assert!(!shown.contains(&digest), "{shown}");
}

fn talk(session: &mut Session, octets: &[u8]) {
    session.receive(octets);
    while let Step::Ask(_) = session.poll() {
        session.decide(Verdict::Accept);
    }
}

#[test]
fn who_talks_before_the_banner_did_so_once() {
    let mut session = Session::new(Arc::new(settings()), Channel::default());
    assert_eq!(session.conduct().iter().count(), 0);
    session.receive(b"EH");
    session.receive(b"LO a\r\n");
    let lapses: Vec<_> = session.conduct().iter().collect();
    assert_eq!(lapses, [(Lapse::EarlyTalker, 1)]);
    talk(&mut session, b"NOOP\r\n");
    assert_eq!(session.conduct().count(Lapse::EarlyTalker), 1);
}

#[test]
fn who_sends_on_where_it_must_wait_is_known_although_it_is_answered() {
    let mut session = Session::new(Arc::new(settings()), Channel::default());
    talk(&mut session, b"");
    talk(&mut session, b"EHLO a\r\nMAIL FROM:<>\r\n");
    assert_eq!(session.conduct().count(Lapse::Pipelined), 1);
    talk(&mut session, b"RCPT TO:<a@b.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    assert_eq!(session.conduct().count(Lapse::Pipelined), 1, "a group, as announced");
    talk(&mut session, b".\r\nQUIT\r\n");
    assert_eq!(session.conduct().count(Lapse::Pipelined), 1, "QUIT may come at any time");
}

#[test]
fn conduct_without_a_lapse_is_a_pointer() {
    assert_eq!(size_of::<Conduct>(), size_of::<usize>());
    let mut conduct = Conduct::default();
    conduct.set(Lapse::EarlyTalker, 0);
    assert_eq!(conduct, Conduct::default());
}
