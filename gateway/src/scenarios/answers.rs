//! What the client hears at each step.

use crate::config::Place;
use crate::config::section::{Entry, Reader, Section, Text, distinct};
use crate::config::tree::{Node, Value};
use crate::explain::{Explanation, Said, Step};
use crate::workbench::{Difference, Fact, Form, Pattern, REPLY, Short};

/// The steps at which something may be expected, in the order of a conversation.
pub(super) const STAGES: [&str; 6] = ["connect", "helo", "mail", "rcpt", "data", "message"];

const ANSWERS: &[Form] = &[
    Form { kind: "closed", keys: &[], short: Short::Nothing },
    Form { kind: "defer", keys: REPLY, short: Short::Reply },
    Form { kind: "next", keys: REPLY, short: Short::Reply },
    Form { kind: "not-asked", keys: &[], short: Short::Nothing },
    Form { kind: "reject", keys: REPLY, short: Short::Reply },
    ANY_REPLY,
];

/// Whether it is a yes or a no is told by its code.
const ANY_REPLY: Form = Form { kind: "reply", keys: REPLY, short: Short::Reply };

/// What is expected at a step.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    stage: &'static str,
    place: Place,
    expected: Which,
}

#[derive(Clone, Debug)]
enum Which {
    /// Of all of them.
    All(Pattern),
    /// Of each recipient, in their order.
    Each(Vec<Pattern>),
    /// Of those that are named.
    Of(Vec<(String, Pattern)>),
}

/// An answer that came: whom it is about, and what it says.
struct Came {
    recipient: Option<String>,
    fact: Fact,
}

impl Answers {
    pub(super) fn read(expect: &Section<'_>, stage: &'static str) -> Option<Self> {
        let Entry { key, node } = expect.entry(stage)?;
        let (reader, what) = (expect.reader, format!("\"{stage}\""));
        let for_recipients = matches!(stage, "rcpt" | "message");
        let expected = match &node.value {
            Value::Sequence(nodes) if for_recipients => {
                Which::Each(nodes.iter().filter_map(|node| answer(reader, &what, node)).collect())
            }
            Value::Mapping(entries) if for_recipients && entries.iter().any(is_address) => {
                let entries = distinct(reader, entries);
                let of = |Entry { key, node }: &Entry<'_>| {
                    let what = format!("the answer to \"{}\"", key.text);
                    Some((key.text.to_owned(), answer(reader, &what, node)?))
                };
                Which::Of(entries.iter().filter_map(of).collect())
            }
            _ => Which::All(answer(reader, &what, node)?),
        };
        Some(Self { stage, place: reader.place(key.mark), expected })
    }

    pub(super) fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let came = came(self.stage, explanation);
        let instead = not_asked(self.stage, explanation);
        let mut compare = |recipient: Option<&str>, pattern: &Pattern, fact: Option<&Fact>| {
            let about = recipient.map_or_else(String::new, |recipient| format!(" {recipient}"));
            let as_expected = match fact {
                Some(fact) => fits(pattern, fact),
                None => pattern.is("not-asked"),
            };
            if !as_expected {
                differences.push(Difference {
                    place: pattern.place.clone(),
                    about: format!("{}{about}", self.stage),
                    expected: pattern.to_string(),
                    came: fact.map_or_else(|| instead.clone(), ToString::to_string),
                });
            }
        };
        match &self.expected {
            Which::All(pattern) if came.is_empty() => compare(None, pattern, None),
            Which::All(pattern) => {
                for Came { recipient, fact } in &came {
                    compare(recipient.as_deref(), pattern, Some(fact));
                }
            }
            Which::Each(patterns) => {
                for (n, pattern) in patterns.iter().enumerate() {
                    let came = came.get(n);
                    let whom = came.and_then(|came| came.recipient.clone());
                    let whom = whom.unwrap_or_else(|| format!("recipient {}", n + 1));
                    compare(Some(&whom), pattern, came.map(|came| &came.fact));
                }
                self.refuse_others(patterns.len(), &came, differences);
            }
            Which::Of(patterns) => {
                for (address, pattern) in patterns {
                    let own =
                        |came: &&Came| came.recipient.as_ref().is_none_or(|own| own == address);
                    compare(Some(address), pattern, came.iter().find(own).map(|came| &came.fact));
                }
            }
        }
    }

    fn refuse_others(&self, count: usize, came: &[Came], differences: &mut Vec<Difference>) {
        for Came { recipient, fact } in came.iter().skip(count) {
            let whom = recipient.as_deref().unwrap_or_default();
            differences.push(Difference {
                place: self.place.clone(),
                about: format!("{} {whom}", self.stage),
                expected: format!("answers to {count}"),
                came: fact.to_string(),
            });
        }
    }
}

