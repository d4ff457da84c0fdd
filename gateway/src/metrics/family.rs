//! How families are made: registered once, under a literal name.

use std::collections::BTreeSet;

use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    PullingGauge, Registry,
};

/// Why making a family cannot fail.
pub(super) const UNIQUE: &str =
    "names of families are literals, valid, and each is registered once";

/// Seconds of work inside the gateway.
pub(super) const CALL_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Seconds of waiting for someone on the network. RFC 5321 section 4.5.3.2 lets some take minutes.
pub(super) const NETWORK_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Seconds of sessions: a message takes a moment, `timeouts.command` is five minutes, and
/// `timeouts.session` two hours.
pub(super) const SESSION_SECONDS: &[f64] =
    &[0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// Recipients of one message.
pub(super) const RECIPIENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0];

/// Octets of messages: 1 KiB to 64 MiB.
pub(super) const MESSAGE_BYTES: &[f64] = &[
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// A family of counters.
pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> IntCounterVec {
    let family = IntCounterVec::new(Opts::new(name, help), labels).expect(UNIQUE);
    registry.register(Box::new(family.clone())).expect(UNIQUE);
    family
}

/// A gauge without labels.
pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    gauges(registry, name, help, &[]).with_label_values::<&str>(&[])
}

/// A histogram without labels.
pub(super) fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    histograms(registry, name, help, &[], buckets).with_label_values::<&str>(&[])
}

/// A family of gauges.
pub(super) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let family = IntGaugeVec::new(Opts::new(name, help), labels).expect(UNIQUE);
    registry.register(Box::new(family.clone())).expect(UNIQUE);
    family
}

/// A family of histograms.
pub(super) fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let family = HistogramVec::new(options, labels).expect(UNIQUE);
    registry.register(Box::new(family.clone())).expect(UNIQUE);
    family
}

/// A gauge whose value is asked for at each scrape. A second one of the same name is ignored.
pub(super) fn pulled(
    registry: &Registry,
    name: &str,
    help: &str,
    value: impl Fn() -> f64 + Send + Sync + 'static,
) {
    let gauge = PullingGauge::new(name, help, Box::new(value)).expect(UNIQUE);
    if registry.register(Box::new(gauge)).is_err() {
        tracing::debug!(name, "this metric is there already");
    }
}

/// Takes out what has one of these values of a label.
pub(super) fn leave_out(families: &mut Vec<MetricFamily>, label: &str, values: &BTreeSet<String>) {
    if values.is_empty() {
        return;
    }
    for family in families.iter_mut() {
        let metrics = family.take_metric();
        let stays = |metric: &prometheus::proto::Metric| {
            let mut labels = metric.get_label().iter();
            !labels.any(|pair| pair.name() == label && values.contains(pair.value()))
        };
        family.set_metric(metrics.into_iter().filter(stays).collect());
    }
    families.retain(|family| !family.get_metric().is_empty());
}
