//! What happens with TLS on a listener.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::family::{NETWORK_SECONDS, counters, gauges, histogram};
use super::label::{Each, HandshakeFailure};

/// The families about TLS that have a `listener` label.
#[derive(Debug)]
pub(super) struct TlsFamilies {
    certificate_ends: IntGaugeVec,
    certificate_reloads: IntCounterVec,
    handshake_failures: IntCounterVec,
    handshake_seconds: Histogram,
    handshakes: IntCounterVec,
}

impl TlsFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            certificate_ends: gauges(
                registry,
                "portcullis_tls_certificate_not_after_seconds",
                "When the certificate in this file ends, since the epoch; the file is read again \
                 when it changes",
                &["listener", "certificate"],
            ),
            certificate_reloads: counters(
                registry,
                "portcullis_tls_certificate_reloads_total",
                "Certificates whose files changed: used now, or refused, and the old one stays",
                &["listener", "result"],
            ),
            handshake_failures: counters(
                registry,
                "portcullis_tls_handshake_failures_total",
                "Why handshakes with clients failed; `alert`: the client went, most likely it \
                 does not trust the certificate",
                &["listener", "reason"],
            ),
            handshake_seconds: histogram(
                registry,
                "portcullis_tls_handshake_duration_seconds",
                "How long TLS handshakes with clients took, failed ones, too",
                NETWORK_SECONDS,
            ),
            handshakes: counters(
                registry,
                "portcullis_tls_handshakes_total",
                "TLS handshakes with clients",
                &["listener", "result"],
            ),
        }
    }

    pub(super) fn resolve(&self, listener: &str) -> TlsMetrics {
        let of = |family: &IntCounterVec, result| family.with_label_values(&[listener, result]);
        TlsMetrics {
            listener: listener.to_owned(),
            certificate_ends: self.certificate_ends.clone(),
            certificates_refused: of(&self.certificate_reloads, "failed"),
            certificates_reloaded: of(&self.certificate_reloads, "ok"),
            handshake_failures: Each::new(&self.handshake_failures, listener),
            handshake_seconds: self.handshake_seconds.clone(),
            handshakes_done: of(&self.handshakes, "ok"),
            handshakes_failed: of(&self.handshakes, "failed"),
        }
    }
}

/// TLS on one listener.
#[derive(Debug)]
pub(super) struct TlsMetrics {
    listener: String,
    certificate_ends: IntGaugeVec,
    certificates_refused: IntCounter,
    certificates_reloaded: IntCounter,
    handshake_failures: Each<HandshakeFailure, IntCounter>,
    handshake_seconds: Histogram,
    handshakes_done: IntCounter,
    handshakes_failed: IntCounter,
}

impl TlsMetrics {
    pub(super) fn handshake(&self, ended: Result<(), HandshakeFailure>, took: Duration) {
        self.handshake_seconds.observe(took.as_secs_f64());
        match ended {
            Ok(()) => self.handshakes_done.inc(),
            Err(reason) => {
                self.handshakes_failed.inc();
                self.handshake_failures.inc(reason);
            }
        }
    }

    pub(super) fn certificate_ends(&self, file: &str, not_after: i64) {
        self.certificate_ends.with_label_values(&[&*self.listener, file]).set(not_after);
    }

    pub(super) fn certificate_gone(&self, file: &str) {
        // It may never have been there.
        let _ = self.certificate_ends.remove_label_values(&[&*self.listener, file]);
    }

    pub(super) fn certificate_reloaded(&self, used: bool) {
        if used { self.certificates_reloaded.inc() } else { self.certificates_refused.inc() }
    }
}
