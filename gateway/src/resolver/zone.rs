//! Answers that are known beforehand, in place of name servers.

use std::collections::{BTreeMap, HashMap};

use hickory_proto::rr::Name;

use super::{Answer, Kind, Record, name};

/// All that there is to know; any other name does not exist.
#[derive(Clone, Debug, Default)]
pub struct Zone(HashMap<Name, Known>);

/// What is known of a name.
#[derive(Clone, Debug)]
enum Known {
    /// The same answer, whatever is asked.
    Any(Answer),
    /// By kind; other kinds have no data.
    Kinds(BTreeMap<Kind, Answer>),
}

impl Zone {
    /// Gives a name its answer to one kind of question. In place of a name of an address' PTR
    /// record, the address will do. Says whether it is a name.
    #[must_use]
    pub fn put(&mut self, name: &str, kind: Kind, answer: Answer) -> bool {
        let Some(name) = name::parse(name, Kind::Ptr) else { return false };
        let known = self.0.entry(name.to_lowercase());
        let known = known.or_insert_with(|| Known::Kinds(BTreeMap::new()));
        match known {
            Known::Any(_) => *known = Known::Kinds(BTreeMap::from([(kind, answer)])),
            Known::Kinds(kinds) => {
                kinds.insert(kind, answer);
            }
        }
        true
    }

    /// Gives a name its answer to all questions. Says whether it is a name.
    #[must_use]
    pub fn put_any(&mut self, name: &str, answer: Answer) -> bool {
        let name = name::parse(name, Kind::Ptr);
        let known = name.map(|name| self.0.insert(name.to_lowercase(), Known::Any(answer)));
        known.is_some()
    }

    pub(super) fn answer(&self, name: &Name, kind: Kind) -> Answer {
        let mut name = name.to_lowercase();
        for _ in 0..ALIASES {
            let kinds = match self.0.get(&name) {
                None => return Answer::NoSuchName,
                Some(Known::Any(answer)) => return answer.clone(),
                Some(Known::Kinds(kinds)) => kinds,
            };
            if let Some(answer) = kinds.get(&kind) {
                return answer.clone();
            }
            let Some(Answer::Records(records)) = kinds.get(&Kind::Cname) else {
                return Answer::NoData;
            };
            let Some(Record::Name(alias)) = records.first() else { return Answer::NoData };
            let Some(alias) = name::parse(alias, kind) else { return Answer::NoData };
            name = alias.to_lowercase();
        }
        Answer::Failed("too many aliases".into())
    }
}

impl Kind {
    /// All of them, by the names that they have in zone files.
    pub const ALL: [(&'static str, Self); 9] = [
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("CNAME", Self::Cname),
        ("MX", Self::Mx),
        ("NS", Self::Ns),
        ("PTR", Self::Ptr),
        ("SRV", Self::Srv),
        ("TLSA", Self::Tlsa),
        ("TXT", Self::Txt),
    ];
}

impl Record {
    /// Reads what it is shown as.
    #[must_use]
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let name = |text: &str| text.strip_suffix('.').unwrap_or(text).to_owned();
        Some(match kind {
            Kind::A => Self::Address(text.parse::<std::net::Ipv4Addr>().ok()?.into()),
            Kind::Aaaa => Self::Address(text.parse::<std::net::Ipv6Addr>().ok()?.into()),
            Kind::Cname | Kind::Ns | Kind::Ptr => Self::Name(name(text)),
            Kind::Mx => {
                let (preference, exchanger) = text.split_once(' ')?;
                Self::Exchanger { preference: preference.parse().ok()?, name: name(exchanger) }
            }
            Kind::Srv | Kind::Tlsa => Self::Other(text.to_owned()),
            Kind::Txt => Self::Text(text.into()),
        })
    }
}

/// Names that stand for names that stand for names.
const ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_by_their_aliases() {
        let mut zone = Zone::default();
        let records = |kind, text| Answer::Records(vec![Record::parse(kind, text).expect("one")]);
        assert!(zone.put("b.example", Kind::A, records(Kind::A, "192.0.2.1")));
        assert!(zone.put("A.example", Kind::Cname, records(Kind::Cname, "b.example.")));
        assert!(zone.put("192.0.2.1", Kind::Ptr, records(Kind::Ptr, "b.example")));
        assert!(zone.put_any("slow.example", Answer::TimedOut));
        let ask = |text, kind| zone.answer(&name::parse(text, kind).expect("a name"), kind);
        assert_eq!(ask("a.EXAMPLE.", Kind::A), records(Kind::A, "192.0.2.1"));
        assert_eq!(ask("192.0.2.1", Kind::Ptr), records(Kind::Ptr, "b.example"));
        assert_eq!(ask("b.example", Kind::Mx), Answer::NoData);
        assert_eq!(ask("c.example", Kind::Mx), Answer::NoSuchName);
        assert_eq!(ask("slow.example", Kind::Txt), Answer::TimedOut);
    }
}
