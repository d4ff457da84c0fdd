//! An embedded upstream: takes every message, keeps the last ones, delivers none.
//!
//! For the demonstration, for tests, and to try a configuration without a mail store.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_smtp::server::{
    BareNewlines, Channel, FutureRelease, Limits, Protocol, Question, Session, Settings, Step,
    Verdict,
};
use portcullis_smtp::{DateTime, Extension, Parameter, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;

/// A message that arrived.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mail {
    /// The reverse-path; empty for `<>`.
    pub sender: String,
    /// The recipients that were not refused.
    pub recipients: Vec<String>,
    /// What stood behind the paths of MAIL and of RCPT, in their order.
    pub parameters: Vec<String>,
    /// The message, dots unstuffed.
    pub octets: Vec<u8>,
}

/// A running sink. Dropped, it closes its socket and its connections.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    kept: Arc<Kept>,
    _serving: JoinSet<()>,
}

/// What a sink has and refuses.
#[derive(Debug, Default)]
struct Kept {
    mails: Mutex<(usize, VecDeque<Mail>)>,
    refused: Vec<String>,
}

impl Sink {
    /// Listens for SMTP. Recipients in `refused` get 550 at RCPT.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn smtp(address: impl ToSocketAddrs, refused: Vec<String>) -> io::Result<Self> {
        Self::start(address, Protocol::Smtp, refused).await
    }

    /// Listens for LMTP. Recipients in `refused` get 550 after the message.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn lmtp(address: impl ToSocketAddrs, refused: Vec<String>) -> io::Result<Self> {
        Self::start(address, Protocol::Lmtp, refused).await
    }

    async fn start(
        address: impl ToSocketAddrs,
        protocol: Protocol,
        refused: Vec<String>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let kept = Arc::new(Kept { mails: Mutex::default(), refused });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, settings(protocol), kept.clone()));
        Ok(Self { address, kept, _serving: serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many messages have arrived.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.lock().0
    }

    /// The message that arrived last.
    #[must_use]
    pub fn last(&self) -> Option<Mail> {
        self.kept.lock().1.back().cloned()
    }
}

impl Kept {
    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, VecDeque<Mail>)> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mail: Mail) {
        let mut mails = self.lock();
        mails.0 += 1;
        mails.1.push_back(mail);
        let octets = |mails: &VecDeque<Mail>| mails.iter().map(|mail| mail.octets.len()).sum();
        while mails.1.len() > KEPT_MAILS || mails.1.len() > 1 && KEPT_OCTETS < octets(&mails.1) {
            mails.1.pop_front();
        }
    }

    fn refuses(&self, recipient: &str) -> bool {
        self.refused.iter().any(|refused| refused.eq_ignore_ascii_case(recipient))
    }
}

fn settings(protocol: Protocol) -> Arc<Settings> {
    Arc::new(Settings {
        protocol,
        // It must tell whoever lets a bare newline through.
        bare_newlines: BareNewlines::Refuse,
        offers: OFFERS.into_iter().collect(),
        future_release: DateTime::parse("2040-01-01T00:00:00Z")
            .map(|until| FutureRelease { seconds: 999_999_999, until }),
        limits: Limits {
            message_octets: MESSAGE_OCTETS,
            recipients: 10_000,
            // Loops and header sections that cost are the gateway's to find.
            received_hops: usize::MAX,
            header_octets: MESSAGE_OCTETS,
            header_fields: u32::MAX,
            ..Limits::default()
        },
        ..Settings::new("sink.invalid")
    })
}

async fn accept(listener: TcpListener, settings: Arc<Settings>, kept: Arc<Kept>) {
    let mut conversations = JoinSet::new();
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the sink cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while conversations.try_join_next().is_some() {}
        let (settings, kept) = (settings.clone(), kept.clone());
        conversations.spawn(async move {
            if let Err(error) = converse(socket, settings, &kept).await {
                tracing::debug!(%error, "conversation with the sink broke off");
            }
        });
    }
}

async fn converse(mut socket: TcpStream, settings: Arc<Settings>, kept: &Kept) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let lmtp = settings.protocol == Protocol::Lmtp;
    let mut session = Session::new(settings, Channel::default());
    let mut mail = Mail::default();
    let mut octets = vec![0; 64 * 1024];
    loop {
        match session.poll() {
            Step::Ask(question) => {
                let verdict = judge(question, &mut mail, kept, lmtp);
                session.decide(verdict);
            }
            Step::Content(chunk) => mail.octets.extend_from_slice(&chunk),
            Step::Aborted | Step::Refused(_) => {}
            // AUTH is not offered.
            Step::Disproved { .. } | Step::Nonce | Step::Verifier { .. } => return Ok(()),
            Step::Read => {
                socket.write_all(&session.take_output()).await?;
                match socket.read(&mut octets).await? {
                    0 => return Ok(()),
                    count => session.receive(&octets[..count]),
                }
            }
            Step::Close | Step::StartTls => return socket.write_all(&session.take_output()).await,
        }
    }
}

