//! Records and fields of lines, each by what it holds.

use std::borrow::Cow;

use super::{Masks, scan};
use crate::telemetry::line::Value;
use crate::telemetry::record::{
    CallRecord, EditRecord, ForwardedRecord, PeerRecord, RecipientRecord, TransactionRecord,
};

/// What is known to belong to somebody, and what stands for it wherever it is repeated.
#[derive(Default)]
struct Known(Vec<(String, String)>);

impl Masks {
    /// The record as it may be told.
    #[must_use]
    pub fn record(&self, mut record: TransactionRecord) -> TransactionRecord {
        if self.is_full() {
            return record;
        }
        let known = Known::of(self, &record);
        let address = |address: &mut String| *address = self.address(address).into_owned();
        let host = |name: &mut String| *name = self.host(name).into_owned();
        address(&mut record.sender);
        record.user.iter_mut().for_each(address);
        record.helo.iter_mut().for_each(host);
        record.client.name.iter_mut().for_each(host);
        record.client.address = self.client(&record.client.address).into_owned();
        record.client.port = None;
        record.client.via.iter_mut().for_each(|via| self.peer(via));
        if let Some(forwarded) = &mut record.forwarded {
            self.forwarded(forwarded);
        }
        let certificate = record.tls.as_mut().and_then(|tls| tls.certificate.as_mut());
        if let Some(certificate) = certificate {
            let values = [&mut certificate.subject, &mut certificate.fingerprint];
            values.into_iter().flatten().for_each(|value| *value = self.value(value));
        }
        self.parameters(&mut record.parameters, &known);
        record.recipients.iter_mut().for_each(|recipient| self.recipient(recipient, &known));
        record.edits.iter_mut().for_each(|edit| self.edit(edit, &known));
        record.calls.iter_mut().for_each(|call| self.call(call, &known));
        record.reply.iter_mut().for_each(|reply| *reply = self.scrub(reply, &known));
        record
    }

    fn peer(&self, peer: &mut PeerRecord) {
        peer.address = self.client(&peer.address).into_owned();
        peer.port = None;
    }

    fn forwarded(&self, forwarded: &mut ForwardedRecord) {
        let host = |name: &mut String| *name = self.host(name).into_owned();
        forwarded.name.iter_mut().for_each(host);
        forwarded.helo.iter_mut().for_each(host);
        let client = |client: &mut String| *client = self.client(client).into_owned();
        forwarded.address.iter_mut().for_each(client);
        forwarded.port = None;
    }

    /// ORCPT and AUTH have addresses, and nobody knows what is in ENVID.
    fn parameters(&self, parameters: &mut [String], known: &Known) {
        for parameter in parameters {
            *parameter = match parameter.split_once('=') {
                Some(("ENVID", value)) => format!("ENVID={}", self.value(value)),
                Some((keyword @ ("AUTH" | "ORCPT"), value)) => {
                    let (kind, value) = value.split_once(';').unwrap_or(("", value));
                    let separator = if kind.is_empty() { "" } else { ";" };
                    format!("{keyword}={kind}{separator}{}", self.address(value))
                }
                _ => self.scrub(parameter, known),
            };
        }
    }

    fn recipient(&self, recipient: &mut RecipientRecord, known: &Known) {
        recipient.address = self.address(&recipient.address).into_owned();
        let changed = &mut recipient.changed_to;
        changed.iter_mut().for_each(|changed| *changed = self.address(changed).into_owned());
        self.parameters(&mut recipient.parameters, known);
        recipient.reply.iter_mut().for_each(|reply| *reply = self.scrub(reply, known));
    }

    fn call(&self, call: &mut CallRecord, known: &Known) {
        let recipient = &mut call.recipient;
        recipient.iter_mut().for_each(|address| *address = (*self.address(address)).into());
        call.text.iter_mut().for_each(|text| *text = self.scrub(text, known).into());
    }

