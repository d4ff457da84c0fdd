//! Scores: what plugins think of a transaction, in points under the names of symbols.

use std::collections::HashSet;
use std::fmt;
use std::iter::Sum;

/// Points, to the millionth: sums are exact, and there is no such thing as "not a number".
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Points(i64);

impl Points {
    /// Rounded to the millionth; what is not finite, or beyond a thousand million, is none.
    #[must_use]
    pub fn new(points: f64) -> Option<Self> {
        let bounded = points.is_finite() && points.abs() <= 1e9;
        bounded.then(|| Self((points * MILLIONTHS as f64).round() as i64))
    }

    /// As a number to count with.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0 as f64 / MILLIONTHS as f64
    }
}

impl Sum for Points {
    fn sum<I: Iterator<Item = Self>>(points: I) -> Self {
        Self(points.fold(0, |sum, Self(one)| sum.saturating_add(one)))
    }
}

impl fmt::Display for Points {
    /// As short as it can be told: `7.5`, `-2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) =
            (self.0.unsigned_abs() / MILLIONTHS, self.0.unsigned_abs() % MILLIONTHS);
        let digits = format!("{rest:06}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            digits => write!(f, "{sign}{whole}.{digits}"),
        }
    }
}

/// The points of one symbol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Score {
    /// The plugin that gave them.
    pub plugin: String,
    /// What for: letters, digits, `_`, `-` and `.`.
    pub symbol: String,
    /// How many.
    pub points: Points,
}

impl Score {
    /// A score as a plugin may give it.
    ///
    /// # Errors
    ///
    /// If the symbol is not one, or there are too many points.
    pub fn new(plugin: &str, symbol: &str, points: f64) -> Result<Self, ScoreError> {
        let letter = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
        if symbol.is_empty() || symbol.len() > SYMBOL_OCTETS || !symbol.bytes().all(letter) {
            return Err(ScoreError::Symbol);
        }
        let points = Points::new(points).ok_or(ScoreError::NotFinite)?;
        if points.get().abs() > MOST_POINTS {
            return Err(ScoreError::TooMany);
        }
        Ok(Self { plugin: plugin.to_owned(), symbol: symbol.to_owned(), points })
    }
}

/// Why something is no score.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// The name.
    #[error("not a symbol")]
    Symbol,
    /// Infinite, or no number at all.
    #[error("points that are no number")]
    NotFinite,
    /// Beyond what one symbol may have.
    #[error("more points than a symbol may have")]
    TooMany,
}

/// All scores of a transaction, in the order in which the symbols were first scored.
#[derive(Clone, Debug, Default)]
pub struct Scores(Vec<Score>);

impl Scores {
    /// Adds a score, or replaces what the same plugin said of the same symbol.
    pub fn set(&mut self, score: Score) {
        let same =
            |known: &&mut Score| (&known.plugin, &known.symbol) == (&score.plugin, &score.symbol);
        match self.0.iter_mut().find(same) {
            Some(known) => known.points = score.points,
            None => self.0.push(score),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Score> {
        self.0.iter()
    }

    /// Whether nobody scored anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All points together.
    #[must_use]
    pub fn sum(&self) -> Points {
        self.0.iter().map(|score| score.points).sum()
    }

    /// The symbols that a plugin has scored.
    #[must_use]
    pub fn symbols_of(&self, plugin: &str) -> HashSet<&str> {
        let own = self.0.iter().filter(|score| score.plugin == plugin);
        own.map(|score| &*score.symbol).collect()
    }
}

/// A point in millionths.
const MILLIONTHS: u64 = 1_000_000;

/// Of one symbol, either way: far more than any threshold, and sums stay exact.
const MOST_POINTS: f64 = 10_000.0;

/// Of a symbol's name: it has to fit into a line of the header.
const SYMBOL_OCTETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn score(plugin: &str, symbol: &str, points: f64) -> Score {
        Score::new(plugin, symbol, points).expect("a score")
    }

    #[test]
    fn what_people_would_add_up_on_paper_is_the_sum() {
        let mut scores = Scores::default();
        for (n, points) in [0.7, 0.1, 0.1, -0.2, -0.0].into_iter().enumerate() {
            scores.set(score("a", &format!("S{n}"), points));
        }
        assert_eq!(Some(scores.sum()), Points::new(0.7));
        assert_eq!(scores.sum().get().to_bits(), 0.7_f64.to_bits());
    }

    #[test]
    fn points_are_shown_as_short_as_they_can_be() {
        for (points, shown) in [
            (7.5, "7.5"),
            (-2.0, "-2"),
            (0.0, "0"),
            (-0.0, "0"),
            (-0.25, "-0.25"),
            (0.000_001, "0.000001"),
            (1e-9, "0"),
            (10_000.0, "10000"),
        ] {
            assert_eq!(Points::new(points).expect("finite").to_string(), shown);
        }
    }

    #[test]
    fn a_symbol_that_is_scored_again_is_replaced_where_it_stands() {
        let mut scores = Scores::default();
        scores.set(score("a", "X", 1.0));
        scores.set(score("b", "X", 2.0));
        scores.set(score("a", "X", 5.0));
        let shown: Vec<_> =
            scores.iter().map(|score| format!("{} {}", score.plugin, score.points)).collect();
        assert_eq!(shown, ["a 5", "b 2"]);
        assert_eq!(scores.sum(), Points::new(7.0).expect("finite"));
    }

    #[test]
    fn what_is_no_score_is_refused() {
        for symbol in ["", "a b", "a\r\n", "gr\u{fc}n", "a=b", &"x".repeat(65)] {
            assert_eq!(Score::new("a", symbol, 1.0), Err(ScoreError::Symbol), "{symbol:?}");
        }
        assert!(Score::new("a", "URL.bad_host-1", 10_000.0).is_ok());
        for points in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Score::new("a", "A", points), Err(ScoreError::NotFinite));
        }
        for points in [10_000.1, -10_001.0, 1e300] {
            assert!(Score::new("a", "A", points).is_err(), "{points}");
        }
    }
}
