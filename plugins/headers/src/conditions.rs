//! What a rule asks of a mail.

use portcullis_plugin::{Session, Transaction};
use regex_lite::Regex;
use terms::{Addresses, Networks};

use crate::section::Section;
use crate::settings::{ConditionSettings, Entry, FieldSettings, Of, check_name};
use crate::values::{self, domain};

/// One question, or several.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// On one of the values.
    Value {
        header: String,
        of: Option<Of>,
        decoded: bool,
        test: Test,
    },
    Present {
        header: String,
        wanted: bool,
    },
    Count {
        header: String,
        least: usize,
        most: usize,
    },
    /// Whether two fields have addresses, and none in common.
    Differs {
        header: String,
        other: String,
        of: Of,
    },
    /// Whether a display name has an address or a domain of ours, which the address has not.
    PosesAs {
        header: String,
        ours: Addresses,
    },
    SectionLargerThan(usize),
    Senders(Addresses),
    Recipients(Addresses),
    Clients(Networks),
    Authenticated(bool),
}

/// On a text.
#[derive(Debug)]
pub(crate) enum Test {
    Contains(String),
    Equals(String),
    Matches(Regex),
}

/// What can be asked. Each fact but the header section is a call into the gateway, made when a rule
/// wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mail<'a> {
    pub(crate) section: &'a Section<'a>,
    pub(crate) session: &'a Session,
    pub(crate) transaction: &'a Transaction,
}

impl Condition {
    /// All that the settings name have to hold. `decoded` is what the settings say for all rules.
    pub(crate) fn new(settings: ConditionSettings, decoded: bool) -> Result<Self, String> {
        let ConditionSettings { all, any, not, field, mail } = settings;
        let mut conditions = Vec::new();
        if let Some(header) = field.header.clone() {
            check_name(&header)?;
            conditions.push(field.condition(&header, decoded)?);
        } else if !field.is_empty() {
            return Err("what a condition asks of a field wants its `header`".to_owned());
        }
        if let Some(list) = all {
            conditions.push(Self::All(Self::group("all", list, decoded)?));
        }
        if let Some(list) = any {
            conditions.push(Self::Any(Self::group("any", list, decoded)?));
        }
        if let Some(one) = not {
            let one = Self::within(*one, decoded).map_err(|mistake| format!("not: {mistake}"))?;
            conditions.push(Self::Not(Box::new(one)));
        }
        conditions.extend(mail.section_larger_than.map(Self::SectionLargerThan));
        conditions.extend(mail.senders.map(Self::Senders));
        conditions.extend(mail.recipients.map(Self::Recipients));
        conditions.extend(mail.clients.map(Self::Clients));
        conditions.extend(mail.authenticated.map(Self::Authenticated));
        match conditions.len() {
            0 => {
                Err("a rule has a `header`, `all`, `any`, `not`, or a condition on the mail"
                    .to_owned())
            }
            1 => Ok(conditions.remove(0)),
            _ => Ok(Self::All(conditions)),
        }
    }

    fn group(name: &str, list: Vec<Entry>, decoded: bool) -> Result<Vec<Self>, String> {
        if list.is_empty() {
            return Err(format!("{name}: no conditions"));
        }
        let numbered = list.into_iter().enumerate().map(|(number, one)| {
            Self::within(one, decoded).map_err(|mistake| format!("{name}[{number}]: {mistake}"))
        });
        numbered.collect()
    }

    fn within(entry: Entry, decoded: bool) -> Result<Self, String> {
        let (condition, action) = entry.parts();
        if !action.is_empty() {
            return Err("what is done stands in the rule, not in a condition of it".to_owned());
        }
        Self::new(condition, decoded)
    }

