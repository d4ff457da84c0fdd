//! What is answered: text, JSON, something whole of any kind, or what comes bit by bit.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

/// What is sent.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer, not sent yet.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    kind: &'static str,
    /// On the heap: most have none, and refusals are passed up as errors.
    fields: Box<HeaderMap>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    /// In the form that who asked understands.
    Refusal(String),
    Stream(Channel<Bytes, Infallible>, Weak<()>),
}

impl Answer {
    /// 200 with text for people.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(TEXT, text.into())
    }

    /// 200 with JSON, and a line's end for people.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(json) => Self::of(JSON, json + "\n"),
            Err(error) => Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// 200 with something of this media type.
    #[must_use]
    pub fn of(kind: &'static str, content: impl Into<Bytes>) -> Self {
        let (status, fields) = (StatusCode::OK, Box::default());
        Self { status, kind, fields, content: Content::Whole(content.into()) }
    }

    /// 200 with something of this media type that comes bit by bit, as long as the stream is kept.
    #[must_use]
    pub fn stream(kind: &'static str) -> (Self, Stream) {
        let (sender, channel) = Channel::new(STREAM_PIECES);
        let alive = Arc::new(());
        let content = Content::Stream(channel, Arc::downgrade(&alive));
        let (status, fields) = (StatusCode::OK, Box::default());
        (Self { status, kind, fields, content }, Stream { sender, _alive: alive })
    }

    /// No, and why; a line of text, or for programs `{"error": ...}`.
    #[must_use]
    pub fn refusal(status: StatusCode, why: impl Into<String>) -> Self {
        let (kind, fields) = (TEXT, Box::default());
        Self { status, kind, fields, content: Content::Refusal(why.into()) }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with a header field, in the place of one of that name. What cannot be a value is none.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.fields.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// As HTTP has it, with what keeps browsers from doing with it what is not meant; and whether it
    /// still comes.
    pub(super) fn into_response(self, json: bool) -> (Response<Body>, Option<Weak<()>>) {
        let Self { status, mut kind, fields, content } = self;
        let mut stream = None;
        let whole = |octets: Bytes| Full::from(octets).boxed_unsync();
        let body = match content {
            Content::Whole(octets) => whole(octets),
            Content::Refusal(why) if json => {
                kind = JSON;
                whole((serde_json::json!({ "error": why }).to_string() + "\n").into())
            }
            Content::Refusal(why) => whole((why + "\n").into()),
            Content::Stream(channel, alive) => {
                stream = Some(alive);
                channel.boxed_unsync()
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in PRUDENCE {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(*fields);
        (response, stream)
    }
}

/// Where the rest of an answer goes in. Dropped, the answer ends.
#[derive(Debug)]
pub struct Stream {
    sender: Sender<Bytes, Infallible>,
    _alive: Arc<()>,
}

/// Nobody takes the rest of the answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody takes the rest of the answer")]
pub struct Gone;

impl Stream {
    /// Sends more.
    ///
    /// # Errors
    ///
    /// If who asked has gone, or has taken nothing for a long time: the stream is to be dropped then.
    pub async fn send(&mut self, more: impl Into<Bytes>) -> Result<(), Gone> {
        match timeout(STREAM_PATIENCE, self.sender.send_data(more.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// On each answer; a handler's own fields take their places.
const PRUDENCE: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Pieces that wait for who reads; hyper has its own buffer behind them.
const STREAM_PIECES: usize = 16;

/// For a reader who is slow. One who has gone without a word is found out in this time, too, when there
/// is something to tell.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);
