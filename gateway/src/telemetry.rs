//! The log: one line an event, to standard error or to the journal.
//!
//! Half of what is logged was said by a peer. So a line is a line whatever is in it: control
//! characters, and those that turn text around, are escaped, in messages and in fields. And nobody
//! waits for whoever reads it: lines are queued, and dropped where there is no room.

mod journal;
mod kept;
mod line;
mod masks;
mod output;
mod paint;
mod queue;
mod record;

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};
use zeroize::Zeroizing;

use line::Value;
use output::Output;
use queue::Queue;

pub use kept::{Kept, KeptLine};
pub use masks::{Addresses, Masks};
pub use output::Destination;
pub use paint::{Colour, Paint};
pub use queue::LogCounts;
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

/// What is logged, how, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// How lines look.
    pub format: Format,
    /// Which of them there are.
    pub filter: String,
    /// Where they go.
    pub destination: Destination,
    /// Whose addresses are told.
    pub addresses: Addresses,
    /// The key of hashes of addresses.
    pub key: Option<Zeroizing<Vec<u8>>>,
    /// Octets of lines that wait for whoever reads them.
    pub buffer: usize,
}

impl Options {
    /// Everything, to standard error.
    #[must_use]
    pub fn new(format: Format, filter: &str) -> Self {
        Self {
            format,
            filter: filter.to_owned(),
            destination: Destination::Stderr,
            addresses: Addresses::Full,
            key: None,
            buffer: 8 << 20,
        }
    }
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
    /// There is nobody to write it.
    #[error("a thread for the log cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// The log of the process, for those who change it.
struct Telemetry {
    look: Arc<ArcSwap<Look>>,
    filter: reload::Handle<EnvFilter, Registry>,
    queue: Queue,
}

/// How lines look now, and where they go.
#[derive(Debug)]
struct Look {
    format: Format,
    colour: bool,
    masks: Masks,
    output: Arc<Output>,
}

/// Starts the log of the process. In text, on a terminal, with colours, unless `NO_COLOR` is set.
///
/// # Errors
///
/// If the filter is none, or the log was started before.
pub fn start(options: &Options) -> Result<(), TelemetryError> {
    let (filter, handle) = reload::Layer::new(parse_filter(&options.filter)?);
    let (look, trouble) = Look::new(options);
    let look = Arc::new(ArcSwap::from_pointee(look));
    let queue = Queue::start(options.buffer)?;
    let sink = queue.clone();
    let log = Log {
        look: look.clone(),
        put: move |look: &Look, level: Level, line: &[u8]| sink.push(&look.output, level, line),
    };
    set_global_default(Registry::default().with(filter).with(log))?;
    let _ = TELEMETRY.set(Telemetry { look, filter: handle, queue });
    tell(trouble);
    Ok(())
}

/// Changes the log of the process, if it has one.
///
/// # Errors
///
/// If the filter is none; nothing is changed then.
pub fn apply(options: &Options) -> Result<(), TelemetryError> {
    let filter = parse_filter(&options.filter)?;
    let Some(telemetry) = TELEMETRY.get() else { return Ok(()) };
    let (look, trouble) = Look::new(options);
    telemetry.look.store(Arc::new(look));
    telemetry.queue.resize(options.buffer);
    // It is there as long as the process.
    let _ = telemetry.filter.reload(filter);
    tell(trouble);
    Ok(())
}

/// Waits until all lines are written, but no longer than this.
pub fn flush(limit: Duration) {
    if let Some(telemetry) = TELEMETRY.get() {
        telemetry.queue.flush(limit);
    }
}

/// How many lines there were.
#[must_use]
pub fn counts() -> LogCounts {
    TELEMETRY.get().map(|telemetry| telemetry.queue.counts()).unwrap_or_default()
}

fn tell(trouble: Option<io::Error>) {
    if let Some(error) = trouble {
        warn!(%error, "the journal cannot be reached: the log goes to standard error");
    }
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

impl Look {
    /// What was asked for, and what is in the way of it.
    fn new(options: &Options) -> (Self, Option<io::Error>) {
        let format = options.format;
        let (output, trouble) = Output::open(options.destination, format);
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = !output.is_journal() && io::stderr().is_terminal();
        let colour = format == Format::Text && terminal && !no_color;
        let masks = Masks::new(options.addresses, options.key.as_ref().map(|key| &key[..]));
        masks.clone().become_current();
        (Self { format, colour, masks, output: Arc::new(output) }, trouble)
    }
}

/// Makes lines of events.
#[derive(Debug)]
struct Log<P> {
    look: Arc<ArcSwap<Look>>,
    put: P,
}

impl<S, P> Layer<S> for Log<P>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    P: Fn(&Look, Level, &[u8]) + 'static,
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
        let look = self.look.load();
        masks::mask_fields(&look.masks, &mut fields.0);
        let level = *event.metadata().level();
        let line = line::Line {
            time: jiff::Timestamp::now(),
            level,
            target: event.metadata().target(),
            fields: &fields.0,
        };
        let octets = match look.format {
            format if look.output.is_journal() => line.journal(format),
            Format::Json => line.json().into_bytes(),
            Format::Text => line.text(look.colour).into_bytes(),
        };
        (self.put)(&look, level, &octets);
    }
}

static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

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
    use std::sync::Mutex;

    use tracing::subscriber::with_default;
    use tracing::{info, info_span, warn};

    use super::*;

    pub(super) fn logged(format: Format, filter: &str, events: impl FnOnce()) -> String {
        logged_with(&Options::new(format, filter), Masks::default(), events)
    }

    fn logged_with(options: &Options, masks: Masks, events: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (output, _) = Output::open(Destination::Stderr, options.format);
        let look = Look { format: options.format, colour: false, masks, output: output.into() };
        let look = Arc::new(ArcSwap::from_pointee(look));
        let lines = written.clone();
        let put = move |_: &Look, _, line: &[u8]| lines.lock().unwrap().extend_from_slice(line);
        let filter = parse_filter(&options.filter).unwrap();
        with_default(Registry::default().with(Log { look, put }).with(filter), events);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
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
    fn addresses_are_hidden_in_the_lines_of_others_too() {
        let masks = Masks::new(Addresses::None, None);
        let text = logged_with(&Options::new(Format::Text, "info"), masks, || {
            let _span = info_span!("session", client = "192.0.2.1:25").entered();
            info!(recipient = "bob@example.org", said = "550 <bob@example.org>? not here", "no");
        });
        assert!(!text.contains("bob") && !text.contains("192.0.2.1"), "{text}");
        assert!(text.contains("not here"), "{text}");
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
