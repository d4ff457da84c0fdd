//! What is given: a session, who logs in, an envelope, a message.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use portcullis_smtp::sasl::{Credentials, Mechanism, Secret};
use portcullis_smtp::server::Lapse;
use portcullis_smtp::{Mailbox, Parameter, ReversePath};

use crate::config::section::{Entry, Reader, Section, Text, distinct};
use crate::config::spelling;
use crate::config::tree::{Node, Value};
use crate::message::{ClientAddress, SessionFacts, TlsFacts};

/// One session, and at most one transaction of it.
#[derive(Clone, Debug)]
pub struct Given {
    /// As it is at its end: what comes later in a session is kept from the hooks before it.
    pub session: SessionFacts,
    /// Who logs in, if anybody does.
    pub credentials: Option<Credentials>,
    /// The envelope, if there is a transaction.
    pub mail: Option<Mail>,
    /// The message as it is sent, lines ended by CRLF. Only with an envelope.
    pub message: Option<Vec<u8>>,
}

/// An envelope that a client wants to send.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The argument of MAIL.
    pub reverse_path: ReversePath,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Each RCPT, with its parameters.
    pub recipients: Vec<(Mailbox, Vec<Parameter>)>,
}

impl Default for Given {
    fn default() -> Self {
        let client = ClientAddress::Ip(SocketAddr::new(IpAddr::from([192, 0, 2, 200]), 4025));
        let session = SessionFacts {
            helo: Some("client.example".into()),
            esmtp: true,
            ..SessionFacts::new("scenario".into(), "mx", client)
        };
        Self { session, credentials: None, mail: None, message: None }
    }
}

impl Default for Mail {
    fn default() -> Self {
        let mailbox = |text| Mailbox::parse(text).expect("an address");
        Self {
            reverse_path: ReversePath::Mailbox(mailbox("sender@example.com")),
            parameters: Vec::new(),
            recipients: vec![(mailbox("recipient@example.org"), Vec::new())],
        }
    }
}

impl Given {
    const SESSION_KEYS: &'static [&'static str] = &[
        "client",
        "client_name",
        "conduct",
        "esmtp",
        "helo",
        "listener",
        "mechanism",
        "tls",
        "user",
    ];
    const CONDUCT_KEYS: [&'static str; Lapse::ALL.len()] = {
        let (mut keys, mut n) = ([""; Lapse::ALL.len()], 0);
        while n < keys.len() {
            keys[n] = Lapse::ALL[n].label();
            n += 1;
        }
        keys
    };
    const TLS_KEYS: &'static [&'static str] =
        &["at_proxy", "cipher", "client_subject", "server_name", "version"];
    const AUTH_KEYS: &'static [&'static str] =
        &["authorization", "mechanism", "password", "token", "user"];
    const MAIL_KEYS: &'static [&'static str] = &["from", "parameters", "to"];
    const RECIPIENT_KEYS: &'static [&'static str] = &["address", "parameters"];

    /// Reads it from the section that holds these keys, among others.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let mut given = Self::default();
        read_session(&section.section("session", Self::SESSION_KEYS), &mut given.session);
        if section.entry("auth").is_some() {
            given.credentials = read_auth(&section.section("auth", Self::AUTH_KEYS));
        }
        given.message = section.entry("message").and_then(|entry| read_message(section, &entry));
        if section.entry("mail").is_some() || given.message.is_some() {
            given.mail = Some(read_mail(&section.section("mail", Self::MAIL_KEYS)));
        }
        given
    }
}

fn read_session(section: &Section<'_>, session: &mut SessionFacts) {
    let text = |key: &str| section.text(key).map(|text| text.text.to_owned());
    if let Some(given) = section.text("client") {
        session.client = client(section, given).unwrap_or(session.client);
    }
    session.client_name = text("client_name");
    session.esmtp = section.choice("esmtp", BOOLEAN).unwrap_or(true);
    session.helo = text("helo").or_else(|| session.helo.take());
    session.listener = text("listener").unwrap_or_else(|| session.listener.clone());
    session.user = text("user");
    session.mechanism = text("mechanism").or_else(|| session.user.as_ref().map(|_| "PLAIN".into()));
    session.tls = read_tls(section);
    let conduct = section.section("conduct", &Given::CONDUCT_KEYS);
    for lapse in Lapse::ALL {
        session.conduct.set(lapse, conduct.count(lapse.label(), 0..=1_000_000, 0) as u32);
    }
}

fn read_tls(section: &Section<'_>) -> Option<TlsFacts> {
    let usual = TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        ..TlsFacts::default()
    };
    let entry = section.entry("tls")?;
    if let Value::Scalar { .. } = &entry.node.value {
        return section.choice("tls", BOOLEAN)?.then_some(usual);
    }
    let given = section.section("tls", Given::TLS_KEYS);
    let text = |key: &str| given.text(key).map(|text| text.text.to_owned());
    Some(TlsFacts {
        version: text("version").unwrap_or(usual.version),
        cipher: text("cipher").unwrap_or(usual.cipher),
        server_name: text("server_name"),
        client_subject: text("client_subject"),
        client_fingerprint: None,
        at_proxy: given.choice("at_proxy", BOOLEAN).unwrap_or_default(),
    })
}

