//! What is expected of a scenario, and how what came differs from it.

use super::delivered::Delivered;
use super::fact::{Fact, Matcher, Pattern, quoted};
use super::forms;
use super::play::{Ended, Played, Workbench};
use super::watch::Called;
use crate::config::Place;
use crate::config::section::{Entry, Section};
use crate::config::tree::Value;
use crate::policy::Hook;

/// What is expected; what is not named may be anything, except a failure.
#[derive(Clone, Debug)]
pub struct Expected {
    place: Place,
    /// What the plugin says to its settings.
    configure: Option<Pattern>,
    hooks: Vec<(Hook, Judgement)>,
    reply: Option<Pattern>,
    edits: Option<(Vec<Pattern>, Place)>,
    log: Option<(Vec<Pattern>, Place)>,
    delivered: Option<Delivered>,
    stored: Vec<Stored>,
}

/// What a store is to hold in the end.
#[derive(Clone, Debug)]
struct Stored {
    store: String,
    key: String,
    value: Matcher,
    place: Place,
}

/// At `rcpt` there is one verdict a recipient.
#[derive(Clone, Debug)]
enum Judgement {
    All(Pattern),
    Each(Vec<Pattern>, Place),
}

/// What was expected, and what came instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// Where the expectation stands.
    pub place: Place,
    /// What it is about: a hook, an edit.
    pub about: String,
    /// In the words of the scenario file.
    pub expected: String,
    /// In the same words.
    pub came: String,
}