    fn edit(&self, edit: &mut EditRecord, known: &Known) {
        let mask = |value: &mut String| {
            *value = match &*edit.what {
                "recipient" | "sender" => self.address(value).into_owned(),
                what if what.starts_with("header ") => self.value(value),
                _ => self.scrub(value, known),
            };
        };
        edit.old.iter_mut().chain(&mut edit.new).for_each(mask);
        edit.what = self.scrub(&edit.what, known);
    }

    fn scrub(&self, text: &str, known: &Known) -> String {
        known.hide(self.text(text))
    }
}

impl Known {
    /// Of a transaction: everybody who had to do with it.
    fn of(masks: &Masks, record: &TransactionRecord) -> Self {
        let mut known = Self::default();
        let recipients = record.recipients.iter();
        let all = recipients.flat_map(|one| std::iter::once(&one.address).chain(&one.changed_to));
        let called = record.calls.iter().filter_map(|call| call.recipient.as_deref());
        let own = std::iter::once(&record.sender).chain(&record.user);
        own.chain(all).map(|address| &**address).chain(called).for_each(|address| {
            known.address(masks, address);
        });
        known.client(masks, &record.client.address);
        let hosts = record.helo.iter().chain(&record.client.name);
        hosts.for_each(|name| known.add(name, masks.host(name)));
        known
    }

    /// And the local part alone, if it says anything.
    fn address(&mut self, masks: &Masks, address: &str) {
        self.add(address, masks.address(address));
        if let Some((local, _)) = address.rsplit_once('@')
            && local.len() >= LOCAL
        {
            let masked = masks.address(address);
            let local_masked = masked.split('@').next().unwrap_or_default().to_owned();
            self.add(local, local_masked.into());
        }
    }

    fn client(&mut self, masks: &Masks, client: &str) {
        let masked = masks.client(client);
        if masked != client {
            let ip = client.parse::<std::net::SocketAddr>().map(|address| address.ip().to_string());
            self.add(client, masked.clone());
            if let Ok(ip) = ip {
                self.add(&ip, masked);
            }
        }
    }

    fn add(&mut self, words: &str, masked: Cow<'_, str>) {
        let room = self.0.len() < KNOWN && !words.is_empty() && words != masked;
        if room && !self.0.iter().any(|(known, _)| known == words) {
            self.0.push((words.to_owned(), masked.into_owned()));
        }
    }

    fn hide(&self, text: Cow<'_, str>) -> String {
        let hide =
            |text: String, (words, masked): &(String, String)| scan::replace(&text, words, masked);
        self.0.iter().fold(text.into_owned(), hide)
    }
}

/// The fields of a line as they may be told. A record is masked where it is made.
pub(in crate::telemetry) fn mask_fields(masks: &Masks, fields: &mut [(&'static str, Value)]) {
    if masks.is_full() {
        return;
    }
    let mut known = Known::default();
    for (name, value) in fields.iter() {
        let Value::Text(text) = value else { continue };
        match kind(name) {
            Kind::Address => known.address(masks, text),
            Kind::Client => known.client(masks, text),
            Kind::Host => known.add(text, masks.host(text)),
            Kind::Words => {}
        }
    }
    for (name, value) in fields {
        let Value::Text(text) = value else { continue };
        *text = match kind(name) {
            Kind::Address => masks.address(text).into_owned(),
            Kind::Client => masks.client(text).into_owned(),
            Kind::Host => masks.host(text).into_owned(),
            Kind::Words => masks.scrub(text, &known),
        };
    }
}

/// What a field holds.
enum Kind {
    Address,
    Client,
    Host,
    Words,
}

/// By the names that fields have in this program.
fn kind(name: &str) -> Kind {
    match name {
        "identity" | "recipient" | "sender" | "user" => Kind::Address,
        "client" | "network" | "peer" | "via" => Kind::Client,
        "client_name" | "helo" => Kind::Host,
        _ => Kind::Words,
    }
}

/// Characters of a local part that is looked for by itself. Shorter ones are parts of other words.
const LOCAL: usize = 3;

/// Words that are looked for in one record: it takes time, and whole addresses are found without it.
const KNOWN: usize = 64;
