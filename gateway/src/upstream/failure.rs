//! What can go wrong with an upstream, and what the client hears of it.

use std::io;

use portcullis_smtp::client::{ClientError, Stage};
use portcullis_smtp::{EnhancedStatus, Reply};

use crate::metrics::Connect;

/// Why an upstream gave no usable answer. The upstream's fault or the network's; a 4xx for the
/// client, who still has the mail. Only a null MX is an answer for ever.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// As many connections as there may be, and none became free.
    #[error("all connections are in use")]
    Busy,
    /// 421: it was an answer, and the last one.
    #[error("closes the connection: {0}")]
    Closing(Reply),
    #[error("cannot be reached")]
    Connect(#[source] io::Error),
    /// All addresses have failed before, and it is not time yet to try again.
    #[error("all addresses are down")]
    Down,
    #[error("message content cannot be read")]
    Content(#[source] io::Error),
    #[error("cannot log in")]
    Login(#[source] io::Error),
    #[error("connection lost")]
    Lost(#[source] io::Error),
    /// RFC 7505: the domain takes no mail, and says so.
    #[error("takes no mail: its MX is null")]
    NullMx,
    #[error(transparent)]
    Protocol(#[from] ClientError),
    #[error("host name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
}

impl Failure {
    /// What the client hears. Names the upstream as the configuration does, and no address.
    pub(super) fn reply(&self, upstream: &str) -> Reply {
        let (status, text) = match self {
            Self::Login(_) => NO_LOGIN,
            _ if self.is_login() => NO_LOGIN,
            Self::Busy => ((4, 3, 2), "has no connection free"),
            Self::Closing(reply) => return passed_on(reply),
            Self::Connect(_) | Self::Down | Self::Resolve(_) => ((4, 4, 1), "cannot be reached"),
            Self::Content(_) => {
                return Reply::fixed(451, (4, 3, 0), "message content cannot be read");
            }
            Self::Lost(_) => ((4, 4, 2), "lost the connection"),
            // Section 4.1 there: it will not help to try again.
            Self::NullMx => {
                let text = format!("upstream {upstream} takes no mail");
                return Reply::fixed(556, (5, 1, 10), &text);
            }
            Self::Protocol(ClientError::Refused {
                stage: Stage::Banner | Stage::Hello, ..
            }) => ((4, 3, 2), "takes no mail now"),
            Self::Protocol(ClientError::Refused { stage: Stage::Xclient, .. }) => {
                ((4, 7, 0), "does not take the client by XCLIENT")
            }
            Self::Protocol(ClientError::Refused { .. } | ClientError::StartTlsNotOffered) => {
                ((4, 7, 4), "has no TLS")
            }
            Self::Protocol(_) => ((4, 5, 0), "does not speak the protocol"),
            Self::Timeout => ((4, 4, 2), "did not answer in time"),
            Self::Tls(_) => ((4, 7, 5), "failed in the TLS handshake"),
        };
        Reply::fixed(451, status, &format!("upstream {upstream} {text}"))
    }

    /// Whether the gateway could not log in: its operator's business, not the client's.
    pub(super) fn is_login(&self) -> bool {
        matches!(
            self,
            Self::Login(_)
                | Self::Protocol(
                    ClientError::BadChallenge { .. }
                        | ClientError::NoMechanism
                        | ClientError::PasswordInClear
                        | ClientError::Refused { stage: Stage::Auth, .. }
                        | ClientError::Unproved { .. }
                )
        )
    }

    /// Whether the connection has ended, so that another one may do better.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Lost(_))
    }

    /// How an attempt to connect that ended so is counted.
    pub(super) fn connect_result(&self) -> Connect {
        match self {
            Self::Protocol(ClientError::StartTlsNotOffered | ClientError::OctetsBeforeTls)
            | Self::Protocol(ClientError::Refused { stage: Stage::StartTls, .. })
            | Self::Tls(_) => Connect::Tls,
            Self::Login(_) => Connect::Login,
            _ if self.is_login() => Connect::Login,
            Self::Closing(_) | Self::Protocol(_) => Connect::Refused,
            Self::NullMx | Self::Resolve(_) => Connect::Resolve,
            Self::Busy | Self::Timeout => Connect::Timeout,
            Self::Connect(_) | Self::Content(_) | Self::Down | Self::Lost(_) => Connect::Failed,
        }
    }
}

/// Whether a reply of `Failure::reply` says that this upstream was not there to be asked, as far as can
/// be told from outside.
#[must_use]
pub fn is_unreachable(reply: &Reply, upstream: &str) -> bool {
    let text = reply.lines().first();
    let rest = text.and_then(|text| text.strip_prefix("upstream ")?.strip_prefix(upstream));
    reply.code() == 451 && rest.is_some_and(|rest| rest.starts_with(' '))
}

/// The same of an upstream that may have the message: it was there, so that the message is not sent
/// again as soon as it is back.
pub(super) fn unanswered(reply: &Reply) -> Reply {
    let text = format!("no answer to the message: {}", reply.text());
    Reply::new(reply.code(), reply.status(), &text).unwrap_or_else(|_| reply.clone())
}

/// What the client hears of a login that has failed: that is not its fault, and not the mail's.
const NO_LOGIN: ((u8, u16, u16), &str) = ((4, 7, 0), "does not accept the gateway's login");

/// An upstream's reply as the client hears it: the same code, status and text.
///
/// A 421 becomes 451: it closed the upstream's connection and shall not close the client's. A
/// reply without an enhanced status gets the class's own (RFC 2034 section 4 wants one in each).
pub(super) fn passed_on(reply: &Reply) -> Reply {
    let code = if reply.code() == 421 { 451 } else { reply.code() };
    let class = u8::try_from(code / 100).unwrap_or(4);
    let status = reply.status().or_else(|| EnhancedStatus::new(class, 0, 0).ok());
    Reply::new(code, status, &reply.text()).unwrap_or_else(|_| reply.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_upstream_said_is_what_the_client_hears() {
        let reply = |code, status, text| Reply::new(code, status, text).expect("valid");
        let full = EnhancedStatus::new(4, 2, 2).ok();
        for (said, heard) in [
            (reply(550, EnhancedStatus::new(5, 1, 1).ok(), "no\nnever"), "550 5.1.1 no / never"),
            (reply(550, None, "no"), "550 5.0.0 no"),
            (reply(250, None, "ok"), "250 2.0.0 ok"),
            (reply(421, None, "bye"), "451 4.0.0 bye"),
            (reply(452, full, ""), "452 4.2.2 "),
        ] {
            assert_eq!(passed_on(&said).to_string(), heard);
        }
    }
}
