//! The domains that are ours.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::POSTMASTER;
use crate::settings::{Known, Mailboxes};

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
}

impl Domains {
    pub(crate) fn new(settings: BTreeMap<String, Mailboxes>) -> Result<Self, String> {
        let mut domains = Self::default();
        for (pattern, mailboxes) in settings {
            let folded = pattern.to_ascii_lowercase();
            let (known, name) = match folded.strip_prefix('.') {
                Some(name) => (&mut domains.below, name),
                None => (&mut domains.exact, folded.as_str()),
            };
            if name.is_empty() || name.contains(['@', '*', ' ']) {
                return Err(format!("domains.{pattern}: not a domain or `.example.org`"));
            }
            let domain = Domain::new(mailboxes)
                .map_err(|mistake| format!("domains.{pattern}: {mistake}"))?;
            if known.insert(name.into(), domain).is_some() {
                return Err(format!("domains.{pattern}: this domain is there twice"));
            }
        }
        Ok(domains)
    }

    /// The domain of this name, which is in small letters; or the closest above it.
    pub(crate) fn find(&self, name: &str) -> Option<&Domain> {
        self.exact.get(name).or_else(|| self.find_above(name))
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
    fn new(mailboxes: Mailboxes) -> Result<Self, String> {
        let local_parts = match mailboxes.recipients {
            Known::Any => None,
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
        Ok(Self { local_parts, route: mailboxes.route })
    }

    /// Whether there is such a mailbox. Postmaster always is (RFC 5321 4.5.1).
    pub(crate) fn knows(&self, local_part: &str) -> bool {
        local_part == POSTMASTER
            || self.local_parts.as_ref().is_none_or(|known| known.contains(local_part))
    }
}
