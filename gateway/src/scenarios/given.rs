//! What is given: a session, an envelope, a message.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_smtp::{Mailbox, ReversePath};

use crate::config::Config;
use crate::config::section::{Section, Text};
use crate::config::tree::Value;
use crate::explain::{self, HELO, Inquiry};
use crate::workbench::{Mail, address, read_message};

const SESSION_KEYS: &[&str] = &["client", "helo", "listener", "tls", "user"];
const MAIL_KEYS: &[&str] = &["from", "to"];

/// Reads it from the section that holds these keys, among others.
pub(super) fn read(section: &Section<'_>, config: &Config) -> Inquiry {
    let session = section.section("session", SESSION_KEYS);
    let mail = section.section("mail", MAIL_KEYS);
    let message = section.entry("message").and_then(|entry| read_message(section, &entry));
    let recipients = recipients(&mail);
    if message.is_some() && recipients.as_ref().is_none_or(Vec::is_empty) {
        mail.demand("to", "whom the message is for: mail: {to: [bob@example.org]}");
    }
    Inquiry {
        listener: listener(&session, config),
        sender: sender(&mail),
        recipients: recipients.unwrap_or_default(),
        client: client(&session),
        helo: helo(&session),
        user: session.text("user").map(|user| user.text.to_owned()),
        tls: session.choice("tls", BOOLEAN).unwrap_or_default(),
        message,
    }
}

fn listener(session: &Section<'_>, config: &Config) -> Option<String> {
    let names: Vec<_> = config.listeners.iter().map(|one| one.name.as_str()).collect();
    Some(session.known_name("listener", session.text("listener")?, &names))
}

/// `192.0.2.1`, or `unknown`.
fn client(session: &Section<'_>) -> Option<IpAddr> {
    let Some(Text { text, mark }) = session.text("client") else { return Some(CLIENT) };
    if text == "unknown" {
        return None;
    }
    let client = text.parse().ok();
    if client.is_none() {
        let help = "an IP address, such as 192.0.2.1 or 2001:db8::1, or \"unknown\"";
        let text = format!("\"client\" cannot be \"{text}\"");
        session.reader.error(mark, text, Some(help));
    }
    client
}

fn helo(session: &Section<'_>) -> String {
    let Some(Text { text, mark }) = session.text("helo") else { return HELO.to_owned() };
    explain::helo(text).unwrap_or_else(|_| {
        let text = format!("\"helo\" cannot be \"{}\"", text.escape_debug());
        session.reader.error(mark, text, Some("a name on one line, such as client.example"));
        HELO.to_owned()
    })
}

fn sender(mail: &Section<'_>) -> ReversePath {
    let usual = || Mail::default().reverse_path;
    match mail.text("from") {
        None => usual(),
        Some(Text { text: "" | "<>", .. }) => ReversePath::Null,
        Some(given) => address(mail.reader, given).map_or_else(usual, ReversePath::Mailbox),
    }
}

fn recipients(mail: &Section<'_>) -> Option<Vec<Mailbox>> {
    let items = mail.list("to")?.iter().filter_map(|item| match &item.value {
        Value::Scalar { text, .. } => address(mail.reader, Text { text, mark: item.mark }),
        Value::Broken => None,
        Value::Mapping(_) | Value::Sequence(_) => {
            let help = "such as [bob@example.org, carol@example.org]";
            mail.reader.error(item.mark, "a recipient is an address", Some(help));
            None
        }
    });
    Some(items.collect())
}

/// As in scenarios of plugins.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

const BOOLEAN: &[(&str, bool)] = &[("false", false), ("true", true)];
