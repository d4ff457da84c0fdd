//! Recipients that plugins and upstreams refuse, drop, add and send elsewhere.

use crate::message::{Edit, Recipient};

use super::*;

fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).expect("an address")
}

/// The index of a recipient by its local part.
fn index(call: &HookCall, local_part: &str) -> u32 {
    let envelope = call.envelope.as_ref().expect("an envelope");
    let all = envelope.recipients.iter().chain(&call.recipient);
    all.into_iter().find(|r| r.address.local_part() == local_part).expect("a recipient").index
}

fn judges(call: &HookCall, local_part: &str) -> bool {
    call.recipient.as_ref().is_some_and(|judged| judged.address.local_part() == local_part)
}

fn refuses(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let opinion = match call.recipient.as_ref().map(|judged| judged.address.local_part()) {
        Some("spam") => Opinion::Reject(spam()),
        Some("later") => Opinion::Defer(later()),
        Some("bye") => Opinion::Disconnect(spam()),
        Some("421") => Opinion::Defer(Reply::fixed(421, (4, 7, 0), "enough")),
        Some("hole") => Opinion::Discard("test".into()),
        _ => Opinion::Next,
    };
    (opinion, Vec::new())
}

#[tokio::test]
async fn a_refusal_of_one_is_that_ones_alone_whoever_gives_it() {
    let mut house = Setup::new(refuses).start().await;
    house.mail().await;
    assert_eq!(house.rcpt("spam@b.example").await, "550 5.7.1 spam [s.1]");
    assert_eq!(
        house.rcpt("trap@b.example").await,
        "451 4.3.0 filter failed, try again later [s.1]"
    );
    assert_eq!(house.rcpt("no@b.example").await, "550 5.1.1 no such user");
    assert_eq!(house.rcpt("yes@b.example").await, "yes");
    assert_eq!(house.rcpt("x@nowhere.example").await, "550 5.7.1 no route to this recipient [s.1]");
    assert_eq!(house.data().await, "yes");
    assert_eq!(house.message(MESSAGE).await, ["250 2.0.0 kept [s.1]"]);
    assert_eq!(house.one.recipients(), [["yes@b.example"]]);
    house.outcomes(&[("accepted", 1)]);
}

#[tokio::test]
async fn who_was_refused_for_all_recipients_was_not_lost() {
    let mut house = Setup::new(refuses).start().await;
    house.mail().await;
    house.rcpt("spam@b.example").await;
    house.client.aborted().await;
    house.mail().await;
    house.rcpt("spam@b.example").await;
    house.rcpt("later@b.example").await;
    house.client.lost("the client left").await;
    house.outcomes(&[("deferred", 1), ("rejected", 1)]);
}

#[tokio::test]
async fn a_discarded_recipient_is_told_yes_and_gets_nothing() {
    let mut house = Setup::new(refuses).start().await;
    house.send(&["hole@b.example", "yes@b.example"]).await;
    assert_eq!(house.one.recipients(), [["yes@b.example"]]);
    assert_eq!(house.send(&["hole@b.example"]).await, ["250 2.0.0 ok [s.2]"]);
    assert_eq!(house.one.recipients().len(), 1);
    house.outcomes(&[("accepted", 1), ("discarded", 1)]);
}

#[tokio::test]
async fn a_recipient_that_is_dropped_while_it_is_judged_gets_nothing() {
    let mut house = Setup::lmtp(|call| {
        let drop = judges(call, "hole").then(|| Edit::DropRecipient(index(call, "hole")));
        (Opinion::Next, drop.into_iter().collect())
    })
    .start()
    .await;
    let heard = house.send(&["hole@b.example", "late@b.example", "yes@b.example"]).await;
    assert_eq!(heard, ["250 2.0.0 ok [s.1]", "550 5.2.1 disabled", "250 2.0.0 kept [s.1]"]);
    assert_eq!(house.one.recipients(), [["yes@b.example"]]);
    house.outcomes(&[("mixed", 1)]);
}

#[tokio::test]
async fn a_plugin_that_hangs_up_decides_the_outcome() {
    let mut house = Setup::new(refuses).start().await;
    for (recipient, reply) in
        [("bye@b.example", "!550 5.7.1 spam [s.1]"), ("421@b.example", "!421 4.7.0 enough [s.2]")]
    {
        house.mail().await;
        house.rcpt("yes@b.example").await;
        assert_eq!(house.rcpt(recipient).await, reply);
        house.client.lost("the client left").await;
    }
    house.outcomes(&[("deferred", 1), ("rejected", 1)]);
}

#[tokio::test]
async fn over_smtp_recipients_of_another_upstream_are_to_be_sent_again() {
    let mut house = Setup::new(nothing).start().await;
    house.mail().await;
    assert_eq!(house.rcpt("no@b.example").await, "550 5.1.1 no such user");
    assert_eq!(house.rcpt("x@d.example").await, "451 4.4.1 upstream gone cannot be reached");
    assert_eq!(house.rcpt("yes@c.example").await, "yes");
    let again = "452 4.5.3 one destination at a time, send this recipient again [s.1]";
    assert_eq!(house.rcpt("yes@b.example").await, again);
    house.data().await;
    assert_eq!(house.message(MESSAGE).await, ["250 2.0.0 kept [s.1]"]);
    assert_eq!(house.two.recipients(), [["yes@c.example"]]);
    assert!(house.one.recipients().is_empty());
    house.outcomes(&[("accepted", 1)]);
}

