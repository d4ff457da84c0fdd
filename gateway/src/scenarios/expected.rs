//! What is expected of a scenario, and how what came differs from it.

use super::answers::{Answers, LastReply, STAGES};
use super::delivered::{Delivered, Routes};
use super::score::{Score, Symbols};
use crate::config::section::{Entry, Section};
use crate::config::tree::Value;
use crate::config::{Config, Place, SCORES};
use crate::explain::{Call, Explanation, UNDECIDED};
use crate::metrics::Outcome;
use crate::policy::Hook;
use crate::workbench::{Difference, EDITS, Pattern};

/// What is expected; what is not named may be anything, except a plugin's failure.
#[derive(Clone, Debug)]
pub struct Expected {
    place: Place,
    outcome: Option<(&'static str, Place)>,
    reply: Option<LastReply>,
    answers: Vec<Answers>,
    decided_by: Option<Decider>,
    score: Option<Score>,
    symbols: Option<Symbols>,
    edits: Option<(Vec<Pattern>, Place)>,
    routes: Routes,
    delivered: Option<Delivered>,
    /// Plugins that are to fail.
    failures: Vec<(String, Place)>,
}

/// Who is to decide.
#[derive(Clone, Debug)]
struct Decider {
    place: Place,
    /// None is nobody.
    plugin: Option<String>,
    hook: Option<&'static str>,
}

impl Expected {
    const KEYS: &'static [&'static str] = &[
        "connect",
        "data",
        "decided_by",
        "delivered",
        "edits",
        "failures",
        "helo",
        "mail",
        "message",
        "outcome",
        "rcpt",
        "reply",
        "routes",
        "score",
        "symbols",
    ];

    /// Reads `expect` from a scenario.
    pub(super) fn read(scenario: &Section<'_>, config: &Config) -> Self {
        let section = scenario.section("expect", Self::KEYS);
        let reader = section.reader;
        let outcome = section.choice("outcome", &outcomes());
        let plugins = known_plugins(config);
        let failing = section.words("failures").unwrap_or_default().into_iter();
        let failing = failing
            .map(|word| (section.known_name("plugin", word, &plugins), reader.place(word.mark)));
        Self {
            place: reader.place(scenario.mark_of("expect")),
            outcome: outcome.map(|outcome| (outcome, reader.place(section.mark_of("outcome")))),
            reply: LastReply::read(&section),
            answers: STAGES.iter().filter_map(|stage| Answers::read(&section, stage)).collect(),
            decided_by: Decider::read(&section, config),
            score: Score::read(&section),
            symbols: Symbols::read(&section),
            edits: edits(&section),
            routes: Routes::read(&section, config),
            delivered: Delivered::read(&section, config),
            failures: failing.collect(),
        }
    }

    /// How what came differs from it.
    #[must_use]
    pub fn differences(&self, explanation: &Explanation) -> Vec<Difference> {
        let mut differences = Vec::new();
        if let Some((expected, place)) = &self.outcome
            && *expected != explanation.ending.outcome
        {
            differences.push(Difference {
                place: place.clone(),
                about: "outcome".to_owned(),
                expected: (*expected).to_owned(),
                came: ending(explanation),
            });
        }
        if let Some(decider) = &self.decided_by {
            decider.compare(explanation, &mut differences);
        }
        for answers in &self.answers {
            answers.compare(explanation, &mut differences);
        }
        if let Some(reply) = &self.reply {
            reply.compare(explanation, &mut differences);
        }
        self.compare_failures(explanation, &mut differences);
        if let Some(score) = &self.score {
            score.compare(explanation, &mut differences);
        }
        if let Some(symbols) = &self.symbols {
            symbols.compare(explanation, &mut differences);
        }
        self.compare_edits(explanation, &mut differences);
        self.routes.compare(explanation, &mut differences);
        if let Some(delivered) = &self.delivered {
            delivered.compare(explanation, &mut differences);
        }
        differences
    }

    /// A failure that nobody expects is none that is overlooked, whatever `on_failure` makes of it.
    fn compare_failures(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let failed = || calls(explanation).filter(|call| call.verdict.kind == "fails");
        let expected = |call: &&Call| self.failures.iter().any(|(name, _)| *name == call.plugin);
        for call in failed().filter(|call| !expected(call)) {
            differences.push(Difference {
                place: self.place.clone(),
                about: format!("{}, {}", call.plugin, call.hook),
                expected: "no failure".to_owned(),
                came: call.verdict.to_string(),
            });
        }
        for (name, place) in &self.failures {
            if !failed().any(|call| call.plugin == *name) {
                differences.push(Difference {
                    place: place.clone(),
                    about: "failures".to_owned(),
                    expected: name.clone(),
                    came: "it does not fail".to_owned(),
                });
            }
        }
    }

