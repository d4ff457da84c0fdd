//! Conversations over real sockets with a policy that says yes and writes down what it hears.

mod auth;
mod delay;

use std::net::SocketAddr;
use std::sync::Mutex;

use portcullis_smtp::Extension;
use portcullis_smtp::sasl::{Mechanism, Verifier};
use portcullis_smtp::server::{Auth, Conduct, Limits, Question, Verdict};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::live::Live;
use crate::message::{ClientAddress, SessionFacts, TlsFacts};
use crate::metrics::{Metrics, Names};
use crate::shutdown::Shutdown;

#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<String>>>, Arc<Mutex<Option<(&'static str, Duration)>>>);

impl Heard {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Policy for Heard {
    fn behaved(&mut self, conduct: &Conduct) {
        let lapses = conduct.iter().map(|(lapse, count)| format!("{} {count}", lapse.label()));
        lapses.for_each(|lapse| self.note(lapse));
    }

    fn delay(&mut self) -> Duration {
        let (all, delay) = (self.all(), *self.1.lock().unwrap());
        let wanted =
            delay.filter(|(question, _)| all.last().is_some_and(|it| it.starts_with(question)));
        wanted.map_or(Duration::ZERO, |(_, delay)| delay)
    }

    async fn held_back(&mut self) {
        self.note("held back");
    }

    async fn judge(&mut self, question: Question) -> Verdict {
        self.note(match question {
            Question::Connect => "connect".into(),
            Question::Hello { name, .. } => format!("hello {name}"),
            Question::Mail { reverse_path, .. } => format!("mail {reverse_path}"),
            Question::Rcpt { forward_path, .. } => format!("rcpt {forward_path}"),
            Question::Auth(credentials) => format!("auth {}", credentials.user),
            Question::Data => "data".into(),
            Question::Message => "message".into(),
            Question::Xclient(said) => format!("xclient {:?}", said.address),
            Question::Xforward(said) => format!("xforward {:?}", said.name),
        });
        Verdict::Accept
    }

    async fn verifier(
        &mut self,
        mechanism: Mechanism,
        user: String,
    ) -> Result<Option<Verifier>, Reply> {
        self.note(format!("verifier {user}"));
        Ok((user == "alice").then(|| match mechanism {
            Mechanism::CramMd5 => Verifier::Password("secret".into()),
            _ => Verifier::scram("secret", b"salt".to_vec(), 1),
        }))
    }

    async fn disproved(&mut self, _: Mechanism, user: String) {
        self.note(format!("disproved {user}"));
    }

    async fn content(&mut self, chunk: Vec<u8>) {
        self.note(String::from_utf8_lossy(&chunk));
    }

    async fn idle(&mut self) {
        self.note("idle");
    }

    async fn aborted(&mut self) {
        self.note("aborted");
    }

    async fn refused(&mut self, reply: Reply) {
        self.note(format!("refused {reply}"));
    }

    async fn lost(&mut self, _: &'static str) {
        self.note("lost");
    }

    fn tls_established(&mut self, _: TlsFacts) {
        self.note("tls");
    }
}

/// A server for one connection.
struct Server {
    address: SocketAddr,
    heard: Heard,
    shutdown: Shutdown,
    metrics: Metrics,
    task: JoinHandle<Result<Ending, ConnectionError>>,
}

async fn server(patience: Duration, acceptor: Option<TlsAcceptor>) -> Server {
    pausing(patience, LONG, acceptor).await
}

async fn pausing(patience: Duration, pause: Duration, acceptor: Option<TlsAcceptor>) -> Server {
    on_terms(|terms| {
        let starttls = acceptor.is_some();
        terms.settings = Arc::new(Settings { starttls, ..Settings::clone(&terms.settings) });
        (terms.pause, terms.acceptor) = (pause, acceptor);
        (terms.timeouts.command, terms.timeouts.content) = (patience, patience);
    })
    .await
}

/// A patient server in clear text, but for what is changed.
async fn on_terms(change: impl FnOnce(&mut Terms)) -> Server {
    let limits = Limits { command_octets: 1000, message_octets: 100_000, ..Limits::default() };
    let auth = Auth { mechanisms: Mechanism::ALL.into(), in_clear: true, ..Auth::default() };
    let settings = Settings { limits, auth, ..Settings::new("mx.example") };
    let metrics = Metrics::new(&Names::default());
    let mut terms = Terms {
        settings: Arc::new(settings),
        pause: LONG,
        content_rate: 1,
        greeting_delay: Duration::ZERO,
        early_talkers: EarlyTalkers::default(),
        delays: Delays::new(1),
        timeouts: SessionTimeouts {
            command: LONG,
            content: LONG,
            write: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            ..SessionTimeouts::default()
        },
        trust: Trust::default(),
        acceptor: None,
        implicit_tls: false,
        metrics: metrics.listener("test"),
    };
    change(&mut terms);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (heard, shutdown) = (Heard::default(), Shutdown::new());
    let address = listener.local_addr().unwrap();
    let (mut policy, mut watcher) = (heard.clone(), shutdown.watcher());
    let task = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let facts = SessionFacts::new("s".into(), "test", ClientAddress::Unknown);
        let visit = Arc::new(Live::default()).enter(facts.into());
        let channel = Channel::default();
        serve(socket.into(), &terms, channel, &mut policy, &visit, &mut watcher).await
    });
    Server { address, heard, shutdown, metrics, task }
}