impl Expected {
    pub(super) const KEYS: &'static [&'static str] = &[
        "auth",
        "configure",
        "connect",
        "data",
        "delivered",
        "edits",
        "headers",
        "helo",
        "kv",
        "log",
        "mail",
        "message",
        "rcpt",
        "reply",
    ];

    /// Reads `expect` from a scenario.
    pub(super) fn read(scenario: &Section<'_>) -> Self {
        let section = scenario.section("expect", Self::KEYS);
        let reader = section.reader;
        let one = |key: &str, forms| {
            let entry = section.entry(key)?;
            Pattern::read(reader, &format!("\"{key}\""), entry.node, forms)
        };
        let several = |key: &str, forms| {
            let nodes = section.list(key)?.iter();
            let what = format!("an item of \"{key}\"");
            Some(nodes.filter_map(|node| Pattern::read(reader, &what, node, forms)).collect())
        };
        let hooks = Hook::ALL.into_iter().filter(|hook| Self::KEYS.contains(&hook.label()));
        let hooks = hooks.filter_map(|hook| Some((hook, judgement(&section, hook)?))).collect();
        let edits: Option<Vec<Pattern>> = several("edits", forms::EDITS);
        Self {
            place: reader.place(scenario.mark_of("expect")),
            configure: one("configure", forms::CONFIGURATIONS),
            hooks,
            reply: one("reply", forms::REPLIES),
            edits: edits.map(|edits| (edits, reader.place(section.mark_of("edits")))),
            log: section.list("log").map(|nodes| {
                let read = |node| Pattern::read_line(reader, node, forms::LINES);
                let place = reader.place(section.mark_of("log"));
                (nodes.iter().filter_map(read).collect(), place)
            }),
            delivered: section.entry("delivered").and_then(|_| Delivered::read(&section)),
            stored: Stored::read_all(&section),
        }
    }

    /// How what the stores hold differs from it.
    pub(super) async fn compare_stored(
        &self,
        workbench: &Workbench,
        differences: &mut Vec<Difference>,
    ) {
        for Stored { store, key, value, place } in &self.stored {
            let stored = workbench.stored(store, key).await;
            let stored = stored.map(|octets| String::from_utf8_lossy(&octets).into_owned());
            if !value.fits(stored.as_deref()) {
                differences.push(Difference {
                    place: place.clone(),
                    about: format!("kv {store}, {}", quoted(key)),
                    expected: value.to_string(),
                    came: stored.map_or_else(|| "null".to_owned(), |stored| quoted(&stored)),
                });
            }
        }
    }

    /// How what came differs from it.
    #[must_use]
    pub fn differences(&self, played: &Played) -> Vec<Difference> {
        let mut differences = Vec::new();
        if let Some(pattern) = &self.configure {
            compare(&mut differences, "configure", pattern, &Fact::bare("ok"));
        }
        self.compare_hooks(played, &mut differences);
        if let Some(pattern) = &self.reply {
            compare(&mut differences, "reply", pattern, &told(&played.ended));
        }
        self.compare_edits(played, &mut differences);
        self.compare_log(played, &mut differences);
        if let Some(delivered) = &self.delivered {
            delivered.compare(played, &mut differences);
        }
        differences
    }

    /// How a refusal of the settings differs from what is expected.
    #[must_use]
    pub fn refused(&self, why: &str) -> Vec<Difference> {
        let fact = Fact { kind: "refused", fields: vec![("text", why.to_owned())] };
        match &self.configure {
            Some(pattern) => {
                let mut differences = Vec::new();
                compare(&mut differences, "configure", pattern, &fact);
                differences
            }
            None => vec![Difference {
                place: self.place.clone(),
                about: "configure".to_owned(),
                expected: "ok".to_owned(),
                came: fact.to_string(),
            }],
        }
    }

    fn compare_hooks(&self, played: &Played, differences: &mut Vec<Difference>) {
        for hook in Hook::ALL {
            let calls: Vec<_> = played.calls.iter().filter(|call| call.hook == hook).collect();
            let expected = self.hooks.iter().find(|(of, _)| *of == hook);
            match expected.map(|(_, judgement)| judgement) {
                None => self.refuse_failures(&calls, differences),
                Some(Judgement::All(pattern)) if calls.is_empty() => {
                    let came = not_asked(played, hook);
                    compare_with(differences, hook.label(), pattern, &came);
                }
                Some(Judgement::All(pattern)) => {
                    for call in calls {
                        compare(differences, &about(call), pattern, &verdict(call));
                    }
                }
                Some(Judgement::Each(patterns, place)) => {
                    each(played, patterns, place, &calls, differences);
                }
            }
        }
    }

    /// A failure that nobody expects is none that is overlooked.
    fn refuse_failures(&self, calls: &[&Called], differences: &mut Vec<Difference>) {
        for call in calls.iter().filter(|call| call.result.is_err()) {
            differences.push(Difference {
                place: self.place.clone(),
                about: about(call),
                expected: "no failure".to_owned(),
                came: verdict(call).to_string(),
            });
        }
    }

    fn compare_edits(&self, played: &Played, differences: &mut Vec<Difference>) {
        let Some((patterns, place)) = &self.edits else { return };
        let answers = played.calls.iter().filter_map(|call| call.result.as_ref().ok());
        let made: Vec<_> = answers.flat_map(|answer| &answer.edits).map(forms::edit).collect();
        for n in 0..patterns.len().max(made.len()) {
            let about = format!("edit {}", n + 1);
            match (patterns.get(n), made.get(n)) {
                (Some(pattern), Some(fact)) => compare(differences, &about, pattern, fact),
                (Some(pattern), None) => compare_with(differences, &about, pattern, NOTHING),
                (None, Some(fact)) => differences.push(Difference {
                    place: place.clone(),
                    about,
                    expected: "nothing".to_owned(),
                    came: fact.to_string(),
                }),
                (None, None) => {}
            }
        }
    }

    /// Each expected line is there, in this order; there may be others, unless none is expected.
    fn compare_log(&self, played: &Played, differences: &mut Vec<Difference>) {
        let Some((patterns, place)) = &self.log else { return };
        let lines: Vec<_> = played.log.iter().map(forms::line).collect();
        if let (true, Some(line)) = (patterns.is_empty(), lines.first()) {
            differences.push(Difference {
                place: place.clone(),
                about: "log".to_owned(),
                expected: NOTHING.to_owned(),
                came: line.to_string(),
            });
        }
        let mut from = 0;
        for pattern in patterns {
            match lines[from..].iter().position(|line| pattern.fits(line)) {
                Some(at) => from += at + 1,
                None => {
                    let came: Vec<_> = lines[from..].iter().map(ToString::to_string).collect();
                    let came = if came.is_empty() { "nothing".to_owned() } else { came.join("; ") };
                    differences.push(difference("log", pattern, came));
                }
            }
        }
    }
}

