//! Asks an existing milter; see README.md.

mod answer;
mod conversation;
mod edit;
mod negotiation;
mod packet;
mod settings;

use portcullis_plugin::{EditError, Message, Session, Transaction, Verdict, log, metrics, plugin};

use crate::answer::Answer;
use crate::conversation::{Conversation, Outcome};
use crate::edit::Refused;
use crate::packet::Failure;
use crate::settings::{OnError, Settings};

/// The plugin is its settings.
#[derive(Debug)]
pub struct Milter(Settings);

#[plugin]
impl Milter {
    fn configure(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self(settings))
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, EditError> {
        match Conversation::hold(&self.0, session, transaction, message) {
            Ok(outcome) => obey(outcome, transaction, message),
            Err(Refused::Failure(failure)) => self.unasked(failure, transaction),
            // A grant is missing, or the gateway takes no more.
            Err(Refused::By(error)) => Err(error),
        }
    }
}

impl Milter {
    fn unasked(&self, failure: Failure, to: &Transaction) -> Result<Verdict, EditError> {
        metrics::add("answers", 1, Some(("answer", failure.label())));
        log::warn(
            "the filter cannot be asked",
            &[("server", &self.0.server), ("why", failure.label())],
        );
        match self.0.on_error {
            OnError::Defer => {
                return Ok(Verdict::defer(451, "4.3.0", "a filter cannot be asked now"));
            }
            OnError::Score if self.0.score != 0.0 => to.score("MILTER_UNASKED", self.0.score)?,
            OnError::Score | OnError::Pass => {}
        }
        Ok(Verdict::Next)
    }
}

/// Does what the filter says.
fn obey(
    Outcome { answer, refused, mut edits }: Outcome,
    transaction: &Transaction,
    message: &Message,
) -> Result<Verdict, EditError> {
    metrics::add("answers", 1, Some(("answer", answer.label())));
    match answer {
        Answer::Discard => return Ok(Verdict::discard("the filter discards it")),
        Answer::Refuse(verdict) => return Ok(verdict),
        Answer::Accept | Answer::Continue | Answer::Skip => {}
    }
    for (index, verdict) in refused {
        if let Verdict::Reject(reply) | Verdict::Defer(reply) = verdict {
            transaction.refuse_recipient(index, &reply)?;
        }
    }
    let quarantine = edits.quarantine.take();
    edits.apply(transaction, message)?;
    Ok(quarantine.map_or(Verdict::Next, |reason| Verdict::quarantine(printable(&reason))))
}

/// For the log.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
