//! What rspamd is asked.

use portcullis_plugin::http::Request;
use portcullis_plugin::{Session, Transaction};

use crate::settings::Settings;

/// A request to the first server, without the message.
pub(crate) fn of(settings: &Settings, session: &Session, transaction: &Transaction) -> Request {
    let mut all = Headers(Vec::new());
    // Who is at a Unix socket, or behind a proxy that does not know, has no address.
    all.add("IP", session.client_ip().map(|address| address.to_string()));
    all.add("Helo", session.helo());
    all.add("Hostname", session.client_name());
    all.add("From", Some(transaction.sender().unwrap_or_else(|| "<>".to_owned())));
    for recipient in transaction.recipients() {
        all.add("Rcpt", Some(recipient.address));
    }
    all.add("User", session.user());
    all.add("Queue-Id", Some(transaction.id()));
    if let Some(tls) = session.tls() {
        all.add("TLS-Cipher", Some(tls.cipher));
        all.add("TLS-Version", Some(tls.version));
    }
    all.add("MTA-Name", settings.mta_name.clone());
    all.add("Settings-ID", settings.settings_id.clone());
    all.add("Flags", (!settings.flags.is_empty()).then(|| settings.flags.join(",")));
    all.add("Password", settings.password.as_ref().map(|secret| secret.text().to_owned()));
    for (name, value) in &settings.headers {
        all.add(name, Some(value.clone()));
    }
    let mut request = Request::post("", Vec::new());
    request.headers = all.0;
    request.timeout_ms = Some(settings.timeout.as_seconds() * 1000);
    request
}

struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Strangers chose some of the values: whatever could end a line is left out.
    fn add(&mut self, name: &str, value: Option<String>) {
        let Some(mut value) = value else { return };
        value.retain(|char| !char.is_control());
        if !value.is_empty() {
            self.0.push((name.to_owned(), value.into_bytes()));
        }
    }
}