impl Stored {
    fn read_all(section: &Section<'_>) -> Vec<Self> {
        let reader = section.reader;
        let mut all = Vec::new();
        for store in section.names("kv", &[]).entries {
            for Entry { key, node } in Section::open(reader, "a store", &store).entries {
                let Some(value) = Matcher::read(reader, node) else { continue };
                let (store, key, place) =
                    (store.key.text.to_owned(), key.text.to_owned(), reader.place(key.mark));
                all.push(Self { store, key, value, place });
            }
        }
        all
    }
}

fn judgement(section: &Section<'_>, hook: Hook) -> Option<Judgement> {
    let Entry { key, node } = section.entry(hook.label())?;
    let what = format!("\"{}\"", key.text);
    let forms = if hook == Hook::Auth { forms::AUTHENTICATIONS } else { forms::VERDICTS };
    let read = |node| Pattern::read(section.reader, &what, node, forms);
    match &node.value {
        Value::Sequence(nodes) if hook == Hook::Rcpt => {
            let patterns = nodes.iter().filter_map(read).collect();
            Some(Judgement::Each(patterns, section.reader.place(key.mark)))
        }
        _ => read(node).map(Judgement::All),
    }
}

fn each(
    played: &Played,
    patterns: &[Pattern],
    place: &Place,
    calls: &[&Called],
    differences: &mut Vec<Difference>,
) {
    for (n, pattern) in patterns.iter().enumerate() {
        match calls.get(n) {
            Some(call) => compare(differences, &about(call), pattern, &verdict(call)),
            None => {
                let about = format!("rcpt, recipient {}", n + 1);
                compare_with(differences, &about, pattern, &not_asked(played, Hook::Rcpt));
            }
        }
    }
    for call in &calls[patterns.len().min(calls.len())..] {
        differences.push(Difference {
            place: place.clone(),
            about: about(call),
            expected: format!("{} recipients", patterns.len()),
            came: verdict(call).to_string(),
        });
    }
}

pub(super) fn compare(
    differences: &mut Vec<Difference>,
    about: &str,
    pattern: &Pattern,
    came: &Fact,
) {
    if !pattern.fits(came) {
        differences.push(difference(about, pattern, came.to_string()));
    }
}

/// With what is not there, and why.
fn compare_with(differences: &mut Vec<Difference>, about: &str, pattern: &Pattern, came: &str) {
    // Who has no such hook has no opinion.
    let opinion = pattern.is("next") && came == NO_HOOK;
    if !pattern.is("not-asked") && !opinion {
        differences.push(difference(about, pattern, came.to_owned()));
    }
}

fn difference(about: &str, pattern: &Pattern, came: String) -> Difference {
    let (place, about) = (pattern.place.clone(), about.to_owned());
    Difference { place, about, expected: pattern.to_string(), came }
}

fn about(call: &Called) -> String {
    match &call.recipient {
        Some(recipient) => format!("{} {recipient}", call.hook),
        None => call.hook.to_string(),
    }
}

fn verdict(call: &Called) -> Fact {
    forms::verdict(call.hook == Hook::Auth, &call.result)
}

fn not_asked(played: &Played, hook: Hook) -> String {
    if !played.answers.contains(&hook) {
        return NO_HOOK.to_owned();
    }
    match &played.ended {
        Ended::Passed | Ended::Quarantined => {
            "not-asked (the scenario gives nothing to ask it: auth, mail, message)".to_owned()
        }
        Ended::Discarded => "not-asked (the mail was discarded before)".to_owned(),
        Ended::Disconnected(reply) | Ended::Refused(reply) => {
            format!("not-asked (the client heard before: {reply})")
        }
    }
}

fn told(ended: &Ended) -> Fact {
    match ended {
        Ended::Discarded | Ended::Passed | Ended::Quarantined => Fact::bare("none"),
        Ended::Disconnected(reply) => forms::reply("disconnected", reply),
        Ended::Refused(reply) => forms::reply("refused", reply),
    }
}

const NOTHING: &str = "nothing";

const NO_HOOK: &str = "not-asked (it has no such hook, or skips it with these settings)";
