use super::*;

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
