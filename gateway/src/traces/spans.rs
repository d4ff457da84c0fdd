//! A transaction as spans: itself, what each plugin did, and what each upstream did.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::telemetry::{CallRecord, DeliveryRecord, Errand, TransactionRecord};

/// The spans of one transaction, its own first.
pub(super) fn of(record: &TransactionRecord) -> Vec<SpanData> {
    let trace = Trace { id: TraceId::from_bytes(random()), start: record.started.into() };
    let root = SpanId::from_bytes(random());
    let mut spans = vec![trace.transaction(root, record)];
    spans.extend(record.calls.iter().filter_map(|call| trace.call(root, call)));
    spans.extend(record.deliveries.iter().map(|delivery| trace.delivery(root, delivery)));
    spans
}

struct Trace {
    id: TraceId,
    start: SystemTime,
}

impl Trace {
    fn transaction(&self, own: SpanId, record: &TransactionRecord) -> SpanData {
        let mut attributes = vec![
            KeyValue::new("portcullis.id", record.id.clone()),
            KeyValue::new("portcullis.session", record.session.clone()),
            KeyValue::new("portcullis.listener", record.listener.clone()),
            KeyValue::new("portcullis.outcome", record.outcome),
            KeyValue::new("portcullis.sender", record.sender.clone()),
            KeyValue::new("portcullis.octets", number(record.octets)),
            KeyValue::new("portcullis.recipients", number(record.recipients.len() as u64)),
            KeyValue::new("portcullis.generation", number(record.generation)),
            KeyValue::new("network.protocol.name", record.protocol.to_ascii_lowercase()),
            KeyValue::new("client.address", record.client.address.clone()),
        ];
        if let Some(port) = record.client.port {
            attributes.push(KeyValue::new("client.port", i64::from(port)));
        }
        if let Some(code) = record.code {
            attributes.push(KeyValue::new("portcullis.code", i64::from(code)));
        }
        if let Some(reply) = &record.reply {
            attributes.push(KeyValue::new("portcullis.reply", reply.clone()));
        }
        if let Some(decision) = &record.decided_by {
            attributes.push(KeyValue::new("portcullis.plugin", decision.plugin.clone()));
            attributes.push(KeyValue::new("portcullis.hook", decision.hook));
        }
        if let Some(score) = record.score {
            attributes.push(KeyValue::new("portcullis.score", score));
        }
        // A refusal is what a gateway is for; a transaction that was lost is none.
        let lost = matches!(record.outcome, "deferred" | "lost");
        let status = if lost { Status::error(record.outcome) } else { Status::Unset };
        let span = self.span(own, "transaction".into(), (Duration::ZERO, record.duration));
        SpanData { span_kind: SpanKind::Server, attributes, status, ..span }
    }

    /// What was asked before MAIL is no part of it.
    fn call(&self, parent: SpanId, call: &CallRecord) -> Option<SpanData> {
        let mut attributes = vec![
            KeyValue::new("portcullis.plugin", call.plugin.to_string()),
            KeyValue::new("portcullis.hook", call.hook),
            KeyValue::new("portcullis.verdict", call.verdict),
        ];
        let texts = [("recipient", &call.recipient), ("text", &call.text)];
        for (name, text) in texts {
            if let Some(text) = text {
                attributes.push(KeyValue::new(format!("portcullis.{name}"), text.to_string()));
            }
        }
        let mut status = Status::Unset;
        if let Some(failure) = call.failure {
            attributes.push(KeyValue::new("error.type", failure));
            status = Status::error(failure);
        }
        let name = format!("{} {}", call.hook, call.plugin).into();
        let span = self.span(SpanId::from_bytes(random()), name, (call.at?, call.duration));
        Some(SpanData { parent_span_id: parent, attributes, status, ..span })
    }

    fn delivery(&self, parent: SpanId, delivery: &DeliveryRecord) -> SpanData {
        let what = match delivery.what {
            Errand::Message => "message",
            Errand::Rcpt => "rcpt",
        };
        let mut attributes = vec![
            KeyValue::new("portcullis.upstream", delivery.upstream.clone()),
            KeyValue::new("portcullis.what", what),
            KeyValue::new("portcullis.recipients", number(delivery.recipients)),
            KeyValue::new("portcullis.connect_seconds", delivery.connecting.as_secs_f64()),
        ];
        if let Some(address) = &delivery.address {
            attributes.push(KeyValue::new("server.address", address.clone()));
        }
        let name = format!("{what} to {}", delivery.upstream).into();
        let times = (delivery.at, delivery.duration);
        let span = self.span(SpanId::from_bytes(random()), name, times);
        SpanData { span_kind: SpanKind::Client, parent_span_id: parent, attributes, ..span }
    }

    fn span(&self, own: SpanId, name: Cow<'static, str>, times: (Duration, Duration)) -> SpanData {
        let start_time = self.start + times.0;
        let (flags, state) = (TraceFlags::SAMPLED, TraceState::default());
        SpanData {
            span_context: SpanContext::new(self.id, own, flags, false, state),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name,
            start_time,
            end_time: start_time + times.1,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("portcullis").build(),
        }
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Octets of an id. Without randomness there is no trace: an id of zeros is none.
fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    let _ = getrandom::fill(&mut octets);
    octets
}
