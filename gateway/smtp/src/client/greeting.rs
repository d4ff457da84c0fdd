//! The beginning of a conversation: banner, EHLO or HELO, STARTTLS.

use crate::Reply;
use crate::server::Protocol;

use super::{ClientError, Expected, Extensions, Session, Stage, StartTls, State};

impl Session {
    /// Banner, EHLO and STARTTLS: each is answered before the next goes out, and nothing may be
    /// there before it was asked for.
    pub(super) fn greeted(&mut self, stage: Stage, reply: &Reply) -> Result<(), ClientError> {
        let accepted = reply.code() / 100 == 2;
        let refused = || ClientError::Refused { stage, reply: reply.clone() };
        if self.has_input() {
            return Err(match stage {
                Stage::StartTls => ClientError::OctetsBeforeTls,
                _ => ClientError::Unsolicited { code: reply.code() },
            });
        }
        match (stage, self.settings.starttls) {
            (Stage::Banner, _) if accepted => self.hello(),
            (Stage::Hello, _) if accepted => {
                if !self.fallback {
                    self.extensions = Extensions::parse(reply);
                }
                return self.after_hello();
            }
            // RFC 5321 section 3.2: a server that does not know EHLO knows HELO. One that does, and
            // says no, means it.
            (Stage::Hello, _)
                if matches!(reply.code(), 500 | 502 | 504)
                    && !self.fallback
                    && self.settings.protocol == Protocol::Smtp =>
            {
                self.fallback = true;
                let line = format!("HELO {}", self.settings.hostname);
                self.command(Stage::Hello, &line);
            }
            (Stage::StartTls, _) if accepted => self.state = State::Handshake,
            (Stage::StartTls, StartTls::IfOffered) if reply.code() != 421 => return self.log_in(),
            _ => return Err(refused()),
        }
        Ok(())
    }

    fn after_hello(&mut self) -> Result<(), ClientError> {
        let offered = self.extensions.has("STARTTLS");
        match self.settings.starttls {
            StartTls::Required if !offered => return Err(ClientError::StartTlsNotOffered),
            StartTls::IfOffered | StartTls::Required if offered => {
                self.command(Stage::StartTls, "STARTTLS");
            }
            StartTls::IfOffered | StartTls::Never | StartTls::Required => self.log_in()?,
        }
        Ok(())
    }

    /// XCLIENT: once all of it is taken, the server is where its banner was.
    pub(super) fn introduced(&mut self, reply: &Reply) -> Result<(), ClientError> {
        let stage = Stage::Xclient;
        if reply.code() / 100 != 2 {
            return Err(ClientError::Refused { stage, reply: reply.clone() });
        }
        let is_more = |expected: &Expected| matches!(expected, Expected::Reply(Stage::Xclient));
        let more = self.expected.iter().any(is_more)
            || self.waiting.iter().any(|command| command.stage == stage);
        if !more {
            if self.has_input() {
                return Err(ClientError::Unsolicited { code: reply.code() });
            }
            self.extensions = Extensions::default();
            self.fallback = false;
            self.hello();
        }
        Ok(())
    }

    pub(super) fn hello(&mut self) {
        let verb = match self.settings.protocol {
            Protocol::Lmtp => "LHLO",
            Protocol::Smtp => "EHLO",
        };
        let line = format!("{verb} {}", self.settings.hostname);
        self.command(Stage::Hello, &line);
    }
}
