//! The users of one file, as they stood in it when it was read.

use std::collections::HashMap;
use std::path::Path;

use portcullis_smtp::sasl::{Decoy, Mechanism, Verifier};
use sha2::{Digest, Sha256};

use super::secret::{Flaw, ITERATIONS, PasswordError, Scheme, Secret, random};
use crate::config::{Mistakes, Place};

/// The users of one file.
#[derive(Debug)]
pub struct Book {
    users: HashMap<String, Secret>,
    /// By scheme, as in [`Scheme::ALL`].
    counts: [usize; Scheme::ALL.len()],
    /// Compared with the passwords of those who are not there, so that it takes as long.
    nobody: Secret,
    decoy: Decoy,
}

impl Book {
    /// Reads the text of a users file.
    ///
    /// # Errors
    ///
    /// All mistakes of the text.
    pub fn parse(file: &Path, octets: &[u8]) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut users: HashMap<String, Secret> = HashMap::new();
        let mut lines = HashMap::new();
        let mut first = None;
        for line in Line::all(octets) {
            let (name, secret) = match line.read() {
                Ok(Some(user)) => user,
                Ok(None) => continue,
                Err(slip) => {
                    mistakes.at(&line.place(file, slip.at), slip.text, Some(&slip.help));
                    continue;
                }
            };
            if let Some(earlier) = lines.insert(name, line.number) {
                let help = format!("the first one is in line {earlier}");
                let text = format!("there are two users \"{name}\"");
                mistakes.at(&line.place(file, 0), text, Some(&help));
            }
            first.get_or_insert_with(|| secret.clone());
            users.insert(name.to_owned(), secret);
        }
        mistakes.or_fail()?;
        Self::new(users, first).map_err(|error| {
            let mut mistakes = Mistakes::default();
            mistakes.at(&Place::file(file), error.to_string(), None);
            mistakes
        })
    }

    fn new(users: HashMap<String, Secret>, first: Option<Secret>) -> Result<Self, PasswordError> {
        let pattern = match first {
            Some(first) => first,
            None => Secret::make(Scheme::Argon2id, "nobody")?,
        };
        let count = |scheme| users.values().filter(|secret| secret.scheme() == scheme).count();
        let counts = Scheme::ALL.map(count);
        Ok(Self { counts, nobody: pattern.decoy()?, decoy: decoy(&users)?, users })
    }

    /// What SCRAM and CRAM-MD5 clients see of users who are not there.
    #[must_use]
    pub fn decoy(&self) -> &Decoy {
        &self.decoy
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Names and schemes, in the order of the names.
    #[must_use]
    pub fn list(&self) -> Vec<(&str, Scheme)> {
        let mut list: Vec<_> =
            self.users.iter().map(|(name, secret)| (name.as_str(), secret.scheme())).collect();
        list.sort_unstable_by_key(|(name, _)| *name);
        list
    }

    /// Whether this is the password of this user. Takes processor time and memory, on purpose, and
    /// as much for who is not there.
    #[must_use]
    pub fn authenticate(&self, name: &str, password: &str) -> bool {
        self.users.get(name).unwrap_or(&self.nobody).is_of(password)
    }

    /// How many have a secret of this kind.
    #[must_use]
    pub fn count(&self, scheme: Scheme) -> usize {
        let position = Scheme::ALL.iter().position(|other| *other == scheme);
        position.and_then(|position| self.counts.get(position)).copied().unwrap_or_default()
    }

    /// How many can log in by a mechanism, and how many cannot.
    #[must_use]
    pub fn split(&self, mechanism: Mechanism) -> (usize, usize) {
        let served = Scheme::ALL.into_iter().filter(|scheme| scheme.serves(mechanism));
        let can: usize = served.map(|scheme| self.count(scheme)).sum();
        (can, self.users.len() - can)
    }

    /// Whether a user is there.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }

    /// What a mechanism needs that does not show the password, if this user has it.
    pub(super) fn verifier(&self, mechanism: Mechanism, name: &str) -> Option<Verifier> {
        self.users.get(name)?.verifier(mechanism)
    }
}