/// `192.0.2.1`, `192.0.2.1:4025`, `unix` or `unknown`.
fn client(section: &Section<'_>, given: Text<'_>) -> Option<ClientAddress> {
    if let Ok(address) = given.text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 4025).into());
    }
    let client = given.text.parse().ok();
    if client.is_none() {
        let help = "an IP address, with or without a port, \"unix\" or \"unknown\"";
        let text = format!("\"client\" cannot be \"{}\"", given.text);
        section.reader.error(given.mark, text, Some(help));
    }
    client
}

fn read_auth(section: &Section<'_>) -> Option<Credentials> {
    let text = |key: &str| section.text(key).map(|text| text.text.to_owned());
    let user = section.required("user", "who logs in: user: ann")?.text.to_owned();
    let mechanism = match section.text("mechanism") {
        None => Mechanism::Plain,
        Some(word) => mechanism(section, word)?,
    };
    let secret = match (text("password"), text("token")) {
        (Some(_), Some(_)) => {
            let help = "a password for PLAIN and LOGIN, a token for OAUTHBEARER and XOAUTH2";
            let text = "there is a password and a token";
            section.reader.error(section.mark_of("token"), text, Some(help));
            return None;
        }
        (Some(password), None) => Secret::Password(password),
        (None, Some(token)) => Secret::Token(token),
        (None, None) => Secret::Proved,
    };
    Some(Credentials { mechanism, user, authorization: text("authorization"), secret })
}

fn mechanism(section: &Section<'_>, Text { text, mark }: Text<'_>) -> Option<Mechanism> {
    let found = Mechanism::ALL.into_iter().find(|known| known.name() == text);
    if found.is_none() {
        let help = spelling::help(text, Mechanism::ALL.into_iter().map(Mechanism::name));
        section.reader.error(mark, format!("\"mechanism\" cannot be \"{text}\""), Some(&help));
    }
    found
}

fn read_mail(section: &Section<'_>) -> Mail {
    let usual = Mail::default();
    let reverse_path = match section.text("from") {
        None => usual.reverse_path,
        Some(Text { text: "" | "<>", .. }) => ReversePath::Null,
        Some(given) => {
            address(section.reader, given).map_or(usual.reverse_path, ReversePath::Mailbox)
        }
    };
    let recipients = match section.list("to") {
        None => usual.recipients,
        Some(items) => items.iter().filter_map(|item| recipient(section.reader, item)).collect(),
    };
    Mail { reverse_path, parameters: parameters(section), recipients }
}

fn recipient(reader: &Reader<'_>, node: &Node) -> Option<(Mailbox, Vec<Parameter>)> {
    if let Value::Scalar { text, .. } = &node.value {
        return Some((address(reader, Text { text, mark: node.mark })?, Vec::new()));
    }
    let section = Section::of(reader, "a recipient", node, Given::RECIPIENT_KEYS);
    let given = section.required("address", "address: somebody@example.org")?;
    Some((address(reader, given)?, parameters(&section)))
}

pub(crate) fn address(reader: &Reader<'_>, Text { text, mark }: Text<'_>) -> Option<Mailbox> {
    let mailbox = Mailbox::parse(text);
    if mailbox.is_none() {
        let help = "somebody@example.org, without angle brackets; the null reverse-path is \"\"";
        reader.error(mark, format!("\"{text}\" is no address"), Some(help));
    }
    mailbox
}

/// `[SIZE=1000, SMTPUTF8]`, values decoded.
fn parameters(section: &Section<'_>) -> Vec<Parameter> {
    let words = section.words("parameters").unwrap_or_default();
    let parameter = |Text { text, .. }: Text<'_>| match text.split_once('=') {
        Some((keyword, value)) => {
            Parameter { keyword: keyword.to_ascii_uppercase(), value: Some(value.to_owned()) }
        }
        None => Parameter { keyword: text.to_ascii_uppercase(), value: None },
    };
    words.into_iter().map(parameter).collect()
}

/// A text, or `{file: message.eml}`.
pub(crate) fn read_message(section: &Section<'_>, entry: &Entry<'_>) -> Option<Vec<u8>> {
    match &entry.node.value {
        Value::Scalar { .. } if entry.node.is_null() => None,
        Value::Scalar { text, .. } => Some(with_crlf(text.as_bytes())),
        Value::Mapping(entries) => {
            distinct(section.reader, entries);
            let given = Section::of(section.reader, "a message", entry.node, &["file"]);
            let path = given.file("file", "the path of a message, such as spam.eml")?;
            read_file(&path)
                .map_err(|error| {
                    let text = format!("cannot read {}: {error}", path.display());
                    section.reader.error(given.mark_of("file"), text, None);
                })
                .ok()
        }
        Value::Broken | Value::Sequence(_) => {
            let help = "message: | and the message below, indented; or message: {file: spam.eml}";
            section.reader.error(entry.node.mark, "a message is a text", Some(help));
            None
        }
    }
}

/// A message from a file, with the line ends of the network.
///
/// # Errors
///
/// If it cannot be read.
pub fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    Ok(with_crlf(&std::fs::read(path)?))
}

/// A text with each line ended by CRLF.
#[must_use]
pub fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() + text.len() / 32);
    let mut before = 0;
    for &octet in text {
        if octet == b'\n' && before != b'\r' {
            octets.push(b'\r');
        }
        octets.push(octet);
        before = octet;
    }
    octets
}

const BOOLEAN: &[(&str, bool)] = &[("false", false), ("true", true)];
