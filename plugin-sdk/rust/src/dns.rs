//! The gateway's resolver. Grant `dns`.

use std::net::IpAddr;

pub use crate::bindings::smtp::filter::dns::{Answer, Kind, LookupError, Query};

/// Looks all of them up at once; answers in the order of the queries. At most 100 queries a call and
/// 500 a hook call.
pub fn lookup(queries: &[Query]) -> Result<Vec<Answer>, LookupError> {
    backend::lookup(queries)
}

/// Looks one name up.
pub fn lookup_one(name: &str, kind: Kind) -> Result<Answer, LookupError> {
    let mut answers = lookup(&[Query::new(name, kind)])?;
    Ok(answers.pop().unwrap_or_else(|| Answer::Failed("no answer".to_owned())))
}

/// The name under which a list of addresses, such as a DNSBL (RFC 5782), has this one.
pub fn listed_name(address: IpAddr, zone: &str) -> String {
    let mut name = String::new();
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                name.push_str(&format!("{octet}."));
            }
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
        }
    }
    name + zone.trim_matches('.')
}

impl Query {
    /// One question.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind }
    }
}

impl Answer {
    /// The records; empty where there are none, or where that cannot be said.
    pub fn records(&self) -> &[String] {
        match self {
            Self::Records(records) => records,
            Self::NoSuchName | Self::NoData | Self::Failed(_) | Self::TimedOut => &[],
        }
    }

    /// Whether it says neither yes nor no.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut)
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::dns as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::dns as backend;
