//! The grammar of records (RFC 7208 section 12), to the letter: what is not in it is an error, and
//! an error in a record is the whole record's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mail_auth::spf::Macro;

use super::expression;
use crate::message::Outcome;

/// A record.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<Macro>,
    pub(super) exp: Option<Macro>,
}

/// What comes of it if the mechanism matches.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) outcome: Outcome,
    pub(super) mechanism: Mechanism,
}

/// How a client is recognised. Without a domain, the record's own is meant.
#[derive(Clone, Debug)]
pub(super) enum Mechanism {
    All,
    Include(Macro),
    A(Option<Macro>, Prefixes),
    Mx(Option<Macro>, Prefixes),
    Ptr(Option<Macro>),
    Network(IpAddr, Prefixes),
    Exists(Macro),
}

/// How many bits of an address count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefixes {
    pub(super) ip4: u32,
    pub(super) ip6: u32,
}

impl Record {
    /// Reads what follows the version. None if it does not follow the grammar.
    pub(super) fn parse(terms: &str) -> Option<Self> {
        let mut record = Self::default();
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            match modifier(term) {
                Some((name, value)) => record.modify(name, value)?,
                None => record.directives.push(directive(term)?),
            }
        }
        Some(record)
    }

    fn modify(&mut self, name: &str, value: &str) -> Option<()> {
        let known = match name.to_ascii_lowercase().as_str() {
            "redirect" => &mut self.redirect,
            "exp" => &mut self.exp,
            _ => return expression::string(value).map(drop),
        };
        let twice = known.replace(expression::domain(value)?).is_some();
        (!twice).then_some(())
    }
}

/// A name, `=` and a value.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let rest = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let fits =
        name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(rest);
    fits.then_some((name, value))
}

fn directive(term: &str) -> Option<Directive> {
    let (outcome, term) = match term.as_bytes().first()? {
        b'+' => (Outcome::Pass, &term[1..]),
        b'-' => (Outcome::Fail, &term[1..]),
        b'~' => (Outcome::SoftFail, &term[1..]),
        b'?' => (Outcome::Neutral, &term[1..]),
        _ => (Outcome::Pass, term),
    };
    let end = term.find([':', '/']).unwrap_or(term.len());
    let (name, rest) = term.split_at(end);
    let argument = rest.strip_prefix(':');
    let mechanism = match (name.to_ascii_lowercase().as_str(), argument) {
        ("all", None) if rest.is_empty() => Mechanism::All,
        ("include", Some(domain)) => Mechanism::Include(expression::domain(domain)?),
        ("exists", Some(domain)) => Mechanism::Exists(expression::domain(domain)?),
        ("ptr", Some(domain)) => Mechanism::Ptr(Some(expression::domain(domain)?)),
        ("ptr", None) if rest.is_empty() => Mechanism::Ptr(None),
        ("a", argument) => {
            let (domain, prefixes) = host(argument, rest)?;
            Mechanism::A(domain, prefixes)
        }
        ("mx", argument) => {
            let (domain, prefixes) = host(argument, rest)?;
            Mechanism::Mx(domain, prefixes)
        }
        ("ip4", Some(network)) => {
            let (address, length) = network_of::<Ipv4Addr>(network)?;
            Mechanism::Network(address, Prefixes { ip4: prefix(length, 32)?, ip6: 0 })
        }
        ("ip6", Some(network)) => {
            let (address, length) = network_of::<Ipv6Addr>(network)?;
            Mechanism::Network(address, Prefixes { ip4: 0, ip6: prefix(length, 128)? })
        }
        _ => return None,
    };
    Some(Directive { outcome, mechanism })
}

/// `[":" domain-spec] [dual-cidr-length]`.
fn host(argument: Option<&str>, rest: &str) -> Option<(Option<Macro>, Prefixes)> {
    let (text, ip6) = length(argument.unwrap_or(rest), "//");
    let (text, ip4) = length(text, "/");
    let domain = match argument {
        Some(_) => Some(expression::domain(text)?),
        None if text.is_empty() => None,
        None => return None,
    };
    Some((domain, Prefixes { ip4: prefix(ip4, 32)?, ip6: prefix(ip6, 128)? }))
}

fn network_of<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    Some((address.parse::<A>().ok()?.into(), length))
}

/// Takes a length off the end of a text.
fn length<'a>(text: &'a str, slashes: &str) -> (&'a str, Option<&'a str>) {
    match text.rsplit_once(slashes) {
        Some((text, digits)) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            (text, Some(digits))
        }
        _ => (text, None),
    }
}

/// Without leading zeros.
fn prefix(digits: Option<&str>, most: u32) -> Option<u32> {
    let Some(digits) = digits else { return Some(most) };
    let number: u32 = digits.parse().ok()?;
    (number <= most && number.to_string() == digits).then_some(number)
}
