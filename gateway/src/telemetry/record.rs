//! The one record of a transaction: what came, what was decided and by whom, and where it went.

use std::time::Duration;

use serde::Serialize;
use tracing::info;

/// Octets of an old or a new value in the record of an edit: enough to recognise it.
const EDIT_OCTETS: usize = 256;

/// Everything that the log tells about one transaction.
#[derive(Clone, Debug)]
pub struct TransactionRecord {
    /// The transaction's id, also in its reply and its `Received`.
    pub id: String,
    /// The session's id.
    pub session: String,
    /// The listener's name.
    pub listener: String,
    /// The client's address and port.
    pub client: String,
    /// Its host name, if a trusted peer said it.
    pub client_name: Option<String>,
    /// The address and port of the peer that speaks for it.
    pub via: Option<String>,
    /// Where the message comes from, as a trusted peer said (XFORWARD); JSON.
    pub forwarded: Option<String>,
    /// What the client called itself.
    pub helo: Option<String>,
    /// Who logged in.
    pub user: Option<String>,
    /// TLS version and cipher suite, and whether it ended at the proxy.
    pub tls: Option<String>,
    /// The client's certificate: its subject and its fingerprint.
    pub certificate: Option<String>,
    /// The reverse path; empty for `<>`.
    pub sender: String,
    /// Who was to get it, as far as accepted.
    pub recipients: Vec<RecipientRecord>,
    /// Size of the message as it came.
    pub octets: u64,
    /// One of the outcomes of the metrics.
    pub outcome: &'static str,
    /// The last reply of the transaction: code, status and text.
    pub reply: Option<String>,
    /// The plugin that decided; none if it was the gateway, an upstream or the client.
    pub decided_by: Option<Decision>,
    /// The points of all symbols together; none if there are no symbols.
    pub score: Option<f64>,
    /// What plugins scored, in order.
    pub scores: Vec<ScoreRecord>,
    /// What plugins changed, in order.
    pub edits: Vec<EditRecord>,
    /// From MAIL to the outcome.
    pub duration: Duration,
    /// The part of it that went into plugins.
    pub plugins_duration: Duration,
    /// The part of it that was spent waiting for upstreams.
    pub upstream_duration: Duration,
}

/// One recipient.
#[derive(Clone, Debug, Serialize)]
pub struct RecipientRecord {
    /// The address, as it went on.
    pub address: String,
    /// The upstream's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What the upstream said, or the gateway for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// Which plugin decided, and when.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Its name in the configuration.
    pub plugin: String,
    /// The hook's label.
    pub hook: &'static str,
}

/// The points that a plugin gave for a symbol.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreRecord {
    /// The plugin's name.
    pub plugin: String,
    /// The symbol.
    pub symbol: String,
    /// Its points.
    pub points: f64,
}