/// Reads until the last line starts with what is expected.
async fn hear(stream: &mut TcpStream, expected: &str) {
    let mut all = String::new();
    let mut octets = [0; 1024];
    while !all.lines().last().is_some_and(|line| line.starts_with(expected)) {
        let count = timeout(LONG, stream.read(&mut octets)).await.expect(expected).unwrap();
        assert!(count > 0, "closed after {all:?}, expected {expected:?}");
        all.push_str(&String::from_utf8_lossy(&octets[..count]));
    }
}

async fn say(stream: &mut TcpStream, text: &str, expected: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    hear(stream, expected).await;
}

#[tokio::test]
async fn a_pipelined_message_passes_and_the_policy_hears_it_in_order() {
    let server = server(LONG, None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    let envelope = "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n";
    say(&mut client, envelope, "354 ").await;
    say(&mut client, "Subject: x\r\n\r\n..y\r\n.\r\nQUIT\r\n", "221 ").await;
    assert_eq!(server.task.await.unwrap().unwrap(), Ending::Closed);
    let heard = server.heard.all();
    let questions = ["connect", "hello c.example", "mail a@c.example", "rcpt b@d.example", "data"];
    assert_eq!(heard[..5], questions);
    assert_eq!(heard[5..heard.len() - 2].concat(), "Subject: x\r\n\r\n.y\r\n");
    assert_eq!(heard[heard.len() - 2..], ["message", "lost"]);
}

#[tokio::test]
async fn a_silent_peer_is_told_and_hung_up_on() {
    let server = server(Duration::from_millis(50), None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "421 4.4.2").await;
    drop(client);
    assert_eq!(server.task.await.unwrap().unwrap(), Ending::Closed);
}

#[tokio::test]
async fn a_command_that_comes_octet_by_octet_is_late_like_none() {
    let server = server(Duration::from_millis(500), None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    let (mut reader, mut writer) = client.into_split();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut heard = String::new();
    timeout(LONG, reader.read_to_string(&mut heard)).await.unwrap().unwrap();
    assert!(heard.starts_with("421 4.4.2"), "{heard}");
    drop(reader);
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_message_may_take_longer_than_one_deadline_as_long_as_it_comes() {
    let server = server(Duration::from_millis(500), None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "HELO c.example\r\n", "250 ").await;
    let envelope = "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n";
    say(&mut client, envelope, "354 ").await;
    for _ in 0..20 {
        client.write_all(b"x\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&mut client, ".\r\n", "250 ").await;
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_message_is_lost_and_not_judged() {
    let server = server(LONG, None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "HELO c.example\r\n", "250 ").await;
    let envelope = "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n";
    say(&mut client, envelope, "354 ").await;
    client.write_all(b"Subject: x\r\n").await.unwrap();
    drop(client);
    assert_eq!(server.task.await.unwrap().unwrap(), Ending::PeerLeft);
    let heard = server.heard.all();
    assert_eq!(heard.last().unwrap(), "lost");
    assert!(!heard.contains(&"message".into()));
}

#[tokio::test]
async fn a_shutdown_waits_for_the_transaction_and_ends_the_session() {
    let server = server(LONG, None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "HELO c.example\r\n", "250 ").await;
    say(&mut client, "MAIL FROM:<a@c.example>\r\n", "250 ").await;
    server.shutdown.begin();
    say(&mut client, "RCPT TO:<b@d.example>\r\nDATA\r\n", "354 ").await;
    say(&mut client, "x\r\n.\r\n", "421 4.3.2").await;
    drop(client);
    assert_eq!(server.task.await.unwrap().unwrap(), Ending::Closed);
    assert!(server.heard.all().contains(&"message".into()));
}

#[tokio::test]
async fn a_client_that_takes_its_time_within_a_transaction_is_told_of_and_goes_on() {
    let server = pausing(LONG, Duration::from_millis(50), None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "HELO c.example\r\n", "250 ").await;
    assert!(!server.heard.all().contains(&"idle".into()), "there is no transaction yet");
    say(&mut client, "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\n", "250 ").await;
    while !server.heard.all().contains(&"idle".into()) {
        tokio::task::yield_now().await;
    }
    say(&mut client, "DATA\r\n", "354 ").await;
    say(&mut client, "x\r\n.\r\nQUIT\r\n", "221 ").await;
    assert_eq!(server.task.await.unwrap().unwrap(), Ending::Closed);
    assert!(server.heard.all().contains(&"message".into()));
}

#[tokio::test]
async fn an_idle_session_ends_when_the_shutdown_begins() {
    let server = server(LONG, None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    server.shutdown.begin();
    hear(&mut client, "421 4.3.2").await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_handshake() {
    let made = tls::self_signed(&["mx.example"]).unwrap();
    let acceptor = TlsAcceptor::from(made.server_config().unwrap());
    let server = on_terms(|terms| {
        (terms.implicit_tls, terms.acceptor) = (true, Some(acceptor));
        terms.timeouts.handshake = Duration::from_hours(1);
    })
    .await;
    let _client = TcpStream::connect(server.address).await.unwrap();
    server.shutdown.begin();
    let ended = timeout(LONG, server.task).await.expect("it does not wait").unwrap();
    assert!(matches!(ended, Err(ConnectionError::Handshake(_))), "{ended:?}");
}

#[tokio::test]
async fn who_is_hung_up_on_still_hears_why() {
    let server = server(LONG, None).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    let junk = "XXXX\r\n".repeat(20_000);
    client.write_all(junk.as_bytes()).await.unwrap();
    hear(&mut client, "421 ").await;
}

#[tokio::test]
async fn what_was_said_in_clear_text_does_not_survive_the_handshake() {
    let made = tls::self_signed(&["mx.example"]).unwrap();
    let acceptor = TlsAcceptor::from(made.server_config().unwrap());
    let server = server(LONG, Some(acceptor)).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, "EHLO c.example\r\n", "250 ").await;
    say(&mut client, "STARTTLS\r\nMAIL FROM:<intruder@c.example>\r\n", "220 ").await;
    // No handshake follows, so that the server gives up; the point is what it did not hear.
    client.write_all(b"RCPT TO:<b@d.example>\r\n").await.unwrap();
    let ended = server.task.await.unwrap();
    assert!(matches!(ended, Err(ConnectionError::Handshake(_))), "{ended:?}");
    assert_eq!(server.heard.all(), ["connect", "hello c.example", "lost"]);
}

const LONG: Duration = Duration::from_secs(30);

impl Server {
    /// Whether a limit was reached once, and the conversation then ended with a reply.
    async fn ended_at(self, limit: &str) {
        assert_eq!(self.task.await.unwrap().unwrap(), Ending::Closed);
        let line = "portcullis_limit_reached_total{limit=\"LIMIT\",listener=\"test\"} 1";
        let metrics = self.metrics.render();
        assert!(metrics.contains(&line.replace("LIMIT", limit)), "{metrics}");
    }
}

/// Says something now and then, until the server hangs up.
async fn drip(stream: &mut TcpStream, octets: &[u8]) -> String {
    let mut heard = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let (mut read, mut write) = stream.split();
    let listening = read.read_to_end(&mut heard);
    tokio::pin!(listening);
    let ended = timeout(LONG, async {
        loop {
            tokio::select! {
                _ = &mut listening => return,
                _ = tick.tick() => { let _ = write.write_all(octets).await; }
            }
        }
    });
    ended.await.expect("it hangs up");
    String::from_utf8(heard).expect("ASCII")
}

const ENVELOPE: &str =
    "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n";

#[tokio::test]
async fn content_that_drips_is_given_up() {
    let server = on_terms(|terms| {
        terms.timeouts.content = Duration::from_millis(200);
        terms.content_rate = 1 << 20;
    })
    .await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, ENVELOPE, "354 ").await;
    assert!(drip(&mut client, b"x").await.starts_with("421 4.4.2 too slow"));
    server.ended_at("content_rate").await;
}

#[tokio::test]
async fn content_that_drips_in_chunks_is_given_up() {
    let server = on_terms(|terms| {
        let offers = [Extension::Chunking].into_iter().collect();
        terms.settings = Arc::new(Settings { offers, ..Settings::clone(&terms.settings) });
        terms.timeouts.content = Duration::from_millis(200);
        terms.content_rate = 1 << 20;
    })
    .await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, ENVELOPE.trim_end_matches("DATA\r\n"), "250 ").await;
    let heard = drip(&mut client, b"BDAT 1\r\nx").await;
    assert!(heard.ends_with("421 4.4.2 too slow, closing connection\r\n"), "{heard}");
    server.ended_at("content_rate").await;
}

#[tokio::test]
async fn what_was_slow_of_one_message_does_not_count_for_the_next() {
    let server = on_terms(|terms| {
        terms.timeouts.content = Duration::from_millis(600);
        terms.content_rate = 1 << 20;
    })
    .await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, ENVELOPE, "354 ").await;
    let envelope = ENVELOPE.trim_start_matches("EHLO c.example\r\n");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        say(&mut client, &format!("x\r\n.\r\n{envelope}"), "354 ").await;
    }
}

#[tokio::test]
async fn content_that_is_slow_but_not_too_slow_is_waited_for() {
    let server = on_terms(|terms| {
        terms.timeouts.content = Duration::from_millis(300);
        terms.content_rate = 10;
    })
    .await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, ENVELOPE, "354 ").await;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..60 {
        tick.tick().await;
        client.write_all(b"x").await.unwrap();
    }
    say(&mut client, "\r\n.\r\n", "250 ").await;
}

#[tokio::test]
async fn content_that_stops_is_given_up() {
    let server = on_terms(|terms| terms.timeouts.content = Duration::from_millis(50)).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, ENVELOPE, "354 ").await;
    hear(&mut client, "421 4.4.2 timeout").await;
    drop(client);
    server.ended_at("timeouts.content").await;
}

#[tokio::test]
async fn a_session_ends_when_it_has_lasted_long_enough() {
    let server = on_terms(|terms| terms.timeouts.session = Duration::from_millis(100)).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let heard = drip(&mut client, b"NOOP\r\n").await;
    assert!(heard.ends_with("421 4.4.2 this session has lasted long enough, connect again\r\n"));
    server.ended_at("timeouts.session").await;
}

#[tokio::test]
async fn a_transaction_that_has_begun_may_end_after_the_session_s_time() {
    let server = on_terms(|terms| terms.timeouts.session = Duration::from_millis(500)).await;
    let begun = Instant::now();
    let mut client = TcpStream::connect(server.address).await.unwrap();
    hear(&mut client, "220 ").await;
    say(&mut client, ENVELOPE, "354 ").await;
    let late = Duration::from_millis(600).saturating_sub(begun.elapsed());
    tokio::time::sleep(late).await;
    client.write_all(b"x\r\n.\r\nMAIL FROM:<>\r\n").await.unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("250 2.0.0 ok\r\n421 4.4.2 this session"), "{heard}");
    assert!(server.heard.all().contains(&"message".to_owned()));
    server.ended_at("timeouts.session").await;
}