    pub(crate) fn holds(&self, mail: Mail<'_>) -> bool {
        let Mail { section, session, transaction } = mail;
        match self {
            Self::All(list) => list.iter().all(|one| one.holds(mail)),
            Self::Any(list) => list.iter().any(|one| one.holds(mail)),
            Self::Not(one) => !one.holds(mail),
            Self::Value { header, of: None, decoded, test } => {
                section.raw(header).any(|value| test.fits(&values::text(&value, *decoded)))
            }
            Self::Value { header, of: Some(of), test, .. } => section
                .raw(header)
                .any(|value| values::addresses(&value, *of).iter().any(|text| test.fits(text))),
            Self::Present { header, wanted } => section.raw(header).next().is_some() == *wanted,
            Self::Count { header, least, most } => {
                (*least..=*most).contains(&section.raw(header).count())
            }
            Self::Differs { header, other, of } => differs(section, header, other, *of),
            Self::PosesAs { header, ours } => {
                section.raw(header).any(|value| values::poses_as(&value, ours))
            }
            Self::SectionLargerThan(octets) => section.size() > *octets,
            Self::Senders(senders) => senders.contain(transaction.sender().as_deref()),
            Self::Recipients(addresses) => {
                transaction.recipients().iter().any(|one| addresses.contain(Some(&one.address)))
            }
            Self::Clients(networks) => {
                session.client_ip().is_some_and(|client| networks.contain(client))
            }
            Self::Authenticated(wanted) => session.user().is_some() == *wanted,
        }
    }
}

impl FieldSettings {
    fn is_empty(&self) -> bool {
        self.tests().next().is_none() && self.of.is_none() && self.decoded.is_none()
    }

    /// The names of the tests that are there; bounds of a count are one.
    fn tests(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.contains.is_some(), "contains"),
            (self.equals.is_some(), "equals"),
            (self.matches.is_some(), "matches"),
            (self.present.is_some(), "present"),
            (self.more_than.is_some() || self.fewer_than.is_some(), "more_than"),
            (self.differs_from.is_some(), "differs_from"),
            (self.poses_as.is_some(), "poses_as"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }

    fn condition(self, header: &str, decoded: bool) -> Result<Condition, String> {
        let header = header.to_owned();
        let test = {
            let mut tests = self.tests();
            tests.next().filter(|_| tests.next().is_none()).ok_or(TESTS)?
        };
        let text = matches!(test, "contains" | "equals" | "matches");
        if (self.of.is_some() && !text && test != "differs_from")
            || (self.decoded.is_some() && !text)
        {
            return Err(format!("`of` and `decoded` do not go with `{test}`"));
        }
        if let Some(wanted) = self.present {
            return Ok(Condition::Present { header, wanted });
        }
        if let Some(other) = self.differs_from {
            check_name(&other)?;
            return Ok(Condition::Differs { header, other, of: self.of.unwrap_or(Of::Domain) });
        }
        if let Some(ours) = self.poses_as {
            return Ok(Condition::PosesAs { header, ours });
        }
        let test = match (self.contains, self.equals, self.matches) {
            (Some(text), ..) => Test::Contains(text.to_lowercase()),
            (_, Some(text), _) => Test::Equals(text.to_lowercase()),
            (.., Some(pattern)) => {
                Test::Matches(Regex::new(&pattern).map_err(|error| format!("matches: {error}"))?)
            }
            _ => {
                let least = self.more_than.map_or(0, |count| count.saturating_add(1));
                let most = self.fewer_than.map_or(usize::MAX, |count| count.saturating_sub(1));
                return Ok(Condition::Count { header, least, most });
            }
        };
        let decoded = self.decoded.unwrap_or(decoded);
        Ok(Condition::Value { header, of: self.of, decoded, test })
    }
}

const TESTS: &str = "a rule has exactly one of `contains`, `equals`, `matches`, `present`, `more_than` \
                     and `fewer_than`, `differs_from` and `poses_as`";

impl Test {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Contains(text) => value.to_lowercase().contains(text),
            Self::Equals(text) => value.to_lowercase() == *text,
            Self::Matches(pattern) => pattern.is_match(value),
        }
    }
}

fn differs(section: &Section<'_>, header: &str, other: &str, of: Of) -> bool {
    let all = |name| -> Vec<String> {
        let values = section.raw(name).flat_map(|value| values::addresses(&value, of));
        values.map(|text| text.to_lowercase()).filter(|text| !text.is_empty()).collect()
    };
    let (these, those) = (all(header), all(other));
    // A domain and one below it belong together.
    let akin = |one: &str, two: &str| {
        one == two
            || (of == Of::Domain && (domain::is_below(one, two) || domain::is_below(two, one)))
    };
    !these.is_empty()
        && !those.is_empty()
        && !these.iter().any(|one| those.iter().any(|two| akin(one, two)))
}
