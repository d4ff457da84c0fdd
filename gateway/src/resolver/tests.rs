use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{RData, Record as Said, RecordType};
use tokio::net::UdpSocket;

use super::*;
use crate::metrics::{Metrics, Names};

/// A name server that says what it is told to, and how many queries it had.
async fn server(answer: fn(&mut Message)) -> (Resolver, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let dns = config::Dns {
        servers: Some(vec![socket.local_addr().expect("its address")]),
        ..config::Dns::default()
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        let mut datagram = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            counter.fetch_add(1, Ordering::SeqCst);
            let query = Message::from_vec(&datagram[..length]).expect("a query");
            let mut message = Message::response(query.id, query.op_code);
            message.add_query(query.queries[0].clone());
            answer(&mut message);
            let _ = socket.send_to(&message.to_vec().expect("a message"), from).await;
        }
    });
    let metrics = Metrics::new(&Names::default());
    (Resolver::new(&dns, metrics.dns()).expect("a resolver"), asked)
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn address(owner: &str, ttl: u32) -> Said {
    Said::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, 7)))
}

fn authority(ttl: u32, least: u32) -> Said {
    let soa = SOA::new(name("ns.example."), name("a.example."), 1, 1, 1, 1, least);
    Said::from_rdata(name("example."), ttl, RData::SOA(soa))
}

/// What is said of `a.example`, for how long, and whether it is asked for only once.
async fn said(answer: fn(&mut Message)) -> (Answer, Duration, bool) {
    let (resolver, asked) = server(answer).await;
    let query = |name: &str| Query { name: name.to_owned(), kind: Kind::A };
    let deadline = Instant::now() + Duration::from_secs(10);
    let (first, life) = resolver.lookup_with_life(&query("a.example"), deadline).await;
    let before = asked.load(Ordering::SeqCst);
    assert!(before > 0);
    let all = resolver.lookup_all(vec![query("A.Example")], deadline).await;
    assert_eq!(all, std::slice::from_ref(&first));
    (first, life, asked.load(Ordering::SeqCst) == before)
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_its_records_live_but_no_longer_than_a_day() {
    let (answer, life, kept) = said(|message| {
        message.add_answer(address("a.example.", 1_000_000));
    })
    .await;
    assert_eq!(answer, Answer::Records(vec![Record::Address([192, 0, 2, 7].into())]));
    assert_eq!((life, kept), (LONGEST_TTL, true));
    let (_, life, kept) = said(|message| {
        message.add_answer(address("a.example.", 0));
    })
    .await;
    assert_eq!((life, kept), (Duration::ZERO, false));
}

#[tokio::test]
async fn an_alias_lives_no_longer_than_what_leads_to_it() {
    let (answer, life, kept) = said(|message| {
        let alias = RData::CNAME(CNAME(name("b.example.")));
        message.add_answer(Said::from_rdata(name("a.example."), 0, alias));
        message.add_answer(address("b.example.", 300));
    })
    .await;
    assert_eq!(answer, Answer::Records(vec![Record::Address([192, 0, 2, 7].into())]));
    assert_eq!((life, kept), (Duration::ZERO, false));
    // The second part of the way has to be asked for.
    let (answer, life, kept) = said(|message| {
        if *message.queries[0].name() == name("b.example.") {
            message.add_answer(address("b.example.", 300));
        } else {
            let alias = RData::CNAME(CNAME(name("b.example.")));
            message.add_answer(Said::from_rdata(name("a.example."), 0, alias));
        }
    })
    .await;
    assert_eq!(answer, Answer::Records(vec![Record::Address([192, 0, 2, 7].into())]));
    assert_eq!((life, kept), (Duration::ZERO, false));
}

#[tokio::test]
async fn what_is_not_there_is_kept_as_long_as_its_zone_says() {
    let (answer, life, kept) = said(|message| {
        message.metadata.response_code = ResponseCode::NXDomain;
        message.add_authority(authority(300, 60));
    })
    .await;
    assert_eq!((answer, life, kept), (Answer::NoSuchName, LIFE, true));
    let (answer, _, kept) = said(|message| {
        message.add_authority(authority(300, 0));
    })
    .await;
    assert_eq!((answer, kept), (Answer::NoData, false));
    // RFC 2308 section 5.
    let (answer, _, kept) = said(|message| {
        message.metadata.response_code = ResponseCode::NXDomain;
    })
    .await;
    assert_eq!((answer, kept), (Answer::NoSuchName, false));
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_again_after_a_day() {
    let (resolver, _) = server(|message| {
        message.metadata.response_code = ResponseCode::NXDomain;
        message.add_authority(authority(1_000_000, 1_000_000));
    })
    .await;
    let query = Query { name: "a.example".to_owned(), kind: Kind::A };
    let deadline = Instant::now() + Duration::from_secs(10);
    assert_eq!(resolver.lookup(&query, deadline).await, Answer::NoSuchName);
    let Source::Servers { memory, .. } = &resolver.shared.source else { panic!("no servers") };
    let (_, left) = memory.recall(&query).expect("it is kept");
    assert!(left <= LONGEST_TTL, "{left:?}");
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let (answer, _, kept) = said(|message| {
        message.metadata.response_code = ResponseCode::ServFail;
        message.add_authority(authority(300, 60));
    })
    .await;
    assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    assert!(!kept);
}

#[tokio::test]
async fn one_kind_says_nothing_of_another() {
    let (resolver, _) = server(|message| {
        if message.queries[0].query_type() == RecordType::A {
            message.add_answer(address("a.example.", 300));
        } else {
            message.add_authority(authority(300, 60));
        }
    })
    .await;
    let deadline = Instant::now() + Duration::from_secs(10);
    for _ in 0..2 {
        let ask = |kind| Query { name: "a.example".to_owned(), kind };
        let all = resolver.lookup_all(vec![ask(Kind::A), ask(Kind::Aaaa)], deadline).await;
        assert!(matches!(&all[..], [Answer::Records(_), Answer::NoData]), "{all:?}");
    }
}
