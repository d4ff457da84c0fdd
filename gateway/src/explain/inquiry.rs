//! What is asked.

use std::net::IpAddr;

use portcullis_smtp::{Mailbox, ReversePath};
use serde::Deserialize;

use super::ExplainError;
use crate::config::{Config, Listener};
use crate::workbench::with_crlf;

/// What is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Inquiry {
    /// The listener's name; none is the first.
    pub listener: Option<String>,
    /// Who sends the message.
    pub sender: ReversePath,
    /// Whom it is for.
    pub recipients: Vec<Mailbox>,
    /// Where the client is; none is nobody knows where.
    pub client: Option<IpAddr>,
    /// What the client calls itself.
    pub helo: String,
    /// Who has logged in.
    pub user: Option<String>,
    /// Whether the connection is under TLS.
    pub tls: bool,
    /// The message, lines ended by CRLF; without one, the conversation ends before DATA.
    pub message: Option<Vec<u8>>,
}

/// As it stands in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    listener: Option<String>,
    #[serde(default)]
    from: String,
    to: Vec<String>,
    client: Option<IpAddr>,
    helo: Option<String>,
    user: Option<String>,
    #[serde(default)]
    tls: bool,
    message: Option<String>,
}

impl TryFrom<Written> for Inquiry {
    type Error = Unsayable;

    fn try_from(written: Written) -> Result<Self, Unsayable> {
        let recipients = written.to.iter().map(|text| mailbox(text)).collect::<Result<_, _>>()?;
        Ok(Self {
            listener: written.listener,
            sender: reverse_path(&written.from)?,
            recipients,
            client: written.client,
            helo: written.helo.as_deref().map_or_else(|| Ok(HELO.to_owned()), helo)?,
            user: written.user,
            tls: written.tls,
            message: written.message.map(|text| with_crlf(text.as_bytes())),
        })
    }
}

/// What no client could say.
#[derive(Debug, thiserror::Error)]
#[error("\"{}\" is no {}", .0.escape_debug(), .1)]
pub struct Unsayable(String, &'static str);

/// What a client may call itself.
///
/// # Errors
///
/// If that would be more than one line.
pub fn helo(text: &str) -> Result<String, Unsayable> {
    match text.contains(char::is_control) || text.is_empty() {
        true => Err(Unsayable(text.to_owned(), "name")),
        false => Ok(text.to_owned()),
    }
}

/// An address, in angle brackets or without.
///
/// # Errors
///
/// If it is none.
pub fn mailbox(text: &str) -> Result<Mailbox, Unsayable> {
    let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    Mailbox::parse(bare).ok_or_else(|| Unsayable(text.to_owned(), "address"))
}

/// An address, or the null reverse-path: `<>`, or nothing.
///
/// # Errors
///
/// If it is neither.
pub fn reverse_path(text: &str) -> Result<ReversePath, Unsayable> {
    match text {
        "" | "<>" => Ok(ReversePath::Null),
        _ => mailbox(text).map(ReversePath::Mailbox),
    }
}

impl Inquiry {
    /// The listener that it is about.
    ///
    /// # Errors
    ///
    /// If there is none of this name.
    pub fn listener_of<'a>(&self, config: &'a Config) -> Result<&'a Listener, ExplainError> {
        let wanted =
            |listener: &&Listener| self.listener.as_ref().is_none_or(|name| *name == listener.name);
        config.listeners.iter().find(wanted).ok_or_else(|| {
            let names: Vec<_> = config.listeners.iter().map(|one| one.name.as_str()).collect();
            let wanted = self.listener.clone().unwrap_or_default();
            ExplainError::UnknownListener { wanted, there: names.join(", ") }
        })
    }

    /// Whether a parameter of MAIL has to say that addresses are not ASCII.
    pub(super) fn is_international(&self) -> bool {
        let sender = self.sender.mailbox();
        sender.into_iter().chain(&self.recipients).any(|address| !address.as_str().is_ascii())
    }
}

/// What a client calls itself of which nothing is known.
pub const HELO: &str = "client.example";
