//! Values that stand elsewhere: `${file:path}` and `${env:NAME}`, in any value of a configuration.
//!
//! What they bring is taken for a secret: a message that would name it names the reference instead.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::mistake::Mistakes;
use super::section::{Reader, absence};
use super::spelling;
use super::tree::{Elsewhere, Mark, Node, Value, Written};

/// What was brought from elsewhere, so that nobody is told.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Vec<Secret>>);

struct Secret {
    value: Zeroizing<String>,
    /// What is shown instead.
    reference: String,
}

impl std::fmt::Debug for Secrets {
    /// How many there are, and no more: what is debugged ends in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// A text without them.
    #[must_use]
    pub fn hidden(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| secret.hidden_in(text))
    }

    /// Mistakes whose texts do not tell them.
    #[must_use]
    pub fn hidden_in(&self, mistakes: &Mistakes) -> Mistakes {
        let mut hidden = Mistakes::default();
        for mistake in mistakes {
            let mut mistake = mistake.clone();
            mistake.text = self.hidden(&mistake.text);
            mistake.help = mistake.help.map(|help| self.hidden(&help));
            hidden.push(mistake);
        }
        hidden
    }
}

impl Secret {
    /// A short one is a word of its own: of a "5" that is secret, not every 5 is.
    fn hidden_in(&self, text: String) -> String {
        if self.value.is_empty() || !text.contains(&**self.value) {
            return text;
        }
        if self.value.len() >= CONSPICUOUS {
            return text.replace(&**self.value, &self.reference);
        }
        let mut shown = String::with_capacity(text.len());
        let mut end = 0;
        for (start, found) in text.match_indices(&**self.value) {
            let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let behind = start + found.len();
            if word(text[..start].chars().next_back()) || word(text[behind..].chars().next()) {
                continue;
            }
            shown.push_str(&text[end..start]);
            shown.push_str(&self.reference);
            end = behind;
        }
        shown + &text[end..]
    }
}

/// Puts the values there that stand elsewhere.
pub(super) fn bring(reader: &Reader<'_>, root: &mut Node) -> Secrets {
    let mut secrets = Vec::new();
    walk(reader, root, &mut secrets);
    // The longest first: one may be part of another.
    secrets.sort_by_key(|secret: &Secret| std::cmp::Reverse(secret.value.len()));
    Secrets(Arc::new(secrets))
}

fn walk(reader: &Reader<'_>, node: &mut Node, secrets: &mut Vec<Secret>) {
    match &mut node.value {
        Value::Broken => {}
        Value::Sequence(items) => items.iter_mut().for_each(|item| walk(reader, item, secrets)),
        Value::Mapping(entries) => {
            entries.iter_mut().for_each(|(_, value)| walk(reader, value, secrets));
        }
        Value::Scalar { text, .. } if text.contains("${") => {
            let written = std::mem::take(text);
            let mut sources = Vec::new();
            let brought = expand(reader, node.mark, &written, &mut sources, secrets);
            node.value = match brought {
                Some(text) => Value::Scalar { text, plain: false },
                None => Value::Broken,
            };
            node.written = Some(Arc::new(Written { text: written, sources }));
        }
        Value::Scalar { .. } => {}
    }
}

/// A text with its references followed; none if one leads nowhere.
fn expand(
    reader: &Reader<'_>,
    mark: Mark,
    written: &str,
    sources: &mut Vec<Elsewhere>,
    secrets: &mut Vec<Secret>,
) -> Option<String> {
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    let mut whole = true;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            rest = behind;
            continue;
        }
        text.push_str(before);
        let mark = reader.source.within(mark, written, written.len() - behind.len() - 2);
        let Some((name, behind)) = behind.split_once('}') else {
            reader.error(mark, "this reference has no end", Some(HELP));
            return None;
        };
        rest = behind;
        match follow(reader, mark, name) {
            Some((value, source)) => {
                text.push_str(&value);
                sources.push(source);
                secrets.push(Secret { value, reference: format!("${{{name}}}") });
            }
            None => whole = false,
        }
    }
    text.push_str(rest);
    whole.then_some(text)
}

