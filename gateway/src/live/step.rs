//! One step of a session, for those who follow it.

use serde::Serialize;

/// Something that happened in a session. It is made only where somebody follows the client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When, as RFC 3339 has it.
    pub at: String,
    /// The session's id.
    pub session: String,
    /// The listener's name.
    pub listener: String,
    /// The client's address and port.
    pub client: String,
    /// The id of the transaction that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened in a session. Texts are what peers and plugins said: nothing of them is markup.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// The connection was accepted.
    Connect,
    /// The client's line, but for secrets.
    Command {
        /// The line.
        text: String,
    },
    /// Content of a message came, all of it or as much as there will be.
    Content {
        /// How much.
        octets: u64,
    },
    /// The end of the session.
    End {
        /// Why.
        text: String,
    },
    /// A plugin was asked.
    Hook {
        /// Its name.
        plugin: String,
        /// At which hook.
        hook: &'static str,
        /// What it said, in a word: `next`, `reject`, ..., or `failure`.
        verdict: &'static str,
        /// The reply that it wants, its reason, or why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// How long it took.
        seconds: f64,
    },
    /// A line of the gateway's reply.
    Reply {
        /// The line.
        text: String,
    },
    /// A handshake succeeded.
    Tls {
        /// Version and cipher suite.
        text: String,
    },
    /// An upstream was asked about a recipient.
    Upstream {
        /// Its name.
        upstream: String,
        /// The recipient.
        recipient: String,
        /// What it said.
        text: String,
        /// How long the question took, if it was a question of its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
}

impl Step {
    /// The address that a MAIL is from.
    pub(super) fn sender(&self) -> Option<&str> {
        path(&self.what, "MAIL FROM:")
    }

    /// The address that a RCPT is to.
    pub(super) fn recipient(&self) -> Option<&str> {
        path(&self.what, "RCPT TO:")
    }
}

/// The path of a command that begins like this.
fn path<'a>(what: &'a What, verb: &str) -> Option<&'a str> {
    let What::Command { text } = what else { return None };
    let begins = text.get(..verb.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(verb));
    let rest = text.get(verb.len()..).filter(|_| begins)?;
    let (begin, end) = (rest.find('<')?, rest.rfind('>')?);
    rest.get(begin + 1..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Step {
        Step {
            at: "1970-01-01T00:00:00.000Z".into(),
            session: "s".into(),
            listener: "mx".into(),
            client: "192.0.2.1:4711".into(),
            transaction: None,
            what: What::Command { text: text.into() },
        }
    }

    #[test]
    fn addresses_are_found_in_commands_and_nowhere_else() {
        assert_eq!(said("mail from: <a@b.example> SIZE=3").sender(), Some("a@b.example"));
        assert_eq!(said("MAIL FROM:<>").sender(), Some(""));
        assert_eq!(said("RCPT TO:<\"x>y\"@b.example>").recipient(), Some("\"x>y\"@b.example"));
        assert_eq!(said("RCPT TO:b@b.example").recipient(), None);
        assert_eq!(said("VRFY <b@b.example>").recipient(), None);
        assert_eq!(said("MAIL FROM:>x<").sender(), None);
    }

    #[test]
    fn a_step_is_one_flat_object() {
        let json = serde_json::to_value(said("NOOP \u{1b}[2J")).unwrap();
        assert_eq!(json["what"], "command");
        assert_eq!(json["text"], "NOOP \u{1b}[2J");
        assert_eq!(json["at"], "1970-01-01T00:00:00.000Z");
        assert!(json.get("transaction").is_none());
    }
}
