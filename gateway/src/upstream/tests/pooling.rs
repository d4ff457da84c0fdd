use super::*;

const KEPT: &str = "S: 250 ok";

#[tokio::test]
async fn a_connection_is_used_again_without_rset() {
    let (gateway, up) =
        Gateway::with(&[&script(&[GREETING, ENVELOPE, DATA, KEPT, ENVELOPE, DATA, KEPT, "gone"])])
            .await;
    for _ in 0..2 {
        assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    }
    assert!(gateway.metric("portcullis_upstream_connections{upstream=\"up\"} 1"));
    gateway.pool.close();
    assert!(gateway.metric("portcullis_upstream_connections{upstream=\"up\"} 0"));
    assert_eq!(up.contents().await, [HELLO, HELLO]);
}

#[tokio::test]
async fn a_transaction_that_is_taken_back_is_reset() {
    let reset = "C: RSET\nS: 250 ok";
    let (gateway, up) =
        Gateway::with(&[&script(&[GREETING, ENVELOPE, reset, ENVELOPE, DATA, KEPT])]).await;
    let mut delivery = gateway.begin();
    assert_eq!(delivery.offer(&sender(), &[], &to(0, "b@b.example")).await, Ok(()));
    delivery.abandon().await;
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    assert_eq!(up.contents().await.len(), 1);
}

#[tokio::test]
async fn a_delivery_at_rest_leaves_its_connection_to_others_and_offers_anew() {
    let reset = "C: RSET\nS: 250 ok";
    // The size is known exactly by then.
    let anew = &ENVELOPE.replace("example>\n    C: RCPT", "example> SIZE=34\n    C: RCPT");
    let pauses = [GREETING, ENVELOPE, reset, ENVELOPE, DATA, KEPT, anew, DATA, KEPT];
    let (gateway, up) = Gateway::with(&[&script(&pauses)]).await;
    let mut slow = gateway.begin();
    let to = [to(0, "b@b.example")];
    assert_eq!(slow.offer(&sender(), &[], &to[0]).await, Ok(()));
    slow.rest().await;
    slow.rest().await;
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    let replies = slow.deliver(&sender(), &[], &to, &message("hello\r\n")).await;
    assert_eq!(replies[0].to_string(), "250 2.0.0 ok");
    assert_eq!(up.contents().await, [HELLO, HELLO]);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_closes_its_connection() {
    let (gateway, up) = Gateway::with(&[&script(&[GREETING, ENVELOPE, "gone"])]).await;
    let mut delivery = gateway.begin();
    assert_eq!(delivery.offer(&sender(), &[], &to(0, "b@b.example")).await, Ok(()));
    drop(delivery);
    up.contents().await;
    assert!(gateway.metric("portcullis_upstream_connections{upstream=\"up\"} 0"));
}

#[tokio::test]
async fn a_transaction_that_offered_nothing_opens_nothing() {
    let gateway = Gateway::new(&upstream(([127, 0, 0, 1], 1).into()));
    gateway.begin().abandon().await;
    drop(gateway.begin());
    assert!(gateway.metric("portcullis_upstream_connections{upstream=\"up\"} 0"));
}

#[tokio::test]
async fn a_stale_connection_is_replaced_before_anybody_hears_of_it() {
    for last_words in ["", "S: 421 4.4.2 idle for too long"] {
        let again = script(&[GREETING, ENVELOPE, DATA, KEPT]);
        let (gateway, up) =
            Gateway::with(&[&script(&[GREETING, ENVELOPE, DATA, KEPT, last_words]), &again]).await;
        for _ in 0..2 {
            // Whether the first connection's end has arrived yet or not: both must do.
            assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"], "{last_words}");
        }
        assert_eq!(up.contents().await.len(), 2);
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_instead_of_an_answer_to_mail_is_replaced() {
    let mail = "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>";
    for answer in ["", "S: 421 4.4.2 idle for too long", "S: 250 ok\\r\\n421 too many"] {
        let (gateway, up) = Gateway::with(&[
            &script(&[GREETING, ENVELOPE, DATA, KEPT, mail, answer]),
            &script(&[GREETING, ENVELOPE, DATA, KEPT]),
        ])
        .await;
        for _ in 0..2 {
            assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"], "{answer}");
        }
        assert_eq!(up.contents().await.len(), 2);
    }
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let script = Script::start(vec![script(&[GREETING, ENVELOPE, DATA, KEPT, "gone"])]).await;
    let idle_time = Duration::from_millis(100);
    let gateway = Gateway::new(&Hop { idle_time, ..upstream(script.address) });
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    script.contents().await;
}

#[tokio::test]
async fn no_more_connections_than_there_may_be() {
    let script =
        Script::start(vec![script(&[GREETING, ENVELOPE, "C: RSET\nS: 250 ok", ENVELOPE, "gone"])])
            .await;
    let gateway = Gateway::new(&Hop { connections: 1, ..impatient(script.address) });
    let (mut first, mut second) = (gateway.begin(), gateway.begin());
    let recipient = to(0, "b@b.example");
    assert_eq!(first.offer(&sender(), &[], &recipient).await, Ok(()));
    let busy = second.offer(&sender(), &[], &recipient).await.expect_err("all are in use");
    assert_eq!(busy.to_string(), "451 4.3.2 upstream up has no connection free");
    first.abandon().await;
    let mut third = gateway.begin();
    assert_eq!(third.offer(&sender(), &[], &recipient).await, Ok(()));
    drop((second, third));
    script.contents().await;
}

/// They lie in the task of every connection, idle ones too.
#[test]
fn what_a_waiting_client_carries_is_small() {
    let gateway = Gateway::new(&upstream(([127, 0, 0, 1], 1).into()));
    let (sender, recipients, message) = (sender(), [to(0, "b@b.example")], message(""));
    let mut delivery = gateway.begin();
    assert!(size_of_val(&delivery.offer(&sender, &[], &recipients[0])) <= 1024);
    assert!(size_of_val(&delivery.deliver(&sender, &[], &recipients, &message)) <= 2048);
}
