//! What is told of a session to plugins that listen, see [`Chain::tell`](crate::policy::Chain::tell).

use portcullis_smtp::server::Verdict;

use super::Pipeline;
use crate::message::Envelope;
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
