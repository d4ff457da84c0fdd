//! Recipients of one message that fare differently, by each rule.

use super::*;

fn worst(setup: Setup) -> Setup {
    Setup { mixed: Mixed::Worst, ..setup }
}

#[tokio::test]
async fn with_worst_all_upstreams_get_theirs_and_the_worst_is_told() {
    for (recipients, want, outcome) in [
        (&["a@b.example", "a@c.example"][..], "250 2.0.0 kept [s.1]", "accepted"),
        (
            &["late@b.example", "a@c.example"],
            "550 5.2.1 disabled / 1 of 2 recipients took it",
            "rejected",
        ),
        (
            &["late@b.example", "full@c.example", "a@c.example"],
            "452 4.2.2 full / 1 of 3 recipients took it",
            "deferred",
        ),
        (&["late@b.example", "full@c.example"], "452 4.2.2 full", "deferred"),
    ] {
        let setup = Setup { upstreams: Protocol::Lmtp, ..worst(Setup::new(nothing)) };
        let mut house = setup.start().await;
        assert_eq!(unnamed(&house.send(recipients).await.concat()), want);
        let took = recipients.contains(&"a@c.example");
        assert_eq!(house.two.recipients().concat(), ["a@c.example"][usize::from(!took)..]);
        house.outcomes(&[(outcome, 1)]);
    }
}

#[tokio::test]
async fn upstreams_get_the_message_at_the_same_time() {
    for setup in [worst(Setup::new(nothing)), Setup::lmtp(nothing)] {
        let mut house = setup.start().await;
        house.mail().await;
        for recipient in ["a@b.example", "a@c.example"] {
            assert_eq!(house.rcpt(recipient).await, "yes");
        }
        house.data().await;
        // Each answers when the other one has it.
        let heard = house.message("Subject: meet\r\n\r\n").await;
        assert!(heard.iter().all(|reply| reply == "250 2.0.0 kept [s.1]"), "{heard:?}");
        house.outcomes(&[("accepted", 1)]);
    }
}

#[tokio::test]
async fn a_recipient_who_is_named_twice_has_two_answers_over_lmtp() {
    let mut house = Setup::lmtp(nothing).start().await;
    let heard = house.send(&["a@b.example", "full@c.example", "a@b.example"]).await;
    let kept = "250 2.0.0 kept [s.1]";
    assert_eq!(heard, [kept, "452 4.2.2 full", kept]);
    house.outcomes(&[("mixed", 1)]);
}

const NAMED: &str = "Message-ID: <1@a.example>\r\nSubject: x\r\n\r\nbody\r\n";

impl Listener {
    async fn send_text(&mut self, recipients: &[&str], text: &str) -> String {
        self.mail().await;
        for recipient in recipients {
            assert_eq!(self.rcpt(recipient).await, "yes", "{recipient}");
        }
        self.data().await;
        unnamed(&self.message(text).await.join(", "))
    }

