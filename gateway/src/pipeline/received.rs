//! The trace field that the gateway puts above a message (RFC 5321 section 4.4).

use std::net::IpAddr;

use jiff::fmt::rfc2822;
use portcullis_smtp::parameter::has;
use portcullis_smtp::server::Protocol;

use crate::message::{ClientAddress, Envelope, SessionFacts};

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
    let helo = word(session.helo.as_deref().unwrap_or("unknown"));
    let client = match session.client.ip() {
        Some(IpAddr::V4(address)) => format!("[{address}]"),
        Some(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        None if session.client == ClientAddress::Unix => "local socket".to_owned(),
        None => session.client.host(),
    };
    let with = with(session, protocol);
    let with = match has(&envelope.parameters, "SMTPUTF8") {
        // RFC 6531 section 4.3: UTF8SMTP, UTF8SMTPS, UTF8LMTP ...
        true => format!("UTF8{}", with.trim_start_matches('E')),
        false => with.to_owned(),
    };
    let id = &envelope.id;
    let mut field = format!(
        "Received: from {helo} ({client})\r\n\tby {hostname} (Portcullis) with {with} id {id}"
    );
    if let Some(tls) = &session.tls {
        let words: Vec<_> = tls.words().map(word).collect();
        field.push_str(&format!("\r\n\t({})", words.join(" ")));
    }
    if let [recipient] = &envelope.recipients[..] {
        field.push_str(&format!("\r\n\tfor <{}>", recipient.address));
    }
    field.push_str(&format!(";\r\n\t{}\r\n", date()));
    field
}

/// The client's name for itself, without what would end the clause, open a comment or start another.
fn word(helo: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    helo.chars().map(|c| if plain(c) { c } else { '?' }).collect()
}

/// The protocol word of RFC 3848. It is about the way to here: TLS that ended at a proxy is not it.
pub(super) fn with(session: &SessionFacts, protocol: Protocol) -> &'static str {
    let tls = session.tls.as_ref().is_some_and(|tls| !tls.at_proxy);
    match (protocol, session.esmtp, tls, session.user.is_some()) {
        (Protocol::Lmtp, _, false, false) => "LMTP",
        (Protocol::Lmtp, _, false, true) => "LMTPA",
        (Protocol::Lmtp, _, true, false) => "LMTPS",
        (Protocol::Lmtp, _, true, true) => "LMTPSA",
        (Protocol::Smtp, false, _, _) => "SMTP",
        (Protocol::Smtp, true, false, false) => "ESMTP",
        (Protocol::Smtp, true, false, true) => "ESMTPA",
        (Protocol::Smtp, true, true, false) => "ESMTPS",
        (Protocol::Smtp, true, true, true) => "ESMTPSA",
    }
}

