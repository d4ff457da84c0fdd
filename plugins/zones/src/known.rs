//! Public lists whose answers are known. Whoever asks them has to read their terms.

use crate::codes::Code;
use crate::list::Kind;

/// A public list.
#[derive(Debug)]
pub(crate) struct Known {
    /// As everybody knows it.
    pub(crate) zone: &'static str,
    /// Where those who have a key ask, behind the key.
    keyed: Option<&'static str>,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Answer, points, what it means, and whether other lists do not count then.
    codes: &'static [(&'static str, f64, &'static str, bool)],
}

/// The list of this zone, with or without a key before it.
pub(crate) fn find(zone: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        let keyed = |end| zone.strip_suffix(end).is_some_and(|key| key.ends_with('.'));
        zone == known.zone || known.keyed.is_some_and(keyed)
    })
}

impl Known {
    pub(crate) fn codes(&self) -> Vec<(crate::Pattern, Code)> {
        let code = |(pattern, score, meaning, allow): &(&str, f64, &str, bool)| {
            let meaning = Some((*meaning).to_owned());
            Some((pattern.parse().ok()?, Code { score: *score, meaning, allow: *allow }))
        };
        self.codes.iter().filter_map(code).collect()
    }
}

const KNOWN: [Known; 9] = [
    Known {
        zone: "zen.spamhaus.org",
        keyed: Some("zen.dq.spamhaus.net"),
        name: "ZEN",
        kind: Kind::Addresses,
        codes: &[
            ("127.0.0.2", 6.0, "a source of spam (SBL)", false),
            ("127.0.0.3", 5.0, "a source of spam (CSS)", false),
            ("127.0.0.4-7", 6.0, "an infected or hijacked machine (XBL)", false),
            ("127.0.0.9", 8.0, "a hijacked network (DROP)", false),
            ("127.0.0.10-11", 5.0, "an address that sends no mail by itself (PBL)", false),
        ],
    },
    Known {
        zone: "dbl.spamhaus.org",
        keyed: Some("dbl.dq.spamhaus.net"),
        name: "DBL",
        kind: Kind::Domains,
        codes: &[
            ("127.0.1.2", 5.0, "a domain of spam", false),
            ("127.0.1.4", 6.0, "a domain of phishing", false),
            ("127.0.1.5", 6.0, "a domain of malware", false),
            ("127.0.1.6", 6.0, "a domain of a botnet", false),
            ("127.0.1.102-106", 2.5, "an abused domain", false),
        ],
    },
    Known {
        zone: "zrd.dq.spamhaus.net",
        keyed: Some("zrd.dq.spamhaus.net"),
        name: "ZRD",
        kind: Kind::Domains,
        codes: &[("127.0.2.2-24", 2.0, "a domain that was never seen before today", false)],
    },
    Known {
        zone: "bl.spamcop.net",
        keyed: None,
        name: "SPAMCOP",
        kind: Kind::Addresses,
        codes: &[("127.0.0.2", 2.5, "a source of reported spam", false)],
    },
    Known {
        zone: "psbl.surriel.com",
        keyed: None,
        name: "PSBL",
        kind: Kind::Addresses,
        codes: &[("127.0.0.2", 2.0, "a source of spam to traps", false)],
    },
    Known {
        zone: "bl.mailspike.net",
        keyed: None,
        name: "MAILSPIKE",
        kind: Kind::Addresses,
        codes: &[
            ("127.0.0.2", 4.0, "a source of spam right now", false),
            ("127.0.0.10-12", 2.5, "a bad reputation", false),
        ],
    },
    Known {
        zone: "list.dnswl.org",
        keyed: None,
        name: "DNSWL",
        kind: Kind::Addresses,
        codes: &[
            ("127.0.*.0", -0.5, "a known sender", false),
            ("127.0.*.1", -1.0, "a good sender", false),
            ("127.0.*.2", -2.0, "a very good sender", true),
            ("127.0.*.3", -3.0, "a trusted sender", true),
        ],
    },
    Known {
        zone: "multi.uribl.com",
        keyed: None,
        name: "URIBL",
        kind: Kind::Domains,
        codes: &[
            ("&2", 5.0, "a domain of spam", false),
            ("&4", 1.0, "a domain of bulk mail", false),
        ],
    },
    Known {
        zone: "multi.surbl.org",
        keyed: None,
        name: "SURBL",
        kind: Kind::Domains,
        codes: &[
            ("&8", 6.0, "a domain of phishing", false),
            ("&16", 6.0, "a domain of malware", false),
            ("&64", 5.0, "a domain of spam", false),
            ("&128", 3.0, "a cracked site", false),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_written_right() {
        for known in &KNOWN {
            assert_eq!(known.codes().len(), known.codes.len(), "{}", known.zone);
            assert!(find(known.zone).is_some(), "{}", known.zone);
        }
    }

    #[test]
    fn a_key_makes_no_difference() {
        assert_eq!(find("k3y.zen.dq.spamhaus.net").map(|known| known.name), Some("ZEN"));
        assert_eq!(find("sbl.spamhaus.org").map(|known| known.name), None);
        assert_eq!(find("azen.spamhaus.org").map(|known| known.name), None);
    }
}
