//! Upstreams with several addresses, of which some go away and come back.

use std::collections::BTreeSet;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::Running;
use portcullis_tests::metrics::get;
use portcullis_tests::{Client, Dns, Gateway, Sink, Zone, free_address, wait_for};
use serde_json::{Value, json};

/// An address in front of a sink that can go away, with all connections, and come back.
#[derive(Clone)]
struct Door {
    address: SocketAddr,
    sink: SocketAddr,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    fn closed(address: SocketAddr, sink: &Sink) -> Self {
        let (open, streams) = Default::default();
        Self { address, sink: sink.address(), open, streams }
    }

    fn before(sink: &Sink) -> Self {
        let door = Self::closed(free_address(), sink);
        door.open();
        door
    }

    fn open(&self) {
        let listener = TcpListener::bind(self.address).expect("nobody else is there");
        self.open.store(true, Ordering::SeqCst);
        let door = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !door.open.load(Ordering::SeqCst) {
                    return;
                }
                door.pass(stream);
            }
        });
    }

    fn pass(&self, stream: TcpStream) {
        let Ok(inner) = TcpStream::connect(self.sink) else { return };
        for (from, to) in [(&stream, &inner), (&inner, &stream)] {
            drop(from.set_nodelay(true));
            let both = (from.try_clone(), to.try_clone());
            let (Ok(mut from), Ok(mut to)) = both else { return };
            thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Write));
            });
        }
        self.streams().extend([stream, inner]);
    }

    fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        // It hears of it with the next connection, which is the last.
        drop(TcpStream::connect(self.address));
        wait_for("a closed door", || TcpStream::connect(self.address).is_err().then_some(()));
        for stream in self.streams().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gateway(upstream: Value) -> Gateway {
    Gateway::new()
        .listener("mx", json!({}))
        .set("upstreams", json!({ "store": upstream }))
        .set("default_upstream", "store".into())
}

fn deliver(client: &mut Client, subject: &str) -> String {
    let message = format!("Subject: {subject}\r\n\r\nx\r\n");
    let reply = client.deliver("a@a.example", &["b@b.example"], message.as_bytes());
    let reply = reply.expect("the gateway stays");
    if !reply.is_positive() {
        client.command("RSET").expect_code(250);
    }
    format!("{} {}", reply.code, reply.text())
}

fn subjects(sinks: &[&Sink]) -> Vec<String> {
    let letters = sinks.iter().flat_map(|sink| sink.letters());
    let subject = |text: &str| {
        text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(str::to_owned)
    };
    letters.filter_map(|letter| subject(&letter.text())).collect()
}

fn sum(gateway: &Running, name: &str) -> usize {
    gateway.metrics().sum(name, &[]) as usize
}

#[test]
fn an_address_that_dies_under_load_and_comes_back_costs_no_mail() {
    let sinks = [Sink::smtp(), Sink::smtp()];
    let doors = sinks.each_ref().map(Door::before);
    let addresses = doors.each_ref().map(|door| door.address.to_string());
    let gateway = gateway(json!({ "addresses": addresses })).start();
    let (sent, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let replies = Mutex::new(Vec::new());
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = gateway.client();
                    for _ in 0..20 {
                        let subject = format!("<{}>", sent.fetch_add(1, Ordering::Relaxed));
                        let reply = deliver(&mut client, &subject);
                        replies.lock().expect("no panic").push((subject, reply));
                    }
                }
            });
        }
        let more = |count: usize| {
            let enough = replies.lock().expect("no panic").len() + count;
            wait_for("more mail", || {
                (replies.lock().expect("no panic").len() >= enough).then_some(())
            });
        };
        for door in doors.iter().chain(&doors) {
            more(60);
            door.close();
            more(60);
            let address = door.address.to_string();
            let up = [("address", &*address)];
            gateway.wait_for_metric("portcullis_upstream_address_up", &up, 0.0);
            door.open();
            gateway.wait_for_metric("portcullis_upstream_address_up", &up, 1.0);
        }
        more(60);
        stop.store(true, Ordering::Relaxed);
    });
    let arrived = subjects(&[&sinks[0], &sinks[1]]);
    let distinct: BTreeSet<_> = arrived.iter().collect();
    let replies = replies.into_inner().expect("no panic");
    let (taken, others): (Vec<_>, Vec<_>) =
        replies.iter().partition(|(_, reply)| reply.starts_with("250 "));
    for (subject, _) in &taken {
        assert!(distinct.contains(subject), "{subject} is lost");
    }
    let ambiguous = sum(&gateway, "portcullis_upstream_ambiguous_total");
    assert_eq!(others.len(), ambiguous, "{others:?}");
    assert!(ambiguous <= 4 * 4, "at most one a client, each time");
    assert_eq!(arrived.len(), distinct.len(), "nothing twice");
    assert!(taken.len() > 400);
}