/// The salt that somebody is given who is not there must be the same tomorrow, as a real one is.
/// What is secret and stays the same is in the file.
fn decoy(users: &HashMap<String, Secret>) -> Result<Decoy, PasswordError> {
    let scram = users.values().filter_map(|secret| match secret {
        Secret::Scram { iterations, server_key, .. } => Some((server_key, *iterations)),
        Secret::Argon2id { .. } | Secret::Cleartext(_) => None,
    });
    Ok(match scram.min() {
        Some((key, iterations)) => Decoy::new(Sha256::digest(key).into(), iterations),
        None => Decoy::new(random()?, ITERATIONS),
    })
}

/// One line of a users file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    number: usize,
    octets: &'a [u8],
}

/// What is wrong with a line.
#[derive(Debug)]
struct Slip {
    /// The octet of the line where it shows.
    at: usize,
    text: String,
    help: String,
}

impl<'a> Line<'a> {
    /// The lines of a file; CRLF and a byte order mark are forgiven.
    pub(super) fn all(octets: &'a [u8]) -> impl Iterator<Item = Self> {
        let octets = octets.strip_prefix(BYTE_ORDER_MARK).unwrap_or(octets);
        let lines = octets.split(|octet| *octet == b'\n');
        lines.enumerate().map(|(index, line)| Self {
            number: index + 1,
            octets: line.strip_suffix(b"\r").unwrap_or(line),
        })
    }

    /// The name at the beginning, whatever follows.
    pub(super) fn name(self) -> Option<&'a str> {
        if self.octets.starts_with(b"#") {
            return None;
        }
        let colon = self.octets.iter().position(|octet| *octet == b':')?;
        std::str::from_utf8(self.octets.get(..colon)?).ok()
    }

    /// The user of this line, if there is one.
    fn read(self) -> Result<Option<(&'a str, Secret)>, Slip> {
        if self.octets.starts_with(b"#") || self.octets.trim_ascii().is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(self.octets).map_err(|error| Slip {
            at: error.valid_up_to(),
            text: "not UTF-8".to_owned(),
            help: "save the file as UTF-8".to_owned(),
        })?;
        let slip = |text: String, help: &str| Slip { at: 0, text, help: help.to_owned() };
        let Some((name, secret)) = text.split_once(':') else {
            return Err(slip("there is no \":\" in this line".to_owned(), LINE));
        };
        if let Err(error) = check_name(name) {
            return Err(slip(error.to_string(), LINE));
        }
        let secret = Secret::parse(secret).map_err(|Flaw { at, text, help }| Slip {
            at: name.len() + 1 + at,
            text,
            help: help.to_owned(),
        })?;
        Ok(Some((name, secret)))
    }

    /// Where a mistake is. The line is shown without its secret.
    fn place(self, file: &Path, at: usize) -> Place {
        let before = String::from_utf8_lossy(self.octets.get(..at).unwrap_or_default());
        let excerpt = match self.name() {
            Some(name) if at <= name.len() + 1 => format!("{name}:..."),
            _ => String::new(),
        };
        let width = match self.name() {
            Some(name) if at == 0 => name.chars().count(),
            _ => 3,
        };
        let column = before.chars().count() + 1;
        Place { file: file.to_owned(), line: self.number, column, width, excerpt }
    }
}

/// Why something is no user's name. The operator's to mend.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// It would be a comment, another name, or not to be seen.
    #[error(
        "a user's name has no \":\", no control characters, no space at either end, and no \"#\" \
         at the beginning"
    )]
    Characters,
    /// There is none.
    #[error("a user's name is missing before the \":\"")]
    Empty,
    /// More octets than any mechanism carries well.
    #[error("a user's name has at most 255 octets")]
    Long,
}

