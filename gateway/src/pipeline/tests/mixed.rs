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
