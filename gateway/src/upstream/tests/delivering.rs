use super::*;
use crate::message::{Budget, ContentWriter};

#[tokio::test]
async fn lmtp_gives_each_recipient_its_own_answer() {
    let script = Script::start(vec![script(&[
        &GREETING.replace("EHLO", "LHLO"),
        ENVELOPE,
        "C: RCPT TO:<c@b.example>
         S: 250 ok
         C: RCPT TO:<d@b.example>
         S: 250 ok",
        DATA,
        "S: 250 2.0.0 kept\\r\\n452 4.2.2 full\\r\\n550 5.2.1 disabled",
    ])])
    .await;
    let gateway = Gateway::new(&lmtp(script.address));
    let heard = gateway.send(&["b@b.example", "c@b.example", "d@b.example"]).await;
    assert_eq!(heard, ["250 2.0.0 kept", "452 4.2.2 full", "550 5.2.1 disabled"]);
    assert_eq!(script.contents().await, [HELLO]);
}

#[tokio::test]
async fn lmtp_answers_that_never_come_are_a_4xx_for_those_without_one() {
    let script = Script::start(vec![script(&[
        &GREETING.replace("EHLO", "LHLO"),
        ENVELOPE,
        "C: RCPT TO:<c@b.example>
         S: 250 ok",
        DATA,
        "S: 250 2.0.0 kept",
    ])])
    .await;
    let gateway = Gateway::new(&lmtp(script.address));
    let heard = gateway.send(&["b@b.example", "c@b.example"]).await;
    assert_eq!(
        heard,
        ["250 2.0.0 kept", "451 4.4.2 no answer to the message: upstream up lost the connection"]
    );
    assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 1"));
}

#[tokio::test]
async fn a_refusal_after_the_message_goes_to_all() {
    for (lines, want) in [
        ("S: 554 5.7.1 looks like spam", "554 5.7.1 looks like spam"),
        ("S: 452 full", "452 4.0.0 full"),
        ("S: 421 4.3.2 bye", "451 4.3.2 bye"),
        (
            "S: 354 what",
            "451 4.5.0 no answer to the message: upstream up does not speak the protocol",
        ),
    ] {
        let (gateway, up) =
            Gateway::with(&[&script(&[GREETING, ENVELOPE, DATA, lines, "gone"])]).await;
        assert_eq!(gateway.send(&["b@b.example"]).await, [want], "{lines}");
        gateway.pool.close();
        up.contents().await;
    }
}

#[tokio::test]
async fn a_refusal_right_behind_the_354_is_the_answer() {
    let early = "C: DATA
        S: 354 go\\r\\n552 5.3.4 too much";
    let (gateway, up) = Gateway::with(&[&script(&[GREETING, ENVELOPE, early, "gone"])]).await;
    assert_eq!(gateway.send(&["b@b.example"]).await, ["552 5.3.4 too much"]);
    gateway.pool.close();
    up.contents().await;
}

#[tokio::test]
async fn a_refusal_of_data_goes_to_all_and_the_connection_stays() {
    let (gateway, up) = Gateway::with(&[&script(&[
        GREETING,
        ENVELOPE,
        "C: DATA
         S: 451 4.3.0 not now
         C: RSET
         S: 250 ok",
        ENVELOPE,
        DATA,
        "S: 250 ok",
    ])])
    .await;
    assert_eq!(gateway.send(&["b@b.example"]).await, ["451 4.3.0 not now"]);
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    assert_eq!(up.contents().await.len(), 1);
}

#[tokio::test]
async fn a_connection_lost_after_the_final_dot_is_ambiguous_and_nothing_is_sent_again() {
    let (gateway, up) = Gateway::with(&[&script(&[GREETING, ENVELOPE, DATA])]).await;
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 no answer to the message: upstream up lost the connection"]);
    assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 1"));
    assert!(gateway.metric("portcullis_upstream_connections{upstream=\"up\"} 0"));
    assert_eq!(up.contents().await.len(), 1);
}

#[tokio::test]
async fn an_upstream_that_never_answers_the_final_dot_is_given_up() {
    let script = Script::start(vec![script(&[GREETING, ENVELOPE, DATA, "silence"])]).await;
    let gateway = Gateway::new(&impatient(script.address));
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 no answer to the message: upstream up did not answer in time"]);
    assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 1"));
}

#[tokio::test]
async fn a_connection_lost_before_the_content_is_replaced() {
    let (gateway, up) = Gateway::with(&[
        &script(&[GREETING, ENVELOPE, "C: DATA"]),
        &script(&[
            GREETING,
            "C: MAIL FROM:<a@a.example> SIZE=34
             C: RCPT TO:<b@b.example>
             S: 250 ok\\r\\n250 ok",
            DATA,
            "S: 250 ok",
        ]),
    ])
    .await;
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    assert_eq!(up.contents().await.len(), 1);
    assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 0"));
}

