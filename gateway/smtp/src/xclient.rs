//! XCLIENT and XFORWARD: what a trusted peer says about somebody else.
//!
//! Postfix's extensions (XCLIENT_README, XFORWARD_README). XCLIENT replaces the client for the rest
//! of the session, and everything is decided by what it says; XFORWARD tells where the next message
//! came from, and nothing is decided by it. Who is trusted is the driver's to say
//! ([`Channel`](crate::server::Channel)).
//!
//! Text that is read here is printable ASCII by construction, but for a login, which is UTF-8
//! without what would spoil a line of a log.

use std::net::IpAddr;

use crate::address::is_safe;
use crate::xtext;

/// What was said of one attribute.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Said<T> {
    /// Nothing: it stays what it is.
    #[default]
    Nothing,
    /// `[UNAVAILABLE]` or `[TEMPUNAVAIL]`: nobody knows.
    Unavailable,
    /// This.
    Value(T),
}

impl<T> Said<T> {
    /// Makes `known` what was said.
    pub fn apply(self, known: &mut Option<T>) {
        match self {
            Self::Nothing => {}
            Self::Unavailable => *known = None,
            Self::Value(value) => *known = Some(value),
        }
    }

    /// Whether it was mentioned at all.
    #[must_use]
    pub fn is_said(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

/// The protocol that the client spoke with the peer, as XCLIENT knows them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proto {
    /// It said EHLO.
    Esmtp,
    /// It said HELO.
    Smtp,
}

/// The attributes of one XCLIENT command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Xclient {
    /// NAME: the client's host name, verified by the peer.
    pub name: Said<String>,
    /// REVERSE_NAME: what its address resolves to, unverified.
    pub reverse_name: Said<String>,
    /// ADDR: its address, IPv4-mapped ones as IPv4.
    pub address: Said<IpAddr>,
    /// PORT: its port.
    pub port: Said<u16>,
    /// PROTO: what it speaks.
    pub protocol: Said<Proto>,
    /// HELO: the name that it gave itself.
    pub helo: Said<String>,
    /// LOGIN: as whom it has authenticated with the peer.
    pub login: Said<String>,
    /// DESTADDR: the address that it has connected to.
    pub destination_address: Said<IpAddr>,
    /// DESTPORT: the port that it has connected to.
    pub destination_port: Said<u16>,
}

/// The attributes of one XFORWARD command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Xforward {
    /// NAME: the host that the message came from.
    pub name: Said<String>,
    /// ADDR: its address. Unavailable if it is none of IP.
    pub address: Said<IpAddr>,
    /// PORT: its port.
    pub port: Said<u16>,
    /// PROTO: the protocol by which the message came, not always SMTP.
    pub protocol: Said<String>,
    /// HELO: the name that the host gave itself.
    pub helo: Said<String>,
    /// IDENT: the message's id at the peer.
    pub identity: Said<String>,
    /// SOURCE: whether the message comes from the peer's own side.
    pub source: Said<Source>,
}

/// Where a message comes from, as the peer sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// From the peer's own network, or the peer itself.
    Local,
    /// From elsewhere.
    Remote,
}

impl Source {
    /// As it stands in the command.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "LOCAL",
            Self::Remote => "REMOTE",
        }
    }
}

impl Xclient {
    /// What the EHLO answer says is understood.
    pub(crate) const ATTRIBUTES: &'static str =
        "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME";

    /// Reads what follows the verb.
    ///
    /// # Errors
    ///
    /// If there is nothing, something unknown, something twice or something malformed; then none of
    /// it counts.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let mut all = Self::default();
        for attribute in attributes(text)? {
            let Attribute { name, value } = attribute?;
            match &*name {
                "ADDR" => set(&mut all.address, value, address),
                "DESTADDR" => set(&mut all.destination_address, value, address),
                "DESTPORT" => set(&mut all.destination_port, value, port),
                "HELO" => set(&mut all.helo, value, printable),
                "LOGIN" => set(&mut all.login, value, Some),
                "NAME" => set(&mut all.name, value, printable),
                "PORT" => set(&mut all.port, value, port),
                "PROTO" => set(&mut all.protocol, value, proto),
                "REVERSE_NAME" => set(&mut all.reverse_name, value, printable),
                _ => Err(AttributeError::Unknown),
            }?;
        }
        Ok(all)
    }
}

impl Xforward {
    /// What the EHLO answer says is understood.
    pub(crate) const ATTRIBUTES: &'static str = "NAME ADDR PORT PROTO HELO IDENT SOURCE";