fn follow(reader: &Reader<'_>, mark: Mark, name: &str) -> Option<(Zeroizing<String>, Elsewhere)> {
    match name.split_once(':') {
        Some(("env", variable)) => environment(reader, mark, variable),
        Some(("file", path)) => file(reader, mark, path),
        other => {
            let kind = other.map_or(name, |(kind, _)| kind);
            let help = match (spelling::nearest(kind, ["env", "file"]), other) {
                (Some(near), Some((_, rest))) => format!("did you mean \"${{{near}:{rest}}}\"?"),
                (_, None) if is_variable(name) => format!("did you mean \"${{env:{name}}}\"?"),
                _ => HELP.to_owned(),
            };
            reader.error(mark, format!("\"${{{name}}}\" refers to nothing"), Some(&help));
            None
        }
    }
}

fn environment(
    reader: &Reader<'_>,
    mark: Mark,
    variable: &str,
) -> Option<(Zeroizing<String>, Elsewhere)> {
    match std::env::var(variable) {
        Ok(value) => Some((value.into(), Elsewhere::Environment(variable.to_owned()))),
        Err(error) => {
            let (what, help) = match error {
                std::env::VarError::NotPresent => {
                    let names: Vec<_> = std::env::vars_os()
                        .filter_map(|(name, _)| name.into_string().ok())
                        .collect();
                    let near = nearest_variable(variable, &names);
                    ("is not set", near.map(|near| format!("did you mean \"${{env:{near}}}\"?")))
                }
                std::env::VarError::NotUnicode(_) => ("is not UTF-8", None),
            };
            let help = help.unwrap_or_else(|| {
                "it has to be in the environment of the gateway, and of whoever checks the \
                 configuration: in a unit of systemd by Environment= or EnvironmentFile="
                    .to_owned()
            });
            let text = format!("the environment variable \"{variable}\" {what}");
            reader.error(mark, text, Some(&help));
            None
        }
    }
}

/// Variables are written in capitals, which is no slip.
fn nearest_variable<'a>(variable: &str, names: &'a [String]) -> Option<&'a str> {
    let lower: Vec<_> = names.iter().map(|name| name.to_lowercase()).collect();
    let near = spelling::nearest(variable, lower.iter().map(String::as_str))?;
    names.iter().map(String::as_str).find(|name| name.to_lowercase() == near)
}

fn file(reader: &Reader<'_>, mark: Mark, name: &str) -> Option<(Zeroizing<String>, Elsewhere)> {
    let path = reader.path(name);
    let mut text = Zeroizing::new(String::new());
    let opened = File::open(&path).and_then(|file| {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        file.take(OCTETS + 1).read_to_string(&mut text)?;
        Ok(about)
    });
    let about = match opened {
        Ok(_) if text.len() as u64 > OCTETS => {
            let text = format!("\"{name}\" is larger than {OCTETS} octets");
            reader.error(mark, text, Some("a secret is short; is this the right file?"));
            return None;
        }
        Ok(about) => about,
        Err(error) => {
            let help = absence(&path, name, &error);
            reader.error(mark, format!("cannot read \"{name}\": {error}"), Some(&help));
            return None;
        }
    };
    if about.mode() & 0o004 != 0 {
        let help = format!("there is a secret in it: chmod o-rwx {}", path.display());
        let text = format!("every user of this machine can read {}", path.display());
        reader.warn(mark, text, Some(&help));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Some((Zeroizing::new(line.to_owned()), Elsewhere::File(path)))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

const HELP: &str = "${file:path} brings what stands in a file, ${env:NAME} what an environment variable has; \
     for the characters themselves write $${";

/// Larger than any secret.
const OCTETS: u64 = 64 << 10;

/// What is shorter may stand in a text by chance.
const CONSPICUOUS: usize = 4;