#[test]
fn mail_is_shared_out_by_weight() {
    let sinks = [Sink::smtp(), Sink::smtp(), Sink::smtp()];
    let address = |sink: &Sink| sink.address().to_string();
    let gateway = gateway(json!({ "addresses": [
        { "address": address(&sinks[0]), "weight": 3 },
        address(&sinks[1]),
        { "address": address(&sinks[2]), "backup": true },
    ] }))
    .start();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut client = gateway.client();
                for _ in 0..50 {
                    assert!(deliver(&mut client, "x").starts_with("250 "));
                }
            });
        }
    });
    let got = sinks.each_ref().map(|sink| sink.letters().len());
    assert_eq!((got.iter().sum::<usize>(), got[2]), (200, 0));
    assert!(got[0].abs_diff(150) <= 15, "{got:?}");
}

#[test]
fn service_is_back_within_two_seconds_of_the_upstream() {
    let sink = Sink::smtp();
    let door = Door::before(&sink);
    let address = door.address.to_string();
    let gateway = gateway(json!({ "address": address })).start();
    let mut client = gateway.client();
    let ready = || get(gateway.admin, "/readyz").expect("an answer").1;
    assert!(deliver(&mut client, "first").starts_with("250 "));
    assert_eq!(ready(), "ready\n");
    door.close();
    for _ in 0..4 {
        let heard = deliver(&mut client, "nobody");
        assert_eq!(heard, "451 4.4.1 upstream store cannot be reached");
    }
    assert_eq!(ready(), "ready\nwarning: upstream store is down: no address takes mail\n");
    let labels = [("upstream", "store"), ("address", &*address)];
    gateway.wait_for_metric("portcullis_upstream_address_up", &labels, 0.0);
    // Long enough for the time between probes not to grow.
    thread::sleep(Duration::from_secs(3));
    door.open();
    let open = Instant::now();
    wait_for("mail", || deliver(&mut client, "again").starts_with("250 ").then_some(()));
    assert!(open.elapsed() < Duration::from_secs(2), "{:?}", open.elapsed());
    assert_eq!(ready(), "ready\n");
    assert_eq!(subjects(&[&sink]), ["first", "again"]);
    for message in ["address is down", "address is up again"] {
        gateway.log.wait_for(message, |record| record.mentions(message));
        assert_eq!(gateway.log.about(message).len(), 1, "{message}");
    }
}

#[test]
fn mail_exchangers_are_looked_up_again_when_their_records_have_died() {
    let (first, second) = (Sink::smtp(), Sink::smtp());
    let port = free_address().port();
    let doors = [("127.0.0.2", &first), ("127.0.0.3", &second)].map(|(ip, sink)| {
        let address = SocketAddr::new(ip.parse().expect("an address"), port);
        let door = Door::closed(address, sink);
        door.open();
        door
    });
    let zone = |best: &str, other: &str| {
        Zone::new()
            .ttl(1)
            .record("example.org", "MX", &format!("10 {best}.example"))
            .record("example.org", "MX", &format!("20 {other}.example"))
            .record("a.example", "A", "127.0.0.2")
            .record("b.example", "A", "127.0.0.3")
    };
    let dns = Dns::start(zone("a", "b"));
    let upstream = json!({ "mx": "example.org", "port": port });
    let gateway = gateway(upstream).set("dns", dns.settings()).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert!(deliver(&mut client, "x").starts_with("250 "));
    }
    assert_eq!((first.letters().len(), second.letters().len()), (3, 0));
    doors[0].close();
    assert!(deliver(&mut client, "x").starts_with("250 "));
    assert_eq!((first.letters().len(), second.letters().len()), (3, 1));
    doors[0].open();
    dns.know(zone("b", "a"));
    let asked = dns.asked().len();
    wait_for("new records", || {
        assert!(deliver(&mut client, "x").starts_with("250 "));
        (dns.asked().len() >= asked + 3).then_some(())
    });
    let before = first.letters().len();
    for _ in 0..3 {
        assert!(deliver(&mut client, "x").starts_with("250 "));
    }
    assert_eq!(first.letters().len(), before);
}

#[test]
fn domains_that_take_no_mail_and_domains_that_cannot_be_found() {
    let zone = Zone::new().record("null.example", "MX", "0 .");
    let dns = Dns::start(zone);
    for (domain, heard) in [
        ("null.example", "556 5.1.10 upstream store takes no mail"),
        ("nowhere.example", "451 4.4.1 upstream store cannot be reached"),
    ] {
        let gateway = gateway(json!({ "mx": domain })).set("dns", dns.settings()).start();
        assert_eq!(deliver(&mut gateway.client(), "x"), heard);
    }
}
