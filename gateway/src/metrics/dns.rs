//! What happens towards name servers.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::family::{NETWORK_SECONDS, UNIQUE, counters, gauges};
use super::label::{DnsResult, Label};

/// The metrics of the resolver: each call is an atomic addition or two.
#[derive(Debug)]
pub struct DnsMetrics {
    queries: Vec<IntCounter>,
    seconds: Histogram,
    in_flight: IntGauge,
}

impl DnsMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let queries = counters(
            registry,
            "portcullis_dns_queries_total",
            "Questions of plugins to the resolver, those that its cache answers, too",
            &["result"],
        );
        let seconds = HistogramOpts::new(
            "portcullis_dns_query_duration_seconds",
            "How long answers of the resolver took",
        );
        let seconds = Histogram::with_opts(seconds.buckets(NETWORK_SECONDS.to_vec()));
        let seconds = seconds.expect(UNIQUE);
        registry.register(Box::new(seconds.clone())).expect(UNIQUE);
        let in_flight = gauges(
            registry,
            "portcullis_dns_queries_in_flight",
            "Questions without an answer yet; at most `dns.queries`",
            &[],
        );
        let count = |result: &DnsResult| queries.with_label_values(&[result.value()]);
        Self {
            queries: DnsResult::ALL.iter().map(count).collect(),
            seconds,
            in_flight: in_flight.with_label_values::<&str>(&[]),
        }
    }

    /// A question is being asked for as long as what this returns is kept.
    pub fn in_flight(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// A question has its answer.
    pub fn answered(&self, result: DnsResult, after: Duration) {
        if let Some(counter) = self.queries.get(result.position()) {
            counter.inc();
        }
        self.seconds.observe(after.as_secs_f64());
    }
}

/// A question that has no answer yet.
#[derive(Debug)]
pub struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
