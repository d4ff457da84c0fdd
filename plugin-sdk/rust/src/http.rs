//! HTTP requests to origins of the configuration. Grant `http: [origins]`.

pub use crate::bindings::smtp::filter::http::{HttpError, Request, Response};

use crate::Reader;

/// Sends all of them at once, at most 16; answers in the order of the requests. Redirects are not
/// followed.
pub fn send(requests: &[Request]) -> Vec<Result<Response, HttpError>> {
    backend::send(requests)
}

/// Sends one.
pub fn send_one(request: Request) -> Result<Response, HttpError> {
    let none = || Err(HttpError::Unavailable("no answer".to_owned()));
    send(&[request]).pop().unwrap_or_else(none)
}

/// Sends one whose body is the rest of what the reader has, without passing through the plugin.
pub fn send_content(request: &Request, content: &Reader) -> Result<Response, HttpError> {
    backend::send_content(request, content)
}

impl Request {
    /// A GET.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A POST of this body.
    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }
    }

    /// Any method.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        }
    }

    /// One more header.
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Not longer than this.
    pub fn with_timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }
}

impl Response {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| &value[..])
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::http as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::http as backend;
