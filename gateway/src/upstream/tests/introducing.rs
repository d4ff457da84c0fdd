use std::sync::Arc;

use super::*;
use crate::message::{Forwarded, Provenance};

fn telling(address: SocketAddr, xclient: bool, xforward: bool) -> Hop {
    Hop { client: UpstreamClient { xclient, xforward }, ..upstream(address) }
}

fn client(id: &str, address: &str, login: Option<&str>) -> Provenance {
    Provenance {
        id: id.to_owned(),
        address: Some(address.parse().expect("an address")),
        port: Some(4711),
        helo: Some("c.example".to_owned()),
        esmtp: true,
        login: login.map(str::to_owned),
        ..Provenance::default()
    }
}

async fn send(gateway: &Gateway, provenance: Provenance) -> Vec<String> {
    let mut delivery = Transaction::new(gateway.pool.clone(), Arc::new(provenance));
    let recipient = to(0, "b@b.example");
    match delivery.offer(&sender(), &[], &recipient).await {
        Ok(()) => {
            let message = message("hello\r\n");
            texts(&delivery.deliver(&sender(), &[], &[recipient], &message).await)
        }
        Err(reply) => vec![reply.to_string()],
    }
}

const EHLO: &str = "C: EHLO gw.example
    S: 250-up.example\\r\\n250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN\\r\\n250-XFORWARD NAME ADDR IDENT SOURCE\\r\\n250 PIPELINING\n";

const MAIL: &str = "C: MAIL FROM:<a@a.example>
    C: RCPT TO:<b@b.example>
    S: 250 2.1.0 ok\\r\\n250 2.1.5 ok
    C: DATA
    S: 354 go
    content
    S: 250 ok\n";

const ANN: &str =
    "C: XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP HELO=c.example LOGIN=ann
    S: 220 up.example\n";

const NOBODY: &str = "C: XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7 PORT=4711 PROTO=ESMTP HELO=c.example LOGIN=[UNAVAILABLE]
    S: 220 up.example\n";

#[tokio::test]
async fn each_client_is_introduced_once_and_nothing_is_left_of_the_one_before() {
    let lines = ["S: 220 up.example\n", EHLO, ANN, EHLO, MAIL, MAIL, NOBODY, EHLO, MAIL].concat();
    let (_, script) = (0, Script::start(vec![lines]).await);
    let gateway = Gateway::new(&telling(script.address, true, false));
    for (id, address, login) in [
        ("1.1", "192.0.2.1", Some("ann")),
        ("1.2", "192.0.2.1", Some("ann")),
        ("2.1", "2001:db8::7", None),
    ] {
        assert_eq!(send(&gateway, client(id, address, login)).await, ["250 2.0.0 ok"], "{id}");
    }
    assert_eq!(script.contents().await.len(), 3);
}

#[tokio::test]
async fn a_stale_connection_is_found_out_by_xclient_and_nobody_hears_of_it() {
    let first = ["S: 220 up.example\n", EHLO, ANN, EHLO, MAIL, "C: XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7 PORT=4711 PROTO=ESMTP HELO=c.example LOGIN=[UNAVAILABLE]"].concat();
    let second = ["S: 220 up.example\n", EHLO, NOBODY, EHLO, MAIL].concat();
    let script = Script::start(vec![first, second]).await;
    let gateway = Gateway::new(&telling(script.address, true, false));
    assert_eq!(send(&gateway, client("1.1", "192.0.2.1", Some("ann"))).await, ["250 2.0.0 ok"]);
    assert_eq!(send(&gateway, client("2.1", "2001:db8::7", None)).await, ["250 2.0.0 ok"]);
    assert_eq!(script.contents().await.len(), 2);
}

#[tokio::test]
async fn an_upstream_that_refuses_the_introduction_gets_no_mail() {
    let refused = ["S: 220 up.example\n", EHLO, &ANN.replace("220 up.example", "550 5.7.0 no")];
    let script = Script::start(vec![refused.concat()]).await;
    let gateway = Gateway::new(&telling(script.address, true, false));
    let heard = send(&gateway, client("1.1", "192.0.2.1", Some("ann"))).await;
    assert_eq!(heard, ["451 4.7.0 upstream up does not take the client by XCLIENT"]);
}

#[tokio::test]
async fn an_upstream_that_does_not_offer_it_gets_the_mail_all_the_same() {
    let script = Script::start(vec![[GREETING, MAIL].concat()]).await;
    let gateway = Gateway::new(&telling(script.address, true, true));
    assert_eq!(send(&gateway, client("1.1", "192.0.2.1", None)).await, ["250 2.0.0 ok"]);
}

#[tokio::test]
async fn where_a_message_came_from_is_said_before_it() {
    let from = |words: &str, answer: &str| {
        MAIL.replacen("C: MAIL", &format!("C: XFORWARD {words}\nC: MAIL"), 1).replacen(
            "S: 250 2.1.0 ok",
            &format!("S: {answer}\\r\\n250 2.1.0 ok"),
            1,
        )
    };
    let own = from("NAME=[UNAVAILABLE] ADDR=192.0.2.1 IDENT=1.1 SOURCE=REMOTE", "250 ok");
    let proxied = from("NAME=far.example ADDR=198.51.100.1 IDENT=2.1 SOURCE=LOCAL", "501 5.5.4 no");
    let lines = ["S: 220 up.example\n", EHLO, &own, &proxied].concat();
    let script = Script::start(vec![lines]).await;
    let gateway = Gateway::new(&telling(script.address, false, true));
    assert_eq!(send(&gateway, client("1.1", "192.0.2.1", None)).await, ["250 2.0.0 ok"]);
    let forwarded = Forwarded {
        name: Some("far.example".to_owned()),
        address: Some("198.51.100.1".parse().expect("an address")),
        source: Some("LOCAL".to_owned()),
        ..Forwarded::default()
    };
    let provenance = Provenance { forwarded: Some(forwarded), ..client("2.1", "192.0.2.1", None) };
    assert_eq!(send(&gateway, provenance).await, ["250 2.0.0 ok"], "a no to XFORWARD is no no");
    assert_eq!(script.contents().await.len(), 2);
}
