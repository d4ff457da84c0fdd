//! Asks the resolver, and for what the gateway found out about senders, and refuses everything with
//! the answers, a line each, for the tests of the gateway.

use std::collections::BTreeMap;

use portcullis_plugin::dns::{self, Answer, Kind, LookupError, Query};
use portcullis_plugin::mail_auth::{self, AuthError, Finding};
use portcullis_plugin::{Hook, Message, Recipient, Session, Transaction, Verdict, plugin};
use serde::Deserialize;

/// The plugin is its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inquirer {
    /// What to ask the resolver, by the local part of the recipient.
    #[serde(default)]
    ask: BTreeMap<String, Asking>,
    /// To ask while it is configured; for every recipient that it is not asked about otherwise.
    #[serde(default)]
    ask_early: Option<Asking>,
    #[serde(skip)]
    early: Vec<String>,
    /// Whether to tell what was found out about the client and the sender, at `mail`.
    #[serde(default)]
    sender: bool,
    /// Whether to tell what was found out about the message.
    #[serde(default)]
    content: bool,
    /// Whether to pass mail on after having asked.
    #[serde(default)]
    pass: bool,
}

/// Queries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    /// Names and kinds, for example `["example.org", "mx"]`.
    queries: Vec<(String, String)>,
    /// How often the whole list is in one call.
    #[serde(default = "once")]
    times: usize,
    /// How many calls to make. The last one counts.
    #[serde(default = "once")]
    calls: usize,
}

fn once() -> usize {
    1
}

#[plugin]
impl Inquirer {
    fn configure(mut settings: Self) -> Result<Self, String> {
        if let Some(asking) = &settings.ask_early {
            settings.early = asking.answers()?;
        }
        Ok(settings)
    }

    fn skip(&self) -> Vec<Hook> {
        let asked = [(Hook::Mail, self.sender), (Hook::Message, self.content)];
        asked.into_iter().filter(|(_, asked)| !asked).map(|(hook, _)| hook).collect()
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Verdict {
        self.say(&told(mail_auth::sender(session, transaction)))
    }

    fn rcpt(&self, recipient: &Recipient) -> Result<Verdict, String> {
        let (local, _) = recipient.address.split_once('@').unwrap_or_default();
        match self.ask.get(local) {
            Some(asking) => Ok(self.say(&asking.answers()?)),
            None if self.ask_early.is_some() => Ok(self.say(&self.early)),
            None => Ok(Verdict::Next),
        }
    }

    fn message(&self, session: &Session, transaction: &Transaction, message: &Message) -> Verdict {
        self.say(&told(mail_auth::content(session, transaction, message)))
    }
}

impl Inquirer {
    fn say(&self, lines: &[String]) -> Verdict {
        if self.pass { Verdict::Next } else { refusal(lines) }
    }
}

impl Asking {
    fn answers(&self) -> Result<Vec<String>, String> {
        let queries = self.queries.iter().map(|(name, of)| Ok(Query::new(name, kind(of)?)));
        let queries: Vec<Query> = queries.collect::<Result<_, String>>()?;
        let queries: Vec<Query> = std::iter::repeat_n(queries, self.times).flatten().collect();
        let mut said = Vec::new();
        for _ in 0..self.calls {
            said = match dns::lookup(&queries) {
                Ok(answers) => answers.iter().map(shown).collect(),
                Err(LookupError::Denied) => vec!["denied".to_owned()],
                Err(LookupError::TooMany) => vec!["too-many".to_owned()],
            };
        }
        Ok(said)
    }
}

fn kind(of: &str) -> Result<Kind, String> {
    Ok(match of {
        "a" => Kind::A,
        "aaaa" => Kind::Aaaa,
        "cname" => Kind::Cname,
        "mx" => Kind::Mx,
        "ns" => Kind::Ns,
        "ptr" => Kind::Ptr,
        "srv" => Kind::Srv,
        "tlsa" => Kind::Tlsa,
        "txt" => Kind::Txt,
        other => return Err(format!("{other:?} is no kind of record")),
    })
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Records(records) => format!("{} records: {}", records.len(), records.join(" | ")),
        Answer::NoSuchName => "no-such-name".to_owned(),
        Answer::NoData => "no-data".to_owned(),
        Answer::Failed(why) => format!("failed: {why}"),
        Answer::TimedOut => "timed-out".to_owned(),
    }
}

fn told(findings: Result<Vec<Finding>, AuthError>) -> Vec<String> {
    match findings {
        Ok(findings) if findings.is_empty() => vec!["nothing".to_owned()],
        Ok(findings) => findings.iter().map(told_one).collect(),
        Err(AuthError::Denied) => vec!["denied".to_owned()],
        Err(AuthError::TooEarly) => vec!["too-early".to_owned()],
    }
}

/// As JSON: what it found, and its properties; those that are there twice, joined.
fn told_one(finding: &Finding) -> String {
    let mut facts: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &finding.properties {
        facts
            .entry(name)
            .and_modify(|all| *all += &format!(" {value}"))
            .or_insert_with(|| value.clone());
    }
    facts.insert("method", finding.method.clone());
    facts.insert("outcome", finding.outcome.clone());
    if let Some(reason) = &finding.reason {
        facts.insert("reason", reason.clone());
    }
    serde_json::json!(facts).to_string()
}

fn refusal(lines: &[String]) -> Verdict {
    let ascii = |character: char| match character {
        ' '..='~' => character.to_string(),
        other => format!("\\u{:04x}", u32::from(other)),
    };
    let lines: Vec<String> = lines
        .iter()
        .take(LINES)
        .map(|line| line.chars().map(ascii).collect::<String>().chars().take(CHARACTERS).collect())
        .collect();
    Verdict::reject(550, "5.7.1", lines.join("\n"))
}

/// Of a reply, whose text is bounded.
const LINES: usize = 20;
const CHARACTERS: usize = 450;