    fn avoided(&self) -> u64 {
        let rendered = self.metrics.render();
        let line = rendered.lines().find(|line| line.starts_with("portcullis_duplicates_avoided"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }
}

#[tokio::test]
async fn who_took_a_message_that_is_sent_again_for_another_ones_sake_gets_it_once() {
    let mut house = Setup { upstreams: Protocol::Lmtp, ..Setup::new(nothing) }.start().await;
    let both = ["a@b.example", "full@b.example"];
    let want = "452 4.2.2 full / 1 of 2 recipients took it";
    assert_eq!(house.send_text(&both, NAMED).await, want);
    assert_eq!(house.send_text(&both, NAMED).await, want, "the receipt is renewed");
    assert_eq!(house.one.recipients(), [["a@b.example"]]);
    // The other one's mailbox has room now.
    let again = house.send_text(&["a@b.example", "b@b.example"], NAMED).await;
    assert!(again.starts_with("250 2.0.0 "), "{again}");
    assert_eq!(house.one.recipients(), [["a@b.example"], ["b@b.example"]]);
    // It was told of, and what comes now is another message.
    house.send_text(&["a@b.example"], NAMED).await;
    assert_eq!(house.one.recipients().len(), 3);
    assert_eq!(house.avoided(), 2);
    house.outcomes(&[("accepted", 2), ("deferred", 2)]);
}

#[tokio::test]
async fn what_is_not_the_same_message_is_delivered() {
    let mut house = Setup { upstreams: Protocol::Lmtp, ..Setup::new(nothing) }.start().await;
    let both = ["a@b.example", "full@b.example"];
    let other_body = NAMED.replace("body", "Body");
    let anonymous = NAMED.replace("Message-ID", "X-Message-ID");
    for (n, text) in [NAMED, &other_body, &anonymous, &anonymous].into_iter().enumerate() {
        house.send_text(&both, text).await;
        assert_eq!(house.one.recipients().len(), n + 1, "{text}");
    }
    let sender = ReversePath::Null;
    let parameters = Vec::new();
    house.ask(Question::Mail { reverse_path: sender, parameters }).await;
    house.rcpt("a@b.example").await;
    house.data().await;
    house.message(NAMED).await;
    assert_eq!(house.one.recipients().len(), 5, "another sender");
    assert_eq!(house.avoided(), 0);
}

#[tokio::test]
async fn a_client_that_was_gone_before_the_answer_gets_it_from_memory() {
    for setup in [Setup::new(nothing), Setup::lmtp(nothing)] {
        let mut house = setup.start().await;
        house.send_text(&["a@b.example"], NAMED).await;
        house.client.lost("the client left").await;
        let again = house.send_text(&["a@b.example"], NAMED).await;
        assert_eq!(again, "250 2.0.0 delivered at an earlier attempt [s.2]");
        assert_eq!(house.one.recipients().len(), 1);
        house.client.lost("the connection broke").await;
        house.send_text(&["a@b.example"], NAMED).await;
        assert_eq!(house.one.recipients().len(), 1, "it has not heard that, either");
        house.client.lost(CLOSED).await;
        house.send_text(&["a@b.example"], NAMED).await;
        assert_eq!(house.one.recipients().len(), 2, "it said goodbye");
        house.client.idle().await;
        house.client.lost("the client left").await;
        house.send_text(&["a@b.example"], NAMED).await;
        assert_eq!(house.one.recipients().len(), 3, "it waited behind the answer");
        house.outcomes(&[("accepted", 5)]);
    }
}

#[tokio::test]
async fn what_nobody_knows_is_not_said_to_be_delivered() {
    let mut house = Setup::new(nothing).start().await;
    let lost = "Message-ID: <1@a.example>\r\n\r\nlose me\r\n";
    for _ in 0..2 {
        let heard = house.send_text(&["a@b.example"], lost).await;
        assert_eq!(heard, "451 4.4.2 no answer to the message: upstream one lost the connection");
        house.client.lost("the client left").await;
    }
    assert_eq!(house.avoided(), 0);
}

#[tokio::test]
async fn who_is_named_twice_is_answered_twice_from_memory() {
    let mut house = Setup::lmtp(nothing).start().await;
    let twice = ["a@b.example", "a@b.example"];
    house.send_text(&twice, NAMED).await;
    house.client.lost("the client left").await;
    let delivered = "250 2.0.0 delivered at an earlier attempt [s.2]";
    let heard = house.send_text(&twice, NAMED).await;
    assert_eq!(heard, [delivered; 2].join(", "));
    assert_eq!(house.one.recipients().len(), 1);
}

#[tokio::test]
async fn without_a_window_nothing_is_remembered() {
    let setup = Setup { window: Duration::ZERO, ..Setup::new(nothing) };
    let mut house = setup.start().await;
    for n in 1..3 {
        house.send_text(&["a@b.example"], NAMED).await;
        house.client.lost("the client left").await;
        assert_eq!(house.one.recipients().len(), n);
    }
}
