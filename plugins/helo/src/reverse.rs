//! The name of an address: whether it has the numbers of the address in it, as those have that nobody
//! chose, and whether it says that its host comes and goes.

use std::net::IpAddr;

/// What a name tells of its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reverse {
    /// Somebody chose it.
    Chosen,
    /// It is made of the numbers.
    Numbers,
    /// And of a word for lines of customers.
    Dynamic,
}

/// Looks at the name of an address.
pub(crate) fn look(name: &str, address: IpAddr) -> Reverse {
    let name = name.to_ascii_lowercase();
    let has_numbers = match address {
        IpAddr::V4(address) => has_ipv4(&name, address.octets()),
        IpAddr::V6(address) => has_ipv6(&name, address.segments()),
    };
    match () {
        () if !has_numbers => Reverse::Chosen,
        () if is_dynamic(&name) => Reverse::Dynamic,
        () => Reverse::Numbers,
    }
}

/// Three of its numbers in a row, forwards or backwards (`1-2-0-192`, `ip192.0.2`), or all of it in one
/// word (`192000002001`, `c0000201`).
fn has_ipv4(name: &str, octets: [u8; 4]) -> bool {
    let numbers: Vec<_> = name
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty() && digits.len() <= 3)
        .filter_map(|digits| digits.parse::<u16>().ok())
        .collect();
    let mut wanted = octets.map(u16::from);
    let forwards = has_row(&numbers, &wanted);
    wanted.reverse();
    let padded = octets.map(|octet| format!("{octet:03}")).concat();
    let hexadecimal = octets.map(|octet| format!("{octet:02x}")).concat();
    forwards || has_row(&numbers, &wanted) || name.contains(&padded) || name.contains(&hexadecimal)
}

/// Three of its groups in a row, or the last four in one word.
fn has_ipv6(name: &str, groups: [u16; 8]) -> bool {
    let words: Vec<_> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|word| u16::from_str_radix(word, 16).ok())
        .collect();
    let zeros = |row: &[u16]| row.iter().all(|group| *group == 0);
    let rows = groups.windows(3).filter(|row| !zeros(row));
    let row = rows.into_iter().any(|row| words.windows(3).any(|words| words == row));
    let host = groups[4..].iter().map(|group| format!("{group:04x}")).collect::<String>();
    row || (!zeros(&groups[4..7]) && name.contains(&host))
}

fn has_row(numbers: &[u16], wanted: &[u16; 4]) -> bool {
    numbers.windows(3).any(|row| row == &wanted[..3] || row == &wanted[1..])
}

/// Words are what stands between anything else but letters; `dsl` may stand at the end of one (`vdsl`).
fn is_dynamic(name: &str) -> bool {
    let words = || name.split(|c: char| !c.is_ascii_alphabetic());
    if words().any(|word| word.starts_with("static")) {
        return false;
    }
    words().any(|word| WORDS.contains(&word) || word.ends_with("dsl") || word.starts_with("dyn"))
}

/// For lines of customers, at which no mail server stands.
const WORDS: &[&str] = &[
    "broadband",
    "cable",
    "catv",
    "cust",
    "customer",
    "customers",
    "dhcp",
    "dial",
    "dialin",
    "dialup",
    "dip",
    "ftth",
    "home",
    "lte",
    "mobile",
    "pool",
    "pools",
    "ppp",
    "pppoe",
    "res",
    "residential",
    "user",
    "users",
    "wireless",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_chose() {
        let (v4, v6) = ("192.0.2.1", "2001:db8:17:2a::c0de:1");
        for (name, address, found) in [
            ("mail.example.org", v4, Reverse::Chosen),
            ("mx1.mail2.example.org", v4, Reverse::Chosen),
            ("a192-168.relay.example", v4, Reverse::Chosen),
            ("192-0-2-1.example.net", v4, Reverse::Numbers),
            ("static-192-0-2-1.dsl.example.net", v4, Reverse::Numbers),
            ("ec2-192-0-2-1.compute.example", v4, Reverse::Numbers),
            ("1.2.0.192.dyn.example.net", v4, Reverse::Dynamic),
            ("p192000002001.dip0.example.net", v4, Reverse::Dynamic),
            ("pC0000201.dip.example.net", v4, Reverse::Dynamic),
            ("ip-0-2-1.pool.example.net", v4, Reverse::Dynamic),
            ("1-2-0.vdsl.example.net", v4, Reverse::Dynamic),
            ("dynamic.example.net", v4, Reverse::Chosen),
            ("mail.example.org", v6, Reverse::Chosen),
            ("2001-db8-17-2a--c0de-1.dyn.example", v6, Reverse::Dynamic),
            ("h00000000c0de0001.example", v6, Reverse::Numbers),
        ] {
            assert_eq!(look(name, address.parse().unwrap()), found, "{name}");
        }
        assert_eq!(look(&"9.".repeat(500), v4.parse().unwrap()), Reverse::Chosen);
        assert_eq!(look("0.0.0.example", "2001:db8::1".parse().unwrap()), Reverse::Chosen);
    }
}
