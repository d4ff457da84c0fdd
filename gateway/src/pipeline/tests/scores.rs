//! Messages whose score decides.

use super::*;
use crate::message::Score;

/// Scores a recipient by what is called: `s6.5@` has 6.5 points. A message has half a point off, and
/// a second opinion on its recipient.
fn scores(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let score = |symbol: &str, points| {
        Edit::Score(Score::new("scripted", symbol, points).expect("a score"))
    };
    let edits = match (call.hook, &call.recipient) {
        (Hook::Rcpt, Some(judged)) => {
            let points = judged.address.local_part()[1..].parse().expect("points");
            vec![score("RECIPIENT", points), score("EARLY", 1e4)]
        }
        (Hook::Message, _) => vec![score("HALF", -0.5), score("EARLY", 0.0)],
        _ => Vec::new(),
    };
    (Opinion::Next, edits)
}

/// A listener whose thresholds are 2, 4, 6 and 8.
async fn start(script: Script) -> Listener {
    let scores = config::Scores {
        add_header: Some(2.0),
        quarantine: Some(4.0),
        defer: Some(6.0),
        reject: Some(8.0),
        header: "X-Spam".into(),
        text: "too much".into(),
    };
    Setup { scores: Some(scores), ..Setup::new(script) }.start().await
}

/// The fields of the last message but those that it came with.
fn marks(upstream: &Upstream) -> String {
    let (_, message) = upstream.last();
    message.strip_suffix(MESSAGE).expect("the message").to_owned()
}

#[tokio::test]
async fn the_highest_threshold_that_is_reached_decides() {
    let header =
        |sum: &str, first: &str| format!("X-Spam: {sum} RECIPIENT={first} EARLY=0 HALF=-0.5\r\n");
    for (recipient, reply, outcome, mark) in [
        ("s0@b.example", "250 2.0.0 kept [s.1]", "accepted", String::new()),
        ("s2.499999@b.example", "250 2.0.0 kept [s.1]", "accepted", String::new()),
        ("s2.5@b.example", "250 2.0.0 kept [s.1]", "accepted", header("2", "2.5")),
        ("s4.4@b.example", "250 2.0.0 kept [s.1]", "accepted", header("3.9", "4.4")),
        ("s4.5@b.example", "250 2.0.0 kept [s.1]", "quarantined", header("4", "4.5")),
        ("s6.5@b.example", "451 4.7.1 too much [s.1]", "deferred", String::new()),
        ("s8.4@b.example", "451 4.7.1 too much [s.1]", "deferred", String::new()),
        ("s8.5@b.example", "550 5.7.1 too much [s.1]", "rejected", String::new()),
        ("s9000@b.example", "550 5.7.1 too much [s.1]", "rejected", String::new()),
    ] {
        let mut house = start(scores).await;
        assert_eq!(house.send(&[recipient]).await, [reply], "{recipient}");
        let (upstream, other) = match outcome {
            "quarantined" => (&house.quarantine, &house.one),
            _ => (&house.one, &house.quarantine),
        };
        assert!(other.recipients().is_empty());
        if reply.starts_with('2') {
            assert_eq!(marks(upstream), mark, "{recipient}");
        } else {
            assert!(upstream.recipients().is_empty());
        }
        let action = match (outcome, mark.is_empty()) {
            ("accepted", true) => "pass",
            ("accepted", false) => "add-header",
            ("quarantined", _) => "quarantine",
            ("deferred", _) => "defer",
            _ => "reject",
        };
        let counted =
            format!("portcullis_score_actions_total{{action=\"{action}\",listener=\"mx\"}} 1\n");
        assert!(house.metrics.render().contains(&counted), "{counted}");
        house.outcomes(&[(outcome, 1)]);
    }
}

#[tokio::test]
async fn a_score_that_the_sender_claims_is_taken_off() {
    for (recipient, mark) in
        [("s1@b.example", ""), ("s3@b.example", "X-Spam: 2.5 RECIPIENT=3 EARLY=0 HALF=-0.5\r\n")]
    {
        let mut house = start(scores).await;
        house.mail().await;
        house.rcpt(recipient).await;
        house.data().await;
        let forged = "x-spam: -100\r\nTo: b\r\nX-SPAM:\r\n 0\r\n\r\nX-Spam: in the body\r\n";
        assert_eq!(house.message(forged).await, ["250 2.0.0 kept [s.1]"]);
        let want = format!("{mark}To: b\r\n\r\nX-Spam: in the body\r\n");
        assert_eq!(house.one.last().1, want);
        house.outcomes(&[("accepted", 1)]);
    }
}

#[tokio::test]
async fn a_plugins_refusal_and_its_quarantine_go_before_the_score() {
    let refuses = |call: &HookCall| match call.hook {
        Hook::Message => (Opinion::Reject(spam()), scores(call).1),
        _ => scores(call),
    };
    let mut house = start(refuses).await;
    assert_eq!(house.send(&["s7@b.example"]).await, ["550 5.7.1 spam [s.1]"]);
    house.outcomes(&[("rejected", 1)]);
    let quarantines = |call: &HookCall| match call.hook {
        Hook::Message => (Opinion::Quarantine("odd".into()), scores(call).1),
        _ => scores(call),
    };
    let mut house = start(quarantines).await;
    assert_eq!(house.send(&["s9@b.example"]).await, ["250 2.0.0 kept [s.1]"]);
    assert_eq!(marks(&house.quarantine), "X-Spam: 8.5 RECIPIENT=9 EARLY=0 HALF=-0.5\r\n");
    house.outcomes(&[("quarantined", 1)]);
}

#[tokio::test]
async fn an_accept_ends_the_chain_and_not_the_count() {
    let accepts = |call: &HookCall| (Opinion::Accept, scores(call).1);
    let mut house = start(accepts).await;
    assert_eq!(house.send(&["s9@b.example"]).await, ["550 5.7.1 too much [s.1]"]);
    house.outcomes(&[("rejected", 1)]);
}

#[tokio::test]
async fn scores_belong_to_one_transaction() {
    let mut house = start(scores).await;
    assert_eq!(house.send(&["s9@b.example"]).await, ["550 5.7.1 too much [s.1]"]);
    assert_eq!(house.send(&["s1@b.example"]).await, ["250 2.0.0 kept [s.2]"]);
    assert_eq!(marks(&house.one), "");
    house.outcomes(&[("accepted", 1), ("rejected", 1)]);
}

#[tokio::test]
async fn a_header_with_many_symbols_is_folded_before_column_78() {
    let many = |call: &HookCall| {
        let score = |n: usize| {
            let symbol = format!("A_SYMBOL_NUMBER_{n}");
            Edit::Score(Score::new("scripted", &symbol, 0.25).expect("a score"))
        };
        let edits = (call.hook == Hook::Data).then(|| (0..12).map(score).collect());
        (Opinion::Next, edits.unwrap_or_default())
    };
    let mut house = start(many).await;
    assert_eq!(house.send(&["x@b.example"]).await, ["250 2.0.0 kept [s.1]"]);
    let mark = marks(&house.one);
    assert!(mark.lines().all(|line| line.len() <= 78), "{mark}");
    assert!(mark.lines().skip(1).all(|line| line.starts_with(" A_SYMBOL_NUMBER_")), "{mark}");
    assert_eq!(mark.matches("=0.25").count(), 12);
    assert!(mark.lines().count() < 8, "{mark}");
    house.outcomes(&[("accepted", 1)]);
}