#[tokio::test]
async fn a_second_loss_is_told() {
    let again = "C: MAIL FROM:<a@a.example> SIZE=34
        C: RCPT TO:<b@b.example>
        S: 250 ok\\r\\n250 ok
        C: DATA";
    let (gateway, up) =
        Gateway::with(&[&script(&[GREETING, ENVELOPE, "C: DATA"]), &script(&[GREETING, again])])
            .await;
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 upstream up lost the connection"]);
    up.contents().await;
}

#[tokio::test]
async fn edits_of_the_envelope_begin_the_transaction_anew() {
    let (gateway, up) = Gateway::with(&[&script(&[
        GREETING,
        ENVELOPE,
        "C: RSET
         C: MAIL FROM:<other@a.example> SIZE=34
         C: RCPT TO:<b@b.example>
         C: RCPT TO:<added@b.example>
         S: 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n550 5.1.1 no",
        DATA,
        "S: 250 ok",
    ])])
    .await;
    let mut delivery = gateway.begin();
    let mut recipients = vec![to(0, "b@b.example")];
    assert_eq!(delivery.offer(&sender(), &[], &recipients[0]).await, Ok(()));
    recipients.push(to(1, "added@b.example"));
    let other = ReversePath::Mailbox(Mailbox::parse("other@a.example").expect("a mailbox"));
    let replies = delivery.deliver(&other, &[], &recipients, &message("hello\r\n")).await;
    assert_eq!(texts(&replies), ["250 2.0.0 ok", "550 5.1.1 no"]);
    assert_eq!(up.contents().await, [HELLO]);
}

#[tokio::test]
async fn what_the_upstream_cannot_take_is_refused_without_sending_it() {
    let greeting = "S: 220 up.example
        C: EHLO gw.example
        S: 250-up.example\\r\\n250-PIPELINING\\r\\n250 SIZE 1000
        C: MAIL FROM:<a@a.example>
        C: RCPT TO:<b@b.example>
        S: 250 ok\\r\\n250 ok
        C: RSET
        S: 250 ok
        gone";
    for (body, want) in [
        ("x".repeat(2000), "552 5.3.4 message is larger than upstream up takes"),
        ("gr\u{fc}n\r\n".to_owned(), "554 5.6.3 upstream up takes no 8-bit content"),
    ] {
        let (gateway, up) = Gateway::with(&[greeting]).await;
        let mut delivery = gateway.begin();
        let (parameters, recipient) = ([parameter("BODY", "8BITMIME")], to(0, "b@b.example"));
        assert_eq!(delivery.offer(&sender(), &parameters, &recipient).await, Ok(()));
        let replies = delivery.deliver(&sender(), &parameters, &[recipient], &message(&body)).await;
        assert_eq!(texts(&replies), [want]);
        gateway.pool.close();
        up.contents().await;
    }
}

#[tokio::test]
async fn an_upstream_that_has_had_enough_is_heard_before_the_content_ends() {
    let large = "0123456789abcdef\r\n".repeat(1_000_000);
    for (lines, want) in [
        ("S: 552 5.3.4 too large", "552 5.3.4 too large"),
        ("S: 421 4.3.0 bye", "451 4.3.0 bye"),
        ("S: 250 ok", "451 4.5.0 upstream up does not speak the protocol"),
        ("", "451 4.4.2 upstream up lost the connection"),
    ] {
        // It stops reading, so that the content does not go through.
        let data = "C: DATA\nS: 354 go\nsome content";
        let greeting = GREETING.replace("SIZE 100000", "SIZE");
        let (gateway, up) = Gateway::with(&[&script(&[&greeting, ENVELOPE, data, lines])]).await;
        let mut delivery = gateway.begin();
        let recipient = to(0, "b@b.example");
        assert_eq!(delivery.offer(&sender(), &[], &recipient).await, Ok(()));
        let replies = delivery.deliver(&sender(), &[], &[recipient], &message(&large)).await;
        assert_eq!(texts(&replies), [want], "{lines}");
        assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 0"));
        up.contents().await;
    }
}

#[tokio::test]
async fn large_content_goes_out_as_it_is_from_memory_and_from_a_file() {
    let line = "..leading dots, and enough of them to fill several blocks\r\n";
    let body = line.repeat(5000) + "no newline at the end";
    for in_memory in [0, u64::MAX] {
        let greeting = GREETING.replace("SIZE 100000", "SIZE");
        let (gateway, up) =
            Gateway::with(&[&script(&[&greeting, ENVELOPE, DATA, "S: 250 ok"])]).await;
        let outbound = kept(body.clone().into_bytes(), in_memory).await;
        let mut delivery = gateway.begin();
        let recipient = to(0, "b@b.example");
        assert_eq!(delivery.offer(&sender(), &[], &recipient).await, Ok(()));
        let replies = delivery.deliver(&sender(), &[], &[recipient], &outbound).await;
        assert_eq!(texts(&replies), ["250 2.0.0 ok"]);
        let stuffed = format!("Received: x\r\nSubject: t\r\n\r\n{body}\r\n.\r\n")
            .replace("\r\n..l", "\r\n...l");
        assert!(up.contents().await == [stuffed], "content differs");
    }
}

