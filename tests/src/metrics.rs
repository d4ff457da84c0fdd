//! What the gateway tells Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Scrapes an admin address.
    ///
    /// # Panics
    /// If it does not answer 200.
    #[track_caller]
    pub fn scrape(admin: SocketAddr) -> Self {
        let (status, body) = get(admin, "/metrics").expect("the admin address answers");
        assert_eq!(status, 200, "{body}");
        Self(body)
    }

    /// The text itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of all samples of this name that have these labels; 0 if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        self.samples()
            .filter(|(found, given, _)| {
                *found == name && wanted.iter().all(|one| given.contains(one))
            })
            .map(|(_, _, value)| value)
            .sum()
    }

    /// The sums of all samples of this name, by the values of these labels.
    #[must_use]
    pub fn sums(&self, name: &str, by: &[&str]) -> BTreeMap<Vec<String>, f64> {
        let mut sums = BTreeMap::new();
        for (_, given, value) in self.samples().filter(|(found, _, _)| *found == name) {
            let key = by.iter().map(|label| label_value(given, label)).collect();
            *sums.entry(key).or_insert(0.0) += value;
        }
        sums
    }

    /// All names with their labels, without values.
    #[must_use]
    pub fn series(&self) -> BTreeSet<String> {
        self.samples().map(|(name, labels, _)| format!("{name}{{{labels}")).collect()
    }

    fn samples(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels, value.parse().ok()?))
        })
    }
}

/// The value of a label; empty if there is none.
fn label_value(labels: &str, label: &str) -> String {
    let found = labels.trim_end_matches('}').split(',').find_map(|pair| {
        let value = pair.strip_prefix(label)?.strip_prefix("=\"")?;
        Some(value.trim_end_matches('"').to_owned())
    });
    found.unwrap_or_default()
}

/// What is answered to JSON that is posted to the admin address, as a program of this machine does it.
///
/// # Panics
/// If nothing is.
#[must_use]
#[track_caller]
pub fn post(address: SocketAddr, path: &str, json: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(crate::PATIENCE)).expect("a time that is not zero");
    let length = json.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nPortcullis-Request: 1\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{json}"
    )
    .expect("a connection");
    answered(&mut stream).expect("an answer")
}

/// An HTTP GET: the status and the body.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(crate::PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    answered(&mut stream)
}

fn answered(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Some((head.split(' ').nth(1)?.parse().ok()?, body))
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(size, 16).ok().and_then(|size| after.get(..size))
        else {
            break;
        };
        body.push_str(chunk);
        rest = after.get(chunk.len() + 2..).unwrap_or_default();
    }
    body
}
