//! The `log` interface. What a plugin says is escaped, cut and counted.

use std::fmt::Write as _;

use tracing::Level as Severity;
use wasmtime::Result;

use crate::plugins::authentication::holds_secret;
use crate::plugins::bindings::log::{Host, Level};
use crate::plugins::state::State;

/// How much of a call's share of the log is spent.
#[derive(Debug, Default)]
pub(in crate::plugins) struct LogLines {
    written: u32,
    dropped: u64,
    error: Option<String>,
}

impl LogLines {
    /// The last line of the call that was an error: if it fails then, that is why.
    pub(in crate::plugins) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

impl Host for State {
    fn enabled(&mut self, at: Level) -> Result<bool> {
        Ok(match at {
            Level::Trace => tracing::enabled!(target: TARGET, Severity::TRACE),
            Level::Debug => tracing::enabled!(target: TARGET, Severity::DEBUG),
            Level::Info => tracing::enabled!(target: TARGET, Severity::INFO),
            Level::Warn => tracing::enabled!(target: TARGET, Severity::WARN),
            Level::Error => tracing::enabled!(target: TARGET, Severity::ERROR),
        })
    }

    fn write(&mut self, at: Level, text: String, fields: Vec<(String, String)>) -> Result<()> {
        if Host::enabled(self, at)? {
            self.log_line(at, &text, &fields);
        }
        Ok(())
    }
}

impl State {
    /// Logs one line of the plugin, as long as its call has lines left.
    pub(in crate::plugins) fn log_line(
        &mut self,
        at: Level,
        text: &str,
        fields: &[(String, String)],
    ) {
        if self.log.written >= LINES {
            self.log.dropped += 1;
            return;
        }
        self.log.written += 1;
        let withheld = self.holds_secret(text, fields);
        let (text, fields) = if withheld { (WITHHELD, &[][..]) } else { (text, fields) };
        let text = printable(text, LINE_OCTETS);
        let fields = joined(fields, LINE_OCTETS - text.len());
        self.facts.metrics.logged(name(at));
        let (plugin, hook) = (&*self.facts.name, self.running());
        let call = self.call.as_ref();
        let session = call.map_or("", |call| &*call.given.session.id);
        let transaction = call.and_then(|call| Some(&*call.given.envelope.as_ref()?.id));
        let fields = (!fields.is_empty()).then_some(fields);
        macro_rules! event {
            ($severity:ident) => {
                tracing::event!(
                    target: TARGET,
                    Severity::$severity,
                    plugin,
                    hook,
                    session,
                    transaction,
                    fields,
                    "{text}"
                )
            };
        }
        match at {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error => event!(ERROR),
        }
        if at == Level::Error {
            self.log.error = Some(text);
        }
    }

    /// What the plugin reached for beyond the mail, and what came of it: for those who look at it
    /// closely.
    pub(in crate::plugins) fn asked(&self, words: impl FnOnce() -> String) {
        if tracing::enabled!(target: ASKED, Severity::TRACE) {
            let (plugin, hook) = (&*self.facts.name, self.running());
            let words = printable(&words(), LINE_OCTETS);
            tracing::trace!(target: ASKED, plugin, hook, "{words}");
        }
    }

    /// Whether a line says what only the plugin and its client are to know.
    fn holds_secret(&self, text: &str, fields: &[(String, String)]) -> bool {
        let Some(credentials) = self.call.as_ref().and_then(|call| call.given.credentials.as_ref())
        else {
            return false;
        };
        let mut all = fields.iter().flat_map(|(name, value)| [name, value]);
        holds_secret(credentials, text) || all.any(|part| holds_secret(credentials, part))
    }

    /// Tells how many lines were too many, and gives the next call a share of its own.
    pub(in crate::plugins) fn log_dropped(&mut self) {
        self.log.written = 0;
        let dropped = std::mem::take(&mut self.log.dropped);
        if dropped > 0 {
            self.facts.metrics.log_dropped(dropped);
            let (plugin, hook) = (&*self.facts.name, self.running());
            tracing::warn!(target: TARGET, plugin, hook, dropped, "plugin logs too much");
        }
    }
}

/// The level's value in the metrics.
fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// Text from outside as one printable line of at most about `octets` octets.
pub(in crate::plugins) fn printable(text: &str, octets: usize) -> String {
    let mut line = String::with_capacity(text.len().min(octets));
    for c in text.chars() {
        let before = line.len();
        // Besides what terminals obey, what makes a line look like another one: separators and
        // directions of writing.
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > octets {
            line.truncate(before);
            break;
        }
    }
    line
}

fn joined(fields: &[(String, String)], octets: usize) -> String {
    let mut line = String::new();
    for (name, value) in fields {
        let left = octets.saturating_sub(line.len());
        if left == 0 {
            break;
        }
        let space = if line.is_empty() { "" } else { " " };
        let field = printable(&format!("{name}={value}"), left);
        // Writing to a string cannot fail.
        let _ = write!(line, "{space}{field}");
    }
    line
}

/// Instead of a line that holds a secret.
const WITHHELD: &str = "a line is withheld: it holds the client's secret";

/// What plugins say can be filtered apart from what the gateway says about them.
const TARGET: &str = "portcullis::plugin";

/// What they ask for is told apart from what they say.
const ASKED: &str = "portcullis::asked";

/// Lines of one hook call, as the contract says.
const LINES: u32 = 100;

/// Text and fields of one line, as the contract says.
const LINE_OCTETS: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(printable("a\r\nb\u{1b}[31m", 100), "a\\r\\nb\\u{1b}[31m");
        assert_eq!(printable("\u{202e}x", 100), "\\u{202e}x");
        assert_eq!(printable("gr\u{fc}n", 3), "gr");
        assert_eq!(printable("abc\n", 4), "abc");
    }
}
