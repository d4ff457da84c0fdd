//! What is kept of a message beside its content: who it is from, who it is for, and how far it came.
//!
//! It is JSON in files that outlive this version: keys that are not known are ignored, those that
//! were added later have defaults. Addresses and parameters are kept as text and read as strictly as
//! a client's.

use jiff::Timestamp;
use portcullis_smtp::{Mailbox, Parameter, ReversePath};
use serde::{Deserialize, Serialize};

use super::Id;
use crate::message::{Provenance, Recipient};

/// A message that was accepted and is not delivered yet, without its content.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// Its name.
    pub id: Id,
    /// When it was accepted.
    #[serde(with = "text")]
    pub accepted: Timestamp,
    /// Where it came from.
    #[serde(default)]
    pub provenance: Provenance,
    /// Where delivery failures go.
    #[serde(with = "path")]
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    #[serde(with = "parameters", default)]
    pub parameters: Vec<Parameter>,
    /// How much is sent, `Received` and all, without dot-stuffing.
    #[serde(default)]
    pub octets: u64,
    /// Whether the operator holds it back.
    #[serde(default)]
    pub held: bool,
    /// Whether a plugin said where it goes, which no route may decide otherwise: into quarantine, or a
    /// way of its own.
    #[serde(default)]
    pub pinned: bool,
    /// Who it is for, with how far it came for each.
    pub recipients: Vec<Addressee>,
}

impl Entry {
    /// Whether the gateway itself wrote it, about another message.
    #[must_use]
    pub fn is_report(&self) -> bool {
        self.reverse_path == ReversePath::Null && self.provenance.listener.is_empty()
    }

    /// Whether nobody waits for it any more, and nobody has to be told of a failure.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.recipients.iter().all(|recipient| recipient.state.is_done())
    }
}

/// One recipient of a message that waits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Addressee {
    /// Who.
    #[serde(with = "mailbox")]
    pub address: Mailbox,
    /// The parameters of RCPT.
    #[serde(with = "parameters", default)]
    pub parameters: Vec<Parameter>,
    /// The upstream that it goes to, by its name in the configuration.
    pub upstream: String,
    /// How far it came.
    pub state: State,
}

impl Addressee {
    /// As an upstream is offered it.
    #[must_use]
    pub fn recipient(&self, index: u32) -> Recipient {
        let (address, parameters) = (self.address.clone(), self.parameters.clone());
        Recipient { index, address, parameters, route: Some(self.upstream.clone()) }
    }
}

/// How far a message came for one recipient.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum State {
    /// To be tried, again.
    Waiting {
        /// How often it was tried.
        #[serde(default)]
        attempts: u32,
        /// Not before this.
        #[serde(with = "text")]
        next: Timestamp,
        /// What the upstream said last.
        #[serde(default)]
        said: Option<String>,
    },
    /// The upstream has it.
    Delivered,
    /// It never will be delivered.
    Failed {
        /// Why.
        said: String,
        /// Whether the sender was told, or need not be.
        #[serde(default)]
        reported: bool,
    },
    /// The operator does not want it delivered.
    Dropped,
}

impl State {
    /// To be tried for the first time, at once.
    #[must_use]
    pub fn new(accepted: Timestamp) -> Self {
        Self::Waiting { attempts: 0, next: accepted, said: None }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Waiting { .. } => false,
            Self::Failed { reported, .. } => *reported,
            Self::Delivered | Self::Dropped => true,
        }
    }
}

/// What has a text that is read back.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(it)
    }

    pub(super) fn deserialize<'a, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'a>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

mod mailbox {
    use portcullis_smtp::Mailbox;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(mailbox: &Mailbox, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(mailbox.as_str())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Mailbox, D::Error> {
        let text = String::deserialize(from)?;
        Mailbox::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no address")))
    }
}

/// The null path is the empty text.
mod path {
    use portcullis_smtp::{Mailbox, ReversePath};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &ReversePath, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(path)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<ReversePath, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(ReversePath::Null);
        }
        let mailbox = Mailbox::parse(&text).map(ReversePath::Mailbox);
        mailbox.ok_or_else(|| D::Error::custom(format!("{text:?} is no address")))
    }
}

