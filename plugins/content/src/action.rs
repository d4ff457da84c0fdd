//! What is done about a finding.

use portcullis_plugin::Refusal;
use serde::{Deserialize, Deserializer, de};

/// Points, a decision, both or nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Action {
    pub(crate) decision: Option<Decision>,
    pub(crate) points: Option<f64>,
}

/// What becomes of the message, or of the part. Without a text of the operator's, it is made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    Refuse(Option<Refusal>),
    Quarantine(Option<String>),
    Strip(Option<String>),
    Tag(Option<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    /// What YAML 1.1 makes of `off`.
    Off(bool),
    Points(f64),
    Word(String),
    Texts(Texts),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Texts {
    refuse: Option<Refusal>,
    quarantine: Option<String>,
    strip: Option<String>,
    tag: Option<String>,
    score: Option<f64>,
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer).map_err(|_| de::Error::custom(FORM))?;
        match written {
            Written::Off(on) if !on => Self::word("off"),
            Written::Off(_) => Err(FORM.to_owned()),
            Written::Points(points) => Self::scored(points),
            Written::Word(word) => Self::word(&word),
            Written::Texts(texts) => Self::texts(texts),
        }
        .map_err(de::Error::custom)
    }
}

impl Action {
    /// 0 is off.
    fn scored(points: f64) -> Result<Self, String> {
        if !points.is_finite() || points.abs() > MOST {
            return Err(format!("points are from -{MOST} to {MOST}"));
        }
        Ok(Self { decision: None, points: Some(points).filter(|points| *points != 0.0) })
    }

    fn word(word: &str) -> Result<Self, String> {
        let decision = match word {
            "refuse" => Some(Decision::Refuse(None)),
            "quarantine" => Some(Decision::Quarantine(None)),
            "strip" => Some(Decision::Strip(None)),
            "tag" => Some(Decision::Tag(None)),
            "off" => None,
            _ => return Err(FORM.to_owned()),
        };
        Ok(Self { decision, points: None })
    }

    fn texts(texts: Texts) -> Result<Self, String> {
        let points = Self::scored(texts.score.unwrap_or_default())?.points;
        let mut decisions = [
            texts.refuse.map(|reply| Decision::Refuse(Some(reply))),
            texts.quarantine.map(|text| Decision::Quarantine(Some(text))),
            texts.strip.map(|text| Decision::Strip(Some(text))),
            texts.tag.map(|text| Decision::Tag(Some(text))),
        ]
        .into_iter()
        .flatten();
        let decision = decisions.next();
        if decisions.next().is_some() || (decision.is_none() && points.is_none()) {
            return Err(FORM.to_owned());
        }
        Ok(Self { decision, points })
    }

    pub(crate) fn is_off(&self) -> bool {
        self.decision.is_none() && self.points.is_none()
    }
}

const MOST: f64 = 10_000.0;
const FORM: &str = "an action is a number of points, `refuse`, `quarantine`, `strip`, `tag`, `off`, \
                    or `{refuse: 550 5.7.1 text}` and so on, with `score: POINTS` or without";
