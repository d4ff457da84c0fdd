//! Mailboxes on this machine.

use std::path::{Component, Path, PathBuf};

use super::SWITCH;
use super::section::{Reader, Section, Text};

/// Maildirs to which mail is delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Maildir {
    /// What has to be there: nothing above or in it is ever made.
    pub root: PathBuf,
    /// The way from there to a mailbox; never empty.
    pub parts: Vec<Part>,
    /// Whether a mailbox that is not there is made.
    pub create: bool,
    /// Where the detail begins in a local part that has one.
    pub delimiter: Option<char>,
}

/// A folder on the way to a mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// What stands before the placeholder, or all of it.
    pub before: String,
    /// What stands for a part of the address.
    pub placeholder: Option<Placeholder>,
    /// What stands behind the placeholder.
    pub after: String,
}

/// What stands for a part of the recipient's address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placeholder {
    /// Local part and domain.
    Address,
    /// The domain.
    Domain,
    /// The local part, without a detail.
    Local,
}

impl Maildir {
    pub(super) const KEYS: &'static [&'static str] = &["create", "delimiter", "path"];

    pub(super) fn read(reader: &Reader<'_>, section: &Section<'_>) -> Option<Self> {
        let create = section.choice_or("create", SWITCH, false);
        let delimiter = section.text("delimiter").and_then(|text| delimiter(reader, text));
        let given = section.required("path", HELP)?;
        let (root, parts) = read_path(reader, given)?;
        if !root.is_dir() {
            let text = format!("there is no folder \"{}\"", root.display());
            let help = "make it, for the gateway's user: only what is below it is ever made, so that \
                        nothing is delivered beneath a disk that is not mounted";
            reader.warn(given.mark, text, Some(help));
        }
        Some(Self { root, parts, create, delimiter })
    }
}

/// A path as the root that has to be there and the way from there.
fn read_path(reader: &Reader<'_>, given: Text<'_>) -> Option<(PathBuf, Vec<Part>)> {
    let wrong = |text: String, help: &str| {
        reader.error(given.mark, text, Some(help));
    };
    let path = reader.path(given.text);
    let mut parts = Vec::new();
    for name in names(&path) {
        match Part::read(&name) {
            Ok(part) => parts.push(part),
            Err(text) => {
                wrong(text, HELP);
                return None;
            }
        }
    }
    // What is the same for all is the operator's; the last part may be made in any case.
    let first = parts.iter().position(|part| part.placeholder.is_some());
    let below = first.unwrap_or_else(|| parts.len().saturating_sub(1));
    let parts = parts.split_off(below);
    let has = |one| parts.iter().any(|part| part.placeholder == Some(one));
    if parts.is_empty() || parts.iter().any(|part| part.is_step()) {
        wrong(format!("\"{}\" names no mailbox", given.text), HELP);
        return None;
    }
    if has(Placeholder::Local) && !has(Placeholder::Domain) && !has(Placeholder::Address) {
        let text = "people of the same name in two domains would share a mailbox".to_owned();
        wrong(text, "add {domain}, or write {address} instead of {local}");
        return None;
    }
    let mut root = path.clone();
    for _ in &parts {
        root.pop();
    }
    Some((root, parts))
}

/// The names in a path, without where it begins.
fn names(path: &Path) -> Vec<String> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        Component::CurDir | Component::Prefix(_) | Component::RootDir => None,
    });
    names.collect()
}

impl Part {
    fn read(name: &str) -> Result<Self, String> {
        let Some((before, rest)) = name.split_once('{') else {
            return match name.contains('}') {
                true => Err(format!("there is a \"}}\" too much in \"{name}\"")),
                false => {
                    Ok(Self { before: name.to_owned(), placeholder: None, after: String::new() })
                }
            };
        };
        let (word, after) =
            rest.split_once('}').ok_or_else(|| format!("there is no \"}}\" in \"{name}\""))?;
        let placeholder = match word {
            "address" => Placeholder::Address,
            "domain" => Placeholder::Domain,
            "local" => Placeholder::Local,
            _ => return Err(format!("there is no placeholder {{{word}}}")),
        };
        // a.b@c.d and a@b.c.d would be the same as {local}.{domain}.
        if after.contains(['{', '}']) {
            return Err(format!("there is more than one placeholder in \"{name}\""));
        }
        if before.len() + after.len() > TEXT_OCTETS {
            return Err(format!("there is too much around the placeholder in \"{name}\""));
        }
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self { before, placeholder: Some(placeholder), after })
    }

    fn is_step(&self) -> bool {
        self.placeholder.is_none() && self.before == ".."
    }
}

fn delimiter(reader: &Reader<'_>, Text { text, mark }: Text<'_>) -> Option<char> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(delimiter), None) if delimiter.is_ascii_punctuation() => Some(delimiter),
        _ => {
            let help = "one character, such as \"+\": alice+news is delivered to alice";
            reader.error(mark, format!("\"{text}\" is no delimiter"), Some(help));
            None
        }
    }
}

const HELP: &str = "such as /var/mail/{domain}/{local}, with one of {local}, {domain} and {address} in a folder's \
     name; or one mailbox for all, such as /var/mail/quarantine";
/// With what stands for the address it has to fit 255 octets.
const TEXT_OCTETS: usize = 48;

#[cfg(test)]
mod tests {
    use super::super::{Upstream, parse};

    fn read(settings: &str) -> Result<super::Maildir, String> {
        let text = format!(
            "hostname: mx.example.org
listeners: [{{name: mx, address: 127.0.0.1:25}}]
upstreams: {{local: {{protocol: maildir, {settings}}}}}
default_upstream: local
"
        );
        let config = parse("/etc/portcullis.yaml".as_ref(), text)
            .map_err(|mistakes| mistakes.iter().next().expect("one").text.clone())?;
        let Upstream::Maildir(maildir) = config.upstreams["local"].clone() else {
            panic!("{config:?}")
        };
        Ok(maildir)
    }

    #[test]
    fn what_is_the_same_for_all_is_the_root() {
        for (path, root, parts) in [
            ("/var/mail/{domain}/{local}", "/var/mail", 2),
            ("/home/{domain}/{local}/Maildir", "/home", 3),
            ("/var/mail/of-{address}", "/var/mail", 1),
            ("/var/quarantine", "/var", 1),
            ("mail/{address}/", "/etc/mail", 1),
        ] {
            let maildir =
                read(&format!("path: \"{path}\"")).unwrap_or_else(|text| panic!("{text}"));
            assert_eq!((maildir.root.to_str(), maildir.parts.len()), (Some(root), parts), "{path}");
            assert!(!maildir.create && maildir.delimiter.is_none());
        }
    }

    #[test]
    fn two_people_never_share_a_mailbox_by_a_slip_of_the_path() {
        for (path, text) in [
            ("/var/mail/{local}", "people of the same name in two domains would share a mailbox"),
            (
                "/var/mail/{local}.{domain}",
                "there is more than one placeholder in \"{local}.{domain}\"",
            ),
            ("/var/mail/{user}", "there is no placeholder {user}"),
            ("/var/mail/{local", "there is no \"}\" in \"{local\""),
            ("/var/mail/local}", "there is a \"}\" too much in \"local}\""),
            ("/var/{address}/../x", "\"/var/{address}/../x\" names no mailbox"),
            ("/", "\"/\" names no mailbox"),
        ] {
            assert_eq!(read(&format!("path: \"{path}\"")), Err(text.to_owned()), "{path}");
        }
    }
}
