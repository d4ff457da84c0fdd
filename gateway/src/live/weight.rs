//! About how much memory a record takes: what it holds, without what the allocator adds.

use std::mem::size_of;

use crate::telemetry::{
    CallRecord, DeliveryRecord, EditRecord, RecipientRecord, ScoreRecord, TransactionRecord,
};

pub(super) fn octets(record: &TransactionRecord) -> u64 {
    let texts = [&record.id, &record.session, &record.listener, &record.sender];
    let perhaps = [&record.helo, &record.user, &record.mechanism, &record.reply];
    let mut octets = size_of::<TransactionRecord>() + BOXES;
    octets += texts.iter().map(|text| text.len()).sum::<usize>();
    octets += perhaps.into_iter().flatten().map(String::len).sum::<usize>();
    octets += words(&record.parameters) + record.client.address.len();
    octets += record.recipients.iter().map(recipient).sum::<usize>();
    octets += record.calls.iter().map(call).sum::<usize>();
    octets += record.edits.iter().map(edit).sum::<usize>();
    octets += record.scores.iter().map(score).sum::<usize>();
    octets += record.deliveries.iter().map(delivery).sum::<usize>();
    octets as u64
}

fn words(words: &[String]) -> usize {
    words.iter().map(|word| size_of::<String>() + word.len()).sum()
}

fn recipient(recipient: &RecipientRecord) -> usize {
    let RecipientRecord { changed_to, upstream, refused_by, reply, .. } = recipient;
    let perhaps = [changed_to, upstream, refused_by, reply];
    size_of::<RecipientRecord>()
        + recipient.address.len()
        + words(&recipient.parameters)
        + perhaps.into_iter().flatten().map(String::len).sum::<usize>()
}

fn call(call: &CallRecord) -> usize {
    let perhaps = [&call.recipient, &call.text];
    size_of::<CallRecord>()
        + call.plugin.len()
        + perhaps.into_iter().flatten().map(|text| text.len()).sum::<usize>()
}

fn edit(edit: &EditRecord) -> usize {
    let perhaps = [&edit.old, &edit.new];
    size_of::<EditRecord>()
        + edit.plugin.len()
        + edit.what.len()
        + perhaps.into_iter().flatten().map(String::len).sum::<usize>()
}

fn score(score: &ScoreRecord) -> usize {
    size_of::<ScoreRecord>() + score.plugin.len() + score.symbol.len()
}

fn delivery(delivery: &DeliveryRecord) -> usize {
    size_of::<DeliveryRecord>()
        + delivery.upstream.len()
        + delivery.address.as_ref().map_or(0, String::len)
}

/// For what few have: TLS, thresholds, what a proxy said.
const BOXES: usize = 256;
