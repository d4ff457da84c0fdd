//! What a proxy says about the client: XCLIENT and XFORWARD, once policy has answered.

use super::limit::Counts;
use super::phase::{Phase, Standing};
use super::verdict::Answer;
use super::{Conduct, Session, replies};
use crate::xclient::{Said, Xclient};

impl Session {
    /// The conversation begins anew, with the connection's own rights: who may say XCLIENT is not
    /// for XCLIENT to say.
    pub(super) fn replace_client(&mut self, answer: Answer, said: &Xclient) {
        match answer {
            Answer::No(reply) => self.say(&reply),
            Answer::Yes(_) => {
                self.abort();
                self.phase = Phase::Start;
                self.counts = Counts::default();
                self.conduct = Conduct::default();
                self.may_pipeline = false;
                self.standing = Standing {
                    // Where nobody can authenticate, nobody has.
                    authenticated: matches!(said.login, Said::Value(_))
                        && !self.settings.auth.mechanisms.is_empty(),
                    ..Standing::default()
                };
            }
        }
    }

    pub(super) fn forward(&mut self, answer: Answer) {
        match answer {
            Answer::No(reply) => self.say(&reply),
            Answer::Yes(_) => {
                self.forwarded = true;
                self.say(&replies::ok());
            }
        }
    }
}
