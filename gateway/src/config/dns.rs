//! The resolver.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::section::{Reader, Section, Text};

/// Whom to ask for names, and how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dns {
    /// The name servers; none are those of the system.
    pub servers: Option<Vec<SocketAddr>>,
    /// How long a query waits for an answer.
    pub timeout: Duration,
    /// How often a query is asked that nobody answers.
    pub attempts: usize,
    /// Answers that are kept.
    pub cache_answers: u64,
    /// Queries in flight at once.
    pub queries: usize,
}

impl Default for Dns {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self {
            servers: None,
            timeout: Duration::from_secs(2),
            attempts: 2,
            cache_answers: 10_000,
            queries: 256,
        }
    }
}

impl Dns {
    pub(super) const KEYS: &'static [&'static str] =
        &["attempts", "cache", "queries", "servers", "timeout"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            servers: servers(section),
            timeout: section.duration(
                "timeout",
                Duration::from_millis(10)..=Duration::from_secs(30),
                default.timeout,
            ),
            attempts: section.count("attempts", 1..=10, default.attempts as u64) as usize,
            cache_answers: section.count("cache", 0..=10_000_000, default.cache_answers),
            queries: section.count("queries", 1..=100_000, default.queries as u64) as usize,
        }
    }
}

fn servers(section: &Section<'_>) -> Option<Vec<SocketAddr>> {
    let words = section.words("servers")?;
    if words.is_empty() {
        let help = "leave \"servers\" out for those of the system";
        section.reader.error(section.mark_of("servers"), "there are no name servers", Some(help));
    }
    Some(words.into_iter().filter_map(|word| server(section.reader, word)).collect())
}

fn server(reader: &Reader<'_>, Text { text, mark }: Text<'_>) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.parse() {
        Ok(IpAddr::V4(_)) => format!("did you mean \"{text}:53\"?"),
        Ok(IpAddr::V6(_)) => format!("did you mean \"[{text}]:53\"?"),
        Err(_) => "an IP address and a port, such as 192.0.2.53:53; a name would need a resolver \
                   to find it"
            .to_owned(),
    };
    reader.error(mark, format!("\"{text}\" is no address of a name server"), Some(&help));
    None
}
