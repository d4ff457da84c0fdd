//! Holds replies back for clients that misbehave; see README.md.

mod settings;

use std::time::Duration;

use portcullis_plugin::{Hook, Session, Transaction, Verdict, log, metrics, plugin};
use terms::Span;

use crate::settings::{Settings, Step};

/// The settings are all there is: nothing is kept, and nothing waits here.
#[derive(Debug)]
pub struct Tarpit {
    settings: Settings,
}

#[plugin]
impl Tarpit {
    fn configure(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings })
    }

    fn skip(&self) -> Vec<Hook> {
        let mut skip = Vec::new();
        let settings = &self.settings;
        if settings.greeting.as_seconds() == 0 {
            skip.push(Hook::Connect);
        }
        let grows = settings.refused_recipients.delay.as_seconds() > 0;
        for (step, hook) in [
            (Step::Mail, Hook::Mail),
            (Step::Rcpt, Hook::Rcpt),
            (Step::Data, Hook::Data),
            (Step::Message, Hook::Message),
        ] {
            let asked = settings.asks_at(step) || (hook == Hook::Rcpt && grows);
            if !asked {
                skip.push(hook);
            }
        }
        skip
    }

    fn connect(&self, session: &Session) -> Verdict {
        if !self.settings.exempt.clients.contain(session) {
            self.hold_back(session, "connect", seconds(self.settings.greeting), "greeting");
        }
        Verdict::Next
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Verdict {
        self.judge(Step::Mail, session, transaction)
    }

    fn rcpt(&self, session: &Session, transaction: &Transaction) -> Verdict {
        self.judge(Step::Rcpt, session, transaction)
    }

    fn data(&self, session: &Session, transaction: &Transaction) -> Verdict {
        self.judge(Step::Data, session, transaction)
    }

    fn message(&self, session: &Session, transaction: &Transaction) -> Verdict {
        self.judge(Step::Message, session, transaction)
    }
}

impl Tarpit {
    /// Adds up what each finding costs. Never has an opinion.
    fn judge(&self, step: Step, session: &Session, transaction: &Transaction) -> Verdict {
        let (mut delay, mut reasons) = (Duration::ZERO, Vec::new());
        let mut add = |time: Duration, reason: &str| {
            if !time.is_zero() {
                delay = delay.saturating_add(time);
                reasons.push(reason.to_owned());
            }
        };
        let conduct = session.conduct();
        if step == Step::Rcpt {
            let refused = conduct.iter().find(|(name, _)| name == "refused-recipients");
            add(self.after_refused(refused.map_or(0, |(_, count)| *count)), "refused-recipients");
        }
        if self.settings.asks_at(step) {
            for (lapse, each) in &self.settings.conduct {
                let count = conduct.iter().find(|(name, _)| name == lapse);
                add(seconds(*each) * count.map_or(0, |(_, count)| *count), lapse);
            }
            add(self.after_score(transaction), "score");
            for (name, time) in &self.settings.notes {
                // An empty one was taken back.
                if session.note(name).is_some_and(|note| !note.is_empty()) {
                    add(seconds(*time), name);
                }
            }
        }
        if !delay.is_zero() && !self.settings.exempt.transaction(session, transaction) {
            self.hold_back(session, step.label(), delay, &reasons.join(" "));
        }
        Verdict::Next
    }

    /// Twice as long for each further one.
    fn after_refused(&self, refused: u32) -> Duration {
        let settings = &self.settings.refused_recipients;
        match refused.checked_sub(settings.free) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => seconds(settings.delay) * 2_u32.saturating_pow((beyond - 1).min(6)),
        }
    }

    fn after_score(&self, transaction: &Transaction) -> Duration {
        let settings = &self.settings.score;
        let score: f64 = transaction.scores().iter().map(|(_, points)| points).sum();
        if score < settings.from {
            return Duration::ZERO;
        }
        let above = (score - settings.from).floor().min(60.0);
        seconds(settings.delay) + seconds(settings.point).mul_f64(above)
    }

    /// As long as one reply may take and the session has left.
    fn hold_back(&self, session: &Session, step: &str, wanted: Duration, reasons: &str) {
        let held = session.load().and_then(|saved| saved.try_into().ok());
        let held = Duration::from_secs(held.map_or(0, u64::from_le_bytes));
        let left = seconds(self.settings.session).saturating_sub(held);
        let delay = wanted.min(seconds(self.settings.most)).min(left);
        if delay.is_zero() {
            return;
        }
        // Eight octets are never too many.
        let _ = session.save(&(held + delay).as_secs().to_le_bytes());
        session.hold_back(delay);
        metrics::add("delays", 1, Some(("step", step)));
        metrics::observe("delay_seconds", delay.as_secs_f64());
        if log::enabled(log::Level::Debug) {
            let time = format!("{delay:?}");
            log::debug("holds the reply back", &[("for", &time), ("because", reasons)]);
        }
    }
}

fn seconds(span: Span) -> Duration {
    Duration::from_secs(span.as_seconds().into())
}
