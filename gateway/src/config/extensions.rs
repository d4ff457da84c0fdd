//! What a listener offers beyond what every listener does.

use portcullis_smtp::server::{FutureRelease, Protocol};
use portcullis_smtp::{DateTime, Extension, Offers};

use super::section::{Section, Text};

/// Reads `extensions`; the default is what the gateway can keep whatever its upstreams offer.
pub(super) fn read(section: &Section<'_>, protocol: Protocol) -> Offers {
    section.by_default("extensions", "[chunking, limits]");
    let Some(words) = section.words("extensions") else { return DEFAULT.into_iter().collect() };
    let known = words.iter().filter_map(|word| {
        let extension = match ALWAYS.iter().find(|always| **always == word.text) {
            None => section.chosen("extensions", *word, WORDS)?,
            Some(always) => {
                let text = format!("\"{always}\" needs no word here");
                let help = "every listener offers it, starttls where there is a certificate for it";
                section.reader.error(word.mark, text, Some(help));
                return None;
            }
        };
        Some((extension, *word))
    });
    let known: Vec<(Extension, Text<'_>)> = known.collect();
    let offers: Offers = known.iter().map(|(extension, _)| *extension).collect();
    for (extension, word) in known {
        if let Some((text, help)) = obstacle(section, protocol, offers, extension) {
            section.reader.error(word.mark, text, Some(help));
        }
    }
    offers
}

/// Why an extension cannot be offered here, and what would help.
fn obstacle(
    section: &Section<'_>,
    protocol: Protocol,
    offers: Offers,
    extension: Extension,
) -> Option<(&'static str, &'static str)> {
    match extension {
        Extension::BinaryMime if !offers.has(Extension::Chunking) => Some((
            "\"binarymime\" needs \"chunking\"",
            "binary content can only come in chunks (RFC 3030 section 3): add \"chunking\"",
        )),
        Extension::FutureRelease if section.entry("future_release").is_none() => Some((
            "\"futurerelease\" needs \"future_release\"",
            "say how long a message may be held: future_release: { longest: 720h, until: \
             2040-01-01T00:00:00Z }",
        )),
        Extension::Prdr if protocol == Protocol::Lmtp => Some((
            "\"prdr\" is for SMTP",
            "LMTP has an answer for each recipient by itself: leave it out",
        )),
        Extension::RequireTls if section.entry("tls").is_none() => Some((
            "\"requiretls\" needs \"tls\"",
            "it is offered under TLS only (RFC 8689 section 2), and this listener has none",
        )),
        _ => None,
    }
}

/// Reads `future_release`.
pub(super) fn future_release(section: &Section<'_>, offers: Offers) -> Option<FutureRelease> {
    section.entry("future_release")?;
    let within = section.section("future_release", FUTURE_RELEASE_KEYS);
    if !offers.has(Extension::FutureRelease) {
        let text = "\"future_release\" without \"futurerelease\" among the extensions";
        let help = "add \"futurerelease\" to \"extensions\", or leave this out";
        section.reader.warn(section.mark_of("future_release"), text, Some(help));
    }
    let second = std::time::Duration::from_secs(1);
    // Nine digits (RFC 4865 section 4.1).
    let longest = within.required("longest", "for how long, such as 720h").map(|_| {
        within.duration("longest", second..=second * 999_999_999, second).as_secs() as u32
    });
    let until = within.required("until", UNTIL_HELP).and_then(|Text { text, mark }| {
        let until = DateTime::parse(text);
        if until.is_none() {
            let text = format!("\"{text}\" is no date with a time");
            within.reader.error(mark, text, Some(UNTIL_HELP));
        }
        until
    });
    Some(FutureRelease { seconds: longest?, until: until? })
}

pub(super) const FUTURE_RELEASE_KEYS: &[&str] = &["longest", "until"];

const UNTIL_HELP: &str = "a time as in RFC 3339, such as 2040-01-01T00:00:00Z";

/// What the gateway keeps by itself. All others are promises that an upstream has to keep.
const DEFAULT: [Extension; 2] = [Extension::Chunking, Extension::Limits];

const WORDS: &[(&str, Extension)] = &[
    ("binarymime", Extension::BinaryMime),
    ("chunking", Extension::Chunking),
    ("deliverby", Extension::DeliverBy),
    ("dsn", Extension::Dsn),
    ("futurerelease", Extension::FutureRelease),
    ("limits", Extension::Limits),
    ("mt-priority", Extension::MtPriority),
    ("prdr", Extension::Prdr),
    ("requiretls", Extension::RequireTls),
    ("rrvs", Extension::Rrvs),
    ("smtputf8", Extension::SmtpUtf8),
];

const ALWAYS: &[&str] = &["8bitmime", "enhancedstatuscodes", "pipelining", "size", "starttls"];
