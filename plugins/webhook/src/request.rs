//! What the service is asked.

use std::collections::BTreeMap;
use std::fmt::Write;

use hmac::{Hmac, Mac};
use portcullis_plugin::http::Request;
use portcullis_plugin::{Message, Parameter, Recipient, Session, Transaction};
use serde::Serialize;
use sha2::Sha256;

use crate::settings::{Settings, Stage};

/// What is known at a stage.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) stage: Stage,
    pub(crate) session: &'a Session,
    pub(crate) helo: Option<&'a str>,
    pub(crate) transaction: Option<&'a Transaction>,
    pub(crate) recipient: Option<&'a Recipient>,
    pub(crate) message: Option<&'a Message>,
}

#[derive(Serialize)]
struct Body<'a> {
    context: Context<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<Envelope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Content>,
}

#[derive(Serialize)]
struct Context<'a> {
    stage: Stage,
    client: Client,
    #[serde(skip_serializing_if = "Option::is_none")]
    sasl: Option<Sasl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    server: Server<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Queue>,
    protocol: Protocol,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    ip: String,
    port: u16,
    ptr: Option<String>,
    helo: Option<String>,
    /// Not known here; readers with types want a number.
    active_connections: u32,
}

#[derive(Serialize)]
struct Sasl {
    login: String,
    method: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tls {
    version: String,
    cipher: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_subject: Option<String>,
}

#[derive(Serialize)]
struct Server<'a> {
    name: Option<&'a str>,
    /// Not known here, as above.
    port: u16,
    listener: String,
}

#[derive(Serialize)]
struct Queue {
    id: String,
}

#[derive(Serialize)]
struct Protocol {
    version: u32,
}

#[derive(Serialize)]
struct Envelope {
    from: Address,
    to: Vec<Address>,
}

#[derive(Serialize)]
struct Address {
    address: String,
    parameters: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Serialize)]
struct Content {
    headers: Vec<(String, String)>,
    #[serde(rename = "serverHeaders")]
    server_headers: [(); 0],
    contents: String,
    /// Of the whole message.
    size: u64,
    /// Whether `contents` is not all.
    truncated: bool,
}

/// The request, ready to be sent. None if it is larger than one may be.
pub(crate) fn of(settings: &Settings, known: &Known<'_>) -> Option<Request> {
    let mut body = body(settings, known);
    let mut json = serde_json::to_vec(&body).ok()?;
    if json.len() > MOST
        && let Some(message) = &mut body.message
    {
        message.contents = String::new();
        message.truncated = true;
        json = serde_json::to_vec(&body).ok()?;
    }
    if json.len() > MOST {
        return None;
    }
    let signature = settings.secret.as_ref().map(|secret| sign(secret.text(), &json));
    let mut request = Request::post(&settings.url, json)
        .with_header("Content-Type", "application/json")
        .with_header("Accept", "application/json")
        .with_timeout_ms(settings.timeout.as_seconds() * 1000);
    if let Some(authorization) = &settings.authorization {
        request = request.with_header("Authorization", authorization.text().as_bytes());
    }
    if let Some(signature) = signature {
        request = request.with_header("X-Signature-256", signature);
    }
    for (name, value) in &settings.headers {
        request = request.with_header(name, value.as_bytes());
    }
    Some(request)
}

fn body<'a>(settings: &'a Settings, known: &Known<'_>) -> Body<'a> {
    Body {
        context: context(settings, known),
        envelope: known.transaction.map(|transaction| envelope(transaction, known.recipient)),
        message: known.message.map(|message| content(settings, known.stage, message)),
    }
}

fn context<'a>(settings: &'a Settings, known: &Known<'_>) -> Context<'a> {
    let session = known.session;
    Context {
        stage: known.stage,
        client: Client {
            ip: session.client_ip().map_or_else(|| session.client_address(), |ip| ip.to_string()),
            port: session.client_port(),
            ptr: session.client_name(),
            helo: known.helo.map(str::to_owned).or_else(|| session.helo()),
            active_connections: 1,
        },
        sasl: session.user().map(|login| Sasl { login, method: session.mechanism() }),
        tls: session.tls().map(|tls| Tls {
            version: tls.version,
            cipher: tls.cipher,
            cert_subject: tls.client_subject,
        }),
        server: Server {
            name: settings.server_name.as_deref(),
            port: 0,
            listener: session.listener(),
        },
        queue: known.transaction.map(|transaction| Queue { id: transaction.id() }),
        protocol: Protocol { version: 1 },
    }
}

fn envelope(transaction: &Transaction, now: Option<&Recipient>) -> Envelope {
    let recipients = transaction.recipients();
    let to = recipients.iter().chain(now).map(|recipient| Address {
        address: recipient.address.clone(),
        parameters: parameters(&recipient.parameters),
    });
    Envelope {
        from: Address {
            address: transaction.sender().unwrap_or_default(),
            parameters: parameters(&transaction.parameters()),
        },
        to: to.collect(),
    }
}

fn parameters(all: &[Parameter]) -> Option<BTreeMap<String, Option<String>>> {
    let pair = |one: &Parameter| (one.keyword.to_ascii_lowercase(), one.value.clone());
    (!all.is_empty()).then(|| all.iter().map(pair).collect())
}

fn content(settings: &Settings, stage: Stage, message: &Message) -> Content {
    let mut body = Vec::new();
    let mut truncated = true;
    if stage == Stage::Data {
        let reader = message.read_body();
        let most = settings.contents as usize;
        while body.len() < most {
            let left = u32::try_from(most - body.len()).unwrap_or(u32::MAX);
            let chunk = reader.read(left);
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        truncated = !reader.read(1).is_empty();
    }
    Content {
        headers: fields(&message.header_section()),
        server_headers: [],
        contents: String::from_utf8_lossy(&body).into_owned(),
        size: message.size(),
        truncated,
    }
}

/// Names and values, unfolded; what is no field is left out.
fn fields(section: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in section.split_inclusive(|octet| *octet == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim_end().to_owned(), value.trim_start().to_owned()));
        }
    }
    fields
}

/// Of the body, as the service gets it.
fn sign(key: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes any key");
    mac.update(body);
    let mut signature = "sha256=".to_owned();
    for octet in mac.finalize().into_bytes() {
        // A String takes all.
        let _ = write!(signature, "{octet:02x}");
    }
    signature
}

/// What the gateway sends.
const MOST: usize = 1 << 20;
