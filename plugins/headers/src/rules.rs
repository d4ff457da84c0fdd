//! Rules: conditions on a mail, and what becomes of it.

use portcullis_plugin::Refusal;

use crate::conditions::{Condition, Mail};
use crate::settings::Entry;

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    condition: Condition,
    pub(crate) action: Action,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Action {
    Discard(String),
    Quarantine(String),
    Refuse(Refusal),
    Route(String),
    Score { symbol: String, points: f64 },
}

impl Rule {
    pub(crate) fn new(entry: Entry, decoded: bool) -> Result<Self, String> {
        let (condition, settings) = entry.parts();
        let symbol = settings.symbol.unwrap_or_else(|| "HEADER_RULE".to_owned());
        if settings.score.is_some() {
            check_score(&symbol, settings.score.unwrap_or_default())?;
        }
        let actions = [
            settings.discard.map(Action::Discard),
            settings.quarantine.map(Action::Quarantine),
            settings.refuse.map(Action::Refuse),
            settings.route.map(Action::Route),
            settings.score.map(|points| Action::Score { symbol, points }),
        ];
        Ok(Self { condition: Condition::new(condition, decoded)?, action: the_one(actions)? })
    }

    pub(crate) fn fits(&self, mail: Mail<'_>) -> bool {
        self.condition.holds(mail)
    }
}

/// What the contract takes.
fn check_score(symbol: &str, points: f64) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if symbol.is_empty() || symbol.len() > 64 || !symbol.bytes().all(fits) {
        return Err("symbol: up to 64 letters, digits, `_`, `-` and `.`".to_owned());
    }
    if !points.is_finite() || points.abs() > 10_000.0 {
        return Err("score: points are from -10000 to 10000".to_owned());
    }
    Ok(())
}

fn the_one<const N: usize>(choices: [Option<Action>; N]) -> Result<Action, String> {
    let mut chosen = choices.into_iter().flatten();
    match (chosen.next(), chosen.next()) {
        (Some(one), None) => Ok(one),
        _ => {
            Err("a rule has exactly one of `discard`, `quarantine`, `refuse`, `route` and `score`"
                .to_owned())
        }
    }
}
