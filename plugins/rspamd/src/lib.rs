//! Asks rspamd about messages; see README.md.

mod answer;
mod edits;
mod request;
mod settings;

use std::cell::Cell;

use portcullis_plugin::http::{self, HttpError};
use portcullis_plugin::{
    Message, Reply, Session, Transaction, Verdict, clock, log, metrics, plugin,
};
use terms::{OnError, reply_of};

use crate::answer::{Action, Answer};
use crate::edits::Edits;
use crate::settings::{Deed, Settings};

/// The plugin.
#[derive(Debug)]
pub struct Rspamd {
    settings: Settings,
}

#[plugin]
impl Rspamd {
    fn configure(mut settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, String> {
        if let Some(why) = self.unasked(session, transaction, message) {
            metrics::add("skipped", 1, Some(("why", why)));
            return Ok(Verdict::Next);
        }
        let started = clock::monotonic();
        let answer = self.ask(session, transaction, message)?;
        let took = clock::monotonic().saturating_sub(started) / 1_000_000;
        metrics::observe("scan_seconds", u32::try_from(took).map_or(f64::MAX, f64::from) / 1000.0);
        match answer {
            Some(answer) => self.judge(&answer, transaction, message),
            None => self.without(transaction),
        }
    }
}

impl Rspamd {
    fn unasked(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Option<&'static str> {
        if self.settings.exempt.message(session, transaction) {
            return Some("exempt");
        }
        (message.size() > self.settings.max_size).then_some("too_large")
    }

    /// The first answer that makes sense. None if there is none.
    fn ask(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Option<Answer>, String> {
        let mut request = request::of(&self.settings, session, transaction);
        for server in &self.settings.servers {
            request.url = format!("{server}/checkv2");
            let (kind, why) = match http::send_content(&request, &message.read_all()) {
                Ok(response) if response.status == 200 => match Answer::read(&response.body) {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(why) => ("not_understood", why),
                },
                Ok(response) => ("status", format!("status {}", response.status)),
                // The operator's mistakes, which no mail should hide.
                Err(HttpError::Denied) => return Err(format!("{server} is not granted: http")),
                Err(HttpError::Malformed(what)) => return Err(format!("{server}: {what}")),
                Err(HttpError::TimedOut) => ("timed_out", "timed out".to_owned()),
                Err(HttpError::TooLarge) => ("too_large", "its answer is too large".to_owned()),
                Err(HttpError::Unavailable(why)) => ("unavailable", why),
            };
            metrics::add("failures", 1, Some(("kind", kind)));
            log::warn("rspamd does not answer", &[("server", server), ("why", &why)]);
        }
        Ok(None)
    }

    fn without(&self, transaction: &Transaction) -> Result<Verdict, String> {
        match self.settings.on_error {
            OnError::Pass => Ok(Verdict::Next),
            OnError::Defer => {
                Ok(Verdict::defer(451, "4.3.0", "cannot be checked now, try again later"))
            }
            OnError::Score => {
                let symbol = format!("{}_UNAVAILABLE", self.settings.score.symbol);
                let scored = transaction.score(&symbol, self.settings.error_score);
                scored.map(|()| Verdict::Next).map_err(|error| error.to_string())
            }
        }
    }

    fn judge(
        &self,
        answer: &Answer,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, String> {
        let action = answer.action();
        metrics::add("answers", 1, Some(("action", action.label())));
        let deed = self.settings.deed(action);
        for (symbol, points) in answer.points(self.settings.verdict, &self.settings.score) {
            transaction.score(&symbol, points).map_err(|error| error.to_string())?;
        }
        if deed != Deed::Pass {
            tell(answer, action);
        }
        // What nobody gets needs no edits.
        match &deed {
            Deed::Refuse(refusal) => return Ok(refusal.verdict()),
            Deed::Defer => return Ok(Verdict::Defer(reply(answer, &deed))),
            Deed::Reject => return Ok(Verdict::Reject(reply(answer, &deed))),
            Deed::Discard => return Ok(Verdict::discard(format!("rspamd: {}", action.label()))),
            Deed::Pass | Deed::Tag | Deed::Subject | Deed::Quarantine => {}
        }
        let (settings, overfull) = (&self.settings, Cell::default());
        let edits = Edits { settings, transaction, message, overfull };
        if self.settings.edits && !edits.make(answer, action) {
            return Ok(Verdict::discard("rspamd has left no recipient"));
        }
        match deed {
            Deed::Tag => edits.tag(answer),
            Deed::Subject => edits.subject(answer),
            _ => {}
        }
        Ok(match deed {
            _ if edits.overfull.get() => Verdict::reject(554, "5.6.0", TOO_MANY),
            Deed::Quarantine => Verdict::quarantine(format!("rspamd: {}", action.label())),
            _ => Verdict::Next,
        })
    }
}

fn reply(answer: &Answer, deed: &Deed) -> Reply {
    let usual = Settings::usual_reply(deed);
    let words = answer.words().and_then(|words| reply_of(words, &usual));
    words.unwrap_or(usual)
}

fn tell(answer: &Answer, action: Action) {
    let fields = [("action", action.label()), ("score", &*format!("{:.2}", answer.score))];
    log::info("rspamd has something against it", &fields);
}

const TOO_MANY: &str = "too many fields that are ours to give";
