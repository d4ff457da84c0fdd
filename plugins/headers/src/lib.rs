//! Adds, sets and drops headers, and judges messages by them; see README.md.

mod rules;
mod section;
mod settings;
mod template;

use portcullis_plugin::{EditError, Hook, Message, Session, Transaction, Verdict, plugin};

use crate::rules::{Action, Rule};
use crate::section::Section;
use crate::settings::{Add, Place, Set, Settings};
use crate::template::Facts;

/// Rules and edits, ready to be used.
#[derive(Debug)]
pub struct Headers {
    rules: Vec<Rule>,
    drop: Vec<Pattern>,
    set: Vec<Set>,
    add: Vec<Add>,
}

/// A header's name, or with `*` at its end the beginning of one.
#[derive(Debug)]
struct Pattern {
    name: String,
    prefix: bool,
}

#[plugin]
impl Headers {
    fn configure(settings: Settings) -> Result<Self, String> {
        let rules = settings
            .rules
            .into_iter()
            .enumerate()
            .map(|(number, rule)| {
                Rule::new(rule).map_err(|mistake| format!("rules[{number}]: {mistake}"))
            })
            .collect::<Result<_, _>>()?;
        let drop = settings
            .drop
            .iter()
            .enumerate()
            .map(|(number, name)| {
                Pattern::new(name).map_err(|mistake| format!("drop[{number}]: {mistake}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { rules, drop, set: settings.set, add: settings.add })
    }

    fn skip(&self) -> Vec<Hook> {
        let idle = self.rules.is_empty() && self.edits() == 0;
        if idle { vec![Hook::Headers] } else { Vec::new() }
    }

    fn headers(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, EditError> {
        let section = message.header_section();
        let section = Section::new(&section);
        let verdict = self.judge(&section, transaction)?;
        // Of a message that goes nowhere nothing needs to be edited.
        if matches!(verdict, Verdict::Next | Verdict::Quarantine(_)) && self.edits() > 0 {
            self.edit(&section, &Facts::new(session, transaction), message)?;
        }
        Ok(verdict)
    }
}

impl Headers {
    /// The first rule that fits and decides has the last word; routes before it count.
    fn judge(&self, section: &Section<'_>, to: &Transaction) -> Result<Verdict, EditError> {
        for rule in self.rules.iter().filter(|rule| rule.fits(section)) {
            match &rule.action {
                Action::Discard(reason) => return Ok(Verdict::discard(reason)),
                Action::Quarantine(reason) => return Ok(Verdict::quarantine(reason)),
                Action::Refuse(refusal) => return Ok(refusal.verdict()),
                Action::Route(upstream) => to.route(upstream, None)?,
            }
        }
        Ok(Verdict::Next)
    }

    fn edit(
        &self,
        section: &Section<'_>,
        facts: &Facts,
        message: &Message,
    ) -> Result<(), EditError> {
        for (name, nth) in section.numbered() {
            if self.drop.iter().any(|pattern| pattern.fits(name)) {
                message.drop_header(name, nth)?;
            }
        }
        for header in &self.set {
            self.set(header, section, facts, message)?;
        }
        for header in &self.add {
            let at = match header.at {
                Place::Top => Some(0),
                Place::Bottom => None,
            };
            message.add_header(at, &header.name, header.value.fill(facts).as_bytes())?;
        }
        Ok(())
    }

    /// One header of this name stays, the first, with the new value.
    fn set(
        &self,
        header: &Set,
        section: &Section<'_>,
        facts: &Facts,
        message: &Message,
    ) -> Result<(), EditError> {
        let value = header.value.fill(facts);
        let dropped = self.drop.iter().any(|pattern| pattern.fits(&header.name));
        let present =
            section.numbered().filter(|(name, _)| name.eq_ignore_ascii_case(&header.name));
        let count = u32::try_from(present.count()).unwrap_or(u32::MAX);
        if count == 0 || dropped {
            return message.add_header(None, &header.name, value.as_bytes());
        }
        message.set_header(&header.name, 0, value.as_bytes())?;
        (1..count).try_for_each(|nth| message.drop_header(&header.name, nth))
    }

    fn edits(&self) -> usize {
        self.drop.len() + self.set.len() + self.add.len()
    }
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, String> {
        let (name, prefix) = match pattern.strip_suffix('*') {
            Some(name) => (name, true),
            None => (pattern, false),
        };
        settings::check_name(name)?;
        Ok(Self { name: name.to_owned(), prefix })
    }

    fn fits(&self, name: &str) -> bool {
        match name.get(..self.name.len()) {
            Some(beginning) if self.prefix => beginning.eq_ignore_ascii_case(&self.name),
            _ => name.eq_ignore_ascii_case(&self.name),
        }
    }
}
