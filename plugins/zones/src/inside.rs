//! Networks that no public list has.

use terms::Networks;

/// Loopback, private and link-local networks.
pub fn inside() -> Networks {
    let mut networks = Networks::default();
    for network in INSIDE {
        networks.insert(network).expect("what is written below are networks");
    }
    networks
}

const INSIDE: [&str; 8] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_have_a_meaning_inside_are() {
        let networks = inside();
        for (client, inside) in [
            ("127.0.0.1", true),
            ("192.168.7.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("172.32.0.1", false),
        ] {
            assert_eq!(networks.contain(client.parse().unwrap()), inside, "{client}");
        }
    }
}
