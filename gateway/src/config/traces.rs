//! Where traces go, if they do.

use std::time::Duration;

use super::origin::Origin;
use super::section::Section;

/// Traces of transactions, for a collector that speaks OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The collector; none is no traces.
    pub endpoint: Option<Origin>,
    /// How many of the transactions: 1 is all.
    pub sample: f64,
    /// Transactions that wait for the collector.
    pub queue: usize,
    /// How long it may take over an answer.
    pub timeout: Duration,
}

impl Traces {
    pub(super) const KEYS: &'static [&'static str] = &["endpoint", "queue", "sample", "timeout"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            endpoint: endpoint(section),
            sample: section.number_or("sample", 0.0..=1.0, 1.0),
            queue: section.count("queue", 1..=1_000_000, 2_000) as usize,
            timeout: section.duration(
                "timeout",
                Duration::from_millis(100)..=Duration::from_mins(1),
                Duration::from_secs(10),
            ),
        }
    }
}

fn endpoint(section: &Section<'_>) -> Option<Origin> {
    let given = section.text("endpoint")?;
    let error = |help: &str| {
        let text = format!("\"{}\" is no endpoint for traces", given.text);
        section.reader.error(given.mark, text, Some(help));
        None
    };
    match Origin::read(given.text, true) {
        Ok(origin) if origin.tls => error(
            "traces go out in clear text: have a collector on this machine send them on by TLS",
        ),
        // What HTTP means without a port is not where collectors listen.
        Ok(origin) if !given.text.trim_end_matches('/').ends_with(":80") && origin.port == 80 => {
            Some(Origin { port: PORT, ..origin })
        }
        Ok(origin) => Some(origin),
        Err(help) if given.text.contains("://") => error(&help),
        Err(_) => error("an endpoint is such as http://127.0.0.1:4318"),
    }
}

/// OTLP over HTTP.
const PORT: u16 = 4318;
