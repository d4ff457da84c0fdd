//! What clients send to hurt, through a whole gateway in this process.

#![expect(clippy::unwrap_used, reason = "what a test set up is there")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis::config;
use portcullis::gateway::{Addresses, Gateway};
use portcullis::listener::Passed;
use portcullis::shutdown::Shutdown;
use portcullis::sink::Sink;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

struct House {
    sink: Sink,
    addresses: Addresses,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl House {
    /// With the plugin `headers` if it is built.
    async fn start(more: &str) -> Self {
        let sink = Sink::smtp("127.0.0.1:0", Vec::new()).await.unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/headers.wasm");
        let plugins = if file.exists() {
            format!(
                "plugins: [{{ name: headers, file: {}, grants: [rewrite-headers], settings: {{ \
                 set: [{{ name: X-Last, value: new }}], drop: [Y-*] }} }}]",
                file.display()
            )
        } else {
            eprintln!("plugins are not built: tested without");
            String::new()
        };
        let chain = if plugins.is_empty() { "[]" } else { "[headers]" };
        let text = format!(
            "hostname: gw.example
admin: {{ address: 127.0.0.1:0 }}
listeners: [{{ name: mx, address: 127.0.0.1:0, plugins: {chain} }}]
upstreams: {{ sink: {{ address: \"{}\" }} }}
default_upstream: sink
shutdown: {{ deadline: 5s }}
{plugins}
{more}",
            sink.address()
        );
        let config = config::parse(Path::new("hostile.yaml"), text).unwrap();
        let shutdown = Shutdown::new();
        let gateway = Gateway::start(config, Passed::default(), shutdown.clone()).await.unwrap();
        let addresses = gateway.addresses().unwrap();
        let serving = tokio::spawn(gateway.run());
        Self { sink, addresses, shutdown, serving }
    }

    async fn client(&self) -> Client {
        let mut client = Client::connect(self.addresses.smtp).await;
        assert_eq!(client.hear().await, 220);
        assert_eq!(client.say("EHLO client.example\r\n").await, 250);
        client
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.addresses.admin.unwrap()).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn end(self) {
        self.shutdown.begin();
        self.serving.await.unwrap();
    }
}

struct Client(BufStream<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufStream::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn hear(&mut self) -> u16 {
        let mut line = String::new();
        loop {
            line.clear();
            let read = tokio::time::timeout(LONG, self.0.read_line(&mut line)).await;
            assert!(read.unwrap().unwrap() > 0, "the gateway hung up");
            if line.as_bytes()[3] == b' ' {
                return line[..3].parse().unwrap();
            }
        }
    }

    async fn say(&mut self, text: &str) -> u16 {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        self.hear().await
    }

    /// A message with this header section; the code of the answer.
    async fn send(&mut self, header: &str) -> u16 {
        assert_eq!(self.say("MAIL FROM:<a@a.example>\r\n").await, 250);
        assert_eq!(self.say("RCPT TO:<b@b.example>\r\n").await, 250);
        assert_eq!(self.say("DATA\r\n").await, 354);
        self.say(&format!("{header}\r\nbody\r\n.\r\n")).await
    }
}

#[tokio::test]
async fn header_sections_of_many_fields_hold_nobody_up() {
    let house = House::start("session: { limits: { header_fields: 100000 } }").await;
    let mut client = house.client().await;
    for (header, codes) in [
        ("A:\r\n".repeat(64_000), &[250][..]),
        ("X-Last:\r\n".repeat(900), &[250]),
        // More edits than a plugin may make, which it says; without the plugin they pass.
        ("X-Last:\r\n".repeat(25_000), &[250, 554]),
        ("Y-A:\r\n".repeat(40_000), &[250, 554]),
        ("no field\r\n".repeat(25_000), &[250]),
        (format!("A: b\r\n{}", " c\r\n".repeat(60_000)), &[250]),
    ] {
        let started = Instant::now();
        let code = client.send(&header).await;
        assert!(codes.contains(&code), "{code} for {:?}", &header[..20]);
        let took = started.elapsed();
        println!("{code} after {took:?} for {:?}", &header[..20]);
        assert!(took < Duration::from_secs(5), "{took:?} for {:?}", &header[..20]);
    }
    house.end().await;
}

#[tokio::test]
async fn the_largest_number_of_recipients_is_no_burden() {
    let house = House::start("").await;
    let mut client = house.client().await;
    assert_eq!(client.say("MAIL FROM:<a@a.example>\r\n").await, 250);
    let started = Instant::now();
    for n in 0..1000 {
        assert_eq!(client.say(&format!("RCPT TO:<b{n}@b.example>\r\n")).await, 250);
    }
    assert_eq!(client.say("RCPT TO:<one.more@b.example>\r\n").await, 452);
    assert_eq!(client.say("DATA\r\n").await, 354);
    assert_eq!(client.say("A: b\r\n\r\nbody\r\n.\r\n").await, 250);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(house.sink.last().unwrap().recipients.len(), 1000);
    house.end().await;
}

#[tokio::test]
async fn a_client_that_vanishes_while_the_upstream_has_its_message_leaves_nothing_behind() {
    let house = House::start("").await;
    let before = house.sink.count();
    for _ in 0..20 {
        let mut client = house.client().await;
        let all = "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n";
        assert_eq!(client.say(all).await, 250);
        assert_eq!(client.hear().await, 250);
        assert_eq!(client.hear().await, 354);
        client.0.write_all(b"A: b\r\n\r\nbody\r\n.\r\n").await.unwrap();
        client.0.flush().await.unwrap();
    }
    let line = "portcullis_connections_open{listener=\"mx\"} 0";
    let started = Instant::now();
    while !house.metrics().await.contains(line) {
        assert!(started.elapsed() < LONG, "connections stay open");
        tokio::task::yield_now().await;
    }
    let metrics = house.metrics().await;
    assert!(metrics.contains("portcullis_transactions_in_flight{listener=\"mx\"} 0"));
    let accepted = "portcullis_transactions_total{listener=\"mx\",outcome=\"accepted\"} 20";
    assert!(metrics.contains(accepted), "{metrics}");
    assert_eq!(house.sink.count() - before, 20);
    house.end().await;
}

#[tokio::test]
async fn permits_come_back_from_whoever_is_cut_off() {
    let house = House::start("limits: { connections: 3, connections_per_address: 3 }").await;
    for round in 0..5 {
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = Client::connect(house.addresses.smtp).await;
            assert_eq!(client.hear().await, 220, "round {round}");
            clients.push(client);
        }
        let mut one_more = Client::connect(house.addresses.smtp).await;
        assert_eq!(one_more.hear().await, 421);
        drop(clients);
        let line = "portcullis_connections_open{listener=\"mx\"} 0";
        while !house.metrics().await.contains(line) {
            tokio::task::yield_now().await;
        }
    }
    house.end().await;
}

#[tokio::test]
async fn a_shutdown_tells_idle_clients_and_waits_for_none_of_them() {
    let house = House::start("").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(house.client().await);
    }
    let address = house.addresses.smtp;
    let started = Instant::now();
    house.end().await;
    for client in &mut clients {
        assert_eq!(client.hear().await, 421);
    }
    // They linger for who is slow to read; nobody is waited for until the deadline.
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(TcpStream::connect(address).await.is_err());
}

const LONG: Duration = Duration::from_secs(60);
