//! Adds, sets and drops headers, and judges messages by them; see README.md.

mod conditions;
mod rules;
mod section;
mod settings;
mod template;
mod values;

use portcullis_plugin::{EditError, Hook, Message, Session, Transaction, Verdict, plugin};

use crate::conditions::Mail;
use crate::rules::{Action, Rule};
use crate::section::Section;
use crate::settings::{Add, Place, Rename, Rewrite, Set, Settings};
use crate::template::Facts;

/// Rules and edits, ready to be used.
#[derive(Debug)]
pub struct Headers {
    rules: Vec<Rule>,
    drop: Vec<Pattern>,
    set: Vec<Set>,
    add: Vec<Add>,
    rename: Vec<Rename>,
    rewrite: Vec<Rewrite>,
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
                Rule::new(rule, settings.decoded)
                    .map_err(|mistake| format!("rules[{number}]: {mistake}"))
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
        let Settings { set, add, rename, rewrite, .. } = settings;
        Ok(Self { rules, drop, set, add, rename, rewrite })
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
        let verdict = self.judge(Mail { section: &section, session, transaction })?;
        // Of a message that goes nowhere nothing needs to be edited.
        if matches!(verdict, Verdict::Next | Verdict::Quarantine(_)) && self.edits() > 0 {
            match self.edit(&section, &Facts::new(session, transaction), message) {
                // A call has 1,000 edits. Who forges more fields than that is no honest sender.
                Err(EditError::OutOfRange) => return Ok(Verdict::reject(554, "5.6.0", TOO_MANY)),
                edited => edited?,
            }
        }
        Ok(verdict)
    }
}

impl Headers {
    /// The first rule that fits and decides has the last word; routes and points before it count.
    fn judge(&self, mail: Mail<'_>) -> Result<Verdict, EditError> {
        let mut points: Vec<(&str, f64)> = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.fits(mail)) {
            match &rule.action {
                Action::Discard(reason) => return Ok(Verdict::discard(reason)),
                Action::Quarantine(reason) => return Ok(Verdict::quarantine(reason)),
                Action::Refuse(refusal) => return Ok(refusal.verdict()),
                Action::Route(upstream) => mail.transaction.route(upstream, None)?,
                // Rules that share a symbol add up: the contract would keep the last.
                Action::Score { symbol, points: more } => {
                    let sum =
                        points.iter().find(|(known, _)| known == symbol).map_or(0.0, |one| one.1);
                    points.retain(|(known, _)| known != symbol);
                    points.push((symbol, sum + more));
                    mail.transaction.score(symbol, sum + more)?;
                }
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
        self.rename_and_rewrite(section, message)?;
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

    /// What is dropped or set is not renamed or rewritten as well; what is renamed is rewritten under
    /// its old name first.
    fn rename_and_rewrite(
        &self,
        section: &Section<'_>,
        message: &Message,
    ) -> Result<(), EditError> {
        if self.rename.is_empty() && self.rewrite.is_empty() {
            return Ok(());
        }
        for (name, nth, value) in section.unfolded() {
            let same = |other: &str| other.eq_ignore_ascii_case(name);
            if self.drop.iter().any(|pattern| pattern.fits(name))
                || self.set.iter().any(|header| same(&header.name))
            {
                continue;
            }
            let rewritten = self
                .rewrite
                .iter()
                .filter(|one| same(&one.name))
                .find_map(|one| rewritten(one, &value));
            if let Some(renamed) = self.rename.iter().find(|one| same(&one.from)) {
                let value = rewritten.unwrap_or(value);
                message.drop_header(name, nth)?;
                message.add_header(None, &renamed.to, &value)?;
            } else if let Some(value) = rewritten {
                message.set_header(name, nth, &value)?;
            }
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
        self.drop.len() + self.set.len() + self.add.len() + self.rename.len() + self.rewrite.len()
    }
}

/// The value with what the pattern found replaced; none if it does not match. What is not UTF-8 is
/// left alone.
fn rewritten(rewrite: &Rewrite, value: &[u8]) -> Option<Vec<u8>> {
    let value = str::from_utf8(value).ok()?;
    let pattern = &rewrite.matches.0;
    pattern.is_match(value).then(|| {
        let new = pattern.replace(value, rewrite.value.as_str());
        new.chars().filter(|c| !c.is_control() || *c == '\t').collect::<String>().into_bytes()
    })
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

const TOO_MANY: &str = "too many header fields that have to be changed";
