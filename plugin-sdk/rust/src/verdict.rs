//! Answers, and short ways to make them.

use std::fmt;

use crate::bindings::smtp::filter::types::{Reply, Verdict};

impl Verdict {
    /// A permanent refusal: 5xx.
    pub fn reject(code: u16, status: &str, text: impl Into<String>) -> Self {
        Self::Reject(Reply::new(code, status, text))
    }

    /// A temporary refusal: 4xx.
    pub fn defer(code: u16, status: &str, text: impl Into<String>) -> Self {
        Self::Defer(Reply::new(code, status, text))
    }

    /// A refusal (4xx or 5xx) after which the gateway closes the connection.
    pub fn disconnect(code: u16, status: &str, text: impl Into<String>) -> Self {
        Self::Disconnect(Reply::new(code, status, text))
    }

    /// Yes to the client, and nothing is delivered. The reason is for the log.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::Discard(reason.into())
    }

    /// Yes to the client, and the listener's quarantine gets the message. The reason is for the log.
    pub fn quarantine(reason: impl Into<String>) -> Self {
        Self::Quarantine(reason.into())
    }
}

/// A refusal by its code: 421 also closes the connection (RFC 5321 3.8), other 4xx defer, and the rest
/// rejects.
impl From<Reply> for Verdict {
    fn from(reply: Reply) -> Self {
        match reply.code {
            421 => Self::Disconnect(reply),
            400..=499 => Self::Defer(reply),
            _ => Self::Reject(reply),
        }
    }
}

impl Reply {
    /// A reply; `status` as in `5.7.1`, or empty for none.
    ///
    /// # Panics
    ///
    /// When `status` is neither empty nor three numbers: a mistake in the plugin, which its first
    /// test shows. Check a status that comes from settings with [`Reply::parse_status`] first.
    pub fn new(code: u16, status: &str, text: impl Into<String>) -> Self {
        let status = (!status.is_empty()).then(|| {
            Self::parse_status(status).expect("an enhanced status is three numbers, as in 5.7.1")
        });
        Self { code, status, text: text.into() }
    }

    /// An enhanced status (RFC 3463) as its three numbers.
    pub fn parse_status(status: &str) -> Option<(u8, u16, u16)> {
        let mut parts = status.split('.');
        let class = parts.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        let (subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some((class, subject, detail))
    }
}

/// What a hook may return: a [`Verdict`] (for `auth` an [`Authentication`](crate::Authentication)),
/// or a `Result` whose error is this plugin's failure.
///
/// A failure is a panic: it is logged, staged edits are forgotten, and the gateway answers as the
/// configuration's `on_failure` says.
pub trait Answer<A> {
    /// The answer; panics if there is none, at the hook that it is called for.
    #[track_caller]
    fn answer(self) -> A;
}

impl<A> Answer<A> for A {
    fn answer(self) -> A {
        self
    }
}

impl<A, E: fmt::Display> Answer<A> for Result<A, E> {
    fn answer(self) -> A {
        match self {
            Ok(answer) => answer,
            Err(error) => panic!("{}", told(&error)),
        }
    }
}

/// An error for its author. Those of the contract end in their number, which says nothing.
fn told(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (error ") {
        Some((name, number)) if number.strip_suffix(')').is_some_and(is_number) => name.to_owned(),
        _ => text,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}