#[tokio::test]
async fn a_message_whose_recipients_were_all_dropped_goes_nowhere() {
    let reset = "C: RSET\nS: 250 ok\ngone";
    let (gateway, up) = Gateway::with(&[&script(&[GREETING, ENVELOPE, reset])]).await;
    let mut delivery = gateway.begin();
    assert_eq!(delivery.offer(&sender(), &[], &to(0, "b@b.example")).await, Ok(()));
    assert_eq!(delivery.deliver(&sender(), &[], &[], &message("hello\r\n")).await, []);
    gateway.pool.close();
    assert!(up.contents().await.is_empty());
}

#[tokio::test]
async fn binary_content_goes_out_in_one_chunk_octet_for_octet() {
    let body = b"\n.\r\n\0\xff\r..\n".repeat(10_000);
    let octets = (b"Received: x\r\nSubject: t\r\n\r\n".len() + body.len()).to_string();
    for in_memory in [0, u64::MAX] {
        let (gateway, up) = Gateway::with(&[&script(&[
            BINARY_GREETING,
            "C: MAIL FROM:<a@a.example> BODY=BINARYMIME
             C: RCPT TO:<b@b.example>
             S: 250 2.1.0 ok\\r\\n250 2.1.5 ok",
            &format!("C: BDAT {octets} LAST\noctets {octets}"),
            "S: 250 2.0.0 ok",
        ])])
        .await;
        let outbound = kept(body.clone(), in_memory).await;
        assert_eq!(gateway.send_binary(&outbound).await, ["250 2.0.0 ok"]);
        let script = up.octets().await;
        assert!(script[0].ends_with(&body), "content differs");
    }
}

#[tokio::test]
async fn an_upstream_without_binary_content_is_not_offered_it() {
    for offered in ["8BITMIME", "8BITMIME\\r\\n250-CHUNKING", "8BITMIME\\r\\n250-BINARYMIME"] {
        let greeting = format!(
            "S: 220 up.example
             C: EHLO gw.example
             S: 250-up.example\\r\\n250-{offered}\\r\\n250 SIZE
             gone"
        );
        let (gateway, up) = Gateway::with(&[&greeting]).await;
        let heard = gateway.send_binary(&message("x")).await;
        assert_eq!(heard, ["554 5.6.3 upstream up takes no binary content"], "{offered}");
        gateway.pool.close();
        up.contents().await;
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_a_chunk_before_its_end_is_heard() {
    let greeting = BINARY_GREETING;
    let envelope = "C: MAIL FROM:<a@a.example> BODY=BINARYMIME
         C: RCPT TO:<b@b.example>
         S: 250 2.1.0 ok\\r\\n250 2.1.5 ok";
    let early = "some octets\nS: 552 5.3.4 too much";
    let (gateway, up) = Gateway::with(&[&script(&[greeting, envelope, early])]).await;
    let heard = gateway.send_binary(&message(&"x".repeat(20_000_000))).await;
    assert_eq!(heard, ["552 5.3.4 too much"]);
    assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 0"));
    up.contents().await;
}

#[tokio::test]
async fn content_that_ends_before_its_time_is_no_message() {
    for cut in [0, 1000, 100_000] {
        let greeting = GREETING.replace("SIZE 100000", "SIZE");
        let data = "C: DATA\nS: 354 go\nno end";
        let (gateway, up) = Gateway::with(&[&script(&[&greeting, ENVELOPE, data])]).await;
        let outbound = kept(b"0123456789abcd\r\n".repeat(10_000), 0).await;
        outbound.message.body.cut_short(cut);
        let mut delivery = gateway.begin();
        let recipient = to(0, "b@b.example");
        assert_eq!(delivery.offer(&sender(), &[], &recipient).await, Ok(()));
        let replies = delivery.deliver(&sender(), &[], &[recipient], &outbound).await;
        assert_eq!(texts(&replies), ["451 4.3.0 message content cannot be read"]);
        assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 0"));
        up.contents().await;
    }
}

/// A message whose body lies in memory up to so many octets, and beyond that in a file.
async fn kept(body: Vec<u8>, in_memory: u64) -> Outbound {
    let budget = Budget::new(u64::MAX, u64::MAX, in_memory, std::env::temp_dir());
    let mut writer = ContentWriter::new(budget);
    writer.write(body).await.expect("written");
    let mut outbound = message("");
    outbound.message.body = writer.finish().await.expect("writable");
    assert_eq!(outbound.message.body.as_bytes().is_some(), in_memory > 0);
    outbound
}

const BINARY_GREETING: &str = "S: 220 up.example
    C: EHLO gw.example
    S: 250-up.example\\r\\n250-PIPELINING\\r\\n250-8BITMIME\\r\\n250-CHUNKING\\r\\n250 BINARYMIME\n";
