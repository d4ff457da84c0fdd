//! The domains that are ours.

use std::collections::{HashMap, HashSet};

use portcullis_plugin::{Files, split_address};

use crate::POSTMASTER;
use crate::settings::{Known, Mailboxes, Settings, Verified};

/// Domains by name, and by the name that they are below.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    exact: HashMap<Box<str>, Domain>,
    /// Without the leading dot.
    below: HashMap<Box<str>, Domain>,
}

/// One domain.
#[derive(Debug)]
pub(crate) struct Domain {
    /// In small letters; none stands for any.
    local_parts: Option<HashSet<Box<str>>>,
    pub(crate) route: Option<String>,
    /// Who gets what is for nobody.
    pub(crate) catch_all: Option<String>,
    pub(crate) verify: Option<Verified>,
}

impl Domains {
    /// Those of the settings, and of the file that they name.
    pub(crate) fn new(settings: &mut Settings) -> Result<Self, String> {
        let mut domains = Self::default();
        for (pattern, mailboxes) in std::mem::take(&mut settings.domains) {
            domains
                .add(&pattern, mailboxes, &settings.files)
                .map_err(|mistake| format!("domains.{pattern}: {mistake}"))?;
        }
        if let Some(file) = &settings.domains_from {
            for (line, pattern, route) in settings.files.pairs(file)? {
                let route = (!route.is_empty()).then(|| route.to_owned());
                domains
                    .add(pattern, Mailboxes { route, ..Mailboxes::default() }, &settings.files)
                    .map_err(|mistake| format!("files.{file}: line {line}: {mistake}"))?;
            }
        }
        Ok(domains)
    }

    fn add(&mut self, pattern: &str, mailboxes: Mailboxes, files: &Files) -> Result<(), String> {
        let folded = pattern.to_ascii_lowercase();
        let (known, name) = match folded.strip_prefix('.') {
            Some(name) => (&mut self.below, name),
            None => (&mut self.exact, folded.as_str()),
        };
        if name.is_empty() || name.contains(['@', '*', ' ']) {
            return Err("not a domain or `.example.org`".to_owned());
        }
        let domain = Domain::new(name, mailboxes, files)?;
        match known.insert(name.into(), domain) {
            None => Ok(()),
            Some(_) => Err("this domain is there twice".to_owned()),
        }
    }

    /// The domain of this name, which is in small letters; or the closest above it.
    pub(crate) fn find(&self, name: &str) -> Option<&Domain> {
        self.exact.get(name).or_else(|| self.find_above(name))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    fn find_above(&self, name: &str) -> Option<&Domain> {
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(domain) = self.below.get(above) {
                return Some(domain);
            }
            rest = above;
        }
        None
    }
}

impl Domain {
    fn new(name: &str, mailboxes: Mailboxes, files: &Files) -> Result<Self, String> {
        let local_parts = match mailboxes.recipients {
            Known::Any => None,
            Known::File(file) => Some(listed(name, &file, files)?),
            Known::List(list) => {
                let mut known = HashSet::with_capacity(list.len());
                for local_part in list {
                    if local_part.contains('@') && !local_part.starts_with('"') {
                        return Err(format!("`{local_part}` is not a local part"));
                    }
                    known.insert(local_part.to_ascii_lowercase().into_boxed_str());
                }
                Some(known)
            }
        };
        if let Some(catch_all) = mailboxes.catch_all.as_deref().filter(|it| !it.contains('@')) {
            return Err(format!("catch_all: `{catch_all}` is not an address"));
        }
        let Mailboxes { route, catch_all, verify, .. } = mailboxes;
        Ok(Self { local_parts, route, catch_all, verify })
    }

    /// Whether there is such a mailbox. Postmaster always is (RFC 5321 4.5.1).
    pub(crate) fn knows(&self, local_part: &str) -> bool {
        local_part == POSTMASTER
            || self.local_parts.as_ref().is_none_or(|known| known.contains(local_part))
    }

    /// Whether somebody else has to say who is there.
    pub(crate) fn takes_any(&self) -> bool {
        self.local_parts.is_none()
    }
}

/// The local parts of a file: one a line, alone or with its domain; those of other domains are not for
/// this one.
fn listed(domain: &str, file: &str, files: &Files) -> Result<HashSet<Box<str>>, String> {
    let mut known = HashSet::new();
    for (_, entry, _) in files.pairs(file)? {
        let (local_part, of) = split_address(entry);
        if of.is_none_or(|of| of.eq_ignore_ascii_case(domain)) {
            known.insert(local_part.to_ascii_lowercase().into_boxed_str());
        }
    }
    // A file that was cut short must not refuse everybody for good.
    if known.is_empty() { Err(format!("files.{file}: nobody is in it")) } else { Ok(known) }
}
