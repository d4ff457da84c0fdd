//! The trace field that the gateway puts above a message (RFC 5321 section 4.4).

use std::net::IpAddr;

use jiff::fmt::rfc2822;
use portcullis_smtp::server::Protocol;

use crate::message::{Envelope, SessionFacts};

/// `Received:` with its CRLF.
///
/// `for` names the recipient only where there is one: with several it would tell each about the
/// others.
pub(super) fn field(
    session: &SessionFacts,
    envelope: &Envelope,
    protocol: Protocol,
    hostname: &str,
) -> String {
    let helo = session.helo.as_deref().unwrap_or("unknown");
    let client = match session.client.ip().to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let with = with(session, protocol);
    let id = &envelope.id;
    let mut field = format!(
        "Received: from {helo} ({client})\r\n\tby {hostname} (Portcullis) with {with} id {id}"
    );
    if let Some(tls) = &session.tls {
        field.push_str(&format!("\r\n\t({} {})", tls.version, tls.cipher));
    }
    if let [recipient] = &envelope.recipients[..] {
        field.push_str(&format!("\r\n\tfor <{}>", recipient.address));
    }
    field.push_str(&format!(";\r\n\t{}\r\n", date()));
    field
}

/// The protocol word of RFC 3848.
fn with(session: &SessionFacts, protocol: Protocol) -> &'static str {
    match (protocol, session.esmtp, session.tls.is_some()) {
        (Protocol::Lmtp, _, false) => "LMTP",
        (Protocol::Lmtp, _, true) => "LMTPS",
        (Protocol::Smtp, false, _) => "SMTP",
        (Protocol::Smtp, true, false) => "ESMTP",
        (Protocol::Smtp, true, true) => "ESMTPS",
    }
}

fn date() -> String {
    rfc2822::to_string(&jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC))
        .unwrap_or_default()
}
