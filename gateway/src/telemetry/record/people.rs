//! The record as a line for people: what became of it, whose it was, who decided, what was said.

use std::fmt::Write;
use std::time::Duration;

use super::{RecipientRecord, TransactionRecord};
use crate::telemetry::line::{push_escaped, push_word};

impl TransactionRecord {
    /// Appends it to a line, all of it escaped.
    ///
    /// `rejected 7x.1 192.0.2.1 a@example.org -> b@example.com via store by access at rcpt:
    /// "550 5.7.1 no" (1234 octets, 12 ms: plugins 2 ms, upstream 9 ms)`
    pub(in crate::telemetry) fn push_for_people(&self, line: &mut String) {
        let _ = write!(line, "{} {} {} ", self.outcome, self.id, self.listener);
        push_word(line, &self.client.address);
        if let Some(user) = &self.user {
            line.push_str(" user ");
            push_word(line, user);
        }
        line.push(' ');
        push_path(line, &self.sender);
        line.push_str(" ->");
        self.push_recipients(line);
        if let Some(decision) = &self.decided_by {
            let _ = write!(line, " by {} at {}", decision.plugin, decision.hook);
        }
        if let Some(score) = self.score {
            let _ = write!(line, " score {score}");
        }
        if let Some(reply) = &self.reply {
            line.push_str(": \"");
            push_escaped(line, reply, true);
            line.push('"');
        }
        let _ = write!(line, " ({} octets, {}", self.octets, Took(self.duration));
        for (part, took) in
            [("plugins", self.plugins_duration), ("upstream", self.upstream_duration)]
        {
            if !took.is_zero() {
                let _ = write!(line, ", {part} {}", Took(took));
            }
        }
        line.push(')');
    }

    fn push_recipients(&self, line: &mut String) {
        if self.recipients.is_empty() {
            line.push_str(" nobody");
        }
        for (nth, recipient) in self.recipients.iter().take(SHOWN).enumerate() {
            line.push_str(if nth == 0 { " " } else { ", " });
            self.push_recipient(line, recipient);
        }
        let rest = self.recipients.len().saturating_sub(SHOWN) as u64 + self.recipients_left_out;
        if rest > 0 {
            let _ = write!(line, " and {rest} more");
        }
    }

    fn push_recipient(&self, line: &mut String, recipient: &RecipientRecord) {
        push_path(line, &recipient.address);
        if let Some(changed) = &recipient.changed_to {
            line.push_str(" as ");
            push_path(line, changed);
        }
        if let Some(upstream) = &recipient.upstream {
            line.push_str(" via ");
            push_word(line, upstream);
        }
        if let Some(plugin) = &recipient.refused_by {
            line.push_str(" refused by ");
            push_word(line, plugin);
        }
        // What is the reply of all, or begins it, need not be told of each.
        let whole = self.reply.as_deref().unwrap_or_default();
        let told = recipient.reply.as_ref().filter(|reply| !whole.starts_with(&***reply));
        if let Some(reply) = told {
            line.push_str(" \"");
            push_escaped(line, reply, true);
            line.push('"');
        }
    }
}

fn push_path(line: &mut String, path: &str) {
    if path.is_empty() {
        line.push_str("<>");
    } else {
        push_word(line, path);
    }
}

/// As people say it: `850 µs`, `12 ms`, `3.2 s`.
struct Took(Duration);

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_micros() {
            micros @ ..1_000 => write!(f, "{micros} µs"),
            micros @ ..1_000_000 => write!(f, "{} ms", micros / 1_000),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}

/// Recipients on a line for people.
const SHOWN: usize = 5;
