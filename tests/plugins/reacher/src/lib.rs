//! Does with stores, HTTP and streams what its settings say for a recipient, and refuses it with what came of
//! it, a line each, for the tests of the gateway.

use std::cell::RefCell;
use std::collections::BTreeMap;

use portcullis_plugin::http::{self, HttpError, Request, Response};
use portcullis_plugin::kv::{Entry, KvError, Store};
use portcullis_plugin::streams::{Connection, StreamError};
use portcullis_plugin::{Hook, Message, Recipient, Verdict, plugin};
use serde::Deserialize;

thread_local! {
    static KEPT: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// The plugin is its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reacher {
    /// What to do, by the local part of the recipient.
    #[serde(rename = "do", default)]
    by_recipient: BTreeMap<String, Vec<Step>>,
    /// What to do while it is configured; for every other recipient.
    #[serde(default)]
    early: Vec<Step>,
    #[serde(skip)]
    early_lines: Vec<String>,
    /// Where to send each message's body to.
    #[serde(default)]
    content_to: Option<String>,
    /// The same, over a stream; what is heard then is told.
    #[serde(default)]
    stream_to: Option<String>,
    /// Whether to let mail pass once all is done; what fails then is this plugin's failure.
    #[serde(default)]
    pass: bool,
}

/// Something to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Step {
    Add {
        store: String,
        key: String,
        by: i64,
        #[serde(default)]
        ttl: Option<u32>,
        #[serde(default = "once")]
        times: usize,
    },
    Delete {
        store: String,
        keys: Vec<String>,
    },
    Get {
        store: String,
        keys: Vec<String>,
        /// How often the list of keys is in the call.
        #[serde(default = "once")]
        times: usize,
    },
    /// Several at once.
    Http(Vec<Asking>),
    Put {
        store: String,
        key: String,
        value: String,
        #[serde(default)]
        ttl: Option<u32>,
        #[serde(default)]
        expect: Option<u64>,
        /// How often the value is repeated, and the key.
        #[serde(default = "once")]
        value_times: usize,
        #[serde(default = "once")]
        key_times: usize,
    },
    /// Opens streams, so many at once, and speaks over the last one.
    Stream {
        address: String,
        #[serde(default)]
        timeout_ms: Option<u32>,
        #[serde(default = "once")]
        times: usize,
        say: Vec<Word>,
    },
}

/// Something to do with a stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Word {
    Write(String),
    WriteOctets(usize),
    Read(u32),
    /// Until there is an end or a failure.
    ReadAll,
    /// Leaves it open, for the next recipient to go on with.
    Keep,
    /// Goes on with the one that was left open.
    Kept,
}

/// A request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    body_octets: usize,
    #[serde(default)]
    timeout_ms: Option<u32>,
}

fn once() -> usize {
    1
}

fn get() -> String {
    "GET".to_owned()
}

#[plugin]
impl Reacher {
    fn configure(mut settings: Self) -> Result<Self, String> {
        settings.early_lines = lines(&settings.early).unwrap_or_else(|line| vec![line]);
        Ok(settings)
    }

    fn skip(&self) -> Vec<Hook> {
        if self.content_to.is_some() || self.stream_to.is_some() {
            Vec::new()
        } else {
            vec![Hook::Message]
        }
    }

    fn rcpt(&self, recipient: &Recipient) -> Result<Verdict, String> {
        let (local, _) = recipient.address.split_once('@').unwrap_or_default();
        match self.by_recipient.get(local) {
            Some(steps) if self.pass => lines(steps).map(|_| Verdict::Next),
            Some(steps) => Ok(refusal(&lines(steps).unwrap_or_else(|line| vec![line]))),
            None if !self.early.is_empty() => Ok(refusal(&self.early_lines)),
            None => Ok(Verdict::Next),
        }
    }

    fn message(&self, message: &Message) -> Verdict {
        if let Some(address) = &self.stream_to {
            let heard = content_over(address, message);
            return refusal(&[heard.unwrap_or_else(|error| stream_error(&error))]);
        }
        let Some(url) = &self.content_to else { return Verdict::Next };
        let request = Request::new("POST", url);
        refusal(&[answer(http::send_content(&request, &message.read_body()))])
    }
}

/// What came of the steps; an error is one that a plugin cannot do anything about.
fn lines(steps: &[Step]) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for step in steps {
        match step.take() {
            Ok(said) => lines.extend(said),
            Err(KvError::Unavailable(why)) => return Err(format!("unavailable: {why}")),
            Err(error) => lines.push(named(&error).to_owned()),
        }
    }
    Ok(lines)
}

