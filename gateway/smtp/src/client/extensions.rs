//! What a server offers in its answer to EHLO or LHLO (RFC 5321 section 4.1.1.1).

use crate::Reply;

/// The service extensions of one server; none after HELO.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    /// Keyword in capitals, and what follows it.
    offered: Vec<(String, String)>,
    pipelining: bool,
}

impl Extensions {
    /// Reads the answer to EHLO: a greeting, then one extension a line.
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let offered: Vec<_> = reply
            .lines()
            .iter()
            .skip(1)
            .map(|line| {
                let (keyword, arguments) = line.split_once(' ').unwrap_or((line, ""));
                (keyword.to_ascii_uppercase(), arguments.to_owned())
            })
            .collect();
        let pipelining = offered.iter().any(|(keyword, _)| keyword == "PIPELINING");
        Self { offered, pipelining }
    }

    /// Whether the server offers this extension; the keyword in capitals.
    #[must_use]
    pub fn has(&self, keyword: &str) -> bool {
        self.arguments(keyword).is_some()
    }

    /// Whether several commands may be sent at once (RFC 2920).
    #[must_use]
    pub fn pipelining(&self) -> bool {
        self.pipelining
    }

    /// Whether content need not be made of lines (RFC 3030 section 3).
    #[must_use]
    pub fn binary(&self) -> bool {
        self.has("BINARYMIME") && self.has("CHUNKING") && self.permit("BODY")
    }

    /// The largest message that the server takes, if it says so (RFC 1870).
    #[must_use]
    pub fn size_limit(&self) -> Option<u64> {
        self.arguments("SIZE")?.trim().parse().ok().filter(|limit| *limit > 0)
    }

    /// Whether a parameter of MAIL or RCPT may be sent to this server.
    #[must_use]
    pub fn permit(&self, parameter: &str) -> bool {
        self.has(match parameter {
            "BODY" => "8BITMIME",
            "BY" => "DELIVERBY",
            "ENVID" | "NOTIFY" | "ORCPT" | "RET" => "DSN",
            "HOLDFOR" | "HOLDUNTIL" => "FUTURERELEASE",
            other => other,
        })
    }

    /// Whether a login may be done so; the mechanism in capitals.
    #[must_use]
    pub fn offers_mechanism(&self, mechanism: &str) -> bool {
        let named = |word: &str| word.eq_ignore_ascii_case(mechanism);
        // "AUTH=" is what servers of the last century said, and some say both.
        let mechanisms = self.offered.iter().filter_map(|(keyword, arguments)| match &**keyword {
            "AUTH" => Some((None, arguments)),
            keyword => Some((Some(keyword.strip_prefix("AUTH=")?), arguments)),
        });
        mechanisms.flat_map(|(first, rest)| first.into_iter().chain(rest.split(' '))).any(named)
    }

    /// What stands behind an extension's keyword, if the server offers it.
    pub(super) fn arguments(&self, keyword: &str) -> Option<&str> {
        self.offered
            .iter()
            .find(|(offered, _)| offered == keyword)
            .map(|(_, arguments)| arguments.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(lines: &[&str]) -> Extensions {
        let greeting = std::iter::once("up.example hello");
        let lines = greeting.chain(lines.iter().copied()).map(str::to_owned);
        Extensions::parse(&Reply::listing(250, lines))
    }

    #[test]
    fn keywords_are_read_without_regard_to_case() {
        let offered = extensions(&["pipelining", "Size 1000", "8BITMIME"]);
        assert!(offered.pipelining());
        assert_eq!(offered.size_limit(), Some(1000));
        assert!(!offered.binary() && extensions(&["8BITMIME", "Chunking", "BinaryMime"]).binary());
        assert!(offered.permit("BODY") && offered.permit("SIZE") && !offered.permit("RET"));
    }

    #[test]
    fn a_size_without_a_number_is_no_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE many", "SIZE -1"] {
            let offered = extensions(&[line]);
            assert!(offered.has("SIZE"), "{line}");
            assert_eq!(offered.size_limit(), None, "{line}");
        }
    }

    #[test]
    fn mechanisms_are_read_without_regard_to_case_and_age() {
        let offered = extensions(&["auth Plain  cram-md5", "AUTH=LOGIN GSSAPI"]);
        for mechanism in ["PLAIN", "CRAM-MD5", "LOGIN", "GSSAPI"] {
            assert!(offered.offers_mechanism(mechanism), "{mechanism}");
        }
        for mechanism in ["SCRAM-SHA-1", "AUTH", "AUTH=LOGIN"] {
            assert!(!offered.offers_mechanism(mechanism), "{mechanism}");
        }
    }

    #[test]
    fn the_greeting_is_no_extension() {
        let reply = Reply::listing(250, ["PIPELINING".to_owned()]);
        assert_eq!(Extensions::parse(&reply), Extensions::default());
    }
}
