//! Lets clients, hello names and senders in or keeps them out; see README.md.

mod names;
mod networks;
mod senders;
mod settings;

use portcullis_plugin::{Hook, Refusal, Session, Transaction, Verdict, plugin};

use crate::networks::Networks;
use crate::settings::{Lists, Settings};

/// The lists, indexed for look-ups that do not grow with them.
#[derive(Debug)]
pub struct Access {
    allow: Lists,
    deny: Lists,
    /// For entries that have no reply of their own.
    usual: Usual,
}

#[derive(Debug)]
struct Usual {
    clients: Refusal,
    helo: Refusal,
    senders: Refusal,
}

#[plugin]
impl Access {
    fn configure(Settings { allow, deny }: Settings) -> Result<Self, String> {
        for (name, replies) in [
            ("clients", &allow.clients.replies),
            ("helo", &allow.helo.replies),
            ("senders", &allow.senders.replies),
        ] {
            if !replies.is_empty() {
                return Err(format!("allow.{name}: an allowed entry has no reply"));
            }
        }
        Ok(Self { allow, deny, usual: Usual::new()? })
    }

    fn skip(&self) -> Vec<Hook> {
        let mut skip = Vec::new();
        if self.allow.clients.patterns.is_empty() && self.deny.clients.patterns.is_empty() {
            skip.push(Hook::Connect);
        }
        if self.allow.helo.patterns.is_empty() && self.deny.helo.patterns.is_empty() {
            skip.push(Hook::Helo);
        }
        if self.allow.senders.patterns.is_empty() && self.deny.senders.patterns.is_empty() {
            skip.push(Hook::Mail);
        }
        skip
    }

    fn connect(&self, session: &Session) -> Verdict {
        if self.allows(session, None) {
            return Verdict::Accept;
        }
        let list = &self.deny.clients;
        answer(found(&list.patterns, session), &list.replies, &self.usual.clients)
    }

    fn helo(&self, session: &Session, name: &str) -> Verdict {
        if self.allows(session, Some(name)) {
            return Verdict::Accept;
        }
        let list = &self.deny.helo;
        answer(list.patterns.find(name), &list.replies, &self.usual.helo)
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Verdict {
        let sender = transaction.sender();
        let sender = sender.as_deref();
        // Each fact is a call into the gateway: what no list needs is not asked for.
        let helo = if self.allow.helo.patterns.is_empty() { None } else { session.helo() };
        if self.allow.senders.patterns.find(sender).is_some()
            || self.allows(session, helo.as_deref())
        {
            return Verdict::Accept;
        }
        let list = &self.deny.senders;
        answer(list.patterns.find(sender), &list.replies, &self.usual.senders)
    }
}

impl Access {
    /// What is known before there is a sender.
    fn allows(&self, session: &Session, helo: Option<&str>) -> bool {
        let clients = &self.allow.clients.patterns;
        (!clients.is_empty() && found(clients, session).is_some())
            || helo.is_some_and(|name| self.allow.helo.patterns.find(name).is_some())
    }
}

/// The number of the entry that the client is in. Who is at a Unix socket is in none: that is a
/// matter of its mode. A proxy's client whose address the proxy does not tell may be anybody.
fn found(clients: &Networks, session: &Session) -> Option<u32> {
    match session.client_ip() {
        Some(client) => clients.find(client),
        None if session.client_address() == "unknown" => clients.everybody(),
        None => None,
    }
}

/// The refusal of the number that was found; 0 is the usual one.
fn answer(found: Option<u32>, replies: &[Refusal], usual: &Refusal) -> Verdict {
    let Some(number) = found else { return Verdict::Next };
    let own = number.checked_sub(1).and_then(|place| replies.get(place as usize));
    own.unwrap_or(usual).verdict()
}

impl Usual {
    fn new() -> Result<Self, String> {
        Ok(Self {
            // RFC 5321 3.1: a server that does not want to talk says so with 554.
            clients: "554 5.7.1 client address not welcome here".parse()?,
            helo: "550 5.7.1 hello name not welcome here".parse()?,
            senders: "550 5.7.1 sender not welcome here".parse()?,
        })
    }
}