    /// Reads what follows the verb.
    ///
    /// # Errors
    ///
    /// As for [`Xclient::parse`].
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let mut all = Self::default();
        for attribute in attributes(text)? {
            let Attribute { name, value } = attribute?;
            match &*name {
                "ADDR" => {
                    // "The address may be a non-IP address."
                    let value = value.filter(|text| address(text.clone()).is_some());
                    set(&mut all.address, value, address)
                }
                "HELO" => set(&mut all.helo, value, printable),
                "IDENT" => set(&mut all.identity, value, printable),
                "NAME" => set(&mut all.name, value, printable),
                "PORT" => set(&mut all.port, value, port),
                "PROTO" => set(&mut all.protocol, value, protocol),
                "SOURCE" => set(&mut all.source, value, source),
                _ => Err(AttributeError::Unknown),
            }?;
        }
        Ok(all)
    }
}

/// Why attributes cannot be read. The peer's fault, and answered with 501.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AttributeError {
    /// One that is there twice: which of them counts?
    #[error("attribute given twice")]
    Duplicate,
    /// No attributes at all, or one without a value.
    #[error("attribute without a value")]
    Missing,
    /// One that this server does not know; the EHLO answer lists the others.
    #[error("unknown attribute")]
    Unknown,
    /// A value that is not xtext, too long, not printable, or not what the attribute wants.
    #[error("bad attribute value")]
    Value,
}

/// A name in capitals, and a decoded value; no value is "unavailable".
struct Attribute {
    name: String,
    value: Option<String>,
}

fn attributes(
    text: &str,
) -> Result<impl Iterator<Item = Result<Attribute, AttributeError>>, AttributeError> {
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(AttributeError::Missing);
    }
    Ok(words.map(|word| {
        let (name, value) = word.split_once('=').ok_or(AttributeError::Missing)?;
        Ok(Attribute { name: name.to_ascii_uppercase(), value: read_value(value)? })
    }))
}

fn read_value(text: &str) -> Result<Option<String>, AttributeError> {
    if text.is_empty() {
        return Err(AttributeError::Missing);
    }
    if text.len() > VALUE_OCTETS {
        return Err(AttributeError::Value);
    }
    if UNAVAILABLE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(None);
    }
    let octets = xtext::decode(text).ok_or(AttributeError::Value)?;
    let value = String::from_utf8(octets).map_err(|_| AttributeError::Value)?;
    if value.is_empty() || !value.chars().all(is_safe) {
        return Err(AttributeError::Value);
    }
    Ok(Some(value))
}

fn set<T>(
    said: &mut Said<T>,
    value: Option<String>,
    read: impl FnOnce(String) -> Option<T>,
) -> Result<(), AttributeError> {
    if said.is_said() {
        return Err(AttributeError::Duplicate);
    }
    *said = match value {
        None => Said::Unavailable,
        Some(value) => Said::Value(read(value).ok_or(AttributeError::Value)?),
    };
    Ok(())
}

fn printable(text: String) -> Option<String> {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~')).then_some(text)
}

/// With the prefix that Postfix writes, or without it, as others do.
fn address(text: String) -> Option<IpAddr> {
    let address: IpAddr = match text.split_at_checked(IPV6.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(IPV6) => IpAddr::V6(rest.parse().ok()?),
        _ => text.parse().ok()?,
    };
    Some(address.to_canonical())
}

fn port(text: String) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

fn proto(text: String) -> Option<Proto> {
    match &*text.to_ascii_uppercase() {
        "ESMTP" => Some(Proto::Esmtp),
        "SMTP" => Some(Proto::Smtp),
        _ => None,
    }
}

/// "An SMTP or non-SMTP protocol name of up to 64 characters."
fn protocol(text: String) -> Option<String> {
    printable(text).filter(|text| text.len() <= 64)
}

fn source(text: String) -> Option<Source> {
    match &*text.to_ascii_uppercase() {
        "LOCAL" => Some(Source::Local),
        "REMOTE" => Some(Source::Remote),
        _ => None,
    }
}

