//! Names and secrets out of a mechanism's message.
//!
//! No SASLprep (RFC 4013): what is ASCII is compared as it is, and whoever writes names or
//! passwords beyond it must write them alike.

use std::str;

use crate::address::is_safe;

/// A name: an authentication or an authorization identity. Whoever tries it, it is written into
/// logs.
pub(super) fn name(octets: &[u8]) -> Option<&str> {
    text(octets).filter(|text| text.len() <= NAME_OCTETS && text.chars().all(is_safe))
}

/// A name, or nothing where nothing stands.
pub(super) fn optional_name(octets: &[u8]) -> Option<Option<&str>> {
    if octets.is_empty() { Some(None) } else { name(octets).map(Some) }
}

/// Text without control characters, not empty.
pub(super) fn text(octets: &[u8]) -> Option<&str> {
    let text = str::from_utf8(octets).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

/// The identity to act as, if it is not the user's own.
pub(super) fn other(authorization: Option<&str>, user: &str) -> Option<String> {
    authorization.filter(|&name| name != user).map(str::to_owned)
}

/// As many as RFC 4616 section 2 wants at least: names go into logs and tables.
const NAME_OCTETS: usize = 255;