    fn compare_edits(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let Some((patterns, place)) = &self.edits else { return };
        let made = calls(explanation)
            .flat_map(|call| call.edits.iter().map(|edit| (call.plugin.as_str(), edit)));
        let made: Vec<_> = made.collect();
        for n in 0..patterns.len().max(made.len()) {
            let (pattern, made) = (patterns.get(n), made.get(n));
            if pattern.zip(made.as_ref()).is_some_and(|(pattern, (_, edit))| pattern.fits(edit)) {
                continue;
            }
            differences.push(Difference {
                place: pattern.map_or(place, |pattern| &pattern.place).clone(),
                about: match made {
                    Some((plugin, _)) => format!("edit {}, by {plugin}", n + 1),
                    None => format!("edit {}", n + 1),
                },
                expected: pattern.map_or_else(nothing, ToString::to_string),
                came: made.map_or_else(nothing, |(_, edit)| edit.to_string()),
            });
        }
    }
}

impl Decider {
    const KEYS: &'static [&'static str] = &["hook", "plugin"];

    /// `NAME`, `{plugin: NAME, hook: HOOK}`, or null: nobody.
    fn read(expect: &Section<'_>, config: &Config) -> Option<Self> {
        let Entry { key, node } = expect.entry("decided_by")?;
        let place = expect.reader.place(key.mark);
        if node.is_null() {
            return Some(Self { place, plugin: None, hook: None });
        }
        let mut names = known_plugins(config);
        names.push(SCORES);
        if !matches!(&node.value, Value::Mapping(_)) {
            let plugin = expect.known_name("plugin", expect.text("decided_by")?, &names);
            return Some(Self { place, plugin: Some(plugin), hook: None });
        }
        let section = expect.section("decided_by", Self::KEYS);
        let plugin = section.required("plugin", "decided_by: {plugin: NAME, hook: rcpt}")?;
        let hooks = Hook::ALL.map(|hook| (hook.label(), hook.label()));
        Some(Self {
            place,
            plugin: Some(section.known_name("plugin", plugin, &names)),
            hook: section.choice("hook", &hooks),
        })
    }

    fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let ending = &explanation.ending;
        let as_expected =
            self.plugin == ending.decided_by && (self.hook.is_none() || self.hook == ending.hook);
        if !as_expected {
            differences.push(Difference {
                place: self.place.clone(),
                about: "decided_by".to_owned(),
                expected: decider(self.plugin.as_deref(), self.hook),
                came: decider(ending.decided_by.as_deref(), ending.hook),
            });
        }
    }
}

fn decider(plugin: Option<&str>, hook: Option<&str>) -> String {
    match (plugin, hook) {
        (None, _) => "null".to_owned(),
        (Some(plugin), None) => plugin.to_owned(),
        (Some(plugin), Some(hook)) => format!("{{plugin: {plugin}, hook: {hook}}}"),
    }
}

/// All edits of all plugins, in order.
fn edits(expect: &Section<'_>) -> Option<(Vec<Pattern>, Place)> {
    let reader = expect.reader;
    let nodes = expect.list("edits")?.iter();
    let read = |node| Pattern::read(reader, "an item of \"edits\"", node, EDITS);
    Some((nodes.filter_map(read).collect(), reader.place(expect.mark_of("edits"))))
}

fn calls(explanation: &Explanation) -> impl Iterator<Item = &Call> {
    explanation.steps.iter().flat_map(|step| &step.calls)
}

fn ending(explanation: &Explanation) -> String {
    match &explanation.ending.reply {
        Some(reply) => format!("{} ({reply})", explanation.ending.outcome),
        None => explanation.ending.outcome.to_owned(),
    }
}

fn known_plugins(config: &Config) -> Vec<&str> {
    config.plugins.iter().map(|plugin| plugin.name.as_str()).collect()
}

fn nothing() -> String {
    "nothing".to_owned()
}

/// Those of the log that an explanation may have, and that of one without a message.
fn outcomes() -> [(&'static str, &'static str); 7] {
    let word = |outcome: Outcome| (outcome.label(), outcome.label());
    [
        word(Outcome::Accepted),
        word(Outcome::Deferred),
        word(Outcome::Discarded),
        word(Outcome::Quarantined),
        word(Outcome::Rejected),
        word(Outcome::Spooled),
        (UNDECIDED, UNDECIDED),
    ]
}