/// One change that a plugin made.
#[derive(Clone, Debug, Serialize)]
pub struct EditRecord {
    /// The plugin's name.
    pub plugin: String,
    /// What was changed, for example `header Subject` or `recipient`.
    pub what: String,
    /// What stood there; none if it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What stands there now; none if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl EditRecord {
    /// An edit, with long values cut short.
    #[must_use]
    pub fn new(
        plugin: &str,
        what: impl Into<String>,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Self {
        Self {
            plugin: plugin.to_owned(),
            what: what.into(),
            old: old.map(shorten),
            new: new.map(shorten),
        }
    }
}

impl TransactionRecord {
    /// Writes the record, as one event of the target `transaction`. Lists are JSON.
    pub fn emit(&self) {
        info!(
            target: "transaction",
            id = self.id,
            outcome = self.outcome,
            reply = self.reply,
            plugin = self.decided_by.as_ref().map(|decision| decision.plugin.as_str()),
            hook = self.decided_by.as_ref().map(|decision| decision.hook),
            listener = self.listener,
            session = self.session,
            client = self.client,
            client_name = self.client_name,
            via = self.via,
            forwarded = self.forwarded,
            helo = self.helo,
            tls = self.tls,
            user = self.user,
            certificate = self.certificate,
            sender = self.sender,
            recipients = json(&self.recipients),
            octets = self.octets,
            score = self.score,
            scores = self.score.map(|_| json(&self.scores)),
            edits = json(&self.edits),
            duration_seconds = seconds(self.duration),
            plugins_seconds = seconds(self.plugins_duration),
            upstream_seconds = seconds(self.upstream_duration),
        );
    }
}

fn json(list: &impl Serialize) -> String {
    serde_json::to_string(list).expect("strings in a list serialise")
}

/// To the microsecond; what is finer is noise.
fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

fn shorten(text: &str) -> String {
    if text.len() <= EDIT_OCTETS {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(EDIT_OCTETS);
    format!("{}... ({} octets)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::logged;
    use super::*;

    const HOSTILE: &str = "x\r\noutcome=accepted \"q\" \u{1b}[2J\u{85}\u{2028}\\";

    fn record(words: &str) -> TransactionRecord {
        TransactionRecord {
            id: "s1.1".to_owned(),
            session: "s1".to_owned(),
            listener: "mx".to_owned(),
            client: "192.0.2.1:4711".into(),
            client_name: Some(words.to_owned()),
            via: Some("127.0.0.1:4712".into()),
            forwarded: Some(words.to_owned()),
            helo: Some(words.to_owned()),
            tls: None,
            user: Some(words.to_owned()),
            certificate: None,
            sender: words.to_owned(),
            recipients: vec![
                RecipientRecord {
                    address: words.to_owned(),
                    upstream: Some("store".to_owned()),
                    reply: Some(words.to_owned()),
                },
                RecipientRecord {
                    address: "b@example.org".to_owned(),
                    upstream: None,
                    reply: None,
                },
            ],
            octets: 1234,
            outcome: "rejected",
            reply: Some(format!("550 5.7.1 {words}")),
            decided_by: Some(Decision { plugin: "access".to_owned(), hook: "rcpt" }),
            score: Some(7.5),
            scores: vec![ScoreRecord {
                plugin: "access".to_owned(),
                symbol: "BAD".to_owned(),
                points: 7.5,
            }],
            edits: vec![EditRecord::new("headers", "header Subject", Some(words), Some("new"))],
            duration: Duration::from_micros(1_500_000),
            plugins_duration: Duration::from_nanos(12_345),
            upstream_duration: Duration::ZERO,
        }
    }

    #[test]
    fn a_record_is_one_object_of_json_with_all_that_was_told() {
        let text = logged(Format::Json, "info", || record("a b").emit());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["target"], "transaction");
        assert_eq!(json["client"], "192.0.2.1:4711");
        assert_eq!(json["via"], "127.0.0.1:4712");
        assert_eq!(json["octets"], 1234);
        assert_eq!(json["duration_seconds"], 1.5);
        assert_eq!(json["plugins_seconds"], 0.000_012);
        assert_eq!((&json["plugin"], &json["hook"]), (&"access".into(), &"rcpt".into()));
        assert!(json.get("tls").is_none());
        assert_eq!(json["score"], 7.5);
        assert_eq!(json["scores"], r#"[{"plugin":"access","symbol":"BAD","points":7.5}]"#);
        let recipients = json["recipients"].as_str().unwrap();
        let recipients: serde_json::Value = serde_json::from_str(recipients).unwrap();
        assert_eq!(recipients[0]["upstream"], "store");
        assert_eq!(recipients[1], serde_json::json!({ "address": "b@example.org" }));
    }

    #[test]
    fn a_record_is_one_line_of_text() {
        let text = logged(Format::Text, "info", || record("a").emit());
        assert!(text.contains(" INFO  transaction: id=s1.1 outcome=rejected "), "{text}");
        assert!(text.contains(" reply=\"550 5.7.1 a\" plugin=access hook=rcpt "), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn what_a_peer_said_stays_within_its_field() {
        let text = logged(Format::Text, "info", || record(HOSTILE).emit());
        assert!(!text.trim_end_matches('\n').chars().any(char::is_control), "{text:?}");
        // Nothing that splits at quotes is led astray.
        let outside: String = unquoted(&text);
        assert_eq!(outside.matches("outcome=").count(), 1, "{outside}");

        let text = logged(Format::Json, "info", || record(HOSTILE).emit());
        assert!(!text.trim_end_matches('\n').chars().any(char::is_control), "{text:?}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["outcome"], "rejected");
        assert_eq!(json["helo"], HOSTILE);
        assert_eq!(json["user"], HOSTILE);
        let edits: serde_json::Value =
            serde_json::from_str(json["edits"].as_str().unwrap()).unwrap();
        assert_eq!(edits[0]["old"], HOSTILE);
    }

    #[test]
    fn long_values_of_edits_are_cut_at_a_character() {
        let edit = EditRecord::new("headers", "body", None, Some(&"é".repeat(1000)));
        assert_eq!(edit.new.unwrap(), format!("{}... (2000 octets)", "é".repeat(128)));
    }

    fn unquoted(text: &str) -> String {
        let mut quoted = false;
        let mut kept = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' if quoted => drop(characters.next()),
                '"' => quoted = !quoted,
                _ if quoted => {}
                _ => kept.push(character),
            }
        }
        kept
    }
}
