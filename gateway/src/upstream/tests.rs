//! Deliveries to upstreams that follow a script, over real sockets.

mod certificate;
mod connecting;
mod delivering;
mod failing_over;
mod introducing;
mod offering;
mod pooling;
mod promises;
mod script;
mod verifying;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::server::Protocol;
use portcullis_smtp::{Mailbox, Parameter, Reply, ReversePath};

use crate::config::{
    Hop, Member, UpstreamAddress, UpstreamClient, UpstreamHealth, UpstreamTls, UpstreamTlsMode,
};
use crate::message::{Content, HeaderSection, Message, Outbound, Recipient};
use crate::metrics::{Metrics, Names};
use crate::resolver::{Resolver, Zone};

use super::directory::Directory;
use super::pool::Pool;
use super::transaction::Transaction;

use script::Script;

/// One upstream, as the gateway sees it.
struct Gateway {
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
}

impl Gateway {
    fn new(upstream: &Hop) -> Self {
        let metrics = Arc::new(Metrics::new(&Names::default()));
        let directory = directory(&metrics, Zone::default());
        let pool = Pool::new("up", upstream, directory, None, metrics.upstream("up"));
        Self { pool: Arc::new(pool.expect("a good configuration")), metrics }
    }

    /// In front of an SMTP upstream that plays these scripts.
    async fn with(scripts: &[&str]) -> (Self, Script) {
        let script = Script::start(scripts.iter().map(|&script| script.to_owned()).collect()).await;
        (Self::new(&upstream(script.address)), script)
    }

    fn begin(&self) -> Transaction {
        Transaction::new(self.pool.clone(), Arc::default())
    }

    /// Offers and delivers; the refusals of offers first, then the replies after the message.
    async fn send(&self, recipients: &[&str]) -> Vec<String> {
        let mut delivery = self.begin();
        let (mut heard, mut accepted) = (Vec::new(), Vec::new());
        for recipient in (0..).zip(recipients).map(|(index, address)| to(index, address)) {
            match delivery.offer(&sender(), &[], &recipient).await {
                Ok(()) => accepted.push(recipient),
                Err(reply) => heard.push(reply.to_string()),
            }
        }
        if accepted.is_empty() {
            delivery.abandon().await;
            return heard;
        }
        let replies = delivery.deliver(&sender(), &[], &accepted, &message("hello\r\n")).await;
        heard.extend(replies.iter().map(ToString::to_string));
        heard
    }

    /// Offers and delivers a message to one recipient as BODY=BINARYMIME.
    async fn send_binary(&self, message: &Outbound) -> Vec<String> {
        let mut delivery = self.begin();
        let (parameters, recipient) = ([parameter("BODY", "BINARYMIME")], to(0, "b@b.example"));
        match delivery.offer(&sender(), &parameters, &recipient).await {
            Ok(()) => texts(&delivery.deliver(&sender(), &parameters, &[recipient], message).await),
            Err(reply) => {
                delivery.abandon().await;
                vec![reply.to_string()]
            }
        }
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|rendered| rendered == line)
    }
}

fn directory(metrics: &Metrics, zone: Zone) -> Directory {
    Directory::new(&Resolver::fixed(zone, metrics.dns()), "gw.example")
}

fn member(address: SocketAddr) -> Member {
    let (host, port) = (address.ip().to_string(), address.port());
    Member::only(UpstreamAddress::Tcp { host, port })
}

fn upstream(address: SocketAddr) -> Hop {
    Hop {
        protocol: Protocol::Smtp,
        members: vec![member(address)],
        health: UpstreamHealth::default(),
        tls: UpstreamTls::default(),
        auth: None,
        client: UpstreamClient::default(),
        connections: 10,
        idle_connections: 10,
        idle_time: Duration::from_mins(1),
        age: Duration::from_mins(10),
        uses: 500,
        connect_timeout: Duration::from_secs(10),
        attempt_timeout: Duration::from_secs(5),
        busy_timeout: Duration::from_secs(1),
        command_timeout: Duration::from_secs(10),
        final_timeout: Duration::from_secs(10),
    }
}

fn lmtp(address: SocketAddr) -> Hop {
    Hop { protocol: Protocol::Lmtp, ..upstream(address) }
}

/// Short enough for a test to wait for, long enough for a loaded machine's loopback.
fn impatient(address: SocketAddr) -> Hop {
    let soon = Duration::from_secs(1);
    Hop { connect_timeout: soon, command_timeout: soon, final_timeout: soon, ..upstream(address) }
}

/// TLS in this way, with the certificates of this file for authorities.
fn tls(mode: UpstreamTlsMode, authority: &std::path::Path) -> UpstreamTls {
    UpstreamTls { mode, authority: Some(authority.to_owned()), ..UpstreamTls::default() }
}

fn sender() -> ReversePath {
    ReversePath::Mailbox(Mailbox::parse("a@a.example").expect("a mailbox"))
}

fn to(index: u32, address: &str) -> Recipient {
    let address = Mailbox::parse(address).expect("a mailbox");
    Recipient { index, address, parameters: Vec::new(), route: None }
}

fn parameter(keyword: &str, value: &str) -> Parameter {
    Parameter { keyword: keyword.into(), value: Some(value.into()) }
}

fn message(body: &str) -> Outbound {
    Outbound {
        prefix: b"Received: x\r\n".to_vec(),
        message: Message::new(
            HeaderSection::parse(b"Subject: t\r\n\r\n".to_vec()).into(),
            Content::from_bytes(body.into()),
        ),
    }
}

fn texts(replies: &[Reply]) -> Vec<String> {
    replies.iter().map(ToString::to_string).collect()
}

/// What `message("hello\r\n")` is on the wire.
const HELLO: &str = "Received: x\r\nSubject: t\r\n\r\nhello\r\n.\r\n";

const GREETING: &str = "S: 220 up.example
    C: EHLO gw.example
    S: 250-up.example\\r\\n250-PIPELINING\\r\\n250-SIZE 100000\\r\\n250 8BITMIME\n";

const ENVELOPE: &str = "C: MAIL FROM:<a@a.example>
    C: RCPT TO:<b@b.example>
    S: 250 2.1.0 ok\\r\\n250 2.1.5 ok\n";

const DATA: &str = "C: DATA
    S: 354 go
    content\n";

fn script(parts: &[&str]) -> String {
    parts.join("\n")
}
