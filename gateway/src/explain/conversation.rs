//! The client's side of a dry run: it says what a client says, and writes down what it hears.

use portcullis_smtp::client::{Extensions, Replies};
use portcullis_smtp::server::Protocol;
use portcullis_smtp::stuffing::Stuffer;
use portcullis_smtp::{Mailbox, Reply};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::call::Call;
use super::inquiry::Inquiry;
use super::notes::Notes;
use crate::message::Recipient;

/// Something that the client says, and what comes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What it is about.
    pub stage: &'static str,
    /// The command; none where the client only connects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The plugins that were asked, in order.
    pub calls: Vec<Call>,
    /// What the client hears: one reply, or in LMTP one for each recipient after the message.
    pub replies: Vec<Said>,
    /// The recipient that was judged, as plugins have left it.
    #[serde(skip)]
    pub(super) judged: Option<Recipient>,
}

/// A reply.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Said {
    /// Its code.
    pub code: u16,
    /// Its enhanced status.
    pub status: Option<String>,
    /// Its lines.
    pub text: String,
}

impl Said {
    pub(super) fn of(reply: &Reply) -> Self {
        let (status, text) = (reply.status().map(|status| status.to_string()), reply.text());
        Self { code: reply.code(), status, text }
    }

    /// Whether it is a yes, or asks to go on.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = &self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.text.replace('\n', " / "))
    }
}

impl Step {
    /// Whether the client may go on.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.replies.iter().any(Said::is_positive)
    }
}

/// The client.
pub(super) struct Client<'a> {
    stream: DuplexStream,
    replies: Replies,
    notes: &'a Notes,
    protocol: Protocol,
    steps: Vec<Step>,
    /// Whether the connection has ended.
    over: bool,
}

impl<'a> Client<'a> {
    pub(super) fn new(stream: DuplexStream, notes: &'a Notes, protocol: Protocol) -> Self {
        let (replies, steps) = (Replies::default(), Vec::new());
        Self { stream, replies, notes, protocol, steps, over: false }
    }

    /// Says all of it, as far as the answers let it go, and takes its leave.
    pub(super) async fn talk(mut self, inquiry: &Inquiry) -> Vec<Step> {
        self.transact(inquiry).await;
        // Who was hung up on does not hear this any more.
        let _ = self.stream.write_all(b"QUIT\r\n").await;
        drop(self.hear().await);
        self.steps
    }

    /// None where there is no use in going on.
    async fn transact(&mut self, inquiry: &Inquiry) -> Option<()> {
        self.say("connect", None).await?;
        let verb = if self.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        let offers = self.say("helo", Some(format!("{verb} {}", inquiry.helo))).await?;
        let offers = Extensions::parse(&offers);
        self.say("mail", Some(mail(inquiry, &offers))).await?;
        let mut accepted = 0;
        for recipient in &inquiry.recipients {
            match self.say("rcpt", Some(rcpt(recipient))).await {
                Some(_) => accepted += 1,
                None if self.over => return None,
                None => {}
            }
        }
        let message = inquiry.message.as_ref().filter(|_| accepted > 0)?;
        self.say("data", Some("DATA".to_owned())).await?;
        self.send(message, accepted).await
    }

    /// One command and the reply to it; none if that is a no.
    async fn say(&mut self, stage: &'static str, command: Option<String>) -> Option<Reply> {
        if let Some(command) = &command {
            let line = format!("{command}\r\n");
            // Whether it was heard is told by the answer.
            let _ = self.stream.write_all(line.as_bytes()).await;
        }
        let reply = self.hear().await;
        self.note(stage, command, reply.iter().map(Said::of).collect());
        reply.filter(|reply| reply.code() < 400)
    }

    async fn send(&mut self, message: &[u8], recipients: usize) -> Option<()> {
        let mut octets = Vec::with_capacity(message.len() + message.len() / 64);
        let mut stuffer = Stuffer::new();
        stuffer.encode(message, &mut octets);
        stuffer.finish(&mut octets);
        let _ = self.stream.write_all(&octets).await;
        let owed = if self.protocol == Protocol::Lmtp { recipients } else { 1 };
        let mut replies = Vec::new();
        while replies.len() < owed
            && let Some(reply) = self.hear().await
        {
            replies.push(Said::of(&reply));
            if self.over {
                break;
            }
        }
        self.note("message", Some(format!("({} octets)", message.len())), replies);
        Some(())
    }

    fn note(&mut self, stage: &'static str, command: Option<String>, replies: Vec<Said>) {
        let (calls, judged) = (self.notes.take_calls(), self.notes.take_judged());
        if self.over && replies.is_empty() && calls.is_empty() {
            // It was the step before that ended it.
            return;
        }
        self.steps.push(Step { stage, command, calls, replies, judged });
    }

    /// The next reply; none if the connection has ended.
    async fn hear(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.replies.take().ok()? {
                // RFC 5321 section 3.8: nothing else is heard.
                self.over |= reply.code() == 421;
                return Some(reply);
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets).await {
                Ok(count @ 1..) => self.replies.receive(&octets[..count]),
                Ok(0) | Err(_) => {
                    self.over = true;
                    return None;
                }
            }
        }
    }
}

/// With the parameters that a client adds of itself.
fn mail(inquiry: &Inquiry, offers: &Extensions) -> String {
    let mut command = format!("MAIL FROM:<{}>", inquiry.sender);
    if let (Some(message), true) = (&inquiry.message, offers.has("SIZE")) {
        command.push_str(&format!(" SIZE={}", message.len()));
    }
    let octets = inquiry.message.as_deref().unwrap_or_default();
    if !octets.is_ascii() && offers.has("8BITMIME") {
        command.push_str(" BODY=8BITMIME");
    }
    if inquiry.is_international() && offers.has("SMTPUTF8") {
        command.push_str(" SMTPUTF8");
    }
    command
}

fn rcpt(recipient: &Mailbox) -> String {
    format!("RCPT TO:<{recipient}>")
}
