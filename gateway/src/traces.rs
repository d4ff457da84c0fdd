//! Traces of transactions, for a collector that speaks OTLP over HTTP.
//!
//! They are made from the record when a transaction has ended, by a task that nobody waits for: what
//! the collector does not take in time is dropped and counted.

mod client;
mod spans;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config;
use crate::metrics::{TraceMetrics, TraceResult};
use crate::telemetry::TransactionRecord;
use client::Client;

/// Where records of transactions go to become traces. Its task ends with it.
#[derive(Debug)]
pub struct Traces {
    queue: mpsc::Sender<Told>,
    /// Hashes of ids up to this one are told.
    sample: u64,
    metrics: Arc<TraceMetrics>,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent: {0}")]
pub struct TracesError(String);

#[derive(Debug)]
enum Told {
    Flush(oneshot::Sender<()>),
    Transaction(Arc<TransactionRecord>),
}

impl Traces {
    /// Starts what sends them, on this runtime; nothing if there is nobody to send them to.
    ///
    /// # Errors
    ///
    /// If they cannot be sent there.
    pub fn start(
        config: &config::Traces,
        metrics: Arc<TraceMetrics>,
    ) -> Result<Option<Arc<Self>>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let host = match endpoint.host.contains(':') {
            true => format!("[{}]", endpoint.host),
            false => endpoint.host.clone(),
        };
        let uri = format!("http://{host}:{}/v1/traces", endpoint.port);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(config.timeout))
            // What waits between attempts would hold up all that comes after it.
            .with_retry_policy(RetryPolicy::disabled())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(config.timeout)
            .with_endpoint(uri)
            .build()
            .map_err(|error| TracesError(error.to_string()))?;
        exporter.set_resource(&Resource::builder().with_service_name("portcullis").build());
        let (queue, told) = mpsc::channel(config.queue);
        tokio::spawn(export(exporter, told, metrics.clone()));
        // Of 2^64 hashes so many; a float that is too large becomes the largest.
        let sample = (config.sample * u64::MAX as f64) as u64;
        Ok(Some(Arc::new(Self { queue, sample, metrics })))
    }

    /// Has a transaction become a trace, if it is one of the sample.
    pub fn tell(&self, record: &Arc<TransactionRecord>) {
        let mut hasher = DefaultHasher::new();
        record.id.hash(&mut hasher);
        if hasher.finish() > self.sample {
            return;
        }
        if self.queue.try_send(Told::Transaction(record.clone())).is_err() {
            self.metrics.traced(TraceResult::Dropped, 1);
        }
    }

    /// Waits until what was told is sent, but no longer than this.
    pub async fn flush(&self, limit: Duration) {
        let (done, heard) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Told::Flush(done)).await.is_ok() {
                let _ = heard.await;
            }
        };
        if timeout(limit, flushed).await.is_err() {
            warn!("not all traces were sent");
        }
    }
}

/// Sends what is told, as much at once as there is, until nobody tells anything any more.
async fn export(
    exporter: SpanExporter,
    mut told: mpsc::Receiver<Told>,
    metrics: Arc<TraceMetrics>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut well = true;
    while told.recv_many(&mut batch, BATCH).await > 0 {
        let (mut spans, mut flushed, mut transactions) = (Vec::new(), Vec::new(), 0);
        for one in batch.drain(..) {
            match one {
                Told::Flush(done) => flushed.push(done),
                Told::Transaction(record) => {
                    transactions += 1;
                    spans.extend(spans::of(&record));
                }
            }
        }
        if transactions > 0 {
            let result = exporter.export(spans).await;
            let outcome = if result.is_ok() { TraceResult::Sent } else { TraceResult::Failed };
            metrics.traced(outcome, transactions);
            match result {
                // Once, and not for each batch while the collector is away.
                Err(error) if well => warn!(%error, "the collector takes no traces"),
                Err(error) => debug!(%error, "the collector takes no traces"),
                Ok(()) if !well => warn!("the collector takes traces again"),
                Ok(()) => {}
            }
            well = outcome == TraceResult::Sent;
        }
        for done in flushed {
            let _ = done.send(());
        }
    }
}

/// Transactions in one request: some 100 KiB.
const BATCH: usize = 100;