fn date() -> String {
    rfc2822::to_string(&jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use portcullis_smtp::{Mailbox, Parameter, ReversePath};

    use super::*;
    use crate::message::{Recipient, Scores, TlsFacts};

    fn session(helo: &str) -> SessionFacts {
        let client = "[2001:db8::1]:2525".parse().expect("an address");
        let facts = SessionFacts::new("5d0".into(), "mx", client);
        SessionFacts { helo: Some(helo.into()), esmtp: true, ..facts }
    }

    fn envelope(recipients: &[&str]) -> Envelope {
        let recipient = |(index, address): (u32, &&str)| Recipient {
            index,
            address: Mailbox::parse(address).expect("an address"),
            parameters: Vec::new(),
            route: None,
        };
        Envelope {
            id: "5d0.1".into(),
            reverse_path: ReversePath::Null,
            parameters: Vec::new(),
            recipients: (0..).zip(recipients).map(recipient).collect(),
            scores: Scores::default(),
        }
    }

    /// The field without its date.
    fn clauses(session: &SessionFacts, recipients: &[&str], protocol: Protocol) -> String {
        let field = field(session, &envelope(recipients), protocol, "mx.example");
        let (clauses, date) = field.split_once(";\r\n\t").expect("a date");
        assert!(date.ends_with(" +0000\r\n"), "{date:?}");
        clauses.to_owned()
    }

    #[test]
    fn it_says_who_where_how_and_for_whom() {
        let heard = clauses(&session("c.example"), &["b@d.example"], Protocol::Smtp);
        let want = "Received: from c.example ([IPv6:2001:db8::1])\r\n\t\
            by mx.example (Portcullis) with ESMTP id 5d0.1\r\n\tfor <b@d.example>";
        assert_eq!(heard, want);
    }

    #[test]
    fn a_client_at_a_unix_socket_has_no_address() {
        let session = SessionFacts { client: ClientAddress::Unix, ..session("c.example") };
        let heard = clauses(&session, &[], Protocol::Lmtp);
        assert!(heard.starts_with("Received: from c.example (local socket)\r\n"), "{heard}");
    }

    #[test]
    fn tls_that_ended_at_a_proxy_is_told_and_not_claimed() {
        let tls = TlsFacts {
            version: "TLSv1.3".into(),
            cipher: "X) by x (".into(),
            at_proxy: true,
            ..TlsFacts::default()
        };
        let session = SessionFacts { tls: Some(tls), ..session("c.example") };
        let heard = clauses(&session, &[], Protocol::Smtp);
        let want = " with ESMTP id 5d0.1\r\n\t(TLSv1.3 X??by?x?? at the proxy)";
        assert!(heard.ends_with(want), "{heard}");
    }

    #[test]
    fn what_a_proxy_does_not_tell_leaves_no_gap() {
        let tls = TlsFacts { version: "TLSv1.3".into(), at_proxy: true, ..TlsFacts::default() };
        let session = SessionFacts { tls: Some(tls), ..session("c.example") };
        let heard = clauses(&session, &[], Protocol::Smtp);
        assert!(heard.ends_with("\r\n\t(TLSv1.3 at the proxy)"), "{heard}");
    }

    #[test]
    fn several_recipients_do_not_learn_of_each_other() {
        for recipients in [&[][..], &["a@d.example", "b@d.example"]] {
            let heard = clauses(&session("c.example"), recipients, Protocol::Smtp);
            assert!(heard.ends_with(" id 5d0.1"), "{heard}");
        }
    }

    #[test]
    fn the_protocol_is_that_of_rfc_3848() {
        let tls = TlsFacts {
            version: "TLSv1.3".into(),
            cipher: "TLS13_AES_256_GCM_SHA384".into(),
            ..TlsFacts::default()
        };
        let (tls, alice) = (Some(tls), Some("alice"));
        for (protocol, esmtp, tls, user, want) in [
            (Protocol::Smtp, false, None, None, "SMTP"),
            (Protocol::Smtp, true, None, None, "ESMTP"),
            (Protocol::Smtp, true, None, alice, "ESMTPA"),
            (Protocol::Smtp, true, tls.clone(), None, "ESMTPS"),
            (Protocol::Smtp, true, tls.clone(), alice, "ESMTPSA"),
            (Protocol::Lmtp, true, None, None, "LMTP"),
            (Protocol::Lmtp, true, None, alice, "LMTPA"),
            (Protocol::Lmtp, true, tls.clone(), None, "LMTPS"),
            (Protocol::Lmtp, true, tls.clone(), alice, "LMTPSA"),
        ] {
            let user = user.map(str::to_owned);
            let session = SessionFacts { esmtp, tls, user, ..session("c.example") };
            let heard = clauses(&session, &[], protocol);
            assert!(heard.contains(&format!(" with {want} id ")), "{heard}");
        }
    }

    #[test]
    fn it_says_where_smtputf8_was_used() {
        for (protocol, esmtp, want) in
            [(Protocol::Smtp, true, "UTF8SMTP"), (Protocol::Lmtp, true, "UTF8LMTP")]
        {
            let session = SessionFacts { esmtp, ..session("c.example") };
            let keyword = Parameter { keyword: "SMTPUTF8".into(), value: None };
            let envelope =
                Envelope { parameters: vec![keyword], ..envelope(&["j\u{f6}rg@d.example"]) };
            let field = field(&session, &envelope, protocol, "mx.example");
            assert!(field.contains(&format!(" with {want} id ")), "{field}");
            assert!(field.contains("\tfor <j\u{f6}rg@d.example>;"), "{field}");
        }
    }

    #[test]
    fn a_client_cannot_write_into_it_by_its_name() {
        for name in ["(", "a; Thu, 1 Jan", "b (mail.bank.example [192.0.2.1]) by x", "\"", "<>"] {
            let heard = clauses(&session(name), &[], Protocol::Smtp);
            let from = heard.strip_prefix("Received: from ").expect("from");
            let (word, rest) = from.split_once(' ').expect("a space");
            assert_eq!(word.len(), name.len(), "{heard}");
            assert!(rest.starts_with("([IPv6:2001:db8::1])\r\n"), "{heard}");
        }
    }

    #[test]
    fn no_line_is_too_long_for_the_longest_names() {
        let long = format!("{}.{}", "h".repeat(127), "e".repeat(127));
        let recipient = format!("{}@{}", "l".repeat(255), vec!["d".repeat(60); 4].join("."));
        let field = field(&session(&long), &envelope(&[&recipient]), Protocol::Smtp, &long);
        assert!(field.split("\r\n").all(|line| line.len() <= 998));
    }
}