#[tokio::test]
async fn who_talks_before_the_banner_is_refused_and_nobody_is_asked() {
    let server = on_terms(|terms| terms.greeting_delay = LONG).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    say(&mut client, "EHLO bot.example\r\n", "554 5.5.1 ").await;
    drop(client);
    assert_eq!(server.heard.all(), Vec::<String>::new());
    server.ended_at("early_talkers").await;
}

#[tokio::test]
async fn who_waits_for_the_banner_gets_it_and_so_does_who_is_only_noted() {
    for early in ["", "EHLO bot.example\r\n"] {
        let server = on_terms(|terms| {
            terms.greeting_delay = Duration::from_millis(100);
            terms.early_talkers = EarlyTalkers::Note;
        })
        .await;
        let begun = Instant::now();
        let mut client = TcpStream::connect(server.address).await.unwrap();
        say(&mut client, early, if early.is_empty() { "220 " } else { "250 " }).await;
        assert!(begun.elapsed() >= Duration::from_millis(100));
        say(&mut client, "QUIT\r\n", "221 ").await;
        assert_eq!(server.task.await.unwrap().unwrap(), Ending::Closed);
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_the_banner() {
    let server = on_terms(|terms| terms.greeting_delay = LONG).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    server.shutdown.begin();
    hear(&mut client, "421 4.3.2").await;
}
