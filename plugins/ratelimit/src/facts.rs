//! Of whom is counted. Each fact is a call into the gateway, and asked for once.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::net::IpAddr;

use portcullis_plugin::{Outcome, Session, Transaction, split_address};

use crate::settings::{Part, Prefixes};

/// Who does something.
pub(crate) trait Facts {
    fn listener(&self) -> String;
    /// As text, if it is no IP address.
    fn client(&self) -> Result<IpAddr, String>;
    fn helo(&self) -> Option<String>;
    fn user(&self) -> Option<String>;
    /// None also for the null reverse-path, which is nobody's.
    fn sender(&self) -> Option<String>;
    fn recipient(&self) -> Option<&str>;
}

/// What is asked now.
pub(crate) struct Asked<'a> {
    pub(crate) session: &'a Session,
    pub(crate) transaction: Option<&'a Transaction>,
    pub(crate) recipient: Option<&'a str>,
    client: OnceCell<Result<IpAddr, String>>,
    sender: OnceCell<Option<String>>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(
        session: &'a Session,
        transaction: Option<&'a Transaction>,
        recipient: Option<&'a str>,
    ) -> Self {
        let (client, sender) = (OnceCell::new(), OnceCell::new());
        Self { session, transaction, recipient, client, sender }
    }
}

impl Facts for Asked<'_> {
    fn listener(&self) -> String {
        self.session.listener()
    }

    fn client(&self) -> Result<IpAddr, String> {
        self.client.get_or_init(|| address(self.session.client_address())).clone()
    }

    fn helo(&self) -> Option<String> {
        self.session.helo()
    }

    fn user(&self) -> Option<String> {
        self.session.user()
    }

    fn sender(&self) -> Option<String> {
        self.sender.get_or_init(|| self.transaction.and_then(Transaction::sender)).clone()
    }

    fn recipient(&self) -> Option<&str> {
        self.recipient
    }
}

impl Facts for Outcome {
    fn listener(&self) -> String {
        self.listener.clone()
    }

    fn client(&self) -> Result<IpAddr, String> {
        address(self.client_address.clone())
    }

    fn helo(&self) -> Option<String> {
        None
    }

    fn user(&self) -> Option<String> {
        None
    }

    fn sender(&self) -> Option<String> {
        self.sender.clone()
    }

    fn recipient(&self) -> Option<&str> {
        self.recipient.as_deref()
    }
}

fn address(text: String) -> Result<IpAddr, String> {
    text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(|_| text)
}

/// The key of a rule; none if it is not about this one. Neither an address (unless it is quoted) nor
/// a name has a space in it, so that nobody can be taken for somebody else.
pub(crate) fn key(parts: &[Part], facts: &dyn Facts, prefixes: Prefixes) -> Option<String> {
    let mut key = String::new();
    for part in parts {
        let value = value(*part, facts, prefixes)?.to_lowercase();
        let _ = write!(key, "{value} ");
    }
    key.pop();
    // A store takes 1 KiB, and there is more in the key than this.
    key.truncate(key.floor_char_boundary(900));
    Some(key)
}

fn value(part: Part, facts: &dyn Facts, prefixes: Prefixes) -> Option<String> {
    let domain = |address: &str| split_address(address).1.unwrap_or_default().to_owned();
    match part {
        Part::Listener => Some(facts.listener()),
        // In IPv6 everybody has 2^64 addresses.
        Part::Client => client(facts, |client| Alone::default().network(client)),
        Part::Network => client(facts, |client| prefixes.network(client)),
        Part::Helo => facts.helo(),
        Part::User => facts.user(),
        Part::Sender => facts.sender(),
        Part::SenderDomain => facts.sender().map(|sender| domain(&sender)),
        Part::Recipient => facts.recipient().map(str::to_owned),
        Part::RecipientDomain => facts.recipient().map(domain),
    }
}

/// One client.
type Alone = terms::Prefixes<32, 64>;

fn client(facts: &dyn Facts, network: impl Fn(IpAddr) -> String) -> Option<String> {
    match facts.client() {
        Ok(client) => Some(network(client)),
        // Who is at a Unix socket is no client among others.
        Err(text) => (text != "unix").then_some(text),
    }
}
