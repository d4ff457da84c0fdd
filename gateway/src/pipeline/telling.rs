//! What is told of a session to plugins that listen, see [`Chain::tell`](crate::policy::Chain::tell).

use portcullis_smtp::server::Verdict;

use super::Pipeline;
use crate::message::Envelope;
use crate::metrics::{RefusedAt, RefusedBy};
use crate::policy::{Event, Stage};

impl Pipeline {
    /// What the client was told of itself or of its sender.
    pub(super) fn tell_verdict(
        &self,
        stage: Stage,
        envelope: Option<&Envelope>,
        by: Option<&str>,
        verdict: &Verdict,
    ) {
        self.count_refusal(stage, by, verdict);
        self.site.house().chain.tell(|| {
            let event = Event::new(stage, &self.session, envelope);
            match verdict {
                Verdict::Disconnect(reply) | Verdict::Reply(reply) => {
                    Event { by: by.map(str::to_owned), ..event }.said(reply)
                }
                Verdict::Accept | Verdict::Each(_) => event,
            }
        });
    }

    /// Logins have a metric of their own, and transactions count what follows MAIL.
    fn count_refusal(&self, stage: Stage, by: Option<&str>, verdict: &Verdict) {
        let (Verdict::Disconnect(reply) | Verdict::Reply(reply)) = verdict else { return };
        let at = match stage {
            Stage::Connect => RefusedAt::Connect,
            Stage::Helo => RefusedAt::Helo,
            Stage::Mail => RefusedAt::Mail,
            Stage::Auth | Stage::Delivery | Stage::Disconnect | Stage::Message | Stage::Rcpt => {
                return;
            }
        };
        let by = if by.is_some() { RefusedBy::Plugin } else { RefusedBy::Gateway };
        self.site.house().metrics.refused(at, by, reply.code());
    }

    /// The end of the connection.
    pub(super) fn tell_end(&mut self, why: &str) {
        if std::mem::take(&mut self.present) {
            self.site.house().chain.tell(|| Event {
                text: why.to_owned(),
                ..Event::new(Stage::Disconnect, &self.session, None)
            });
        }
    }
}

impl Drop for Pipeline {
    /// A connection that was cut has an end, too.
    fn drop(&mut self) {
        self.tell_end("cut at the shutdown");
    }
}