fn judge(question: Question, mail: &mut Mail, kept: &Kept, lmtp: bool) -> Verdict {
    let refusal = || Reply::fixed(550, (5, 1, 1), "no such recipient");
    match question {
        Question::Mail { reverse_path, parameters } => {
            let parameters = parameters.iter().filter_map(Parameter::word).collect();
            *mail = Mail { sender: reverse_path.to_string(), parameters, ..Mail::default() };
        }
        Question::Rcpt { forward_path, parameters } => {
            let recipient = forward_path.to_string();
            if kept.refuses(&recipient) && !lmtp {
                return Verdict::Reply(refusal());
            }
            mail.recipients.push(recipient);
            mail.parameters.extend(parameters.iter().filter_map(Parameter::word));
        }
        Question::Message => {
            let ok = || Reply::fixed(250, (2, 0, 0), "kept");
            let replies: Vec<_> = mail
                .recipients
                .iter()
                .map(|recipient| if kept.refuses(recipient) { refusal() } else { ok() })
                .collect();
            mail.recipients.retain(|recipient| !kept.refuses(recipient));
            if !mail.recipients.is_empty() {
                kept.push(mail.clone());
            }
            return if lmtp { Verdict::Each(replies) } else { Verdict::Reply(ok()) };
        }
        Question::Auth(_)
        | Question::Connect
        | Question::Data
        | Question::Hello { .. }
        | Question::Xclient(_)
        | Question::Xforward(_) => {}
    }
    Verdict::Accept
}

/// Whatever a gateway may want to pass on.
const OFFERS: [Extension; 8] = [
    Extension::Chunking,
    Extension::BinaryMime,
    Extension::SmtpUtf8,
    Extension::Dsn,
    Extension::MtPriority,
    Extension::DeliverBy,
    Extension::Rrvs,
    Extension::FutureRelease,
];
/// Out of descriptors, most likely: they become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Messages that are kept to be looked at; older ones are only counted.
const KEPT_MAILS: usize = 100;
/// And their octets, the last message aside.
const KEPT_OCTETS: usize = 64 * 1024 * 1024;
/// More than any listener takes by default.
const MESSAGE_OCTETS: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    async fn talk(address: SocketAddr, lines: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(lines.as_bytes()).await.unwrap();
        let mut heard = String::new();
        socket.read_to_string(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn it_keeps_what_it_was_sent() {
        let sink = Sink::smtp("127.0.0.1:0", vec!["no@b.example".to_owned()]).await.unwrap();
        let heard = talk(
            sink.address(),
            "EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<no@b.example>\r\n\
             RCPT TO:<c@d.example>\r\nDATA\r\nSubject: x\r\n\r\n..y\r\n.\r\nQUIT\r\n",
        )
        .await;
        assert!(heard.contains("550 5.1.1") && heard.contains("250 2.0.0 kept"), "{heard}");
        let mail = sink.last().unwrap();
        assert_eq!((sink.count(), mail.recipients), (1, vec!["c@d.example".to_owned()]));
        assert_eq!(mail.octets, b"Subject: x\r\n\r\n.y\r\n");
    }

    #[tokio::test]
    async fn it_keeps_parameters() {
        let sink = Sink::smtp("127.0.0.1:0", Vec::new()).await.unwrap();
        let heard = talk(
            sink.address(),
            "EHLO c.example\r\nMAIL FROM:<j\u{f6}rg@b.example> SMTPUTF8 envid=a+2Bb\r\n\
             RCPT TO:<c@d.example> NOTIFY=NEVER\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
        )
        .await;
        assert!(heard.contains("250 2.0.0 kept"), "{heard}");
        let mail = sink.last().unwrap();
        assert_eq!(mail.sender, "j\u{f6}rg@b.example");
        assert_eq!(mail.parameters, ["SMTPUTF8", "ENVID=a+2Bb", "NOTIFY=NEVER"]);
    }

    #[tokio::test]
    async fn it_keeps_binary_content_octet_for_octet() {
        let sink = Sink::smtp("127.0.0.1:0", Vec::new()).await.unwrap();
        let heard = talk(
            sink.address(),
            "EHLO c.example\r\nMAIL FROM:<a@b.example> BODY=BINARYMIME\r\n\
             RCPT TO:<c@d.example>\r\nBDAT 5 LAST\r\n\0\n\r.xQUIT\r\n",
        )
        .await;
        assert!(heard.contains("250 2.0.0 kept"), "{heard}");
        assert_eq!(sink.last().unwrap().octets, b"\0\n\r.x");
    }

    #[tokio::test]
    async fn over_lmtp_it_refuses_one_recipient_after_the_message() {
        let sink = Sink::lmtp("127.0.0.1:0", vec!["no@b.example".to_owned()]).await.unwrap();
        let heard = talk(
            sink.address(),
            "LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<no@b.example>\r\nRCPT TO:<c@d.example>\r\n\
             DATA\r\nx\r\n.\r\nQUIT\r\n",
        )
        .await;
        let last: Vec<_> = heard.lines().rev().take(3).map(|line| &line[..3]).collect();
        assert_eq!(last, ["221", "250", "550"], "{heard}");
        assert_eq!(sink.last().unwrap().recipients, ["c@d.example"]);
    }
}
