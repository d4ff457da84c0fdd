//! The host that a link leads to, as browsers and mail programs find it (the URL Standard of WHATWG
//! for what they agree on).

use std::net::Ipv4Addr;

use terms::a_label;

/// Where a link leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    Address(Ipv4Addr),
    /// In small letters, A-labels, with a dot in it.
    Domain(String),
}

/// The hosts of a link: that which it leads to first, then those that its parameters name, since a
/// redirector leads there. `octets` may be anything.
pub(crate) fn hosts(octets: &[u8], mut each: impl FnMut(Host)) {
    let mut link = clean(octets);
    for _ in 0..=REDIRECTS {
        let Some(behind) = authority(&link) else { return };
        let end = behind.iter().position(|byte| b"/\\?#".contains(byte));
        let (authority, rest) = behind.split_at(end.unwrap_or(behind.len()));
        if let Some(host) = host(authority) {
            each(host);
        }
        let Some(inner) = redirected(rest) else { return };
        link = inner;
    }
}

/// Whether this begins with a scheme that leads to a host.
pub(crate) fn has_scheme(link: &[u8]) -> bool {
    SCHEMES.iter().any(|scheme| starts_with(link, scheme))
}

/// What browsers leave out: blanks and controls before it, tabs and line ends within it.
fn clean(octets: &[u8]) -> Vec<u8> {
    let octets = &octets[..octets.len().min(LONGEST)];
    let start = octets.iter().position(|byte| *byte > b' ').unwrap_or(octets.len());
    let inner = octets[start..].iter().copied();
    inner.filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')).collect()
}

/// What stands behind scheme and slashes, of which there may be any number, either way round.
fn authority(link: &[u8]) -> Option<&[u8]> {
    let slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let scheme = SCHEMES.iter().find(|scheme| starts_with(link, scheme));
    let rest = match scheme {
        Some(scheme) => &link[scheme.len()..],
        // The scheme is that of the page around it.
        None if link.len() > 1 && link[..2].iter().all(slash) => link,
        None => return None,
    };
    let start = rest.iter().position(|byte| !slash(byte))?;
    Some(&rest[start..])
}

/// The host of `user:password@host:port`.
fn host(authority: &[u8]) -> Option<Host> {
    let behind_user = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
    let host = authority[behind_user..].split(|byte| *byte == b':').next()?;
    if host.first().is_none_or(|byte| *byte == b'[') {
        return None;
    }
    let host = mapped(&decoded(host));
    let host = host.trim_end_matches('.');
    if is_number(host.rsplit('.').next()?) {
        return address(host).map(Host::Address);
    }
    domain(host).map(Host::Domain)
}

fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Percent-encoding undone (RFC 3986 section 2.1).
fn decoded(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((byte, behind)) = rest.split_first() {
        let value = if *byte == b'%' { hexadecimal(behind) } else { None };
        out.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &behind[2..] } else { behind };
    }
    out
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// In small letters; what only looks like ASCII is ASCII, and what is not seen is gone (UTS 46). Ends
/// where something stands that no host has.
fn mapped(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for c in String::from_utf8_lossy(octets).chars() {
        match c {
            'a'..='z' | '0'..='9' | '.' | '-' | '_' => out.push(c),
            'A'..='Z' => out.push(c.to_ascii_lowercase()),
            '\0'..='\x7f' | '\u{a0}' | '\u{3000}' | '\u{fffd}' => break,
            '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => out.push('.'),
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = char::from_u32(u32::from(c) - 0xfee0).unwrap_or('-');
                out.push(ascii.to_ascii_lowercase());
            }
            '\u{ad}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'
            | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}' => {}
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// One to four numbers, decimal, octal or hexadecimal; the last fills what is left.
fn address(host: &str) -> Option<Ipv4Addr> {
    let mut parts = Vec::with_capacity(4);
    for part in host.split('.') {
        if parts.len() == 4 {
            return None;
        }
        parts.push(match part.as_bytes() {
            b"0x" => 0,
            [b'0', b'x', ..] => u64::from_str_radix(&part[2..], 16).ok()?,
            [b'0', _, ..] => u64::from_str_radix(part, 8).ok()?,
            _ => part.parse().ok()?,
        });
    }
    let last = parts.pop()?;
    let free = 8 * (4 - u32::try_from(parts.len()).ok()?);
    if parts.iter().any(|part| *part > 255) || last >= 1 << free {
        return None;
    }
    let high = parts.iter().fold(0, |sum, part| sum << 8 | part) << free;
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

fn domain(host: &str) -> Option<String> {
    if !host.contains('.') || host.len() > LONGEST {
        return None;
    }
    let mut name = String::with_capacity(host.len());
    for label in host.split('.') {
        if !name.is_empty() {
            name.push('.');
        }
        let start = name.len();
        if label.is_ascii() {
            name.push_str(label);
        } else {
            name.push_str(&a_label(label)?);
        }
        if !(1..=63).contains(&(name.len() - start)) || name.len() > LONGEST_NAME {
            return None;
        }
    }
    Some(name)
}

/// The link that stands within a path, query or fragment, perhaps encoded twice.
fn redirected(rest: &[u8]) -> Option<Vec<u8>> {
    if rest.len() < 8 {
        return None;
    }
    let mut rest = rest.to_vec();
    for _ in 0..3 {
        if let Some(at) = inner(&rest) {
            return Some(rest.split_off(at));
        }
        let once = decoded(&rest);
        if once.len() == rest.len() {
            return None;
        }
        rest = once;
    }
    None
}

/// Where a link begins: a scheme with a slash, or two slashes as the value of a parameter.
fn inner(text: &[u8]) -> Option<usize> {
    (1..text.len()).find(|at| {
        let here = &text[*at..];
        match here[0] {
            b'h' | b'H' | b'f' | b'F' => SCHEMES.iter().any(|scheme| {
                let behind = here.get(scheme.len());
                starts_with(here, scheme) && matches!(behind, Some(b'/' | b'\\'))
            }),
            b'/' => text[at - 1] == b'=' && here.get(1) == Some(&b'/'),
            _ => false,
        }
    })
}

fn starts_with(text: &[u8], lower: &[u8]) -> bool {
    text.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}

const SCHEMES: [&[u8]; 3] = [b"https:", b"http:", b"ftp:"];

/// Redirectors behind redirectors that are followed.
const REDIRECTS: usize = 3;

/// Octets of a link that are looked at.
const LONGEST: usize = 4096;

/// Leaves room for a list's zone.
const LONGEST_NAME: usize = 180;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: &str) -> String {
        let mut all = Vec::new();
        hosts(link.as_bytes(), |host| {
            all.push(match host {
                Host::Address(address) => address.to_string(),
                Host::Domain(name) => name,
            });
        });
        all.join(" ")
    }

    #[test]
    fn links_lead_where_browsers_go() {
        for (link, hosts) in [
            ("http://spam.example/", "spam.example"),
            (" \x01hTTpS:\\\\Spam.EXAMPLE.", "spam.example"),
            ("ht\ntp:/\t/sp\r\nam.example", "spam.example"),
            ("http:spam.example", "spam.example"),
            ("https:////spam.example", "spam.example"),
            ("//spam.example/x", "spam.example"),
            ("\\\\spam.example", "spam.example"),
            ("http://good.example@spam.example/", "spam.example"),
            ("http://good.example:x@y@spam.example:8080#@good.example", "spam.example"),
            ("http://good.example\\@spam.example", "good.example"),
            ("http://sp%61m.ex%61mple", "spam.example"),
            ("http://sp%2561m.example", ""),
            ("http://\u{ff53}pam\u{3002}example", "spam.example"),
            ("http://sp\u{ad}am\u{200b}.example", "spam.example"),
            ("http://B\u{dc}CHER.example", "xn--bcher-kva.example"),
            ("http://b%C3%BCcher.example", "xn--bcher-kva.example"),
            ("http://192.0.2.1/x", "192.0.2.1"),
            ("http://0xc0.0x0.0x2.0x1", "192.0.2.1"),
            ("http://3221225985", "192.0.2.1"),
            ("http://0300.0.513", "192.0.2.1"),
            ("http://192.0.2.256", ""),
            ("http://99999999999", ""),
            ("http://[::1]/", ""),
            ("http://localhost/", ""),
            ("http://a..b/", ""),
            ("http://", ""),
            ("mailto:a@spam.example", ""),
            ("javascript:alert(1)", ""),
            ("cid:x", ""),
            ("/path", ""),
            ("", ""),
        ] {
            assert_eq!(found(link), hosts, "{link:?}");
        }
    }

    #[test]
    fn redirectors_lead_on() {
        for (link, hosts) in [
            ("https://r.example/?u=http://spam.example/", "r.example spam.example"),
            ("https://r.example/?u=http%3A%2F%2Fspam.example", "r.example spam.example"),
            ("https://r.example/?u=http%253A%252F%252Fspam.example", "r.example spam.example"),
            ("https://r.example/?u=//spam.example&x", "r.example spam.example"),
            ("https://r.example/https://spam.example", "r.example spam.example"),
            (
                "https://r.example/?u=https://s.example/?u=https://spam.example",
                "r.example s.example spam.example",
            ),
            ("https://r.example/?u=httpx://spam.example", "r.example"),
        ] {
            assert_eq!(found(link), hosts, "{link:?}");
        }
    }

    #[test]
    fn nothing_makes_it_fail() {
        for link in
            ["http://%", "http://%4", "http://%zz.b", "http://@", "http://:", "http://\u{fffd}"]
        {
            found(link);
        }
        found(&format!("http://a.b/?{}", "http:/%2f".repeat(10_000)));
        found(&format!("http://{}", "\u{1f4a9}.".repeat(10_000)));
        found(&format!("http://{}", "1.".repeat(10_000)));
    }
}