#[tokio::test]
async fn over_lmtp_all_upstreams_get_theirs_and_answers_come_in_order() {
    let mut house = Setup::lmtp(refuses).start().await;
    house.mail().await;
    for (address, heard) in [
        ("full@c.example", "yes"),
        ("one@b.example", "yes"),
        ("no@b.example", "550 5.1.1 no such user"),
        ("hole@b.example", "yes"),
        ("late@b.example", "yes"),
        ("two@c.example", "yes"),
    ] {
        assert_eq!(house.rcpt(address).await, heard);
    }
    house.data().await;
    let heard = house.message(MESSAGE).await;
    let kept = "250 2.0.0 kept [s.1]";
    let want = ["452 4.2.2 full", kept, "250 2.0.0 ok [s.1]", "550 5.2.1 disabled", kept];
    assert_eq!(heard, want);
    assert_eq!(house.one.recipients(), [["one@b.example"]]);
    assert_eq!(house.two.recipients(), [["two@c.example"]]);
    house.outcomes(&[("mixed", 1)]);
}

#[tokio::test]
async fn over_smtp_mixed_answers_of_an_lmtp_store_become_the_worst() {
    for (recipients, want) in [
        (
            &["late@b.example", "yes@b.example"][..],
            "550 5.2.1 disabled / 1 of 2 recipients took it",
        ),
        (
            &["late@b.example", "full@b.example", "yes@b.example"],
            "452 4.2.2 full / 1 of 3 recipients took it",
        ),
        (&["late@b.example", "full@b.example"], "452 4.2.2 full"),
    ] {
        let setup = Setup { upstreams: Protocol::Lmtp, ..Setup::new(nothing) };
        let mut house = setup.start().await;
        assert_eq!(house.send(recipients).await, [want]);
        let outcome = if want.starts_with('5') { "rejected" } else { "deferred" };
        house.outcomes(&[(outcome, 1)]);
    }
}

fn refuses_one_late(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let refuse = || Edit::RefuseRecipient(index(call, "x"), spam());
    let edits = if call.hook == Hook::Message { vec![refuse()] } else { Vec::new() };
    (Opinion::Next, edits)
}

#[tokio::test]
async fn a_recipient_refused_after_the_message_is_that_ones_over_lmtp_and_alls_over_smtp() {
    let mut house = Setup::lmtp(refuses_one_late).start().await;
    let heard = house.send(&["x@b.example", "y@b.example"]).await;
    assert_eq!(heard, ["550 5.7.1 spam [s.1]", "250 2.0.0 kept [s.1]"]);
    assert_eq!(house.one.recipients(), [["y@b.example"]]);
    house.outcomes(&[("mixed", 1)]);
    let mut house = Setup::new(refuses_one_late).start().await;
    let heard = house.send(&["x@b.example", "y@b.example"]).await;
    assert_eq!(heard, ["550 5.7.1 spam [s.1]"]);
    assert!(house.one.recipients().is_empty());
    house.outcomes(&[("rejected", 1)]);
}

fn rewrites(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let edits = match call.hook {
        Hook::Data => vec![
            Edit::DropRecipient(index(call, "drop")),
            Edit::SetRecipient(index(call, "set"), mailbox("was-set@b.example")),
            Edit::SetSender(ReversePath::Null),
        ],
        Hook::Message => vec![Edit::AddRecipient(Recipient {
            index: call.next_index,
            address: mailbox("added@c.example"),
            parameters: Vec::new(),
            route: None,
        })],
        _ => Vec::new(),
    };
    (Opinion::Next, edits)
}

#[tokio::test]
async fn edits_after_the_offer_reach_the_upstreams() {
    for setup in [Setup::new(rewrites), Setup::lmtp(rewrites)] {
        let lmtp = setup.protocol == Protocol::Lmtp;
        let mut house = setup.start().await;
        let heard = house.send(&["drop@b.example", "set@b.example"]).await;
        let ok = "250 2.0.0 ok [s.1]";
        let kept = "250 2.0.0 kept [s.1]";
        assert_eq!(heard, if lmtp { vec![ok, kept] } else { vec![kept] });
        assert_eq!(house.one.recipients(), [["was-set@b.example"]]);
        assert_eq!(house.two.recipients(), [["added@c.example"]]);
        assert_eq!(house.one.last(), (String::new(), MESSAGE.into()));
        house.outcomes(&[("accepted", 1)]);
    }
}