impl Step {
    fn take(&self) -> Result<Vec<String>, KvError> {
        match self {
            Self::Add { store, key, by, ttl, times } => {
                let store = Store::open(store)?;
                let mut sum = 0;
                for _ in 0..*times {
                    sum = store.add(key, *by, *ttl)?;
                }
                Ok(vec![format!("sum {sum}")])
            }
            Self::Delete { store, keys } => {
                Store::open(store)?.delete(keys)?;
                Ok(vec!["deleted".to_owned()])
            }
            Self::Get { store, keys, times } => {
                let keys: Vec<_> = std::iter::repeat_n(keys.clone(), *times).flatten().collect();
                let found = Store::open(store)?.get(&keys)?;
                Ok(found.into_iter().map(shown).collect())
            }
            Self::Http(all) => {
                let requests: Vec<_> = all.iter().map(Asking::request).collect();
                Ok(http::send(&requests).into_iter().map(answer).collect())
            }
            Self::Put { store, key, value, ttl, expect, value_times, key_times } => {
                let (key, value) = (key.repeat(*key_times), value.repeat(*value_times));
                Store::open(store)?.put(&key, value.as_bytes(), *ttl, *expect)?;
                Ok(vec!["put".to_owned()])
            }
            Self::Stream { address, timeout_ms, times, say } => {
                Ok(spoken(address, *timeout_ms, *times, say))
            }
        }
    }
}

impl Asking {
    fn request(&self) -> Request {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        let body = if self.body_octets > 0 {
            vec![b'x'; self.body_octets]
        } else {
            self.body.clone().into()
        };
        Request {
            headers: headers.collect(),
            body,
            timeout_ms: self.timeout_ms,
            ..Request::new(&self.method, &self.url)
        }
    }
}

/// What came of it, a line a word; nothing is said after a failure to open.
fn spoken(address: &str, timeout_ms: Option<u32>, times: usize, say: &[Word]) -> Vec<String> {
    let mut open = Vec::new();
    for _ in 0..times {
        match Connection::open(address, timeout_ms) {
            Ok(connection) => open.push(connection),
            Err(error) => return vec![format!("{} open, {}", open.len(), stream_error(&error))],
        }
    }
    let Some(mut connection) = open.pop() else { return Vec::new() };
    let mut lines = Vec::new();
    for word in say {
        let done = match word {
            Word::Write(text) => connection.write(text.as_bytes()).map(|()| "written".to_owned()),
            Word::WriteOctets(count) => {
                connection.write(&vec![b'x'; *count]).map(|()| "written".to_owned())
            }
            Word::Read(max) => {
                connection.read(*max).map(|octets| format!("read {}", text(&octets)))
            }
            Word::ReadAll => read_all(&connection),
            Word::Keep => {
                KEPT.with_borrow_mut(|kept| kept.replace(connection));
                return lines;
            }
            Word::Kept => {
                if let Some(kept) = KEPT.take() {
                    connection = kept;
                }
                continue;
            }
        };
        lines.push(done.unwrap_or_else(|error| stream_error(&error)));
    }
    lines
}

fn read_all(connection: &Connection) -> Result<String, StreamError> {
    let mut count = 0;
    loop {
        match connection.read(u32::MAX)?.len() {
            0 => return Ok(format!("read {count} octets")),
            more => count += more,
        }
    }
}

fn content_over(address: &str, message: &Message) -> Result<String, StreamError> {
    let connection = Connection::open(address, None)?;
    let content = message.read_body();
    let first = connection.write_content(&content, 10)?;
    let rest = connection.write_content(&content, u64::MAX)?;
    Ok(format!("{first} and {rest}: {}", text(&connection.read(u32::MAX)?)))
}

fn stream_error(error: &StreamError) -> String {
    match error {
        StreamError::Denied => "denied".to_owned(),
        StreamError::TooMany => "too-many".to_owned(),
        StreamError::TimedOut => "timed-out".to_owned(),
        StreamError::Unavailable(why) => format!("unavailable: {why}"),
    }
}

fn named(error: &KvError) -> &'static str {
    match error {
        KvError::Denied => "denied",
        KvError::TooLarge => "too-large",
        KvError::Conflict => "conflict",
        KvError::NotACounter => "not-a-counter",
        KvError::Unavailable(_) => "unavailable",
    }
}

fn shown(entry: Option<Entry>) -> String {
    entry.map_or_else(|| "none".to_owned(), |entry| format!("value {}", text(&entry.value)))
}

fn answer(answer: Result<Response, HttpError>) -> String {
    match answer {
        Ok(response) => {
            let location = response.header("location").map(text).unwrap_or_default();
            format!(
                "{} {location}{} octets: {}",
                response.status,
                response.body.len(),
                text(&response.body)
            )
        }
        Err(HttpError::Denied) => "denied".to_owned(),
        Err(HttpError::Malformed(why)) => format!("malformed: {why}"),
        Err(HttpError::TooLarge) => "too-large".to_owned(),
        Err(HttpError::TimedOut) => "timed-out".to_owned(),
        Err(HttpError::Unavailable(why)) => format!("unavailable: {why}"),
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(&octets[..octets.len().min(CHARACTERS)]).into_owned()
}

fn refusal(lines: &[String]) -> Verdict {
    let ascii = |character: char| match character {
        ' '..='~' => character.to_string(),
        other => format!("\\u{:04x}", u32::from(other)),
    };
    let shown = |line: &String| -> String {
        line.chars().map(ascii).collect::<String>().chars().take(CHARACTERS).collect()
    };
    let lines: Vec<String> = lines.iter().take(LINES).map(shown).collect();
    Verdict::reject(550, "5.7.1", lines.join("\n"))
}

/// Of a reply, whose text is bounded.
const LINES: usize = 20;
const CHARACTERS: usize = 400;
