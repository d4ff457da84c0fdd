//! How transactions end, and what a session remembers between them.

use super::*;

#[tokio::test]
async fn whoever_takes_it_back_has_aborted_and_who_vanishes_is_lost() {
    let mut house = Setup::new(nothing).start().await;
    house.mail().await;
    house.client.aborted().await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    house.client.content(b"Subject: x\r\n\r\nbo".to_vec()).await;
    house.client.lost("the client left").await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    // Dropped with its connection.
    house.outcomes(&[("aborted", 1), ("lost", 2)]);
}

#[tokio::test]
async fn a_message_that_the_session_refuses_has_that_outcome() {
    let mut house = Setup::new(nothing).start().await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    house.data().await;
    house.client.content(b"Subject: x\r\n".to_vec()).await;
    house.client.refused(Reply::fixed(552, (5, 3, 4), "message too large")).await;
    assert!(house.one.recipients().is_empty());
    assert_eq!(house.send(&["x@b.example"]).await, ["250 2.0.0 kept [s.2]"]);
    house.outcomes(&[("accepted", 1), ("rejected", 1)]);
}

fn refuses_at_once(call: &HookCall) -> (Opinion, Vec<Edit>) {
    (if call.hook == Hook::Mail { Opinion::Reject(spam()) } else { Opinion::Next }, Vec::new())
}

#[tokio::test]
async fn a_refused_sender_is_a_transaction_that_ended() {
    let mut house = Setup::new(refuses_at_once).start().await;
    assert_eq!(house.mail().await, "550 5.7.1 spam [s.1]");
    assert_eq!(house.mail().await, "550 5.7.1 spam [s.2]");
    assert!(house.client.transaction.is_none());
    house.outcomes(&[("rejected", 2)]);
}

fn refuses_data(call: &HookCall) -> (Opinion, Vec<Edit>) {
    (if call.hook == Hook::Data { Opinion::Defer(later()) } else { Opinion::Next }, Vec::new())
}

#[tokio::test]
async fn refused_data_is_how_the_transaction_ended_unless_it_goes_on() {
    let mut house = Setup::new(refuses_data).start().await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    assert_eq!(house.data().await, "451 4.7.1 later [s.1]");
    house.client.aborted().await;
    house.outcomes(&[("deferred", 1)]);
}

#[tokio::test]
async fn a_question_out_of_order_is_never_a_yes() {
    let mut house = Setup::new(nothing).start().await;
    assert_eq!(house.rcpt("x@b.example").await, "451 4.3.0 no transaction");
    assert_eq!(house.data().await, "451 4.3.0 no transaction");
    assert_eq!(house.message(MESSAGE).await, ["451 4.3.0 no transaction"]);
    house.outcomes(&[]);
}

fn refuses_names(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let bad = call.hook == Hook::Helo && call.session.helo.as_deref() == Some("bad.example");
    (if bad { Opinion::Reject(spam()) } else { Opinion::Next }, Vec::new())
}

#[tokio::test]
async fn a_name_that_is_refused_is_not_the_clients_name() {
    let mut house = Setup::new(refuses_names).start().await;
    let hello = |name: &str, esmtp| Question::Hello { name: name.into(), esmtp };
    assert_eq!(house.ask(hello("good.example", true)).await, "yes");
    assert_eq!(house.ask(hello("bad.example", false)).await, "550 5.7.1 spam [s]");
    let session = &house.client.session;
    assert_eq!((session.helo.as_deref(), session.esmtp), (Some("good.example"), true));
    house.outcomes(&[]);
}

#[tokio::test]
async fn starttls_forgets_what_the_client_said_and_not_who_it_is() {
    let mut house = Setup::new(nothing).start().await;
    house.ask(Question::Connect).await;
    house.ask(Question::Hello { name: "c.example".into(), esmtp: true }).await;
    let (version, cipher) = ("TLSv1.3".into(), "x".into());
    house.client.tls_established(TlsFacts { version, cipher, ..TlsFacts::default() });
    assert_eq!(house.client.session.helo, None);
    let notes = |call: &HookCall| {
        let notes: Vec<_> = call.notes.keys().cloned().collect();
        let reply = Reply::fixed(550, (5, 7, 1), &notes.join(" "));
        (if call.hook == Hook::Mail { Opinion::Reject(reply) } else { Opinion::Next }, Vec::new())
    };
    let mut told = Setup::new(notes).start().await;
    std::mem::swap(&mut told.client.memory, &mut house.client.memory);
    assert_eq!(told.mail().await, "550 5.7.1 scripted.connect [s.1]");
}

#[tokio::test]
async fn what_held_the_greeting_back_holds_nothing_back_after_starttls() {
    let slow = |call: &HookCall| {
        let delay = (call.hook == Hook::Connect).then_some(Edit::Delay(Duration::from_secs(5)));
        (Opinion::Next, delay.into_iter().collect())
    };
    let mut house = Setup::new(slow).start().await;
    house.ask(Question::Connect).await;
    assert_eq!(house.client.delay(), Duration::from_secs(5));
    house.client.tls_established(TlsFacts::default());
    house.ask(Question::Hello { name: "c.example".into(), esmtp: true }).await;
    assert_eq!(house.client.delay(), Duration::ZERO);
}

#[tokio::test]
async fn what_plugins_change_does_not_fill_a_transactions_record() {
    let edits = |call: &HookCall| {
        let sender = || Edit::SetSender(ReversePath::Null);
        (Opinion::Next, if call.hook == Hook::Rcpt { vec![sender(); 10] } else { Vec::new() })
    };
    let mut house = Setup::new(edits).start().await;
    house.mail().await;
    for _ in 0..100 {
        house.rcpt("no@b.example").await;
    }
    let transaction = house.client.transaction.as_ref().expect("a transaction");
    assert_eq!(transaction.recorded_edits(), 201);
}

#[tokio::test]
async fn a_client_that_paused_gets_its_message_through_once() {
    let mut house = Setup::new(nothing).start().await;
    house.mail().await;
    assert_eq!(house.rcpt("one@b.example").await, "yes");
    house.client.idle().await;
    assert_eq!(house.rcpt("two@b.example").await, "yes");
    // The upstream is still the one that was begun with.
    assert!(house.rcpt("three@c.example").await.starts_with("452 4.5.3 "));
    house.client.idle().await;
    assert_eq!(house.data().await, "yes");
    assert_eq!(house.message(MESSAGE).await, ["250 2.0.0 kept [s.1]"]);
    assert_eq!(house.one.recipients(), [["one@b.example", "two@b.example"]]);
    house.outcomes(&[("accepted", 1)]);
}
