//! What of a configuration is shown to nobody.

use crate::config::mistake;

/// A value as it may be shown. References to secrets are no secrets.
pub(super) fn shown(key: &str, text: &str) -> String {
    if mistake::is_secret(key) {
        return if is_reference(text) { text.to_owned() } else { MASK.to_owned() };
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).filter(|_| !rest.starts_with("${")).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@').or_else(|| rest.rfind('@')) else {
        return text.to_owned();
    };
    let user = &rest[..at];
    let secret = user.split_once(':').map_or(user, |(_, secret)| secret);
    match is_reference(secret) {
        true => text.to_owned(),
        false => format!("{scheme}://{MASK}{}", &rest[at..]),
    }
}

/// Whether this is one reference and nothing else.
fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['$', '}']) && !name.is_empty())
}

pub(super) const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_references_are_not() {
        for (key, text, expected) in [
            ("password", "s3cret", "***"),
            ("password", "${file:secret}", "${file:secret}"),
            ("password", "s3cret${env:X}", "***"),
            ("password_file", "secret", "secret"),
            ("api_token", "", "***"),
            ("url", "redis://me:s3cret@host:6379/0", "redis://***@host:6379/0"),
            ("url", "redis://me:a/b@host:6379/0", "redis://***@host:6379/0"),
            ("url", "redis://me:${env:REDIS}@host", "redis://me:${env:REDIS}@host"),
            ("url", "redis://me:${file:/run/pw}@host", "redis://me:${file:/run/pw}@host"),
            ("url", "redis://me:x${env:REDIS}@host", "redis://***@host"),
            ("url", "redis://host:6379/0", "redis://host:6379/0"),
            ("senders", "a@b.example", "a@b.example"),
        ] {
            assert_eq!(shown(key, text), expected, "{key}: {text}");
        }
    }
}
