//! The plugin that every SDK has as its example: turns clients away that a list names, refuses domains,
//! counts messages and stamps them.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_plugin::dns::{self, Answer, Kind};
use portcullis_plugin::kv::{KvError, Store};
use portcullis_plugin::{EditError, Message, Recipient, Session, Verdict, log, metrics, plugin};

/// What the operator sets.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gatekeeper {
    /// Recipients' domains that get no mail.
    refuse: Vec<String>,
    /// The zone of a DNS list of clients.
    list: Option<String>,
    /// The store in which messages are counted.
    store: Option<String>,
    /// The header to stamp.
    #[serde(default = "header")]
    header: String,
}

fn header() -> String {
    "X-Gatekeeper".to_owned()
}

#[plugin]
impl Gatekeeper {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    /// Turns away whom the list names.
    pub fn connect(&self, session: &Session) -> Verdict {
        match (&self.list, session.client_ip()) {
            (Some(list), Some(IpAddr::V4(client))) => ask(list, client),
            _ => Verdict::Next,
        }
    }

    /// Refuses the domains.
    pub fn rcpt(&self, to: &Recipient) -> Verdict {
        if self.refuse.iter().any(|domain| to.domain().eq_ignore_ascii_case(domain)) {
            let domain = to.domain().to_lowercase();
            return Verdict::reject(550, "5.7.1", format!("no mail for {domain} here"));
        }
        Verdict::Next
    }

    /// Counts and stamps.
    pub fn message(&self, message: &Message) -> Result<Verdict, EditError> {
        metrics::add("messages", 1, None);
        let stamp = match self.count() {
            Some(Ok(count)) => format!("message {count}"),
            Some(Err(error)) => {
                log::warn(&format!("messages cannot be counted: {error:?}"), &[]);
                "checked".to_owned()
            }
            None => "checked".to_owned(),
        };
        message.add_header(Some(0), &self.header, stamp.as_bytes())?;
        Ok(Verdict::Next)
    }
}

impl Gatekeeper {
    fn count(&self) -> Option<Result<i64, KvError>> {
        let store = self.store.as_ref()?;
        Some(Store::open(store).and_then(|store| store.add("messages", 1, None)))
    }
}

fn ask(list: &str, client: Ipv4Addr) -> Verdict {
    match dns::lookup_one(&dns::listed_name(client.into(), list), Kind::A) {
        Ok(Answer::Records(_)) => {
            Verdict::reject(554, "5.7.1", format!("{client} is listed by {list}"))
        }
        Ok(answer) if !answer.is_uncertain() => Verdict::Next,
        answer => {
            log::warn(&format!("{list} does not answer: {answer:?}"), &[]);
            Verdict::Next
        }
    }
}
