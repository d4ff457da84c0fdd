//! As whom the gateway logs in at upstreams.

use std::fmt;

use portcullis_smtp::client::Mechanism;
use zeroize::Zeroizing;

use crate::config::section::{Section, Text};

/// As whom the gateway logs in at an upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamAuth {
    /// The name.
    pub user: String,
    /// The secret.
    pub password: Password,
    /// What may be used of what the upstream offers.
    pub mechanisms: Vec<Mechanism>,
}

/// A password, which is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Keeps it.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self(Zeroizing::new(password.to_owned()))
    }

    /// The password itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    /// Never the password: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl UpstreamAuth {
    pub(super) const KEYS: &'static [&'static str] =
        &["mechanisms", "password", "password_file", "user"];

    /// What stands under `auth`, if it is there.
    pub(super) fn read(upstream: &Section<'_>) -> Option<Self> {
        upstream.entry("auth")?;
        let section = upstream.section("auth", Self::KEYS);
        let user = section.required("user", "the name that the upstream knows the gateway by");
        let user = user.filter(|Text { text, mark }| {
            let good = is_sayable(text, USER_OCTETS);
            if !good {
                let help = format!("1 to {USER_OCTETS} octets without control characters");
                section.reader.error(*mark, "this is no name to log in with", Some(&help));
            }
            good
        });
        let password = password(&section);
        let mechanisms = mechanisms(&section);
        let user = user?.text.to_owned();
        Some(Self { user, password: password?, mechanisms })
    }
}

fn password(section: &Section<'_>) -> Option<Password> {
    let given = ["password", "password_file"].map(|key| section.entry(key).is_some());
    let (password, mark) = match given {
        [true, true] => {
            let text = "there are two passwords";
            let help = "either \"password\" or \"password_file\"";
            section.reader.error(section.mark_of("password_file"), text, Some(help));
            return None;
        }
        [false, false] => {
            section.missing("password_file", "a file with the password alone in it");
            return None;
        }
        [true, false] => {
            let Text { text, mark } = section.text("password")?;
            section.warn_if_shared(&section.reader.source.file, mark);
            (Zeroizing::new(text.to_owned()), mark)
        }
        [false, true] => section.secret("password_file", "a file with the password alone in it")?,
    };
    if !is_sayable(&password, PASSWORD_OCTETS) {
        let help = format!("1 to {PASSWORD_OCTETS} octets without control characters");
        section.reader.error(mark, "this is no password to log in with", Some(&help));
        return None;
    }
    Some(Password(password))
}

/// Whether all mechanisms can say it in a line.
fn is_sayable(text: &str, octets: usize) -> bool {
    (1..=octets).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn mechanisms(section: &Section<'_>) -> Vec<Mechanism> {
    let Some(words) = section.words("mechanisms") else { return Mechanism::ALL.to_vec() };
    if words.is_empty() {
        let text = "there are no mechanisms, so nobody can log in";
        let help = "name some, or leave \"mechanisms\" out";
        section.reader.error(section.mark_of("mechanisms"), text, Some(help));
    }
    let chosen = |word| section.chosen("mechanisms", word, MECHANISMS);
    words.into_iter().filter_map(chosen).collect()
}

const MECHANISMS: &[(&str, Mechanism)] = &[
    ("scram-sha-256-plus", Mechanism::ScramSha256Plus),
    ("scram-sha-256", Mechanism::ScramSha256),
    ("scram-sha-1-plus", Mechanism::ScramSha1Plus),
    ("scram-sha-1", Mechanism::ScramSha1),
    ("cram-md5", Mechanism::CramMd5),
    ("plain", Mechanism::Plain),
    ("login", Mechanism::Login),
];

/// What servers take (RFC 4422 leaves it to them).
const USER_OCTETS: usize = 255;
/// Longer than any token that is used for one, and far below what a line of an exchange holds.
const PASSWORD_OCTETS: usize = 2048;
