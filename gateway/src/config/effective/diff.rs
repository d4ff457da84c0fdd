//! What would change if one configuration took the place of another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;

use super::entry::{Entry, From};

/// One key that is not what it was.
#[derive(Clone, Debug)]
pub struct Change {
    /// What leads to it.
    pub key: String,
    /// What it was.
    pub before: Option<Json>,
    /// What it is.
    pub after: Option<Json>,
    /// What is to be said of it besides.
    pub remark: Option<&'static str>,
}

impl Change {
    /// Whether it is known to be another one; of a secret that is known on one side only, it is not.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after, remark } = self;
        match (before, after) {
            (Some(Json::Array(before)), Some(Json::Array(after))) => lists(f, key, before, after)?,
            (Some(before), Some(after)) => write!(f, "~ {key}: {before} -> {after}")?,
            (Some(before), None) => write!(f, "- {key}: {before}")?,
            (None, Some(after)) => write!(f, "+ {key}: {after}")?,
            (None, None) => write!(f, "? {key}")?,
        }
        remark.map_or(Ok(()), |remark| write!(f, "    ({remark})"))
    }
}

/// The items of two lists that are not in both, and that they stand in another order.
fn lists(f: &mut fmt::Formatter<'_>, key: &str, before: &[Json], after: &[Json]) -> fmt::Result {
    write!(f, "~ {key}:")?;
    for item in before.iter().filter(|item| !after.contains(item)) {
        write!(f, "\n    - {item}")?;
    }
    for (place, item) in after.iter().enumerate().filter(|(_, item)| !before.contains(item)) {
        write!(f, "\n    + {item}    (number {} of {})", place + 1, after.len())?;
    }
    let kept = |one: &[Json], other: &[Json]| -> Vec<Json> {
        one.iter().filter(|item| other.contains(item)).cloned().collect()
    };
    let order = kept(after, before);
    if kept(before, after) != order {
        write!(f, "\n    in another order: {}", Json::Array(order))?;
    }
    Ok(())
}

/// What changes from one to the other, in the order of the other. Of what is new or gone, only that is
/// told which was given: its defaults say nothing.
#[must_use]
pub fn changes(before: &[Entry], after: &[Entry]) -> Vec<Change> {
    let index = |entries: &[Entry]| -> BTreeMap<String, Entry> {
        entries.iter().map(|entry| (entry.key.clone(), entry.clone())).collect()
    };
    let (old, new) = (index(before), index(after));
    let mut changes = Vec::new();
    let mut told = BTreeSet::new();
    let keys = before.iter().filter(|entry| !new.contains_key(&entry.key)).chain(after);
    for Entry { key, .. } in keys.filter(|entry| told.insert(entry.key.clone())) {
        changes.extend(change(key, old.get(key), new.get(key)));
    }
    changes
}

fn change(key: &str, before: Option<&Entry>, after: Option<&Entry>) -> Option<Change> {
    let told = |entry: &Entry| Some(entry.value.clone());
    let (before_value, after_value, remark) = match (before, after) {
        (Some(before), Some(after)) if before.value != after.value => {
            (told(before), told(after), None)
        }
        (Some(before), Some(after)) if before.is_secret() || after.is_secret() => {
            match before.same_secret(after) {
                Some(true) => return None,
                Some(false) => (told(before), told(after), Some("the secret is another one")),
                None => (None, None, Some("a secret, which cannot be compared")),
            }
        }
        (Some(_), Some(_)) | (None, None) => return None,
        (Some(before), None) if before.from != From::Default => (told(before), None, None),
        (None, Some(after)) if after.from != From::Default => (None, told(after), None),
        (Some(_), None) | (None, Some(_)) => return None,
    };
    Some(Change { key: key.to_owned(), before: before_value, after: after_value, remark })
}