fn adds_one_who_is_refused(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let add = || {
        let address = mailbox("full@c.example");
        let index = call.next_index;
        Edit::AddRecipient(Recipient { index, address, parameters: Vec::new(), route: None })
    };
    let edits = if call.hook == Hook::Headers { vec![add()] } else { Vec::new() };
    (Opinion::Next, edits)
}

#[tokio::test]
async fn the_failure_of_an_added_recipient_is_never_silent() {
    for setup in [Setup::new(adds_one_who_is_refused), Setup::lmtp(adds_one_who_is_refused)] {
        let mut house = setup.start().await;
        assert_eq!(house.send(&["x@b.example"]).await, ["452 4.2.2 full"]);
        drop(house);
    }
}

#[tokio::test]
async fn a_message_whose_recipients_are_all_dropped_is_discarded() {
    let drops = |call: &HookCall| {
        let drop = (call.hook == Hook::Message).then(|| Edit::DropRecipient(index(call, "x")));
        (Opinion::Next, drop.into_iter().collect())
    };
    let mut house = Setup::new(drops).start().await;
    assert_eq!(house.send(&["x@b.example"]).await, ["250 2.0.0 ok [s.1]"]);
    assert!(house.one.recipients().is_empty());
    house.outcomes(&[("discarded", 1)]);
}

fn routes_late(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let route = || Edit::Route { upstream: "two".into(), index: Some(index(call, "x")) };
    let edits = if call.hook == Hook::Message { vec![route()] } else { Vec::new() };
    (Opinion::Next, edits)
}

#[tokio::test]
async fn a_route_that_comes_with_the_message_counts() {
    let mut house = Setup::new(routes_late).start().await;
    let heard = house.send(&["x@b.example", "y@b.example"]).await;
    assert_eq!(heard, ["250 2.0.0 kept [s.1]"]);
    assert_eq!(house.two.recipients(), [["x@b.example"]]);
    assert_eq!(house.one.recipients(), [["y@b.example"]]);
    house.outcomes(&[("accepted", 1)]);
}

#[tokio::test]
async fn after_one_upstreams_refusal_over_smtp_the_others_get_nothing() {
    let mut house = Setup::new(routes_late).start().await;
    let heard = house.send(&["late@b.example", "x@b.example"]).await;
    assert_eq!(heard, ["550 5.2.1 disabled"]);
    assert!(house.two.recipients().is_empty());
    house.outcomes(&[("rejected", 1)]);
}

#[tokio::test]
async fn with_prdr_over_smtp_all_upstreams_get_theirs_and_answers_come_in_order() {
    let mut house = Setup::new(refuses_one_late).start().await;
    house.mail_with(vec![prdr()]).await;
    for address in ["two@c.example", "x@b.example", "one@b.example"] {
        assert_eq!(house.rcpt(address).await, "yes");
    }
    house.data().await;
    let kept = "250 2.0.0 kept [s.1]";
    assert_eq!(house.message(MESSAGE).await, [kept, "550 5.7.1 spam [s.1]", kept]);
    assert_eq!(house.one.recipients(), [["one@b.example"]]);
    assert_eq!(house.two.recipients(), [["two@c.example"]]);
    house.outcomes(&[("mixed", 1)]);
}

#[tokio::test]
async fn with_prdr_the_answers_of_an_lmtp_store_are_each_ones_own() {
    let setup = Setup { upstreams: Protocol::Lmtp, ..Setup::new(nothing) };
    let mut house = setup.start().await;
    house.mail_with(vec![prdr()]).await;
    for address in ["late@b.example", "yes@b.example", "full@b.example"] {
        assert_eq!(house.rcpt(address).await, "yes");
    }
    house.data().await;
    let heard = house.message(MESSAGE).await;
    assert_eq!(heard, ["550 5.2.1 disabled", "250 2.0.0 kept [s.1]", "452 4.2.2 full"]);
    house.outcomes(&[("mixed", 1)]);
}

fn prdr() -> Parameter {
    Parameter { keyword: "PRDR".into(), value: None }
}

/// Adds a recipient at DATA, and refuses the first one.
fn adds_at_each_data(call: &HookCall) -> (Opinion, Vec<Edit>) {
    if call.hook != Hook::Data {
        return nothing(call);
    }
    let (index, address) = (call.next_index, mailbox("added@c.example"));
    let add = Edit::AddRecipient(Recipient { index, address, parameters: Vec::new(), route: None });
    let opinion = if index == 1 { Opinion::Defer(later()) } else { Opinion::Next };
    (opinion, vec![add])
}

#[tokio::test]
async fn a_recipient_that_is_added_at_each_of_two_datas_gets_the_message_once() {
    let mut house = Setup::new(adds_at_each_data).start().await;
    house.mail().await;
    assert_eq!(house.rcpt("x@b.example").await, "yes");
    assert_eq!(house.data().await, "451 4.7.1 later [s.1]");
    assert_eq!(house.data().await, "yes");
    assert_eq!(house.message(MESSAGE).await, ["250 2.0.0 kept [s.1]"]);
    assert_eq!(house.two.recipients(), [["added@c.example"]]);
    house.outcomes(&[("accepted", 1)]);
}
