//! What policy is asked, and what it may answer.

use super::replies;
use crate::sasl::Credentials;
use crate::xclient::{Xclient, Xforward};
use crate::{Mailbox, Parameter, Reply, ReversePath};

/// What the session asks of policy. Each is answered by [`Session::decide`](super::Session::decide).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// A client has connected and waits for the banner.
    Connect,
    /// EHLO, HELO or LHLO.
    Hello {
        /// Its argument, printable ASCII.
        name: String,
        /// Whether the client speaks ESMTP or LMTP (EHLO, LHLO).
        esmtp: bool,
    },
    /// AUTH: may this client act as who it says to be? A yes is said once in a session.
    Auth(Box<Credentials>),
    /// XCLIENT: the client is somebody else. After a yes [`Connect`](Self::Connect) is asked again.
    Xclient(Box<Xclient>),
    /// XFORWARD: where the next message comes from. What is said holds until a transaction ends, or
    /// [`Step::Aborted`](super::Step::Aborted) comes, or [`Hello`](Self::Hello).
    Xforward(Box<Xforward>),
    /// MAIL: a transaction would begin.
    Mail {
        /// The sender.
        reverse_path: ReversePath,
        /// Only known ones, checked.
        parameters: Vec<Parameter>,
    },
    /// RCPT.
    Rcpt {
        /// The recipient; source routes are dropped.
        forward_path: Mailbox,
        /// Only known ones, checked.
        parameters: Vec<Parameter>,
    },
    /// DATA, before the 354.
    Data,
    /// The message is complete; every octet of it came as [`Step::Content`](super::Step::Content).
    Message,
}

/// The answer to a [`Question`].
///
/// A reply with code 421 is said and ends the conversation, whichever variant brings it
/// (RFC 5321 section 3.8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Yes, with the session's own words.
    Accept,
    /// Yes or no, by the class of this reply's code. The words of a yes are used where the protocol
    /// leaves them free: after MAIL, RCPT and the message, if the code is 2xx.
    Reply(Reply),
    /// LMTP, or SMTP with PRDR, after the message: a reply for each accepted recipient, in the
    /// order of RCPT. A recipient without one is told 451. Anywhere else this is the first refusal among them, or
    /// else the first reply.
    Each(Vec<Reply>),
    /// This reply, and the end of the conversation.
    Disconnect(Reply),
}

/// A verdict on one thing.
pub(super) enum Answer {
    No(Reply),
    Yes(Option<Reply>),
}

impl Verdict {
    /// The verdict, where only one reply can be given.
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Accept => Answer::Yes(None),
            Self::Reply(reply) | Self::Disconnect(reply) => Answer::from(reply),
            Self::Each(replies) => {
                let refusal = replies.iter().find(|reply| !reply.is_positive());
                match refusal.or_else(|| replies.first()) {
                    Some(reply) => Answer::from(reply.clone()),
                    None => Answer::No(replies::no_answer()),
                }
            }
        }
    }

    /// The replies after the message with PRDR (draft-hall-prdr-00 section 4.5): where all fare
    /// alike, one; else 353, one for each of `recipients`, and one for the message: a yes if
    /// anybody gets it.
    pub(super) fn each_that_differs(self, recipients: &[Mailbox]) -> Vec<Reply> {
        let common = match &self {
            Self::Accept | Self::Reply(_) | Self::Disconnect(_) => Some(self.clone()),
            Self::Each(given) if given.len() < recipients.len() => None,
            Self::Each(given) => {
                let alike = given.iter().all(Reply::is_positive)
                    || given.iter().all(|reply| given.first() == Some(reply));
                given.first().filter(|_| alike).cloned().map(Self::Reply)
            }
        };
        if let Some(common) = common {
            return vec![match common.answer() {
                Answer::No(reply) | Answer::Yes(Some(reply)) => reply,
                Answer::Yes(None) => replies::ok(),
            }];
        }
        let each = self.each(recipients);
        let accepted = each.iter().filter(|reply| reply.is_positive()).count();
        let refusal = each.iter().find(|reply| reply.is_transient()).or_else(|| each.first());
        let whole = match (accepted, refusal) {
            (0, Some(refusal)) => refusal.clone(),
            _ => replies::partly_accepted(accepted, recipients.len()),
        };
        std::iter::once(replies::each_follows()).chain(each).chain([whole]).collect()
    }

    /// The replies after the message: in LMTP one for each of `recipients`.
    pub(super) fn each(self, recipients: &[Mailbox]) -> Vec<Reply> {
        let given = match self {
            Self::Each(replies) => replies,
            one @ (Self::Accept | Self::Reply(_) | Self::Disconnect(_)) => match one.answer() {
                Answer::No(reply) | Answer::Yes(Some(reply)) => vec![reply; recipients.len()],
                Answer::Yes(None) => recipients.iter().map(replies::delivered_to).collect(),
            },
        };
        let missing = std::iter::repeat_with(replies::no_answer);
        let replies = given.into_iter().chain(missing);
        recipients
            .iter()
            .zip(replies)
            .map(|(recipient, reply)| match Answer::from(reply) {
                Answer::No(reply) => reply,
                Answer::Yes(None) => replies::delivered_to(recipient),
                // So that whoever reads the conversation can tell them apart.
                Answer::Yes(Some(reply)) => reply.naming(recipient),
            })
            .collect()
    }
}

impl From<Reply> for Answer {
    /// 3xx says that the client is to go on with something else than a command, which is not for a
    /// verdict to say.
    fn from(reply: Reply) -> Self {
        match reply.code() {
            200..300 => Self::Yes(Some(reply)),
            300..400 => Self::Yes(None),
            _ => Self::No(reply),
        }
    }
}