/// Whether somebody can have this name.
///
/// # Errors
///
/// Why not.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_OCTETS {
        return Err(NameError::Long);
    }
    let bad = name.contains(|c: char| c.is_control() || c == ':');
    if bad || name.starts_with('#') || name.trim() != name {
        return Err(NameError::Characters);
    }
    Ok(())
}

const LINE: &str = "a line is name:secret, and \"portcullis user add\" writes one; a comment begins \
                    with \"#\"";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NAME_OCTETS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Book, Mistakes> {
        Book::parse(Path::new("users"), text.as_bytes())
    }

    fn summaries(text: &str) -> Vec<String> {
        let mistakes = parse(text).expect_err(text);
        let shown = mistakes.to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        let summary = |mistake: &crate::config::Mistake| {
            let place = &mistake.place;
            format!("{}:{}: {}", place.line, place.column, mistake.text)
        };
        mistakes.iter().map(summary).collect()
    }

    #[test]
    fn users_stand_between_comments_and_empty_lines() {
        let book = parse(
            "\u{feff}# who may send\r\n\r\n\
             alice:{cleartext}a:b\r\n  \n#bob:{cleartext}x\nz\u{f6}@example.org:{cleartext}y",
        );
        let book = book.unwrap();
        assert!(book.knows("alice") && book.knows("z\u{f6}@example.org"));
        assert!(!book.knows("bob") && !book.knows("#bob"));
        assert!(book.authenticate("alice", "a:b"));
        assert!(!book.authenticate("bob", "x"));
        assert_eq!((book.count(Scheme::Cleartext), book.count(Scheme::Argon2id)), (2, 0));
        assert_eq!(book.split(Mechanism::Plain), (2, 0));
        assert_eq!(book.split(Mechanism::ScramSha256), (0, 2));
    }

    #[test]
    fn all_mistakes_are_told_with_their_places_and_without_secrets() {
        let found = summaries(
            "hunter2\n\
             :{cleartext}hunter2\n\
             \x20alice:{cleartext}hunter2\n\
             bob:hunter2\n\
             carol:{cleartext}hunter2\n\
             # nobody\n\
             carol:{cleartext}hunter2\n\
             d\u{e4}ve:SCRAM-SHA-256$4095:hunter2$a:b\n",
        );
        let characters = NameError::Characters.to_string();
        let expected = [
            "1:1: there is no \":\" in this line",
            "2:1: a user's name is missing before the \":\"",
            &format!("3:1: {characters}"),
            "4:5: the secret does not say what kind it is",
            "7:1: there are two users \"carol\"",
            "8:20: the iterations are out of range or no number",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_utf_8_is_told() {
        let mistakes = Book::parse(Path::new("users"), b"a:{cleartext}b\nc:\xff").unwrap_err();
        let shown = mistakes.to_string();
        assert!(shown.starts_with("error: not UTF-8\n --> users:2:3\n"), "{shown}");
    }

    #[test]
    fn who_is_not_there_looks_the_same_wherever_the_file_is_read() {
        let alice = Secret::make(Scheme::ScramSha256, "x").unwrap().to_line();
        let carol = Secret::make(Scheme::ScramSha256, "x").unwrap().to_line();
        let here = parse(&format!("alice:{alice}\nbob:{{cleartext}}y\ncarol:{carol}\n")).unwrap();
        let there = parse(&format!("carol:{carol}\nalice:{alice}\n")).unwrap();
        assert!(here.decoy() == there.decoy());
        let others = parse("bob:{cleartext}y\n").unwrap();
        assert!(here.decoy() != others.decoy());
        assert!(here.verifier(Mechanism::ScramSha256, "alice").is_some());
        for name in ["bob", "nobody"] {
            assert!(here.verifier(Mechanism::ScramSha256, name).is_none());
        }
    }

    #[test]
    fn nobody_at_all_is_a_book_too() {
        let book = parse("# empty\n").unwrap();
        assert!(book.is_empty() && !book.authenticate("nobody", "nobody"));
    }
}
