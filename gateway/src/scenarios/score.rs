//! What plugins are to think of a message.

use crate::config::Place;
use crate::config::section::{Entry, Section, Text};
use crate::config::tree::Value;
use crate::explain::{Explanation, Symbol};
use crate::workbench::Difference;

/// The sum of all points.
#[derive(Clone, Debug)]
pub(super) struct Score {
    place: Place,
    from: f64,
    to: f64,
}

/// What points are for.
#[derive(Clone, Debug)]
pub(super) struct Symbols(Vec<Given>);

#[derive(Clone, Debug)]
struct Given {
    symbol: String,
    place: Place,
    points: Points,
}

#[derive(Clone, Copy, Debug)]
enum Points {
    Any,
    Just(f64),
    /// The symbol is not there.
    Absent,
}

impl Score {
    const KEYS: &'static [&'static str] = &["from", "to"];

    /// `5`, or `{from: 5, to: 7.5}`, of which one may be left out.
    pub(super) fn read(expect: &Section<'_>) -> Option<Self> {
        let Entry { key, node } = expect.entry("score")?;
        let place = expect.reader.place(key.mark);
        if !matches!(&node.value, Value::Mapping(_)) {
            let just = expect.number("score", POINTS)?;
            return Some(Self { place, from: just, to: just });
        }
        let range = expect.section("score", Self::KEYS);
        let from = range.number("from", POINTS).unwrap_or(f64::NEG_INFINITY);
        let to = range.number("to", POINTS).unwrap_or(f64::INFINITY);
        Some(Self { place, from, to })
    }

    pub(super) fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let sum = explanation.score.as_ref().map(|score| score.sum);
        let reached = |sum: f64| sum >= self.from - NEAR && sum <= self.to + NEAR;
        if !sum.is_some_and(reached) {
            differences.push(Difference {
                place: self.place.clone(),
                about: "score".to_owned(),
                expected: self.told(),
                came: sum.map_or_else(|| "no score".to_owned(), |sum| sum.to_string()),
            });
        }
    }

    fn told(&self) -> String {
        match (self.from.is_finite(), self.to.is_finite()) {
            (true, true) if self.to <= self.from => self.from.to_string(),
            (true, true) => format!("{{from: {}, to: {}}}", self.from, self.to),
            (true, false) => format!("{{from: {}}}", self.from),
            (false, true) => format!("{{to: {}}}", self.to),
            (false, false) => "a score".to_owned(),
        }
    }
}

impl Symbols {
    /// `[SYMBOL]`, or `{SYMBOL: 2.5, OTHER: null}`.
    pub(super) fn read(expect: &Section<'_>) -> Option<Self> {
        let Entry { node, .. } = expect.entry("symbols")?;
        let reader = expect.reader;
        if matches!(&node.value, Value::Sequence(_)) {
            let given = |Text { text, mark }: Text<'_>| Given {
                symbol: text.to_owned(),
                place: reader.place(mark),
                points: Points::Any,
            };
            return Some(Self(expect.words("symbols")?.into_iter().map(given).collect()));
        }
        let entries = expect.names("symbols", &[]).entries;
        let given = |Entry { key, node }: &Entry<'_>| {
            let points = match &node.value {
                Value::Scalar { .. } if node.is_null() => Some(Points::Absent),
                Value::Scalar { text, .. } => {
                    let points = text.parse().ok().filter(|points: &f64| points.is_finite());
                    points.map(Points::Just)
                }
                _ => None,
            };
            if points.is_none() {
                let help = "SYMBOL: 2.5; null where it is not to be there; [SYMBOL] for any points";
                let text = format!("the points of \"{}\" are a number", key.text);
                reader.error(node.mark, text, Some(help));
            }
            Some(Given {
                symbol: key.text.to_owned(),
                place: reader.place(key.mark),
                points: points?,
            })
        };
        Some(Self(entries.iter().filter_map(given).collect()))
    }

    pub(super) fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let symbols = explanation.score.iter().flat_map(|score| &score.symbols);
        let symbols: Vec<_> = symbols.collect();
        for Given { symbol, place, points } in &self.0 {
            let own = symbols.iter().filter(|one| one.symbol == *symbol);
            let own: Vec<_> = own.map(|one| one.points).collect();
            let as_expected = match points {
                Points::Absent => own.is_empty(),
                Points::Any => !own.is_empty(),
                Points::Just(points) => {
                    !own.is_empty() && (own.iter().sum::<f64>() - points).abs() <= NEAR
                }
            };
            if !as_expected {
                differences.push(Difference {
                    place: place.clone(),
                    about: "symbols".to_owned(),
                    expected: points.told(symbol),
                    came: told(&symbols),
                });
            }
        }
    }
}

impl Points {
    fn told(self, symbol: &str) -> String {
        match self {
            Self::Absent => format!("{{{symbol}: null}}"),
            Self::Any => format!("[{symbol}]"),
            Self::Just(points) => format!("{{{symbol}: {points}}}"),
        }
    }
}

fn told(symbols: &[&Symbol]) -> String {
    let told = symbols.iter().map(|one| format!("{}: {}", one.symbol, one.points));
    format!("{{{}}}", told.collect::<Vec<_>>().join(", "))
}

/// More than any score.
const POINTS: std::ops::RangeInclusive<f64> = -1e9..=1e9;

/// What sums of fractions may be off by.
const NEAR: f64 = 1e-6;
