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

impl<T> From<Option<T>> for Said<T> {
    /// What is not known is said to be unavailable.
    fn from(known: Option<T>) -> Self {
        known.map_or(Self::Unavailable, Self::Value)
    }
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

    /// The same, said in another way.
    fn map<U>(&self, to: impl FnOnce(&T) -> U) -> Said<U> {
        match self {
            Self::Nothing => Said::Nothing,
            Self::Unavailable => Said::Unavailable,
            Self::Value(value) => Said::Value(to(value)),
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

impl Xclient {
    /// The commands that say all this to a server that understands the attributes `known`.
    pub(crate) fn commands(&self, known: &str) -> Vec<String> {
        let text = |said: &Said<String>| said.map(|text| xtext::encode(text.as_bytes()));
        let protocol = self.protocol.map(|protocol| match protocol {
            Proto::Esmtp => "ESMTP".to_owned(),
            Proto::Smtp => "SMTP".to_owned(),
        });
        let attributes = [
            ("NAME", text(&self.name)),
            ("REVERSE_NAME", text(&self.reverse_name)),
            ("ADDR", self.address.map(show_address)),
            ("PORT", self.port.map(u16::to_string)),
            ("PROTO", protocol),
            ("HELO", text(&self.helo)),
            ("LOGIN", text(&self.login)),
            ("DESTADDR", self.destination_address.map(show_address)),
            ("DESTPORT", self.destination_port.map(u16::to_string)),
        ];
        commands("XCLIENT", attributes, known)
    }
}

impl Xforward {
    /// The commands that say all this to a server that understands the attributes `known`.
    pub(crate) fn commands(&self, known: &str) -> Vec<String> {
        let text = |said: &Said<String>| said.map(|text| xtext::encode(text.as_bytes()));
        let attributes = [
            ("NAME", text(&self.name)),
            ("ADDR", self.address.map(show_address)),
            ("PORT", self.port.map(u16::to_string)),
            ("PROTO", text(&self.protocol)),
            ("HELO", text(&self.helo)),
            ("IDENT", text(&self.identity)),
            ("SOURCE", self.source.map(|source| source.word().to_owned())),
        ];
        commands("XFORWARD", attributes, known)
    }
}

/// As few lines as there may be.
fn commands(
    verb: &str,
    attributes: impl IntoIterator<Item = (&'static str, Said<String>)>,
    known: &str,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (name, said) in attributes {
        let value = match said {
            Said::Nothing => continue,
            // A shortened one would be a lie.
            Said::Value(value) if (1..=VALUE_OCTETS).contains(&value.len()) => value,
            Said::Value(_) | Said::Unavailable => UNAVAILABLE[0].to_owned(),
        };
        if !known.split(' ').any(|word| word.eq_ignore_ascii_case(name)) {
            continue;
        }
        let word = format!(" {name}={value}");
        match lines.last_mut() {
            Some(line) if line.len() + word.len() + 2 <= COMMAND_OCTETS => line.push_str(&word),
            _ => lines.push(format!("{verb}{word}")),
        }
    }
    lines
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

/// "IPv6 addresses must have the prefix."
fn show_address(address: &IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{IPV6}{address}"),
    }
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
/// "The length of a command must not exceed 512 characters."
const COMMAND_OCTETS: usize = 512;
/// The second is said of a name whose lookup failed for now.
const UNAVAILABLE: &[&str] = &["[UNAVAILABLE]", "[TEMPUNAVAIL]"];
/// Goes before an IPv6 address.
const IPV6: &str = "IPV6:";

#[cfg(test)]
mod tests;
