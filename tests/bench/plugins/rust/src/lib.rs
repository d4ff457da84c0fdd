//! What `gateway/benches/cost.rs` measures in every language: nothing at RCPT, a look at one header, and
//! at the end nothing again, or a look at every octet of the body.

use portcullis_plugin::{Hook, Message, Verdict, plugin};

/// The settings.
#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// Whether the header is looked at.
    look: bool,
    /// Whether the body is looked at.
    scan: bool,
}

impl Default for Cost {
    fn default() -> Self {
        Self { look: true, scan: false }
    }
}

#[plugin]
impl Cost {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn skip(&self) -> Vec<Hook> {
        if self.look { Vec::new() } else { vec![Hook::Headers] }
    }

    fn rcpt(&self) -> Verdict {
        Verdict::Next
    }

    fn headers(&self, message: &Message) -> Verdict {
        if message.header_text("Subject").iter().any(|subject| subject.contains("cheap watches")) {
            return Verdict::reject(550, "5.7.1", "no watches");
        }
        Verdict::Next
    }

    fn message(&self, message: &Message) -> Verdict {
        if self.scan && exclamations(message) > 1_000 {
            return Verdict::reject(550, "5.7.1", "no shouting");
        }
        Verdict::Next
    }
}

fn exclamations(message: &Message) -> usize {
    let (reader, mut count) = (message.read_body(), 0);
    loop {
        let chunk = reader.read(64 << 10);
        if chunk.is_empty() {
            return count;
        }
        count += chunk.iter().filter(|octet| **octet == b'!').count();
    }
}
