//! Lets clients, hello names and senders in or keeps them out; see README.md.

mod names;
mod networks;
mod senders;
mod settings;

use portcullis_plugin::{Hook, Refusal, Session, Transaction, Verdict, plugin};

use crate::names::Names;
use crate::networks::Networks;
use crate::senders::Senders;
use crate::settings::{Entry, Lists, Settings};

/// The lists, indexed for look-ups that do not grow with them.
#[derive(Debug)]
pub struct Access {
    allow: Index,
    deny: Index,
    /// What the entries of `deny` point to.
    refusals: Vec<Refusal>,
}

/// Patterns of one list, each with the place of its refusal (none is needed in `allow`).
#[derive(Debug, Default)]
struct Index {
    clients: Networks,
    helo: Names,
    senders: Senders,
}

#[plugin]
impl Access {
    fn configure(settings: Settings) -> Result<Self, String> {
        let mut refusals = Refusals::default();
        let deny = Index::new("deny", &settings.deny, |kind, entry| refusals.place(kind, entry))?;
        let allow = Index::new("allow", &settings.allow, |_, entry| match entry.reply {
            None => Ok(0),
            Some(_) => Err("an allowed entry has no reply".to_owned()),
        })?;
        Ok(Self { allow, deny, refusals: refusals.0 })
    }

    fn skip(&self) -> Vec<Hook> {
        let mut skip = Vec::new();
        if self.allow.clients.is_empty() && self.deny.clients.is_empty() {
            skip.push(Hook::Connect);
        }
        if self.allow.helo.is_empty() && self.deny.helo.is_empty() {
            skip.push(Hook::Helo);
        }
        if self.allow.senders.is_empty() && self.deny.senders.is_empty() {
            skip.push(Hook::Mail);
        }
        skip
    }

    fn connect(&self, session: &Session) -> Verdict {
        if self.allows(session, None) {
            return Verdict::Accept;
        }
        self.refuse(self.deny.clients.find(session.client_ip()))
    }

    fn helo(&self, session: &Session, name: &str) -> Verdict {
        if self.allows(session, Some(name)) {
            return Verdict::Accept;
        }
        self.refuse(self.deny.helo.find(name))
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Verdict {
        let sender = transaction.sender();
        let sender = sender.as_deref();
        if self.allow.senders.find(sender).is_some()
            || self.allows(session, session.helo().as_deref())
        {
            return Verdict::Accept;
        }
        self.refuse(self.deny.senders.find(sender))
    }
}

impl Access {
    /// What is known before there is a sender.
    fn allows(&self, session: &Session, helo: Option<&str>) -> bool {
        (!self.allow.clients.is_empty() && self.allow.clients.find(session.client_ip()).is_some())
            || helo.is_some_and(|name| self.allow.helo.find(name).is_some())
    }

    fn refuse(&self, found: Option<u32>) -> Verdict {
        let refusal = found.and_then(|place| self.refusals.get(place as usize));
        refusal.map_or(Verdict::Next, Refusal::verdict)
    }
}

/// What a list is about; says what its refusals are when an entry has none of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Clients,
    Helo,
    Senders,
}

impl Kind {
    fn refusal(self) -> &'static str {
        match self {
            // RFC 5321 3.1: a server that does not want to talk says so with 554.
            Self::Clients => "554 5.7.1 client address not welcome here",
            Self::Helo => "550 5.7.1 hello name not welcome here",
            Self::Senders => "550 5.7.1 sender not welcome here",
        }
    }
}

/// Each refusal once, however many entries have it.
#[derive(Debug, Default)]
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn place(&mut self, kind: Kind, entry: &Entry) -> Result<u32, String> {
        let refusal = entry.reply.clone().map_or_else(|| kind.refusal().parse(), Ok)?;
        let place = self.0.iter().position(|known| *known == refusal).unwrap_or(self.0.len());
        if place == self.0.len() {
            self.0.push(refusal);
        }
        u32::try_from(place).map_err(|_| "too many replies".to_owned())
    }
}

impl Index {
    fn new(
        list: &str,
        lists: &Lists,
        mut place: impl FnMut(Kind, &Entry) -> Result<u32, String>,
    ) -> Result<Self, String> {
        let mut index = Self::default();
        for (kind, name, entries) in [
            (Kind::Clients, "clients", &lists.clients),
            (Kind::Helo, "helo", &lists.helo),
            (Kind::Senders, "senders", &lists.senders),
        ] {
            for (number, entry) in entries.iter().enumerate() {
                place(kind, entry)
                    .and_then(|place| index.insert(kind, entry, place))
                    .map_err(|mistake| format!("{list}.{name}[{number}]: {mistake}"))?;
            }
        }
        Ok(index)
    }

    fn insert(&mut self, kind: Kind, entry: &Entry, place: u32) -> Result<(), String> {
        for pattern in &entry.matches {
            match kind {
                Kind::Clients => self.clients.insert(pattern, place)?,
                Kind::Helo => self.helo.insert(pattern, place)?,
                Kind::Senders => self.senders.insert(pattern, place)?,
            }
        }
        Ok(())
    }
}
