//! The settings as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use portcullis_plugin::Refusal;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use terms::Exempt;

use crate::sign::Sign;

/// The settings of `helo`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) own: Own,
    /// By the signs' keys.
    pub(crate) rules: BTreeMap<String, Rule>,
    /// Times that are counted of what a client does again and again.
    pub(crate) most: u32,
    pub(crate) exempt: Exempt,
}

/// What is ours, and nobody else's to say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Own {
    pub(crate) names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// What follows from a sign.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    /// So many points; 0 is nothing.
    Points(f64),
    Refuse(Refusal),
}

impl Default for Settings {
    fn default() -> Self {
        Self { own: Own::default(), rules: BTreeMap::new(), most: 3, exempt: Exempt::default() }
    }
}

impl Settings {
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (n, name) in self.own.names.iter_mut().enumerate() {
            *name = name.trim_end_matches('.').to_ascii_lowercase();
            let odd = |c: char| !c.is_ascii_graphic() || "*@/[]".contains(c);
            if name.trim_start_matches('.').is_empty() || name.contains(odd) {
                return Err(format!(
                    "own.names[{n}]: `{name}` is not a name, or `.example.org` for all below it"
                ));
            }
        }
        let instead = "MAIL comes before them; leave out senders or clients instead";
        self.exempt.without(&["recipients"], instead)?;
        if self.most == 0 {
            return Err("most: at least 1; what is not to count has the rule 0".to_owned());
        }
        for (key, rule) in &self.rules {
            if !Sign::ALL.iter().any(|sign| sign.key() == key) {
                return Err(format!("rules.{key}: there is no such rule"));
            }
            if let Rule::Points(points) = rule
                && !(-10.0..=100.0).contains(points)
            {
                return Err(format!("rules.{key}: {points} is not from -10 to 100"));
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PointsOrReply)
    }
}

struct PointsOrReply;

impl Visitor<'_> for PointsOrReply {
    type Value = Rule;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("points as in 1.5, 0 for nothing, or a refusal as in `550 5.7.1 go away`")
    }

    fn visit_f64<E: Error>(self, points: f64) -> Result<Rule, E> {
        Ok(Rule::Points(points))
    }

    fn visit_i64<E: Error>(self, points: i64) -> Result<Rule, E> {
        i32::try_from(points).map(|points| Rule::Points(points.into())).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, points: u64) -> Result<Rule, E> {
        u32::try_from(points).map(|points| Rule::Points(points.into())).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rule, E> {
        text.parse().map(Rule::Refuse).map_err(E::custom)
    }
}
