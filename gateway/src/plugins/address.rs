//! Which addresses a name may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::resolver::{Answer, Kind, Query, Record, Resolver};

/// Why there is no address to connect to.
#[derive(Debug)]
pub(super) enum NoAddress {
    /// The name leads to where it may not.
    Denied,
    /// It cannot be resolved.
    Unresolved(String),
}

/// Where to connect to, for a name or an IP address that is granted. What is looked at here is what is
/// to be connected to: whoever has the name could answer otherwise the next time.
pub(super) async fn addresses(
    resolver: &Resolver,
    host: &str,
    private: bool,
) -> Result<Vec<IpAddr>, NoAddress> {
    let found = match host.parse() {
        Ok(address) => vec![address],
        Err(_) if host == "localhost" => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Err(_) => resolve(resolver, host).await?,
    };
    let may = |address: &IpAddr| is_host(*address) && (private || is_public(*address));
    let allowed: Vec<_> = found.iter().copied().filter(may).collect();
    if allowed.is_empty() && !found.is_empty() {
        tracing::debug!(host, "a granted name leads inside");
        return Err(NoAddress::Denied);
    }
    if allowed.is_empty() {
        return Err(NoAddress::Unresolved("the name has no address".to_owned()));
    }
    Ok(allowed)
}

async fn resolve(resolver: &Resolver, host: &str) -> Result<Vec<IpAddr>, NoAddress> {
    let queries = [Kind::A, Kind::Aaaa].map(|kind| Query { name: host.to_owned(), kind });
    // The caller's deadline is nearer.
    let deadline = Instant::now() + RESOLVE_TIME;
    let (mut found, mut failed) = (Vec::new(), None);
    for answer in resolver.lookup_all(queries.into(), deadline).await {
        match answer {
            Answer::Records(records) => found.extend(records.iter().filter_map(|record| {
                let Record::Address(address) = record else { return None };
                Some(*address)
            })),
            Answer::NoSuchName | Answer::NoData | Answer::NotAName => {}
            Answer::Failed(why) => failed = Some(format!("its name cannot be resolved: {why}")),
            Answer::TimedOut => failed = Some("its name cannot be resolved in time".to_owned()),
        }
    }
    match failed {
        Some(why) if found.is_empty() => Err(NoAddress::Unresolved(why)),
        _ => Ok(found),
    }
}

/// Whether an address is anybody's on the Internet. What leads inside (loopback, private networks, the
/// cloud's metadata), or in a disguise that leads there, is not.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether one host can be meant by it at all.
fn is_host(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

// The special registries of IANA (RFC 6890), as far as they are not for the world.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [.., high, low] = segments;
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the address within.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => last(high, low),
        [0x2002, high, low, ..] => last(high, low),
        // Documentation; Teredo, ORCHID and benchmarking (2001::/23 holds nothing for us).
        [0x2001, 0xdb8, ..] => false,
        [0x2001, second, ..] if second < 0x200 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Only 2000::/3 is given to anybody.
        [first, ..] => (first & 0xe000) == 0x2000,
    }
}

/// No plugin has longer.
const RESOLVE_TIME: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_inside_is_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:1::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_world_is_public() {
        for address in [
            "1.1.1.1",
            "9.9.9.9",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.254",
            "::ffff:1.1.1.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