/// What the client hears last.
#[derive(Clone, Debug)]
pub(super) struct LastReply(Pattern);

impl LastReply {
    pub(super) fn read(expect: &Section<'_>) -> Option<Self> {
        let entry = expect.entry("reply")?;
        Pattern::of_entry(expect.reader, &entry, &ANY_REPLY).map(Self)
    }

    pub(super) fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let Self(pattern) = self;
        let fact = explanation.steps.last().map_or_else(|| Fact::bare("closed"), last_of);
        if !fits(pattern, &fact) {
            let reply = Fact { kind: ANY_REPLY.kind, ..fact.clone() };
            let came = if fact.kind == "closed" { &fact } else { &reply };
            differences.push(Difference {
                place: pattern.place.clone(),
                about: "the last reply".to_owned(),
                expected: pattern.to_string(),
                came: came.to_string(),
            });
        }
    }
}

/// `next`, `{reject: 550}`, or only `550 5.1.1`.
fn answer(reader: &Reader<'_>, what: &str, node: &Node) -> Option<Pattern> {
    match &node.value {
        Value::Scalar { text, .. } if text.starts_with(|c: char| c.is_ascii_digit()) => {
            let key = Text { text: ANY_REPLY.kind, mark: node.mark };
            Pattern::of_entry(reader, &Entry { key, node }, &ANY_REPLY)
        }
        _ => Pattern::read(reader, what, node, ANSWERS),
    }
}

fn is_address((key, _): &(Node, Node)) -> bool {
    matches!(&key.value, Value::Scalar { text, .. } if text.contains('@'))
}

fn fits(pattern: &Pattern, fact: &Fact) -> bool {
    let is_reply = fact.field("code").is_some();
    let as_reply = || Fact { kind: ANY_REPLY.kind, ..fact.clone() };
    pattern.fits(fact) || (is_reply && pattern.fits(&as_reply()))
}

/// The answers at a step: of RCPT one a recipient, and over LMTP of the message one a recipient that was taken.
fn came(stage: &str, explanation: &Explanation) -> Vec<Came> {
    let mut steps = explanation.steps.iter().filter(|step| step.stage == stage);
    match stage {
        "rcpt" => {
            let of = |(step, recipient)| Came { recipient: Some(recipient), fact: last_of(step) };
            steps.zip(said(explanation)).map(of).collect()
        }
        "message" if explanation.protocol == "lmtp" => {
            let rcpts = explanation.steps.iter().filter(|step| step.stage == "rcpt");
            let taken = rcpts.zip(said(explanation)).filter(|(step, _)| step.is_positive());
            let replies = steps.next().into_iter().flat_map(|step| &step.replies);
            let of = |((_, recipient), reply): ((_, String), &Said)| Came {
                recipient: Some(recipient),
                fact: fact(reply),
            };
            taken.zip(replies).map(of).collect()
        }
        _ => steps.map(|step| Came { recipient: None, fact: last_of(step) }).collect(),
    }
}

/// The recipients as the client says them.
fn said(explanation: &Explanation) -> impl Iterator<Item = String> {
    let ways = explanation.recipients.iter().filter(|way| !way.added);
    ways.map(|way| way.said.as_ref().unwrap_or(&way.recipient).clone())
}

fn last_of(step: &Step) -> Fact {
    step.replies.last().map_or_else(|| Fact::bare("closed"), fact)
}

fn fact(said: &Said) -> Fact {
    let kind = match said.code {
        ..400 => "next",
        400..500 => "defer",
        _ => "reject",
    };
    let mut fields = vec![("code", said.code.to_string())];
    fields.extend(said.status.clone().map(|status| ("status", status)));
    fields.push(("text", without_ids(&said.text)));
    Fact { kind, fields }
}

/// What is said without the id in brackets at the end, by which the log is searched.
fn without_ids(text: &str) -> String {
    let lines = text.split('\n').map(|line| match line.rsplit_once(" [") {
        Some((rest, id)) if id.starts_with("explain") && id.ends_with(']') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn not_asked(stage: &str, explanation: &Explanation) -> String {
    let last = explanation.steps.last();
    let heard = last.map_or_else(|| Fact::bare("closed"), last_of);
    match last.is_some_and(Step::is_positive) {
        true => {
            let gives = if stage == "rcpt" { "mail.to" } else { "message" };
            format!("not-asked (the scenario gives nothing to ask it: {gives})")
        }
        false => format!("not-asked (the client heard before: {heard})"),
    }
}
