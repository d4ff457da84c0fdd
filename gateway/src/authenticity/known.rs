//! What was looked up before the library asks for it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::resolver::ToFqdn;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::Dmarc;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::{DnsError, Error, ResolverCache, Txt};

use super::sender::TIMED_OUT;
use crate::resolver::{Answer, Record};

/// TXT records by name, taken apart.
#[derive(Default)]
pub(super) struct Known(HashMap<Box<str>, Txt>);

impl Known {
    /// Keeps what was said about a key of DKIM or ARC.
    pub(super) fn keep_key(&mut self, name: &str, answer: &Answer) {
        self.0.insert(fqdn(name), read::<DomainKey>(answer));
    }

    /// Keeps what was said about a policy of DMARC. Of several, none counts (RFC 7489 section 6.6.3).
    pub(super) fn keep_policy(&mut self, name: &str, answer: &Answer) {
        let policy = match answer {
            Answer::Records(records)
                if records.iter().filter(|record| is_policy(record)).count() > 1 =>
            {
                read::<Dmarc>(&Answer::NoData)
            }
            answer => read::<Dmarc>(answer),
        };
        self.0.insert(fqdn(name), policy);
    }

    /// Whether there is a policy of DMARC at this name.
    pub(super) fn has_policy(&self, name: &str) -> bool {
        matches!(self.0.get(&fqdn(name)), Some(Txt::Dmarc(_)))
    }
}

fn is_policy(record: &Record) -> bool {
    matches!(record, Record::Text(octets) if octets.starts_with(b"v=DMARC1"))
}

/// As the library looks it up.
fn fqdn(name: &str) -> Box<str> {
    name.to_fqdn().into_owned().into_boxed_str()
}

fn read<T: TxtRecordParser + Into<Txt>>(answer: &Answer) -> Txt {
    let missing = |code| Txt::Error(Error::Dns(DnsError::RecordNotFound(code)));
    let unknown = |why: &str| Txt::Error(Error::Dns(DnsError::Resolver(why.to_owned())));
    match answer {
        Answer::Records(records) => {
            let mut error = Error::Dns(DnsError::InvalidRecordType);
            for record in records {
                let Record::Text(octets) = record else { continue };
                match T::parse(octets) {
                    Ok(parsed) => return parsed.into(),
                    Err(wrong) => error = wrong,
                }
            }
            Txt::Error(error)
        }
        Answer::NoData => missing(ResponseCode::NoError),
        Answer::NoSuchName | Answer::NotAName => missing(ResponseCode::NXDomain),
        Answer::Failed(why) => unknown(why),
        Answer::TimedOut => unknown(TIMED_OUT),
    }
}

impl ResolverCache<Box<str>, Txt> for Known {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
