//! Records of a domain: the one that counts, taken apart.

use mail_auth::spf::Macro;

use super::evaluation::Ended;
use super::expression;
use super::grammar::Record;
use crate::message::Outcome;
use crate::resolver::{self, Answer};

/// The SPF record among the TXT records of a domain, if it has one (RFC 7208 sections 4.4 to 4.6).
pub(super) fn select(answer: Answer) -> Result<Option<Record>, Ended> {
    let texts = texts(answer)?;
    let mut records = texts.iter().filter(|text| is_spf(text));
    let Some(record) = records.next() else { return Ok(None) };
    if records.next().is_some() {
        return Err(permanent("the domain has more than one SPF record"));
    }
    let record =
        std::str::from_utf8(record).ok().and_then(|text| text.split_at_checked(VERSION.len()));
    let parsed = record.and_then(|(_, terms)| Record::parse(terms));
    parsed.map(Some).ok_or_else(|| permanent("the SPF record has a syntax error"))
}

/// The text of an explanation, if it can be used (RFC 7208 section 6.2).
pub(super) fn explanation(answer: Answer) -> Option<Macro> {
    let texts = texts(answer).ok()?;
    let [text] = &*texts else { return None };
    expression::explanation(std::str::from_utf8(text).ok()?)
}

/// TXT records; none where there are none.
fn texts(answer: Answer) -> Result<Vec<Vec<u8>>, Ended> {
    let text = |record| match record {
        resolver::Record::Text(octets) => Some(octets),
        _ => None,
    };
    match answer {
        Answer::Records(records) => Ok(records.into_iter().filter_map(text).collect()),
        other => super::evaluation::nothing(other).map(|()| Vec::new()),
    }
}

/// RFC 7208 section 4.5.
fn is_spf(text: &[u8]) -> bool {
    let Some((version, rest)) = text.split_at_checked(VERSION.len()) else { return false };
    version.eq_ignore_ascii_case(VERSION) && matches!(rest.first(), None | Some(b' '))
}

pub(super) fn permanent(reason: &str) -> Ended {
    Ended { outcome: Outcome::PermanentError, reason: reason.to_owned() }
}

const VERSION: &[u8] = b"v=spf1";
