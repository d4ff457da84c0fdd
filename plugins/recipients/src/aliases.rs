//! Aliases: who gets what is for others.

use std::collections::{HashMap, HashSet};

use portcullis_plugin::split_address;

use crate::settings::{Settings, Targets};

/// Targets by `local-part@domain`, by `local-part` in any domain of ours, or by `@domain`; in small
/// letters.
#[derive(Debug, Default)]
pub(crate) struct Aliases(HashMap<Box<str>, Vec<String>>);

impl Aliases {
    /// Those of the settings, and of the file that they name.
    pub(crate) fn new(settings: &mut Settings) -> Result<Self, String> {
        let mut aliases = Self::default();
        for (name, Targets(targets)) in std::mem::take(&mut settings.aliases) {
            aliases.add(&name, targets).map_err(|mistake| format!("aliases.{name}: {mistake}"))?;
        }
        if let Some(file) = &settings.aliases_from {
            for (line, name, targets) in settings.files.pairs(file)? {
                // As in /etc/aliases, too.
                let name = name.strip_suffix(':').unwrap_or(name);
                aliases
                    .add(name, Targets::parse(targets).0)
                    .map_err(|mistake| format!("files.{file}: line {line}: {name}: {mistake}"))?;
            }
        }
        Ok(aliases)
    }

    fn add(&mut self, name: &str, targets: Vec<String>) -> Result<(), String> {
        if name.is_empty() || name == "@" {
            return Err("not an address, a local part or `@domain`".to_owned());
        }
        if targets.is_empty() {
            return Err("there is no address that gets its mail".to_owned());
        }
        if targets.len() > TARGETS {
            return Err(format!("more than {TARGETS} addresses"));
        }
        for target in &targets {
            match split_address(target) {
                ("", Some(_)) if name.starts_with('@') => {}
                (local_part, Some(domain)) if !local_part.is_empty() && is_domain(domain) => {}
                _ => return Err(format!("`{target}` is not an address")),
            }
        }
        let known = self.0.insert(name.to_ascii_lowercase().into_boxed_str(), targets);
        if known.is_some() { Err("this alias is there twice".to_owned()) } else { Ok(()) }
    }

    /// Whether any of them makes several recipients of one.
    pub(crate) fn multiply(&self) -> bool {
        self.0.values().any(|targets| targets.len() > 1)
    }

    /// The targets of an address, or of its local part where that is `ours`; both in small letters.
    pub(crate) fn of(&self, local_part: &str, domain: &str, ours: bool) -> Option<&[String]> {
        if self.0.is_empty() {
            return None;
        }
        let whole = self.0.get(format!("{local_part}@{domain}").as_str());
        let found = whole.or_else(|| ours.then(|| self.0.get(local_part)).flatten());
        found.map(Vec::as_slice)
    }

    /// The targets of all that a domain has no other entry for.
    pub(crate) fn of_domain(&self, domain: &str) -> Option<&[String]> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(format!("@{domain}").as_str()).map(Vec::as_slice)
    }

    /// Who gets the mail in the end, aliases of aliases followed. An address that is among its own
    /// targets is meant to keep its mail.
    pub(crate) fn resolve(
        &self,
        targets: &[String],
        local_part: &str,
        ours: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let whole = |target: &String| match target.strip_prefix('@') {
            Some(domain) => format!("{local_part}@{domain}"),
            None => target.clone(),
        };
        let mut open: Vec<_> = targets.iter().rev().map(whole).collect();
        while let Some(target) = open.pop() {
            let key = target.to_ascii_lowercase();
            if found.len() >= TARGETS || !seen.insert(key.clone()) {
                continue;
            }
            let (local_part, domain) = split_address(&key);
            let domain = domain.unwrap_or_default();
            match self.of(local_part, domain, ours(domain)) {
                Some(further) if !further.iter().any(|it| it.eq_ignore_ascii_case(&key)) => {
                    open.extend(further.iter().rev().cloned());
                }
                _ => found.push(target),
            }
        }
        found
    }
}

fn is_domain(text: &str) -> bool {
    !text.is_empty() && !text.contains(['@', '*', ',', ' '])
}

/// Addresses that one mail to an alias may go to: a list with more members is run by a program for
/// lists.
const TARGETS: usize = 100;
