//! Rules: a condition on a header, and what becomes of the message.

use portcullis_plugin::Refusal;
use regex_lite::Regex;

use crate::section::Section;
use crate::settings::{RuleSettings, check_name};

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    header: String,
    condition: Condition,
    pub(crate) action: Action,
}

/// On one value or, for `Present`, on whether there is one.
#[derive(Debug)]
enum Condition {
    Contains(String),
    Equals(String),
    Matches(Regex),
    Present(bool),
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Action {
    Discard(String),
    Quarantine(String),
    Refuse(Refusal),
    Route(String),
}

impl Rule {
    pub(crate) fn new(settings: RuleSettings) -> Result<Self, String> {
        check_name(&settings.header)?;
        let conditions = [
            settings.contains.map(|text| Ok(Condition::Contains(text.to_lowercase()))),
            settings.equals.map(|text| Ok(Condition::Equals(text.to_lowercase()))),
            settings.matches.map(|pattern| regex(&pattern).map(Condition::Matches)),
            settings.present.map(|present| Ok(Condition::Present(present))),
        ];
        let actions = [
            settings.discard.map(Action::Discard),
            settings.quarantine.map(Action::Quarantine),
            settings.refuse.map(Action::Refuse),
            settings.route.map(Action::Route),
        ];
        Ok(Self {
            header: settings.header,
            condition: the_one(conditions, "`contains`, `equals`, `matches` and `present`")??,
            action: the_one(actions, "`discard`, `quarantine`, `refuse` and `route`")?,
        })
    }

    /// Whether one of the header's values fits.
    pub(crate) fn fits(&self, section: &Section<'_>) -> bool {
        let mut values = section.values(&self.header);
        match &self.condition {
            Condition::Contains(text) => values.any(|value| value.to_lowercase().contains(text)),
            Condition::Equals(text) => values.any(|value| value.to_lowercase() == *text),
            Condition::Matches(pattern) => values.any(|value| pattern.is_match(&value)),
            Condition::Present(wanted) => values.next().is_some() == *wanted,
        }
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("matches: {error}"))
}

fn the_one<T, const N: usize>(choices: [Option<T>; N], names: &str) -> Result<T, String> {
    let mut chosen = choices.into_iter().flatten();
    match (chosen.next(), chosen.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(format!("a rule has exactly one of {names}")),
    }
}
