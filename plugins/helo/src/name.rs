//! The name in HELO, EHLO or LHLO, by itself.

use std::net::{IpAddr, Ipv6Addr};

use crate::settings::Own;
use crate::sign::Sign;

/// What a name is. None of it needs anybody to be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Name {
    Sign(Sign),
    /// A domain name, which may be looked up.
    Domain,
}

/// Looks at the name of a client at this address.
pub(crate) fn look(name: &str, client: IpAddr, own: &Own) -> Name {
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Name::Sign(literal_sign(literal, client, own));
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        let ours = own.addresses.contains(&address.to_canonical());
        return Name::Sign(if ours { Sign::OwnAddress } else { Sign::BareAddress });
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if own.names.iter().any(|own| fits(&name, own)) {
        return Name::Sign(Sign::OwnName);
    }
    let local = ["localhost", "localhost.localdomain"];
    if local.contains(&&*name) || name.ends_with(".localhost") {
        return if client.is_loopback() { Name::Domain } else { Name::Sign(Sign::Localhost) };
    }
    match () {
        () if !is_well_formed(&name) => Name::Sign(Sign::Syntax),
        () if !name.contains('.') => Name::Sign(Sign::NoDot),
        () => Name::Domain,
    }
}

/// RFC 5321 section 4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`. Some leave `IPv6:` out.
fn literal_sign(literal: &str, client: IpAddr, own: &Own) -> Sign {
    let tagged = literal.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:"));
    let address = match tagged {
        Some(_) => literal[5..].parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => literal.parse().ok(),
    };
    let Some(address) = address.map(|address| address.to_canonical()) else { return Sign::Syntax };
    match () {
        () if address == client => Sign::Literal,
        () if own.addresses.contains(&address) => Sign::OwnAddress,
        () if address.is_loopback() => Sign::Localhost,
        () => Sign::LiteralElsewhere,
    }
}

/// Whether it is this name, or for `.example.org` one below.
fn fits(name: &str, own: &str) -> bool {
    name == own || (own.starts_with('.') && name.ends_with(own))
}

/// Labels of letters, digits, hyphens, and underscores, which many honest hosts have in their names.
fn is_well_formed(name: &str) -> bool {
    let is_label = |label: &str| {
        let odd = |octet: u8| {
            octet.is_ascii() && !octet.is_ascii_alphanumeric() && !matches!(octet, b'-' | b'_')
        };
        let edges = label.starts_with('-') || label.ends_with('-');
        // Beyond ASCII is a domain name where the listener offers SMTPUTF8 (RFC 6531 section 3.7.1).
        (1..=63).contains(&label.len()) && !label.bytes().any(odd) && !edges
    };
    let numeric =
        name.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !numeric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_is_by_itself() {
        let own = Own {
            names: vec!["mx.example.org".into(), ".ours.example".into()],
            addresses: vec!["198.51.100.25".parse().unwrap(), "2001:db8::25".parse().unwrap()],
        };
        let sign = |name: &str| look(name, "192.0.2.1".parse().unwrap(), &own);
        for (name, found) in [
            ("mail.example.com", Name::Domain),
            ("MAIL.example.com.", Name::Domain),
            ("my_server.example.com", Name::Domain),
            ("xn--bcher-kva.example", Name::Domain),
            ("b\u{fc}cher.example", Name::Domain),
            ("MX.Example.org", Name::Sign(Sign::OwnName)),
            ("mx.example.org.", Name::Sign(Sign::OwnName)),
            ("x.ours.example", Name::Sign(Sign::OwnName)),
            ("ours.example", Name::Domain),
            ("notours.example", Name::Domain),
            ("[198.51.100.25]", Name::Sign(Sign::OwnAddress)),
            ("198.51.100.25", Name::Sign(Sign::OwnAddress)),
            ("[IPv6:2001:db8::25]", Name::Sign(Sign::OwnAddress)),
            ("[192.0.2.1]", Name::Sign(Sign::Literal)),
            ("[IPv6:::ffff:192.0.2.1]", Name::Sign(Sign::Literal)),
            ("[192.0.2.2]", Name::Sign(Sign::LiteralElsewhere)),
            ("[ipv6:2001:db8::1]", Name::Sign(Sign::LiteralElsewhere)),
            ("[127.0.0.1]", Name::Sign(Sign::Localhost)),
            ("[x]", Name::Sign(Sign::Syntax)),
            ("[]", Name::Sign(Sign::Syntax)),
            ("[IPv6:x]", Name::Sign(Sign::Syntax)),
            ("[\u{fc}\u{fc}\u{fc}]", Name::Sign(Sign::Syntax)),
            ("192.0.2.1", Name::Sign(Sign::BareAddress)),
            ("2001:db8::1", Name::Sign(Sign::BareAddress)),
            ("localhost", Name::Sign(Sign::Localhost)),
            ("LOCALHOST.localdomain", Name::Sign(Sign::Localhost)),
            ("WIN-ABC123", Name::Sign(Sign::NoDot)),
            ("a..b", Name::Sign(Sign::Syntax)),
            (".a", Name::Sign(Sign::Syntax)),
            ("", Name::Sign(Sign::Syntax)),
            ("-a.example", Name::Sign(Sign::Syntax)),
            ("a b.example", Name::Sign(Sign::Syntax)),
            ("192.0.2", Name::Sign(Sign::Syntax)),
            ("<script>", Name::Sign(Sign::Syntax)),
            ("[IPv6:\u{fc}", Name::Sign(Sign::Syntax)),
        ] {
            assert_eq!(sign(name), found, "{name:?}");
        }
        assert_eq!(sign(&format!("{}.example", "a".repeat(64))), Name::Sign(Sign::Syntax));
        assert_eq!(sign(&"a.".repeat(200)), Name::Sign(Sign::Syntax));
        assert_eq!(look("localhost", "127.0.0.1".parse().unwrap(), &own), Name::Domain);
    }
}
