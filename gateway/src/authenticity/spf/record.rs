//! Records of a domain: the one that counts, taken apart.

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::spf::{Macro, Spf};

use super::evaluation::Ended;
use crate::message::Outcome;
use crate::resolver::{Answer, Record};

/// The SPF record among the TXT records of a domain, if it has one (RFC 7208 sections 4.4 to 4.6).
pub(super) fn select(answer: Answer) -> Result<Option<Spf>, Ended> {
    let texts = texts(answer)?;
    let mut records = texts.iter().filter(|text| is_spf(text));
    let Some(record) = records.next() else { return Ok(None) };
    if records.next().is_some() {
        return Err(permanent("the domain has more than one SPF record"));
    }
    if !record.is_ascii() || !is_well_formed(record) {
        return Err(permanent("the SPF record has a syntax error"));
    }
    let record = Spf::parse(record);
    record.map(Some).map_err(|_| permanent("the SPF record has a syntax error"))
}

/// The text of an explanation, if it can be used (RFC 7208 section 6.2).
pub(super) fn explanation(answer: Answer) -> Option<Macro> {
    let texts = texts(answer).ok()?;
    let [text] = &*texts else { return None };
    if !text.is_ascii() { None } else { Macro::parse(text).ok() }
}

/// TXT records; none where there are none.
fn texts(answer: Answer) -> Result<Vec<Vec<u8>>, Ended> {
    let text = |record| match record {
        Record::Text(octets) => Some(octets),
        _ => None,
    };
    match answer {
        Answer::Records(records) => Ok(records.into_iter().filter_map(text).collect()),
        other => super::evaluation::nothing(other).map(|()| Vec::new()),
    }
}

/// RFC 7208 section 4.5.
fn is_spf(text: &[u8]) -> bool {
    let Some((version, rest)) = text.split_at_checked(b"v=spf1".len()) else { return false };
    version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
}

/// What the library does not look at.
fn is_well_formed(_record: &[u8]) -> bool {
    true
}

pub(super) fn permanent(reason: &str) -> Ended {
    Ended { outcome: Outcome::PermanentError, reason: reason.to_owned() }
}
