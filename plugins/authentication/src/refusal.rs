//! Refusals in the operator's words.

use portcullis_plugin::{Refusal, Verdict};

/// What all refusals have in common.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Where senders read what they can do.
    pub(crate) help: Option<String>,
}

impl Refusals {
    /// A refusal with its places filled in. What peers had a hand in is kept to one line of ASCII.
    pub(crate) fn fill(
        &self,
        refusal: &Refusal,
        facts: &[(&str, &str)],
        more: Option<&str>,
    ) -> Verdict {
        let mut reply = refusal.reply().clone();
        for (name, value) in facts {
            if reply.text.contains(name) {
                reply.text = reply.text.replace(name, &shown(value));
            }
        }
        if let Some(more) = more {
            reply.text.push_str("; ");
            reply.text.push_str(&shown(more));
        }
        if let Some(help) = &self.help {
            reply.text.push_str("; see ");
            reply.text.push_str(help);
        }
        reply.into()
    }
}

fn shown(text: &str) -> String {
    let fits = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    text.chars().take(SHOWN_CHARACTERS).map(fits).collect()
}

/// A domain and more.
const SHOWN_CHARACTERS: usize = 255;