/// "An attribute-value element must not be longer than 255 characters."
const VALUE_OCTETS: usize = 255;
/// The second is said of a name whose lookup failed for now.
const UNAVAILABLE: &[&str] = &["[UNAVAILABLE]", "[TEMPUNAVAIL]"];
/// Goes before an IPv6 address.
const IPV6: &str = "IPV6:";

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn all_that_xclient_may_say() {
        let text = "NAME=spike.porcupine.example addr=168.100.189.2 PORT=2525 PROTO=ESMTP \
            HELO=my+20pc LOGIN=j+C3+B6rg DESTADDR=IPV6:2001:db8::1 DESTPORT=25 \
            REVERSE_NAME=[TEMPUNAVAIL]";
        let want = Xclient {
            name: Said::Value("spike.porcupine.example".into()),
            reverse_name: Said::Unavailable,
            address: Said::Value(ip("168.100.189.2")),
            port: Said::Value(2525),
            protocol: Said::Value(Proto::Esmtp),
            helo: Said::Value("my pc".into()),
            login: Said::Value("j\u{f6}rg".into()),
            destination_address: Said::Value(ip("2001:db8::1")),
            destination_port: Said::Value(25),
        };
        assert_eq!(Xclient::parse(text), Ok(want));
    }

    #[test]
    fn all_that_xforward_may_say() {
        let text = "NAME=c.example ADDR=IPv6:2001:db8::7 PORT=[UNAVAILABLE] PROTO=local \
            HELO=[unavailable] IDENT=3CF6B2AAE8 SOURCE=remote";
        let want = Xforward {
            name: Said::Value("c.example".into()),
            address: Said::Value(ip("2001:db8::7")),
            port: Said::Unavailable,
            protocol: Said::Value("local".into()),
            helo: Said::Unavailable,
            identity: Said::Value("3CF6B2AAE8".into()),
            source: Said::Value(Source::Remote),
        };
        assert_eq!(Xforward::parse(text), Ok(want));
    }

    #[test]
    fn addresses() {
        for (text, want) in [
            ("192.0.2.1", Some(ip("192.0.2.1"))),
            ("::ffff:192.0.2.1", Some(ip("192.0.2.1"))),
            ("IPV6:::ffff:192.0.2.1", Some(ip("192.0.2.1"))),
            ("ipv6:::1", Some(ip("::1"))),
            ("2001:db8::1", Some(ip("2001:db8::1"))),
            ("IPV6:192.0.2.1", None),
            ("[192.0.2.1]", None),
            ("192.0.2.01", None),
            ("192.0.2.1:25", None),
            ("fe80::1%eth0", None),
            ("localhost", None),
        ] {
            let read = Xclient::parse(&format!("ADDR={text}"));
            let said = want.ok_or(AttributeError::Value).map(Said::Value);
            assert_eq!(read.map(|all| all.address), said, "{text:?}");
            let forwarded = Xforward::parse(&format!("ADDR={text}")).expect("any address");
            assert_eq!(forwarded.address, want.map_or(Said::Unavailable, Said::Value), "{text:?}");
        }
    }

    #[test]
    fn attributes_that_neither_takes() {
        let long = format!("NAME={}", "a".repeat(256));
        for (text, want) in [
            ("", AttributeError::Missing),
            ("   ", AttributeError::Missing),
            ("NAME", AttributeError::Missing),
            ("NAME=", AttributeError::Missing),
            ("NAME=a ADDR", AttributeError::Missing),
            ("=a", AttributeError::Unknown),
            ("RABBIT=1", AttributeError::Unknown),
            ("NAME=a NAME=b", AttributeError::Duplicate),
            ("NAME=[UNAVAILABLE] name=b", AttributeError::Duplicate),
            ("NAME=a=b", AttributeError::Value),
            ("NAME=a+", AttributeError::Value),
            ("NAME=a+0D+0AQUIT", AttributeError::Value),
            ("NAME=a+00", AttributeError::Value),
            ("NAME=j+C3+B6rg", AttributeError::Value),
            ("NAME=+FF", AttributeError::Value),
            ("NAME=j\u{f6}rg", AttributeError::Value),
            ("NAME=a\tb", AttributeError::Value),
            ("HELO=+7F", AttributeError::Value),
            ("NAME=a+E2+80+AEb", AttributeError::Value),
            ("PORT=65536", AttributeError::Value),
            ("PORT=+2B25", AttributeError::Value),
            ("PORT=-1", AttributeError::Value),
            (&long, AttributeError::Value),
        ] {
            assert_eq!(Xclient::parse(text), Err(want), "XCLIENT {text:?}");
            assert_eq!(Xforward::parse(text), Err(want), "XFORWARD {text:?}");
        }
    }

    #[test]
    fn attributes_that_one_of_them_does_not_take() {
        for text in ["IDENT=1", "SOURCE=LOCAL"] {
            assert_eq!(Xclient::parse(text), Err(AttributeError::Unknown), "{text:?}");
        }
        for text in ["LOGIN=a", "DESTADDR=192.0.2.1", "DESTPORT=25", "REVERSE_NAME=a"] {
            assert_eq!(Xforward::parse(text), Err(AttributeError::Unknown), "{text:?}");
        }
        for text in ["PROTO=UUCP", "LOGIN=a+0Ab", "LOGIN=+C2+85", "LOGIN=a+E2+80+AE"] {
            assert_eq!(Xclient::parse(text), Err(AttributeError::Value), "{text:?}");
        }
        let long = format!("PROTO={}", "a".repeat(65));
        for text in ["SOURCE=HERE", &long] {
            assert_eq!(Xforward::parse(text), Err(AttributeError::Value), "{text:?}");
        }
    }

    #[test]
    fn what_was_said_changes_what_is_known() {
        let mut known = Some(1);
        Said::Nothing.apply(&mut known);
        assert_eq!(known, Some(1));
        Said::Value(2).apply(&mut known);
        assert_eq!(known, Some(2));
        Said::Unavailable.apply(&mut known);
        assert_eq!(known, None);
    }
}
