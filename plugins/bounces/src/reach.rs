//! Whether mail to a domain can be delivered, so that one from it can be returned.

use portcullis_plugin::dns::{self, Answer, Kind, LookupError, Query};
use portcullis_plugin::split_address;

/// What the DNS says of a domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// It has a host for its mail.
    Known,
    /// It does not exist, or has no host at all.
    Unknown,
    /// It says itself that it takes no mail (RFC 7505).
    NoMail,
    /// Nothing, now.
    Unanswered,
}

/// The domain of an address; of a literal nothing can be asked.
pub(crate) fn domain(address: &str) -> Option<&str> {
    split_address(address).1.filter(|domain| !domain.is_empty() && !domain.starts_with('['))
}

impl Reach {
    /// Asks, in one batch.
    pub(crate) fn of(domain: &str) -> Result<Self, LookupError> {
        let kinds = [Kind::Mx, Kind::A, Kind::Aaaa];
        Ok(Self::read(&dns::lookup(&kinds.map(|kind| Query::new(domain, kind)))?))
    }

    /// Any host will do: without MX a domain is its own (RFC 5321 5.1). That there is none has to be said
    /// of each kind, since name servers have denied a name for AAAA that they have for A (RFC 4074 4.2).
    fn read(answers: &[Answer]) -> Self {
        let exchangers = answers.first().map_or(&[][..], Answer::records);
        match exchangers {
            [one] if is_null(one) => Self::NoMail,
            _ if answers.iter().any(|answer| !answer.records().is_empty()) => Self::Known,
            _ if answers.iter().any(Answer::is_uncertain) => Self::Unanswered,
            _ => Self::Unknown,
        }
    }
}

/// `0 .`: the root is no host.
fn is_null(exchanger: &str) -> bool {
    exchanger.split_once(' ').is_some_and(|(_, name)| name.trim_end_matches('.').is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_reached_by_any_host_that_it_has() {
        let records = |texts: &[&str]| Answer::Records(texts.iter().map(|&t| t.into()).collect());
        let host = || records(&["192.0.2.1"]);
        let failed = || Answer::Failed("the name server says Server Failure".to_owned());
        let (no_name, no_data, late) =
            (|| Answer::NoSuchName, || Answer::NoData, || Answer::TimedOut);
        for (answers, reach) in [
            ([records(&["10 mx.a.example"]), no_data(), no_data()], Reach::Known),
            ([no_data(), host(), no_data()], Reach::Known),
            ([no_data(), no_data(), records(&["2001:db8::1"])], Reach::Known),
            ([late(), host(), failed()], Reach::Known),
            ([no_data(), host(), no_name()], Reach::Known),
            ([no_name(), no_name(), no_name()], Reach::Unknown),
            ([no_data(), no_data(), no_data()], Reach::Unknown),
            ([records(&["0 ."]), no_data(), no_data()], Reach::NoMail),
            ([records(&["10 ."]), host(), late()], Reach::NoMail),
            ([records(&["0 "]), host(), no_data()], Reach::NoMail),
            ([records(&["0 .", "10 mx.a.example"]), no_data(), no_data()], Reach::Known),
            ([records(&["nonsense"]), no_data(), no_data()], Reach::Known),
            ([late(), no_name(), no_name()], Reach::Unanswered),
            ([no_data(), failed(), no_data()], Reach::Unanswered),
            ([late(), late(), late()], Reach::Unanswered),
        ] {
            assert_eq!(Reach::read(&answers), reach, "{answers:?}");
        }
        assert_eq!(Reach::read(&[]), Reach::Unknown);
    }

    #[test]
    fn only_a_name_has_a_reach() {
        for (address, name) in [
            ("ann@a.example", Some("a.example")),
            ("\"a@b\"@a.example", Some("a.example")),
            ("ann@[192.0.2.1]", None),
            ("ann@[IPv6:2001:db8::1]", None),
            ("postmaster", None),
            ("ann@", None),
            ("", None),
        ] {
            assert_eq!(domain(address), name, "{address}");
        }
    }
}
