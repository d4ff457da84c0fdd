//! What becomes of a message after all was found: the gravest decision, and the points.

use portcullis_plugin::{
    EditError, Message, Part, Recipient, Refusal, Transaction, Verdict, log, metrics,
};
use terms::Addresses;

use crate::action::{Action, Decision};

/// Collected while the message is looked at.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    refusal: Option<(Refusal, String)>,
    quarantine: Option<String>,
    /// Recipients that are refused alone.
    refused: Vec<(u32, Refusal)>,
    stripped: Vec<(u32, String)>,
    tags: Vec<String>,
    scores: Vec<(String, f64)>,
}

/// What is needed to say why.
#[derive(Debug)]
pub(crate) struct Reason<'a> {
    pub(crate) part: Option<u32>,
    pub(crate) symbol: &'a str,
    /// For people; printable ASCII.
    pub(crate) text: &'a str,
    pub(crate) help: Option<&'a str>,
    /// Only for these.
    pub(crate) recipients: Option<&'a Addresses>,
}

impl Outcome {
    pub(crate) fn add(&mut self, action: &Action, reason: &Reason<'_>, recipients: &[Recipient]) {
        if let Some(points) = action.points
            && !self.scores.iter().any(|(symbol, _)| symbol == reason.symbol)
        {
            self.scores.push((reason.symbol.to_owned(), points));
        }
        match &action.decision {
            None => {}
            Some(Decision::Refuse(own)) => {
                let refusal = own.clone().or_else(|| refusal(reason));
                if let Some(refusal) = refusal {
                    self.refuse(refusal, reason.text, reason.recipients, recipients);
                }
            }
            Some(Decision::Quarantine(own)) => {
                let text = own.clone().unwrap_or_else(|| reason.text.to_owned());
                self.quarantine.get_or_insert(text);
            }
            Some(Decision::Strip(own)) => {
                let text = own.clone().unwrap_or_default();
                if let Some(part) = reason.part {
                    self.stripped.push((part, notice(&text, reason)));
                }
            }
            Some(Decision::Tag(own)) => {
                self.tags.push(own.clone().unwrap_or_else(|| reason.text.to_owned()));
            }
        }
    }

    /// All recipients that it is about, or the message if that is all of them.
    pub(crate) fn refuse(
        &mut self,
        refusal: Refusal,
        why: &str,
        about: Option<&Addresses>,
        recipients: &[Recipient],
    ) {
        let about: Vec<_> = recipients
            .iter()
            .filter(|one| about.is_none_or(|about| about.contain(Some(&one.address))))
            .map(|one| one.index)
            .collect();
        if about.len() == recipients.len() {
            self.refusal.get_or_insert_with(|| (refusal, why.to_owned()));
            return;
        }
        for index in about {
            if !self.refused.iter().any(|(known, _)| *known == index) {
                self.refused.push((index, refusal.clone()));
            }
        }
    }

    /// Does it.
    pub(crate) fn carry_out(
        self,
        transaction: &Transaction,
        message: &Message,
        parts: &[Part],
        tag_header: &str,
    ) -> Result<Verdict, EditError> {
        if let Some((refusal, why)) = self.refusal {
            count("refuse");
            log::info("refused", &[("why", &why)]);
            return Ok(refusal.verdict());
        }
        for (symbol, points) in &self.scores {
            transaction.score(symbol, *points)?;
        }
        for (index, refusal) in &self.refused {
            count("refuse_recipient");
            transaction.refuse_recipient(*index, refusal.reply())?;
        }
        for tag in &self.tags {
            count("tag");
            message.add_header(Some(0), tag_header, tag.as_bytes())?;
        }
        if !self.stripped.is_empty() {
            count("strip");
            log::info("stripped", &[("notice", &self.stripped[0].1)]);
            crate::strip::strip(message, parts, &self.stripped)?;
        }
        if let Some(why) = self.quarantine {
            count("quarantine");
            log::info("quarantined", &[("why", &why)]);
            return Ok(Verdict::Quarantine(why));
        }
        Ok(Verdict::Next)
    }
}

fn count(action: &str) {
    metrics::add("actions", 1, Some(("action", action)));
}

fn refusal(reason: &Reason<'_>) -> Option<Refusal> {
    let help = reason.help.map(|help| format!(", see {help}")).unwrap_or_default();
    format!("550 5.7.1 {}{help}", reason.text).parse().ok()
}

/// What stands in the place of a part.
fn notice(own: &str, reason: &Reason<'_>) -> String {
    let text = if own.is_empty() { "It was removed by the mail gateway." } else { own };
    let help = reason.help.map(|help| format!("\r\n{help}")).unwrap_or_default();
    let why = reason.text;
    let first = why[..1].to_uppercase();
    format!("{first}{}.\r\n{text}{help}\r\n", &why[1..])
}
