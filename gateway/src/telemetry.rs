//! The log: one line an event, to standard error.
//!
//! Half of what is logged was said by a peer. So a line is a line whatever is in it: control
//! characters, and those that turn text around, are escaped, in messages and in fields.

mod kept;
mod line;
mod record;

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use line::Value;

pub use kept::{Kept, KeptLine};
pub use record::{
    CallRecord, CertificateRecord, ClientRecord, Decision, DeliveryRecord, EditRecord, Errand,
    ForwardedRecord, PeerRecord, RecipientRecord, RouteRecord, ScoreRecord, StagesRecord,
    ThresholdsRecord, TlsRecord, TransactionRecord,
};

/// How lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter has a part that is no directive.
    #[error("log level: {0}")]
    Filter(#[from] ParseError),
    /// A part of the filter reads as a target's name, and hardly anyone means that.
    #[error("log level {0:?} is not one of error, warn, info, debug, trace, off")]
    Level(String),
    /// There is a log already.
    #[error(transparent)]
    Started(#[from] SetGlobalDefaultError),
}

/// Starts the log of the process. In text, on a terminal, with colours, unless `NO_COLOR` is set.
///
/// # Errors
///
/// If the filter is none, or the log was started before.
pub fn start(format: Format, filter: &str) -> Result<(), TelemetryError> {
    let filter = parse_filter(filter)?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = format == Format::Text && io::stderr().is_terminal() && !no_color;
    set_global_default(
        Registry::default().with(Log::new(format, colour, io::stderr)).with(filter),
    )?;
    Ok(())
}

/// Says whether [`start`] would take this filter.
///
/// # Errors
///
/// If it would not.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let parts: Vec<&str> = filter.split(',').map(str::trim).collect();
    for part in parts.iter().filter(|part| !part.contains(['=', '['])) {
        if part.is_empty() || part.parse::<LevelFilter>().is_err() {
            return Err(TelemetryError::Level((*part).to_owned()));
        }
    }
    Ok(EnvFilter::builder().parse(parts.join(","))?)
}

/// Writes events as lines.
#[derive(Debug)]
struct Log<W> {
    format: Format,
    colour: bool,
    writer: W,
}

impl<W> Log<W> {
    fn new(format: Format, colour: bool, writer: W) -> Self {
        Self { format, colour, writer }
    }
}

impl<S, W> Layer<S> for Log<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.0.extend(outer.0.iter().cloned());
            }
        }
        fields.keep_first();
        let line = line::Line {
            time: jiff::Timestamp::now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            fields: &fields.0,
        };
        let text = match self.format {
            Format::Json => line.json(),
            Format::Text => line.text(self.colour),
        };
        // In one piece, so that lines of several threads do not mix. If nobody can be told, there
        // is nobody to tell that.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(text.as_bytes());
    }
}

/// What an event or a span was given, in that order.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// The event's own field goes before that of a span, the inner span's before the outer's.
    fn keep_first(&mut self) {
        let mut seen = HashSet::new();
        self.0.retain(|(name, _)| seen.insert(*name));
    }

    fn push(&mut self, field: &Field, value: Value) {
        self.0.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Other(value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        match value.downcast_ref::<record::Carried>() {
            Some(record::Carried(record)) => self.push(field, Value::Record(record.clone())),
            None => self.push(field, Value::Text(value.to_string())),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows no infinity.
        let known = value.is_finite();
        self.push(field, Value::Other(if known { value.to_string() } else { "null".to_owned() }));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Other(value.to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Other(value.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn logged(format: Format, filter: &str, events: impl FnOnce()) -> String {
        let output = Output::default();
        let writer = output.clone();
        let log = Log::new(format, false, move || writer.clone());
        let filter = parse_filter(filter).unwrap();
        with_default(Registry::default().with(log).with(filter), events);
        let octets = output.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn text_is_for_people() {
        let text = logged(Format::Text, "info", || {
            warn!(target: "portcullis::x", plugin = "access", on_failure = "two words", n = 3, "failed");
        });
        let (time, rest) = text.split_once(' ').unwrap();
        time.parse::<jiff::Timestamp>().unwrap();
        assert_eq!(
            rest,
            "WARN  portcullis::x: failed plugin=access on_failure=\"two words\" n=3\n"
        );
    }

    #[test]
    fn json_has_numbers_and_the_fields_of_spans() {
        let text = logged(Format::Json, "info", || {
            let _outer = info_span!("session", id = "s1", listener = "mx").entered();
            let _inner = info_span!("transaction", id = "s1.1").entered();
            info!(target: "portcullis::x", octets = 12_u64, ok = true, ratio = 0.5, "done");
        });
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json.as_object_mut().unwrap().remove("time").unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "level": "info", "target": "portcullis::x", "message": "done",
                "octets": 12, "ok": true, "ratio": 0.5, "id": "s1.1", "listener": "mx",
            })
        );
    }

    const HOSTILE: &str = "a\r\n2026-01-01T00:00:00Z ERROR x\u{1b}[2J\u{9b}31m\u{202e}\"\\\0 end";

    fn tell_hostile() {
        let _span = info_span!("session", helo = HOSTILE, name = %HOSTILE).entered();
        info!(said = HOSTILE, shown = %HOSTILE, "it said {HOSTILE}");
    }

    #[test]
    fn a_peer_cannot_break_a_line_of_text() {
        let text = logged(Format::Text, "info", tell_hostile);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(text.ends_with('\n'));
        let inside = text.trim_end_matches('\n');
        assert!(!inside.chars().any(char::is_control), "{inside:?}");
        assert!(!inside.contains('\u{202e}'));
    }

    #[test]
    fn a_peer_cannot_break_a_line_of_json() {
        let text = logged(Format::Json, "info", tell_hostile);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        let inside = text.trim_end_matches('\n');
        assert!(!inside.chars().any(char::is_control), "{inside:?}");
        assert!(!inside.contains('\u{202e}'));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for field in ["said", "shown", "helo", "name"] {
            assert_eq!(json[field], HOSTILE);
        }
    }

    #[test]
    fn the_filter_knows_levels_and_targets() {
        let text = logged(Format::Text, "warn,portcullis::upstream=debug", || {
            info!(target: "portcullis::pipeline", "quiet");
            tracing::debug!(target: "portcullis::upstream", "told");
        });
        assert!(text.contains("told") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_target() {
        for filter in ["inof", "", "warn,inof", "portcullis=loud"] {
            assert!(check_filter(filter).is_err(), "{filter:?}");
        }
        for filter in ["off", "INFO", "info,portcullis::upstream=debug", "warn, portcullis=trace"] {
            check_filter(filter).unwrap();
        }
    }
}
