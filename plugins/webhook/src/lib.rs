//! Asks an HTTP service what to do with mail; see README.md.

mod answer;
mod edits;
mod request;
mod settings;

use portcullis_plugin::http::{self, HttpError};
use portcullis_plugin::{
    Hook, Message, Recipient, Session, Transaction, Verdict, log, metrics, plugin,
};
use terms::OnError;

use crate::answer::{Action, Answer};
use crate::request::Known;
use crate::settings::{Settings, Stage};

/// The plugin.
#[derive(Debug)]
pub struct Webhook {
    settings: Settings,
}

#[plugin]
impl Webhook {
    fn configure(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    fn skip(&self) -> Vec<Hook> {
        self.settings.skip()
    }

    fn connect(&self, session: &Session) -> Result<Verdict, String> {
        self.ask(&known(Stage::Connect, session))
    }

    fn helo(&self, session: &Session, name: &str) -> Result<Verdict, String> {
        self.ask(&Known { helo: Some(name), ..known(Stage::Ehlo, session) })
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, String> {
        self.ask(&Known { transaction: Some(transaction), ..known(Stage::Mail, session) })
    }

    fn rcpt(
        &self,
        session: &Session,
        transaction: &Transaction,
        recipient: &Recipient,
    ) -> Result<Verdict, String> {
        let known = known(Stage::Rcpt, session);
        self.ask(&Known { transaction: Some(transaction), recipient: Some(recipient), ..known })
    }

    fn headers(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, String> {
        let known = known(Stage::Headers, session);
        self.ask(&Known { transaction: Some(transaction), message: Some(message), ..known })
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, String> {
        let known = known(Stage::Data, session);
        self.ask(&Known { transaction: Some(transaction), message: Some(message), ..known })
    }
}

fn known(stage: Stage, session: &Session) -> Known<'_> {
    Known { stage, session, helo: None, transaction: None, recipient: None, message: None }
}

impl Webhook {
    fn ask(&self, known: &Known<'_>) -> Result<Verdict, String> {
        if self.is_exempt(known) {
            return Ok(Verdict::Next);
        }
        let (kind, why) = match self.answer(known)? {
            Ok(answer) => match answer.verdict(known.stage) {
                Ok(verdict) => return self.follow(&answer, verdict, known),
                Err(why) => ("not_understood", why),
            },
            Err(failure) => failure,
        };
        metrics::add("failures", 1, Some(("kind", kind)));
        log::warn("the service does not answer", &[("stage", known.stage.label()), ("why", &why)]);
        self.without(known)
    }

    fn is_exempt(&self, known: &Known<'_>) -> bool {
        let exempt = &self.settings.exempt;
        let Some(transaction) = known.transaction else {
            return exempt.clients.contain(known.session);
        };
        let recipients = || {
            let all = transaction.recipients();
            let mut all = all.iter().chain(known.recipient).peekable();
            all.peek().is_some() && all.all(|one| exempt.recipient(&one.address))
        };
        exempt.transaction(known.session, transaction) || recipients()
    }

    /// What it says, or how it failed. The outer error is the operator's mistake, which no mail should
    /// hide.
    fn answer(&self, known: &Known<'_>) -> Result<Result<Answer, (&'static str, String)>, String> {
        let Some(request) = request::of(&self.settings, known) else {
            return Ok(Err(("too_large", "the header section is too large to be sent".to_owned())));
        };
        Ok(match http::send_one(request) {
            Ok(response) if (200..300).contains(&response.status) => {
                Answer::read(&response.body).map_err(|why| ("not_understood", why))
            }
            Ok(response) => Err(("status", format!("status {}", response.status))),
            Err(HttpError::Denied) => {
                return Err("the origin of url is not granted: http".to_owned());
            }
            Err(HttpError::Malformed(what)) => return Err(format!("url: {what}")),
            Err(HttpError::TimedOut) => Err(("timed_out", "timed out".to_owned())),
            Err(HttpError::TooLarge) => Err(("too_large", "its answer is too large".to_owned())),
            Err(HttpError::Unavailable(why)) => Err(("unavailable", why)),
        })
    }

    fn follow(
        &self,
        answer: &Answer,
        verdict: Verdict,
        known: &Known<'_>,
    ) -> Result<Verdict, String> {
        metrics::add("answers", 1, Some(("action", answer.action.label())));
        if let Some(transaction) = known.transaction {
            for (symbol, points) in answer.scores.iter().take(MOST_SCORES) {
                if transaction.score(symbol, *points).is_err() {
                    log::debug("a score is not taken", &[]);
                }
            }
        }
        if answer.action != Action::Accept {
            let fields = [("action", answer.action.label()), ("stage", known.stage.label())];
            log::info("the service has something against it", &fields);
        }
        // What nobody gets needs no edits.
        if matches!(answer.action, Action::Accept | Action::Quarantine) {
            edits::make(answer, known);
        }
        Ok(verdict)
    }

    fn without(&self, known: &Known<'_>) -> Result<Verdict, String> {
        match (self.settings.on_error, known.transaction) {
            (OnError::Defer, _) => {
                Ok(Verdict::defer(451, "4.3.0", "cannot be checked now, try again later"))
            }
            (OnError::Score, Some(transaction)) => {
                let scored = transaction.score("WEBHOOK_UNAVAILABLE", self.settings.error_score);
                scored.map(|()| Verdict::Next).map_err(|error| error.to_string())
            }
            (OnError::Pass | OnError::Score, _) => Ok(Verdict::Next),
        }
    }
}

/// The gateway takes 100 of a plugin.
const MOST_SCORES: usize = 90;
