//! One plugin, asked at one hook.

use serde::Serialize;
use serde_json::{Map, Value};

use super::difference;
use crate::config::{OnFailure, SCORES};
use crate::message::Edit;
use crate::policy::{Asked, Case, Decision, Hook, Scored};
use crate::telemetry::KeptLine;
use crate::workbench::{Fact, edit_fact, verdict_fact};

/// One plugin, asked at one hook.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Its name; `scores` is what follows from the points of all.
    pub plugin: String,
    /// The hook.
    pub hook: &'static str,
    /// The recipient that was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What it said, in the words of scenario files.
    #[serde(serialize_with = "fact")]
    pub verdict: Fact,
    /// What its failure means: its `on_failure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<&'static str>,
    /// How long it took.
    pub seconds: f64,
    /// What it changed, in the words of scenario files.
    #[serde(serialize_with = "facts")]
    pub edits: Vec<Fact>,
    /// How the header section changed, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_diff: Option<String>,
    /// How the body changed, as a unified diff where it is short enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_diff: Option<String>,
    /// What it noted for others, under `plugin.key`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub notes: Map<String, Value>,
    /// What it logged.
    pub log: Vec<Line>,
    /// What it asked for beyond the mail (DNS, HTTP, stores), and what came of it.
    pub asked: Vec<String>,
}

/// A line that a plugin logged.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// How grave it is.
    pub level: String,
    /// What it says.
    pub text: String,
    /// Its fields, `name=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
}

impl Call {
    pub(super) fn of(asked: &Asked<'_>, lines: Vec<KeptLine>) -> Self {
        let result = asked.result.cloned().map_err(Clone::clone);
        let answer = asked.result.ok();
        let (mut log, mut beyond) = (Vec::new(), Vec::new());
        for line in lines {
            match &*line.target {
                "portcullis::asked" => beyond.push(line.text),
                "portcullis::plugin" => log.push(Line::of(line)),
                _ => {}
            }
        }
        let notes = answer.into_iter().flat_map(|answer| &answer.notes);
        let note = |(key, value): &(String, String)| {
            (format!("{}.{key}", asked.plugin), Value::from(value.clone()))
        };
        Self {
            plugin: asked.plugin.to_owned(),
            hook: asked.hook.label(),
            recipient: asked.before.recipient.as_ref().map(|judged| judged.address.to_string()),
            verdict: verdict_fact(asked.hook == Hook::Auth, &result),
            on_failure: asked.on_failure.map(consequence),
            seconds: asked.took.as_micros() as f64 / 1e6,
            edits: answer.into_iter().flat_map(|answer| &answer.edits).map(edit).collect(),
            header_diff: header_diff(asked.before, asked.after),
            body_diff: answer.and_then(|answer| {
                let rewrites =
                    |edit: &Edit| matches!(edit, Edit::ReplaceBody(_) | Edit::SpliceBody(_));
                let rewritten = answer.edits.iter().any(rewrites);
                rewritten.then(|| body_diff(asked.before, asked.after))?
            }),
            notes: notes.map(note).collect(),
            log,
            asked: beyond,
        }
    }

    pub(super) fn of_scores(scored: &Scored<'_>) -> Self {
        let decided = scored.ruling.by.as_deref() == Some(SCORES);
        let verdict = match &scored.ruling.decision {
            Decision::Refuse(reply) if decided => {
                let kind = if reply.is_transient() { "defer" } else { "reject" };
                Fact { kind, fields: vec![("text", reply.to_string())] }
            }
            Decision::Quarantine(why) if decided => {
                Fact { kind: "quarantine", fields: vec![("text", why.clone())] }
            }
            _ => Fact::bare("next"),
        };
        Self {
            plugin: SCORES.to_owned(),
            hook: Hook::Message.label(),
            recipient: None,
            verdict,
            on_failure: None,
            seconds: 0.0,
            edits: Vec::new(),
            header_diff: header_diff(scored.before, scored.after),
            body_diff: None,
            notes: Map::new(),
            log: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Whether the header section is another one.
    pub(super) fn changed(before: &Case, after: &Case) -> bool {
        header_diff(before, after).is_some()
    }

    /// Whether it is what ended the step.
    #[must_use]
    pub fn decided(&self) -> bool {
        match self.verdict.kind {
            "next" => false,
            "fails" => self.on_failure != Some(consequence(OnFailure::Accept)),
            _ => true,
        }
    }
}

impl Line {
    fn of(line: KeptLine) -> Self {
        let fields = line.fields.into_iter().find(|(name, _)| *name == "fields");
        let fields = fields.map(|(_, fields)| fields);
        Self { level: line.level.to_string().to_lowercase(), text: line.text, fields }
    }
}

fn consequence(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Accept => "accept",
        OnFailure::Disconnect => "disconnect",
        OnFailure::Reject => "reject",
        OnFailure::Tempfail => "tempfail",
    }
}

/// An edit, of which long values are cut: the diffs tell of bodies.
fn edit(edit: &Edit) -> Fact {
    let mut fact = edit_fact(edit);
    for (_, value) in &mut fact.fields {
        if value.len() > VALUE_OCTETS {
            value.truncate(value.floor_char_boundary(VALUE_OCTETS));
            value.push_str("...");
        }
    }
    fact
}

fn header_diff(before: &Case, after: &Case) -> Option<String> {
    let (before, after) = (before.message.as_ref()?, after.message.as_ref()?);
    let (old, new) = (before.header.fields_as_bytes(), after.header.fields_as_bytes());
    (old != new).then(|| difference::of(old, new))
}

fn body_diff(before: &Case, after: &Case) -> Option<String> {
    let (before, after) = (before.message.as_ref()?, after.message.as_ref()?);
    Some(difference::of_contents(&before.body, &after.body))
}

fn fact<S: serde::Serializer>(fact: &Fact, serializer: S) -> Result<S::Ok, S::Error> {
    object(fact).serialize(serializer)
}

fn facts<S: serde::Serializer>(facts: &[Fact], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(facts.iter().map(object))
}

/// `{"kind": "reject", "code": "550", ...}`.
fn object(fact: &Fact) -> Map<String, Value> {
    let fields = fact.fields.iter().map(|(name, value)| (*name, value.as_str()));
    let all = std::iter::once(("kind", fact.kind)).chain(fields);
    all.map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// Octets of one value of an edit.
const VALUE_OCTETS: usize = 2_000;
