//! Messages that plugins judge, and the room that they take.

use super::*;

/// A plugin that has this opinion at one hook, and none at the others.
macro_rules! at {
    ($hook:expr, $opinion:expr) => {
        |call: &HookCall| (if call.hook == $hook { $opinion } else { Opinion::Next }, Vec::new())
    };
}

#[tokio::test]
async fn a_discarded_message_is_told_yes_at_every_hook_and_nobody_gets_it() {
    let scripts: [Script; 4] = [
        at!(Hook::Mail, Opinion::Discard("test".into())),
        at!(Hook::Data, Opinion::Discard("test".into())),
        at!(Hook::Headers, Opinion::Discard("test".into())),
        at!(Hook::Message, Opinion::Discard("test".into())),
    ];
    for script in scripts {
        let mut house = Setup::new(script).start().await;
        assert_eq!(house.send(&["x@b.example", "y@b.example"]).await, ["250 2.0.0 ok [s.1]"]);
        assert!(house.one.recipients().is_empty());
        house.outcomes(&[("discarded", 1)]);
    }
    let mut house = Setup::lmtp(at!(Hook::Headers, Opinion::Discard("t".into()))).start().await;
    assert_eq!(house.send(&["x@b.example", "y@b.example"]).await, ["250 2.0.0 ok [s.1]"]);
    house.outcomes(&[("discarded", 1)]);
}

#[tokio::test]
async fn a_quarantined_message_goes_to_quarantine_alone() {
    let scripts: [Script; 2] = [
        at!(Hook::Headers, Opinion::Quarantine("test".into())),
        at!(Hook::Message, Opinion::Quarantine("test".into())),
    ];
    for script in scripts {
        let mut house = Setup::new(script).start().await;
        assert_eq!(house.send(&["x@b.example"]).await, ["250 2.0.0 kept [s.1]"]);
        assert!(house.one.recipients().is_empty());
        assert_eq!(house.quarantine.recipients(), [["x@b.example"]]);
        house.outcomes(&[("quarantined", 1)]);
    }
}

#[tokio::test]
async fn a_quarantine_that_does_not_take_a_message_is_no_yes() {
    let script = at!(Hook::Headers, Opinion::Quarantine("test".into()));
    let mut house = Setup::new(script).start().await;
    assert_eq!(house.send(&["full@b.example"]).await, ["452 4.2.2 full"]);
    house.outcomes(&[("deferred", 1)]);
}

#[tokio::test]
async fn a_refusal_outranks_an_earlier_quarantine() {
    let script = |call: &HookCall| {
        let opinion = match call.hook {
            Hook::Headers => Opinion::Quarantine("odd".into()),
            Hook::Message => Opinion::Reject(spam()),
            _ => Opinion::Next,
        };
        (opinion, Vec::new())
    };
    let mut house = Setup::new(script).start().await;
    assert_eq!(house.send(&["x@b.example"]).await, ["550 5.7.1 spam [s.1]"]);
    assert!(house.quarantine.recipients().is_empty());
    house.outcomes(&[("rejected", 1)]);
}

#[tokio::test]
async fn a_refused_message_goes_nowhere() {
    for (script, want, outcome) in [
        (at!(Hook::Headers, Opinion::Reject(spam())) as Script, "550 5.7.1 spam [s.1]", "rejected"),
        (at!(Hook::Message, Opinion::Defer(later())), "451 4.7.1 later [s.1]", "deferred"),
        (at!(Hook::Message, Opinion::Disconnect(spam())), "!550 5.7.1 spam [s.1]", "rejected"),
    ] {
        let mut house = Setup::new(script).start().await;
        assert_eq!(house.send(&["x@b.example"]).await, [want]);
        assert!(house.one.recipients().is_empty());
        house.outcomes(&[(outcome, 1)]);
    }
}

#[tokio::test]
async fn messages_arrive_as_they_came() {
    let mut house = Setup::new(nothing).start().await;
    for message in ["", "\r\n", "x\r\n", "\r\nbody\r\n", " stray\r\nA: b\r\n\r\nc\r\n", MESSAGE] {
        house.mail().await;
        house.rcpt("x@b.example").await;
        house.data().await;
        assert_eq!(house.message(message).await.len(), 1);
        let (_, heard) = house.one.last();
        assert_eq!(heard, message, "{message:?}");
    }
    house.outcomes(&[("accepted", 6)]);
}

#[tokio::test]
async fn a_header_section_that_is_too_large_is_refused() {
    let mut house = Setup::new(nothing).start().await;
    for message in ["A: b\r\n".repeat(1000), "A: b\r\n".repeat(667) + "\r\nbody\r\n"] {
        house.mail().await;
        house.rcpt("x@b.example").await;
        house.data().await;
        let heard = house.message(&message).await.concat();
        assert!(heard.starts_with("552 5.3.4 header section is too large"), "{heard}");
    }
    house.outcomes(&[("rejected", 2)]);
}

#[tokio::test]
async fn without_room_the_client_keeps_the_message() {
    let body = format!("A: b\r\n\r\n{}", "x".repeat(5000));
    let header = format!("{}\r\nx\r\n", "A: b\r\n".repeat(200));
    // Many short fields take more in memory than on the wire.
    for (room, message) in
        [((3000, 3000), body), ((1000, 1 << 20), header.clone()), ((2000, 0), header)]
    {
        let mut house = Setup { room, ..Setup::new(nothing) }.start().await;
        house.mail().await;
        house.rcpt("x@b.example").await;
        house.data().await;
        let heard = house.message(&message).await;
        assert_eq!(heard, ["452 4.3.1 no room for the message, try again later [s.1]"]);
        assert!(house.one.recipients().is_empty());
        house.outcomes(&[("deferred", 1)]);
    }
}

#[tokio::test]
async fn a_message_that_is_discarded_takes_no_room() {
    let script = at!(Hook::Headers, Opinion::Discard("test".into()));
    let mut house = Setup { room: (1000, 0), ..Setup::new(script) }.start().await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    house.data().await;
    let message = format!("A: b\r\n\r\n{}", "x".repeat(5000));
    // Header section and body in one piece, as small messages come.
    house.client.content(message.into_bytes()).await;
    assert_eq!(told(house.client.judge(Question::Message).await), ["250 2.0.0 ok [s.1]"]);
    house.outcomes(&[("discarded", 1)]);
}

#[tokio::test]
async fn a_connection_lost_after_the_dot_is_never_a_yes() {
    let mut house = Setup::new(nothing).start().await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    house.data().await;
    let heard = house.message("A: b\r\n\r\nlose me\r\n").await;
    assert_eq!(heard, ["451 4.4.2 no answer to the message: upstream one lost the connection"]);
    house.outcomes(&[("deferred", 1)]);
}