/// `[["SIZE", "2000"], ["SMTPUTF8", null]]`, values decoded.
mod parameters {
    use portcullis_smtp::Parameter;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &[Parameter], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|one| (&one.keyword, &one.value)))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Vec<Parameter>, D::Error> {
        let pairs = Vec::<(String, Option<String>)>::deserialize(from)?;
        let parameter = |(keyword, value)| {
            let parameter = Parameter { keyword, value };
            // What cannot stand in a command must not come into one.
            match parameter.word() {
                Some(_) => Ok(parameter),
                None => Err(D::Error::custom(format!("{:?} is no parameter", parameter.keyword))),
            }
        };
        pairs.into_iter().map(parameter).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::spool) fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("an address")
    }

    pub(in crate::spool) fn entry(recipients: &[&str]) -> Entry {
        let accepted = Timestamp::from_second(1_800_000_000).expect("a time");
        let parameter = |keyword: &str, value: Option<&str>| Parameter {
            keyword: keyword.to_owned(),
            value: value.map(str::to_owned),
        };
        let addressee = |address: &&str| Addressee {
            address: mailbox(address),
            parameters: vec![parameter("NOTIFY", Some("NEVER"))],
            upstream: "store".to_owned(),
            state: State::new(accepted),
        };
        Entry {
            id: Id::fresh(),
            accepted,
            provenance: Provenance { id: "1.1".to_owned(), ..Provenance::default() },
            reverse_path: ReversePath::Mailbox(mailbox("ann@example.org")),
            parameters: vec![parameter("SMTPUTF8", None), parameter("ENVID", Some("a+b=c d"))],
            octets: 0,
            held: false,
            pinned: false,
            recipients: recipients.iter().map(addressee).collect(),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let mut entry = entry(&["bob@example.com", "\"c d\"@example.com", "e@b\u{fc}cher.example"]);
        let said = Some("450 4.2.0 \u{fc}".to_owned());
        entry.recipients[0].state = State::Waiting { attempts: 3, next: entry.accepted, said };
        entry.recipients[1].state = State::Failed { said: "550 no".to_owned(), reported: false };
        entry.recipients[2].state = State::Delivered;
        for path in [entry.reverse_path.clone(), ReversePath::Null] {
            entry.reverse_path = path;
            let text = serde_json::to_string(&entry).expect("JSON");
            assert_eq!(serde_json::from_str::<Entry>(&text).expect("an entry"), entry, "{text}");
        }
    }

    #[test]
    fn what_a_later_version_adds_is_ignored() {
        let entry = entry(&["bob@example.com"]);
        let mut tree = serde_json::to_value(&entry).expect("JSON");
        tree["later"] = 1.into();
        tree["recipients"][0]["later"] = 1.into();
        tree["recipients"][0]["state"]["later"] = 1.into();
        assert_eq!(serde_json::from_value::<Entry>(tree).expect("an entry"), entry);
    }

    #[test]
    fn what_could_end_a_command_is_refused() {
        let tree = serde_json::to_value(entry(&["bob@example.com"])).expect("JSON");
        for (place, value, error) in [
            ("/id", "../x", "no id of a message"),
            ("/reverse_path", "a@b\r\nRCPT", "is no address"),
            ("/recipients/0/address", "x y@example.com", "is no address"),
            ("/parameters/0/0", "A\r\nB", "is no parameter"),
            ("/recipients/0/parameters/0/0", "A B", "is no parameter"),
            ("/accepted", "yesterday", "failed to parse"),
        ] {
            let mut tree = tree.clone();
            *tree.pointer_mut(place).expect("it is there") = value.into();
            let found = serde_json::from_value::<Entry>(tree).expect_err("malformed").to_string();
            assert!(found.contains(error), "{place}: {found}");
        }
    }
}
