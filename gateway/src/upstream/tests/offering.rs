use super::*;

#[tokio::test]
async fn the_refusal_of_one_recipient_is_that_recipients_alone() {
    let (gateway, up) = Gateway::with(&[&script(&[
        GREETING,
        ENVELOPE,
        "C: RCPT TO:<nobody@b.example>
         S: 550-5.1.1 no such user\\r\\n550 5.1.1 none at all
         C: RCPT TO:<c@b.example>
         S: 250 ok",
        DATA,
        "S: 250 2.0.0 queued as 1",
    ])])
    .await;
    let heard = gateway.send(&["b@b.example", "nobody@b.example", "c@b.example"]).await;
    let queued = "250 2.0.0 queued as 1";
    assert_eq!(heard, ["550 5.1.1 no such user / none at all", queued, queued]);
    assert_eq!(up.contents().await, [HELLO]);
}

#[tokio::test]
async fn the_refusal_of_the_sender_is_the_answer_to_each_recipient() {
    let (gateway, up) = Gateway::with(&[&script(&[
        GREETING,
        "C: MAIL FROM:<a@a.example>
         C: RCPT TO:<b@b.example>
         S: 451 4.7.1 greylisted\\r\\n503 MAIL first
         C: RSET
         S: 250 ok",
        ENVELOPE,
        DATA,
        "S: 250 ok",
    ])])
    .await;
    let greylisted = "451 4.7.1 greylisted";
    assert_eq!(gateway.send(&["b@b.example", "c@b.example"]).await, [greylisted, greylisted]);
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"], "on the same connection");
    assert_eq!(up.contents().await.len(), 1);
}

#[tokio::test]
async fn without_pipelining_every_command_waits_for_its_reply() {
    let (gateway, up) = Gateway::with(&["S: 220 up.example
        C: EHLO gw.example
        S: 502 what
        C: HELO gw.example
        S: 250 hi
        C: MAIL FROM:<a@a.example>
        S: 250 ok
        C: RCPT TO:<b@b.example>
        S: 250 ok
        C: DATA
        S: 354 go
        content
        S: 250 ok"])
    .await;
    let mut delivery = gateway.begin();
    let parameters = [parameter("SIZE", "10"), parameter("BODY", "8BITMIME")];
    let recipient = to(0, "b@b.example");
    assert_eq!(delivery.offer(&sender(), &parameters, &recipient).await, Ok(()));
    let replies =
        delivery.deliver(&sender(), &parameters, &[recipient], &message("7-bit\r\n")).await;
    assert_eq!(texts(&replies), ["250 2.0.0 ok"]);
    assert_eq!(up.contents().await.len(), 1);
}

#[tokio::test]
async fn parameters_go_on_and_an_announced_size_leaves_room_for_our_fields() {
    let (gateway, up) = Gateway::with(&[&script(&[
        GREETING,
        "C: MAIL FROM:<> SIZE=1034 BODY=8BITMIME
         C: RCPT TO:<b@b.example>
         S: 250 ok\\r\\n250 ok
         C: RSET
         S: 250 ok
         C: MAIL FROM:<> SIZE=100000
         C: RCPT TO:<b@b.example>
         S: 552 5.3.4 too large\\r\\n503 MAIL first
         gone",
    ])])
    .await;
    let mut delivery = gateway.begin();
    let parameters = [parameter("SIZE", "10"), parameter("BODY", "8BITMIME")];
    let recipient = to(0, "b@b.example");
    assert_eq!(delivery.offer(&ReversePath::Null, &parameters, &recipient).await, Ok(()));
    delivery.abandon().await;
    let mut delivery = gateway.begin();
    let refused =
        delivery.offer(&ReversePath::Null, &[parameter("SIZE", "99990")], &recipient).await;
    assert_eq!(refused.expect_err("too large").to_string(), "552 5.3.4 too large");
    drop(delivery);
    up.contents().await;
}

#[tokio::test]
async fn a_connection_lost_at_the_first_recipient_is_told() {
    for (lines, want) in [
        ("", "451 4.4.2 upstream up lost the connection"),
        ("S: 250 ok", "451 4.4.2 upstream up lost the connection"),
        ("S: 421 4.3.2 shutting down", "451 4.3.2 shutting down"),
        ("S: garbage", "451 4.5.0 upstream up does not speak the protocol"),
        ("S: 354 what", "451 4.5.0 upstream up does not speak the protocol"),
    ] {
        let mail = "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>";
        let (gateway, up) = Gateway::with(&[&script(&[GREETING, mail, lines])]).await;
        let heard = gateway.send(&["b@b.example", "c@b.example"]).await;
        assert_eq!(heard, [want, want], "{lines}");
        up.contents().await;
    }
}

#[tokio::test]
async fn a_connection_lost_between_recipients_is_replaced_and_nobody_hears_of_it() {
    let both = "C: MAIL FROM:<a@a.example> SIZE=34
        C: RCPT TO:<b@b.example>
        C: RCPT TO:<c@b.example>
        S: 250 ok\\r\\n250 ok\\r\\n250 ok";
    let (gateway, up) = Gateway::with(&[
        &script(&[GREETING, ENVELOPE]),
        &script(&[
            GREETING,
            "C: MAIL FROM:<a@a.example>
             C: RCPT TO:<c@b.example>
             S: 250 ok\\r\\n250 ok
             C: RSET",
            both.replacen("S: ", "S: 250 ok\\r\\n", 1).as_str(),
            DATA,
            "S: 250 ok",
        ]),
    ])
    .await;
    assert_eq!(gateway.send(&["b@b.example", "c@b.example"]).await, ["250 2.0.0 ok"; 2]);
    assert_eq!(up.contents().await.len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_slow_to_answer_is_given_up() {
    let script = Script::start(vec![script(&[GREETING, "silence"])]).await;
    let gateway = Gateway::new(&impatient(script.address));
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 upstream up did not answer in time"]);
}
