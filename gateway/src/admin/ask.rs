//! A request as a handler sees it: admitted, and with its body.

use bytes::Bytes;
use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use super::{Answer, Role, Status};

/// What somebody asks.
#[derive(Debug)]
pub struct Ask {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    /// None of who was not asked for one.
    pub(super) role: Option<Role>,
}

impl Ask {
    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The first value of a parameter of the query, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let parameters = self.head.uri.query()?.split('&');
        let mut pairs = parameters.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| decoded(key) == name).map(|(_, value)| decoded(value))
    }

    /// A header field that is there once, and is ASCII.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// What came with it.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// The answer to whoever sent something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Answer> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Answer::refusal(Status::BAD_REQUEST, format!("not understood: {error}"))
        })
    }

    /// Whether the answer is for a program: `Accept` names JSON, or the query says `format=json`.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        wants_json(&self.head)
    }

    /// Whether who asks may change things, too.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.role == Some(Role::Writer)
    }
}

pub(super) fn wants_json(head: &Parts) -> bool {
    let accepted = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let query = head.uri.query().unwrap_or_default();
    accepted.is_some_and(|accept| accept.contains("application/json"))
        || query.split('&').any(|pair| pair == "format=json")
}

/// `application/x-www-form-urlencoded`; what is no such thing stays as it is.
fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        octets.push(match octet {
            b'+' => b' ',
            b'%' => match after.split_at_checked(2).and_then(|(two, then)| Some((hex(two)?, then)))
            {
                Some((octet, then)) => {
                    rest = then;
                    octet
                }
                None => b'%',
            },
            other => other,
        });
    }
    String::from_utf8_lossy(&octets).into_owned()
}

fn hex(two: &[u8]) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let (high, low) = (digit(*two.first()?)?, digit(*two.get(1)?)?);
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn ask(uri: &str, accept: &str) -> Ask {
        let request = Request::get(uri).header(ACCEPT, accept).body(()).unwrap();
        Ask { head: request.into_parts().0, body: Bytes::from_static(b"{\"a\": 1}"), role: None }
    }

    #[test]
    fn parameters_are_decoded_and_what_cannot_be_stays() {
        let ask = ask("/x?sender=a%2Bb%40c.example&q=a+b&bad=%4&%71=x&flag&=1&big=%ff", "*/*");
        for (name, value) in [
            ("sender", Some("a+b@c.example")),
            ("q", Some("a b")),
            ("bad", Some("%4")),
            ("flag", Some("")),
            ("", Some("1")),
            ("big", Some("\u{fffd}")),
            ("none", None),
        ] {
            assert_eq!(ask.parameter(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn programs_get_json() {
        assert!(ask("/readyz?format=json", "*/*").wants_json());
        assert!(ask("/readyz", "application/json").wants_json());
        assert!(ask("/readyz?a=b", "text/html, application/json;q=0.9").wants_json());
        assert!(!ask("/readyz?format=text", "*/*").wants_json());
    }

    #[test]
    fn a_body_that_is_not_what_is_asked_for_has_an_answer() {
        let ask = ask("/", "*/*");
        assert_eq!(ask.json::<std::collections::BTreeMap<String, u8>>().unwrap()["a"], 1);
        assert_eq!(ask.json::<Vec<u8>>().unwrap_err().status(), Status::BAD_REQUEST);
    }
}
